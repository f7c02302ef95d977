/* SPDX-License-Identifier: MIT */
/* main.c - `shmkit COMMAND ...`: finds the command and runs it.
 *
 * A command is one file cmd-NAME.c with one entry in the table below.  What
 * surrounds a command is here: descriptors 0 to 2 are made safe before the
 * library opens any, the signals that would end a write half-way become
 * errors, and a failed write to standard output becomes an exit code. */
#include <fcntl.h>
#include <locale.h>
#include <shmkit/shmkit.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const struct command *const commands[] = {
    &command_create, &command_ls, &command_stat, &command_cat,
    &command_write,  &command_rm, &command_gc,
};
#define COMMANDS (sizeof commands / sizeof commands[0])

/* Started with a standard descriptor closed, the next open would take its
 * number, and a message would be written into somebody's block.  Opened the
 * wrong way round they stay as unusable as they were. */
static void
hold_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            _exit(CODE_FAILED);
    }
}

static void
set_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* an ignored one would eat exit statuses */
}

static int
print_help(void)
{
    output_line(
        "Usage: shmkit COMMAND [OPTION...] [OPERAND...]\n"
        "       shmkit COMMAND --help\n"
        "       shmkit --help | --version\n\n"
        "Make, list, inspect and remove blocks of shared memory in "
        "/dev/shm.\n\nCommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        output_line("  %-8s %s\n", commands[i]->name, commands[i]->summary);
    output_line(
        "\nExit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 in "
        "use,\n5 no space, 6 not permitted, 7 name taken.\n"
        "More: man shmkit\n");
    return CODE_OK;
}

static const struct command *
find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static int
run(int argc, char **argv)
{
    const struct command *command;

    if (argc < 2)
        return fail(CODE_USAGE, "no command given; try 'shmkit --help'");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        output_line("shmkit %s\n", shmkit_version());
        return CODE_OK;
    }
    command = find_command(argv[1]);
    if (command == NULL)
        return fail(CODE_USAGE, "unknown command %s; try 'shmkit --help'",
                    quote(argv[1]));
    return command->run(argc - 1, argv + 1);
}

int
main(int argc, char **argv)
{
    hold_standard_descriptors();
    set_signals();
    setlocale(LC_CTYPE, "");
    return output_finish(run(argc, argv));
}
