/* SPDX-License-Identifier: MIT */
/* cli.h - what the files of the tool share.
 *
 * The tool sees the public headers of the library and nothing else.  It is
 * one process with one thread (but for the progress bar, progress.c), so
 * nothing here is safe to call from two threads.
 *
 * A command is a table entry and one function that returns an exit code of
 * enum exit_code.  Whoever finds an error prints it, at once, and returns its
 * code; callers pass the code on and print nothing. */
#ifndef SHMKIT_CLI_CLI_H
#define SHMKIT_CLI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Documented in shmkit(1): scripts rely on the numbers. */
enum exit_code {
    CODE_OK = 0,
    CODE_FAILED = 1,
    CODE_USAGE = 2,
    CODE_NOT_FOUND = 3,
    CODE_IN_USE = 4,
    CODE_NO_SPACE = 5,
    CODE_NOT_PERMITTED = 6,
    CODE_EXISTS = 7
};

/* ---- commands and their options ---- */

/* One option: parsing, --help and the tests all read this. */
struct option_spec {
    int letter;        /* the short form, and what options_next() returns */
    const char *name;  /* the long form */
    const char *value; /* what its value is called; NULL when it has none */
    const char *help;  /* half a sentence; more lines after '\n' */
};

struct command {
    const char *name;
    const char *usage; /* what follows the name in the synopsis */
    const char *summary;
    const struct option_spec *options; /* ends with a NULL name */
    bool shows_columns;                /* --help lists the columns too */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command command_create, command_ls, command_stat,
    command_cat, command_write, command_rm, command_gc;

#define OPTIONS_MAX 16
enum { OPTIONS_END = -1, OPTIONS_STOP = -2 };

struct options {
    const struct command *command;
    int argc;
    char **argv;
    const char *value; /* of the option just returned */
    int code;          /* what to return after OPTIONS_STOP */
    char **operands;   /* after OPTIONS_END */
    size_t operand_count;
    char letters[OPTIONS_MAX * 2 + 4];
    struct option table[OPTIONS_MAX + 2];
};

void options_start(struct options *options, const struct command *command,
                   int argc, char **argv);
/* The letter of the next option; OPTIONS_END, and the operands are set;
 * OPTIONS_STOP, when help was printed or an error: return `code`. */
int options_next(struct options *options);
/* Says what is wrong and where help is. */
int options_complain(const struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* CODE_OK if there are `least` to `most` operands. */
int options_check_operands(const struct options *options, size_t least,
                           size_t most);

/* ---- messages, and standard output ---- */

/* "shmkit: ...", one line on standard error.  Returns `code`, one of
 * enum exit_code. */
int fail(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, then what the library says about its result (< 0); returns the
 * exit code that belongs to it. */
int fail_result(int result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int fail_memory(void);
/* A remark on standard error that is no failure. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Standard output without a buffer.  The first failure is remembered, what
 * comes later is dropped, and output_finish() makes an exit code of it. */
void output_bytes(const void *data, size_t len);
void output_line(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
bool output_failed(void);
int output_finish(int code);

/* ---- names ---- */

#define ESCAPED_SIZE 1024 /* 255 bytes, each four characters, and a NUL */

/* What the user calls the block: "x", "/x" as for shm_open(3), and
 * "/dev/shm/x" are the same. */
const char *name_of(const char *operand);
/* Bytes as they may go to a terminal: whatever takes no column of its own,
 * white space and the backslash become escapes that printf(1) '%b' reads. */
void escape(const char *bytes, char escaped[ESCAPED_SIZE]);
/* 'NAME', escaped but for spaces; good until the fourth call from now. */
const char *quote(const char *bytes);
/* Columns that `escaped` takes on a terminal. */
size_t display_width(const char *escaped);
/* A JSON string in ASCII.  A byte that is not UTF-8 becomes the surrogate
 * \udcXX, as Python's file names have it, so nothing is lost. */
void json_string(FILE *out, const char *bytes);

/* ---- units.c ---- */

#define HUGE_SIZE (UINT64_C(2) << 20) /* bytes of a big page */

/* "4096", "64M", "1.5GiB", "2GB": -EINVAL, -ERANGE. */
int size_parse(const char *text, uint64_t *ret_size);
#define SIZE_TEXT 16
/* "4096" -> "4K"; at most one decimal, rounded. */
void size_format(uint64_t size, char text[SIZE_TEXT]);
/* The size in an option or operand; complains. */
int size_option(const struct options *options, const char *option,
                uint64_t *ret_size);

/* ---- progress.c ---- */

enum progress_step {
    PROGRESS_RESERVE = 1 << 0,  /* /dev/shm gets fuller */
    PROGRESS_PREFAULT = 1 << 1, /* this process maps more */
    PROGRESS_COPY = 1 << 2      /* it is told by progress_copied() */
};

/* A bar on standard error while `size` bytes go through `steps`, or-ed;
 * nothing when that is no terminal or they are few. */
void progress_start(uint64_t size, unsigned steps);
/* How many bytes are copied by now, all in all. */
void progress_copied(uint64_t bytes);
/* `done`: all of it is, whatever the estimate was.  Nothing without a bar. */
void progress_stop(bool done);

/* ---- process.c ---- */

/* Run argv until it ends; returns the code to exit with.  Signals that it
 * passed on stay blocked: the caller tidies up and exits. */
int process_run(char **argv);

#endif
