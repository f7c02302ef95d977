/* SPDX-License-Identifier: MIT */
/* cmd-gc.c - `shmkit gc`: removes what nobody is left to remove.
 *
 * The library decides and removes (shmkit_sweep); the tool looks before and
 * after, to say how much went and why the rest stayed.
 *
 * What others made by other means (foreign), and what its maker asked to keep
 * (persistent), is only counted.  There is no --force: `rm --force` names what
 * it takes. */
#include <stdlib.h>
#include <unistd.h>

#include "table.h"

static const struct option_spec gc_options[] = {
    {'n', "dry-run", NULL, "only say what would be removed"},
    {'q', "quiet", NULL, "print errors only"},
    {0},
};

struct collection {
    bool dry, quiet;
    struct rows before, after;
    uint64_t gone_bytes;
    size_t gone;                        /* blocks */
    size_t in_use, persistent, foreign; /* kept */
};

static void
count_gone(const char *name, void *arg)
{
    struct collection *gc = arg;
    const struct row *row = rows_find(&gc->before, name);
    char escaped[ESCAPED_SIZE];

    gc->gone++;
    gc->gone_bytes += row != NULL ? row->stat.resident : 0;
    escape(name, escaped);
    if (!gc->quiet)
        output_line("%s %s\n", gc->dry ? "would remove" : "removed", escaped);
}

static void
print_kept(const struct row *row)
{
    char escaped[ESCAPED_SIZE], *use = row_use_text(row);

    escape(row->stat.name, escaped);
    output_line("kept %s: it %s\n", escaped, use != NULL ? use : "is in use");
    free(use);
}

static bool
is_mine(const struct row *row)
{
    return geteuid() == 0 || geteuid() == row->stat.uid;
}

/* An orphan that is still there belongs to somebody else, or its remover was
 * stopped half-way. */
static int
report_left(const struct row *row)
{
    if (!is_mine(row))
        return fail(CODE_NOT_PERMITTED,
                    "orphan %s was not removed: it belongs to another user; "
                    "run 'shmkit gc' as that user or as root",
                    quote(row->stat.name));
    return fail(CODE_FAILED,
                "orphan %s was not removed: another process is about to, or "
                "was stopped while it did; run 'shmkit gc' again",
                quote(row->stat.name));
}

/* Says why each block that is still there stays. */
static int
explain_kept(struct collection *gc)
{
    const struct row *row;
    int code = CODE_OK, r;

    for (size_t i = 0; i < gc->after.count; i++) {
        row = gc->after.rows + i;
        if (row->stat.state == SHMKIT_STATE_FOREIGN) {
            gc->foreign++;
        } else if (row->stat.lifetime == SHMKIT_LIFETIME_PERSISTENT) {
            gc->persistent++;
        } else if (row->stat.state == SHMKIT_STATE_ORPHAN) {
            if (gc->dry && is_mine(row))
                continue; /* it is among those that would go */
            r = report_left(row);
            code = code != CODE_OK ? code : r;
        } else {
            gc->in_use++;
            if (!gc->quiet)
                print_kept(row);
        }
    }
    return code;
}

static void
print_summary(const struct collection *gc)
{
    char size[SIZE_TEXT];

    size_format(gc->gone_bytes, size);
    output_line("%zu %s (%s); kept: %zu in use, %zu persistent, %zu foreign\n",
                gc->gone, gc->dry ? "to remove" : "removed", size, gc->in_use,
                gc->persistent, gc->foreign);
}

/* Whether the sweep left an orphan that it should have been able to take. */
static bool
orphan_left(const struct collection *gc)
{
    const struct row *row;

    for (size_t i = 0; i < gc->after.count; i++) {
        row = gc->after.rows + i;
        if (row->stat.state == SHMKIT_STATE_ORPHAN && is_mine(row))
            return true;
    }
    return false;
}

static int
sweep_once(struct collection *gc)
{
    int r = shmkit_sweep(gc->dry ? SHMKIT_DRY_RUN : 0, count_gone, gc);

    if (r < 0)
        return fail_result(r, "cannot sweep");
    rows_free(&gc->after);
    gc->after = (struct rows){0};
    return rows_read_all(&gc->after);
}

static int
collect_garbage(struct collection *gc)
{
    int code;

    code = rows_read_all(&gc->before);
    if (code == CODE_OK)
        code = sweep_once(gc);
    /* Somebody may have died since: an orphan is worth a second look. */
    if (code == CODE_OK && !gc->dry && orphan_left(gc))
        code = sweep_once(gc);
    if (code == CODE_OK)
        code = rows_read_holders(&gc->after);
    if (code != CODE_OK)
        return code;
    code = explain_kept(gc);
    if (!gc->quiet)
        print_summary(gc);
    return code;
}

static int
run_gc(int argc, char **argv)
{
    struct collection gc = {0};
    struct options options;
    int letter, code;

    options_start(&options, &command_gc, argc, argv);
    while ((letter = options_next(&options)) >= 0) {
        gc.dry |= letter == 'n';
        gc.quiet |= letter == 'q';
    }
    if (letter == OPTIONS_STOP)
        return options.code;
    code = options_check_operands(&options, 0, 0);
    if (code == CODE_OK)
        code = collect_garbage(&gc);
    rows_free(&gc.before);
    rows_free(&gc.after);
    return code;
}

const struct command command_gc = {
    .name = "gc",
    .usage = "[OPTION...]",
    .summary = "Remove blocks whose processes are all gone",
    .options = gc_options,
    .run = run_gc,
};
