/* SPDX-License-Identifier: MIT */
/* cmd-write.c - `shmkit write`: bytes from a file or a pipe into a block.
 *
 * As in cmd-cat.c the bytes go through a descriptor, so that nobody's
 * truncation can end the tool by a signal.  pwrite() would make the file
 * longer; a block's size is its maker's choice, so the end is looked up before
 * each chunk and never passed.
 *
 * A regular file is measured first and refused whole.  A pipe has no size:
 * what fits is written, and the rest is an error that says how far it went.
 * Others see the bytes come in, in order, without any lock.
 *
 * The bar of a big one is measured by the file, or for a pipe by the room
 * there is.  Where a person types the bytes, the terminal is theirs. */
#include <errno.h>
#include <fcntl.h>
#include <shmkit/shmkit.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static const struct option_spec write_options[] = {
    {'a', "offset", "SIZE", "begin at this offset (default 0)"},
    {0},
};

struct copy {
    const char *name;  /* of the block */
    const char *input; /* what the user calls it */
    int from, to;
    uint64_t start, offset; /* in the block: at first, and now */
};

static uint64_t
room_left(const struct copy *copy)
{
    struct stat stat;

    if (fstat(copy->to, &stat) < 0 || (uint64_t)stat.st_size < copy->offset)
        return 0;
    return (uint64_t)stat.st_size - copy->offset;
}

/* Refuse what is known to be too much before anything is written. */
static int
check_fits(const struct copy *copy)
{
    uint64_t room = room_left(copy);
    struct stat stat;
    off_t at;

    if (fstat(copy->to, &stat) == 0 && (uint64_t)stat.st_size < copy->offset)
        return fail(CODE_FAILED,
                    "offset %ju is beyond the end of %s, which has %ju bytes; "
                    "nothing was written",
                    (uintmax_t)copy->offset, quote(copy->name),
                    (uintmax_t)stat.st_size);
    if (fstat(copy->from, &stat) < 0 || !S_ISREG(stat.st_mode))
        return CODE_OK;
    at = lseek(copy->from, 0, SEEK_CUR);
    if (at < 0 || stat.st_size <= at || (uint64_t)(stat.st_size - at) <= room)
        return CODE_OK;
    return fail(CODE_FAILED,
                "%s has %jd bytes, but from offset %ju block %s has room for "
                "%ju; nothing was written",
                quote(copy->input), (intmax_t)(stat.st_size - at),
                (uintmax_t)copy->offset, quote(copy->name), (uintmax_t)room);
}

static ssize_t
read_retry(int fd, void *buffer, size_t len)
{
    ssize_t n;

    do {
        n = read(fd, buffer, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* Write the chunk as far as there is room. */
static int
write_chunk(struct copy *copy, const char *data, size_t len)
{
    uint64_t room = room_left(copy);
    size_t fits = len < room ? len : (size_t)room, rest = fits;
    ssize_t n;

    while (rest > 0) {
        n = pwrite(copy->to, data, rest, (off_t)copy->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_result(-errno, "cannot write to %s at offset %ju",
                               quote(copy->name), (uintmax_t)copy->offset);
        data += n;
        rest -= (size_t)n;
        copy->offset += (uint64_t)n;
        progress_copied(copy->offset - copy->start);
    }
    if (fits == len)
        return CODE_OK;
    return fail(CODE_FAILED,
                "%s is longer than the room in %s; it was written up to the "
                "end, offset %ju, and no further",
                quote(copy->input), quote(copy->name),
                (uintmax_t)copy->offset);
}

/* As far as it is known: the rest of a file, at most the room of a pipe. */
static uint64_t
expected_length(const struct copy *copy)
{
    struct stat stat;
    off_t at;

    if (fstat(copy->from, &stat) < 0 || !S_ISREG(stat.st_mode))
        return isatty(copy->from) ? 0 : room_left(copy);
    at = lseek(copy->from, 0, SEEK_CUR);
    return at < 0 || at > stat.st_size ? 0 : (uint64_t)(stat.st_size - at);
}

static int
copy_all(struct copy *copy)
{
    static char buffer[1 << 18];
    int code = CODE_OK;
    ssize_t n;

    while (code == CODE_OK) {
        n = read_retry(copy->from, buffer, sizeof buffer);
        if (n == 0)
            break;
        if (n < 0)
            return fail(CODE_FAILED, "cannot read %s: %s; wrote up to %ju",
                        quote(copy->input), strerror(errno),
                        (uintmax_t)copy->offset);
        code = write_chunk(copy, buffer, (size_t)n);
    }
    return code;
}

static int
copy_in(struct copy *copy)
{
    int code;

    code = check_fits(copy);
    if (code != CODE_OK)
        return code;
    progress_start(expected_length(copy), PROGRESS_COPY);
    code = copy_all(copy);
    progress_stop(false);
    return code;
}

static int
write_block(struct copy *copy)
{
    shmkit_block *block = NULL;
    int r, code;

    r = shmkit_block_attach(copy->name, NULL, &block);
    if (r == -ENODATA)
        return fail(CODE_FAILED,
                    "%s is empty, there is no room in it; make it with a "
                    "size, as by 'shmkit create'",
                    quote(copy->name));
    if (r < 0)
        return fail_result(r, "cannot attach %s", quote(copy->name));
    r = shmkit_block_open_fd(block, &copy->to);
    if (r < 0) {
        code = fail_result(r, "cannot open %s", quote(copy->name));
    } else {
        code = copy_in(copy);
        close(copy->to);
    }
    shmkit_block_close(block);
    return code;
}

/* The input is opened first: a block need not be touched for a wrong path. */
static int
open_input(struct copy *copy, const char *path)
{
    copy->input = path;
    if (strcmp(path, "-") == 0) {
        copy->input = "standard input";
        copy->from = STDIN_FILENO;
        return CODE_OK;
    }
    copy->from = open(path, O_RDONLY | O_CLOEXEC);
    if (copy->from < 0)
        return fail(CODE_FAILED, "cannot open the file %s: %s", quote(path),
                    strerror(errno));
    return CODE_OK;
}

static int
run_write(int argc, char **argv)
{
    struct copy copy = {.from = -1, .to = -1};
    struct options options;
    int letter, code;

    options_start(&options, &command_write, argc, argv);
    while ((letter = options_next(&options)) >= 0) {
        code = size_option(&options, "offset", &copy.offset);
        if (code != CODE_OK)
            return code;
    }
    if (letter == OPTIONS_STOP)
        return options.code;
    code = options_check_operands(&options, 1, 2);
    if (code != CODE_OK)
        return code;
    copy.start = copy.offset;
    copy.name = name_of(options.operands[0]);
    code = open_input(&copy,
                      options.operand_count > 1 ? options.operands[1] : "-");
    if (code == CODE_OK)
        code = write_block(&copy);
    return code;
}

const struct command command_write = {
    .name = "write",
    .usage = "[OPTION...] NAME [FILE|-]",
    .summary = "Write a file or standard input into a block",
    .options = write_options,
    .run = run_write,
};
