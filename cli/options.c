/* SPDX-License-Identifier: MIT */
/* options.c - one table of options per command, read by the parser and by
 * --help, so the two can not disagree.
 *
 * Parsing is getopt_long(3): short and long forms, options and operands in
 * any order, "--" ends the options.  -h, --help belongs to every command and
 * stands in no table. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

void
options_start(struct options *options, const struct command *command, int argc,
              char **argv)
{
    char *letter = options->letters;
    size_t n = 0;

    memset(options, 0, sizeof *options);
    options->command = command;
    options->argc = argc;
    options->argv = argv;
    *letter++ = ':'; /* tell a missing value from an unknown option */
    *letter++ = 'h';
    for (const struct option_spec *s = command->options; s->name; s++) {
        options->table[n++] = (struct option){
            s->name, s->value ? required_argument : no_argument, NULL,
            s->letter};
        *letter++ = (char)s->letter;
        if (s->value != NULL)
            *letter++ = ':';
    }
    options->table[n] = (struct option){"help", no_argument, NULL, 'h'};
    opterr = 0;
    optind = 1;
}

static void
print_option(FILE *out, const struct option_spec *spec)
{
    char left[40];
    const char *line = spec->help, *end;

    snprintf(left, sizeof left, "-%c, --%s%s%s", spec->letter, spec->name,
             spec->value ? " " : "", spec->value ? spec->value : "");
    fprintf(out, "  %-24s ", left);
    for (end = strchr(line, '\n'); end; end = strchr(line, '\n')) {
        fprintf(out, "%.*s\n%27s", (int)(end - line), line, "");
        line = end + 1;
    }
    fprintf(out, "%s\n", line);
}

static int
print_help(const struct command *command)
{
    static const struct option_spec help = {'h', "help", NULL,
                                            "show this help"};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return fail_memory();
    fprintf(out, "Usage: shmkit %s %s\n\n%s.\n\nOptions:\n", command->name,
            command->usage, command->summary);
    for (const struct option_spec *s = command->options; s->name; s++)
        print_option(out, s);
    print_option(out, &help);
    if (command->shows_columns)
        table_print_columns(out);
    fprintf(out, "\nMore: man shmkit-%s\n", command->name);
    if (fclose(out) != 0)
        return fail_memory();
    output_bytes(text, len);
    free(text);
    return CODE_OK;
}

static int
complain_option(struct options *options, bool value_missing)
{
    const char *given = options->argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    /* getopt_long leaves the letter in optopt for short options, and for a
     * long one the value of its table entry, or 0. */
    if (strncmp(given, "--", 2) != 0 && optopt > 0)
        given = letter;
    if (value_missing)
        return options_complain(options, "option %s needs a value",
                                quote(given));
    if (optopt > 0 && strncmp(given, "--", 2) == 0)
        return options_complain(options, "option %s takes no value",
                                quote(given));
    return options_complain(options, "unknown or ambiguous option %s",
                            quote(given));
}

int
options_next(struct options *options)
{
    int letter;

    letter = getopt_long(options->argc, options->argv, options->letters,
                         options->table, NULL);
    switch (letter) {
        case -1:
            options->operands = options->argv + optind;
            options->operand_count = (size_t)(options->argc - optind);
            return OPTIONS_END;
        case 'h':
            options->code = print_help(options->command);
            return OPTIONS_STOP;
        case '?':
        case ':':
            options->code = complain_option(options, letter == ':');
            return OPTIONS_STOP;
        default:
            options->value = optarg;
            return letter;
    }
}

int
options_complain(const struct options *options, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    fail(CODE_USAGE, "%s: %s; try 'shmkit %s --help'", options->command->name,
         n < 0 ? "wrong usage" : text, options->command->name);
    if (n >= 0)
        free(text);
    return CODE_USAGE;
}

int
options_check_operands(const struct options *options, size_t least,
                       size_t most)
{
    if (options->operand_count < least)
        return options_complain(options, "a NAME is missing");
    if (options->operand_count > most)
        return options_complain(options, "unexpected operand %s",
                                quote(options->operands[most]));
    return CODE_OK;
}
