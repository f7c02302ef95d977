/* SPDX-License-Identifier: MIT */
/* cmd-stat.c - `shmkit stat`: everything about one block, a line each. */
#include "table.h"

static const struct option_spec stat_options[] = {
    {'o', "output", "COLUMNS",
     "show these columns, separated by commas (any of those\nbelow)"},
    {'J', "json", NULL, "print one JSON object"},
    {'b', "bytes", NULL, "print sizes in bytes only"},
    {0},
};

static int
show_block(const struct table *table, const char *name)
{
    struct rows rows = {0};
    int code;

    code = rows_read_one(&rows, name);
    if (code == CODE_OK)
        code = rows_read_shown(&rows, table);
    if (code == CODE_OK)
        code = table_print_record(table, rows.rows);
    rows_free(&rows);
    return code;
}

static int
run_stat(int argc, char **argv)
{
    struct table table = {0};
    struct options options;
    int code;

    options_start(&options, &command_stat, argc, argv);
    if (table_options(&table, &options) == OPTIONS_STOP)
        return options.code;
    code = options_check_operands(&options, 1, 1);
    if (code != CODE_OK)
        return code;
    if (!table.chosen)
        table_choose_all(&table);
    return show_block(&table, name_of(options.operands[0]));
}

const struct command command_stat = {
    .name = "stat",
    .usage = "[OPTION...] NAME",
    .summary = "Show everything about one block",
    .options = stat_options,
    .shows_columns = true,
    .run = run_stat,
};
