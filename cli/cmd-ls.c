/* SPDX-License-Identifier: MIT */
/* cmd-ls.c - `shmkit ls`: the blocks of /dev/shm, own and foreign.
 *
 * Listing changes nothing: an orphan is shown as an orphan, not removed.  An
 * operand is a name or a pattern of the shell; a name that holds a pattern
 * character also means itself. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

static const struct option_spec ls_options[] = {
    {'o', "output", "COLUMNS",
     "show these columns, separated by commas (any of those\nbelow)"},
    {'J', "json", NULL,
     "print JSON: {\"blocks\": [{...}, ...]}, with every column\nunless -o "
     "is given"},
    {'b', "bytes", NULL, "print sizes in bytes, not 64K or 1.5G"},
    {'n', "noheadings", NULL, "leave out the line of headings"},
    {0},
};

static bool
name_matches(const char *name, const char *operand)
{
    return strcmp(name, name_of(operand)) == 0 ||
           fnmatch(name_of(operand), name, 0) == 0;
}

/* Keep the rows that an operand asks for; `found` says which operands did. */
static void
filter_rows(struct rows *rows, char **operands, size_t count, bool *found)
{
    size_t kept = 0;
    bool wanted;

    for (size_t i = 0; i < rows->count; i++) {
        wanted = false;
        for (size_t k = 0; k < count; k++) {
            if (name_matches(rows->rows[i].stat.name, operands[k]))
                wanted = found[k] = true;
        }
        if (wanted)
            rows->rows[kept++] = rows->rows[i];
    }
    rows->count = kept;
}

static int
report_missing(char **operands, size_t count, const bool *found)
{
    int code = CODE_OK;

    for (size_t k = 0; k < count; k++) {
        if (!found[k])
            code = fail(CODE_NOT_FOUND,
                        "no block is named %s; 'shmkit ls' shows all that "
                        "you may see",
                        quote(name_of(operands[k])));
    }
    return code;
}

static int
list_blocks(const struct table *table, const struct options *options)
{
    struct rows rows = {0};
    bool *found = calloc(options->operand_count + 1, sizeof *found);
    int code, missing = CODE_OK;

    if (found == NULL)
        return fail_memory();
    code = rows_read_all(&rows);
    if (code != CODE_OK)
        goto out;
    if (options->operand_count > 0)
        filter_rows(&rows, options->operands, options->operand_count, found);
    code = rows_read_shown(&rows, table);
    if (code != CODE_OK)
        goto out;
    code = table_print(table, &rows);
    missing = report_missing(options->operands, options->operand_count, found);
out:
    rows_free(&rows);
    free(found);
    return code != CODE_OK ? code : missing;
}

static int
run_ls(int argc, char **argv)
{
    struct table table = {0};
    struct options options;

    options_start(&options, &command_ls, argc, argv);
    if (table_options(&table, &options) == OPTIONS_STOP)
        return options.code;
    if (!table.chosen && table.json)
        table_choose_all(&table);
    else if (!table.chosen)
        table_choose_usual(&table);
    return list_blocks(&table, &options);
}

const struct command command_ls = {
    .name = "ls",
    .usage = "[OPTION...] [NAME...]",
    .summary = "List blocks: size, owner, lifetime, state, who maps them",
    .options = ls_options,
    .shows_columns = true,
    .run = run_ls,
};
