/* SPDX-License-Identifier: MIT */
/* message.c - errors, remarks, and standard output.
 *
 * Errors go to standard error as "shmkit: WHAT: WHY AND WHAT TO DO", one line
 * each.  Standard output is written without stdio, since stdio forgets the
 * errno of a write that failed inside it: the first failure is kept here and
 * becomes the exit code at the end.  A command goes on after it, because what
 * it does (remove, create) matters more than its report. */
#include "cli.h"

#include <errno.h>
#include <shmkit/shmkit.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int output_errno;

static int
code_of(int result)
{
    switch (-result) {
        case ENOENT:
            return CODE_NOT_FOUND;
        case EBUSY:
            return CODE_IN_USE;
        case ENOSPC:
        case ENOMEM:
        case EFBIG:
        case EDQUOT:
            return CODE_NO_SPACE;
        case EACCES:
        case EPERM:
        case EROFS:
            return CODE_NOT_PERMITTED;
        case EEXIST:
            return CODE_EXISTS;
        case EINVAL:
        case ENAMETOOLONG:
            return CODE_USAGE;
        default:
            return CODE_FAILED;
    }
}

/* One write for one line, so that lines of several tools do not mix. */
static void __attribute__((format(printf, 1, 0)))
print_error(const char *format, va_list args, const char *why)
{
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);

    if (out == NULL)
        return;
    progress_stop(false); /* or the message would stand behind the bar */
    fputs("shmkit: ", out);
    vfprintf(out, format, args);
    if (why != NULL)
        fprintf(out, ": %s", why);
    fputc('\n', out);
    if (fclose(out) == 0 && write(STDERR_FILENO, line, len) < 0) {
        /* Nowhere is left to say so. */
    }
    free(line);
}

int
fail(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_error(format, args, NULL);
    va_end(args);
    return code;
}

/* The tool checks sizes and options itself, so what the library finds invalid
 * is the name. */
static const char *
explain(int result)
{
    if (result == -EINVAL)
        return "a name is 1 to 255 bytes without '/', and not '.', '..' or "
               "shmkit-NUMBER";
    return shmkit_strerror(result);
}

int
fail_result(int result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_error(format, args, explain(result));
    va_end(args);
    return code_of(result);
}

int
fail_memory(void)
{
    return fail(CODE_NO_SPACE, "out of memory");
}

void
remark(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_error(format, args, NULL);
    va_end(args);
}

void
output_bytes(const void *data, size_t len)
{
    const char *p = data;
    ssize_t n;

    while (len > 0 && output_errno == 0) {
        n = write(STDOUT_FILENO, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            output_errno = errno;
            return;
        }
        p += n;
        len -= (size_t)n;
    }
}

void
output_line(const char *format, ...)
{
    va_list args;
    char *line = NULL;
    int n;

    va_start(args, format);
    n = vasprintf(&line, format, args);
    va_end(args);
    if (n < 0) {
        output_errno = ENOMEM;
        return;
    }
    output_bytes(line, (size_t)n);
    free(line);
}

bool
output_failed(void)
{
    return output_errno != 0;
}

int
output_finish(int code)
{
    /* close() is where some file systems report a full disk. */
    if (output_errno == 0 && close(STDOUT_FILENO) < 0 && errno != EBADF)
        output_errno = errno;
    if (output_errno == 0)
        return code;
    /* A reader that has seen enough (head) is nobody's error, but the output
     * was not complete, so the code says so. */
    if (output_errno != EPIPE)
        fail(CODE_FAILED, "cannot write to standard output: %s",
             strerror(output_errno));
    return code == CODE_OK ? CODE_FAILED : code;
}
