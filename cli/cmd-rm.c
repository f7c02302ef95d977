/* SPDX-License-Identifier: MIT */
/* cmd-rm.c - `shmkit rm`: removes names, and says which.
 *
 * A block that somebody maps, or whose holders or family live, is refused:
 * its users would go on with bytes that nobody else can reach.  --force does
 * it all the same; their mappings stay good.
 *
 * The look into /proc is done once for all names and takes a while, so each
 * name is looked up again right before it is removed, and left alone if it
 * is another file by then.  Between that look and the removal lie
 * microseconds in which the name may still change hands. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static const struct option_spec rm_options[] = {
    {'f', "force", NULL, "remove a block that is in use"},
    {'q', "quiet", NULL, "do not say what was removed"},
    {0},
};

struct removal {
    bool force, quiet;
};

static int
refuse(const struct row *row)
{
    char *use = row_use_text(row);

    fail(CODE_IN_USE,
         "%s was not removed: it %s; use --force to take it from them",
         quote(row->stat.name), use != NULL ? use : "is in use");
    free(use);
    return CODE_IN_USE;
}

static int
check_same(const struct row *row)
{
    struct shmkit_block_stat now;
    int r;

    r = shmkit_block_stat(row->stat.name, &now, sizeof now);
    if (r < 0)
        return fail_result(r, "block %s", quote(row->stat.name));
    if (now.inode == row->stat.inode && now.device == row->stat.device)
        return CODE_OK;
    return fail(CODE_IN_USE,
                "%s was not removed: another block has taken its name just "
                "now",
                quote(row->stat.name));
}

static int
remove_block(const struct row *row, struct removal how)
{
    char escaped[ESCAPED_SIZE];
    int r, code;

    if (row_is_in_use(row) && !how.force)
        return refuse(row);
    code = check_same(row);
    if (code != CODE_OK)
        return code;
    r = shmkit_block_unlink(row->stat.name, NULL);
    if (r == -EPERM || r == -EACCES)
        return fail(CODE_NOT_PERMITTED,
                    "%s was not removed: only root and its owner, the user "
                    "with number %u, may",
                    quote(row->stat.name), (unsigned)row->stat.uid);
    if (r < 0)
        return fail_result(r, "cannot remove %s", quote(row->stat.name));
    escape(row->stat.name, escaped);
    if (!how.quiet)
        output_line("removed %s\n", escaped);
    return CODE_OK;
}

/* The exit code is that of the first name that failed; the others are done
 * all the same. */
static int
remove_blocks(char **operands, size_t count, struct removal how)
{
    struct rows rows = {0};
    int code = CODE_OK, r;

    for (size_t i = 0; i < count; i++) {
        r = rows_read_one(&rows, name_of(operands[i]));
        code = code != CODE_OK ? code : r;
    }
    if (rows.count > 0 && !how.force) {
        r = rows_read_holders(&rows);
        if (r != CODE_OK) { /* not knowing is no reason to remove */
            rows_free(&rows);
            return r;
        }
    }
    for (size_t i = 0; i < rows.count; i++) {
        r = remove_block(rows.rows + i, how);
        code = code != CODE_OK ? code : r;
    }
    rows_free(&rows);
    return code;
}

static int
run_rm(int argc, char **argv)
{
    struct removal how = {0};
    struct options options;
    int letter, code;

    options_start(&options, &command_rm, argc, argv);
    while ((letter = options_next(&options)) >= 0) {
        how.force |= letter == 'f';
        how.quiet |= letter == 'q';
    }
    if (letter == OPTIONS_STOP)
        return options.code;
    code = options_check_operands(&options, 1, SIZE_MAX);
    if (code != CODE_OK)
        return code;
    return remove_blocks(options.operands, options.operand_count, how);
}

const struct command command_rm = {
    .name = "rm",
    .usage = "[OPTION...] NAME...",
    .summary = "Remove blocks that nobody uses",
    .options = rm_options,
    .run = run_rm,
};
