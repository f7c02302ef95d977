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
    if (code == CODE_OK && table_has(table, "huge"))
        rows_read_huge(&rows);
    if (code == CODE_OK && table_has(table, "holders"))
        code = rows_read_holders(&rows);
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
    int letter, code;

    options_start(&options, &command_stat, argc, argv);
    while ((letter = options_next(&options)) >= 0) {
        table.json |= letter == 'J';
        table.bytes |= letter == 'b';
        if (letter != 'o')
            continue;
        code = table_choose(&table, &options, options.value);
        if (code != CODE_OK)
            return code;
    }
    if (letter == OPTIONS_STOP)
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
