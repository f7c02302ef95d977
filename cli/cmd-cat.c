/* SPDX-License-Identifier: MIT */
/* cmd-cat.c - `shmkit cat`: the bytes of a block to standard output.
 *
 * The block is attached, so that a `holders` block stays while it is read,
 * but its bytes are read through a descriptor, never through the mapping:
 * somebody who truncates the file meanwhile makes a short read, not a
 * SIGBUS. */
#include <errno.h>
#include <shmkit/shmkit.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const struct option_spec cat_options[] = {
    {'a', "offset", "SIZE", "begin at this offset (default 0)"},
    {'l', "length", "SIZE", "print this many bytes (default: to the end)"},
    {0},
};

struct range {
    uint64_t offset, length;
};

static int
copy_out(int fd, const char *name, struct range range)
{
    static char buffer[1 << 18];
    size_t want;
    ssize_t n;

    while (range.length > 0 && !output_failed()) {
        want = range.length < sizeof buffer ? (size_t)range.length
                                            : sizeof buffer;
        n = pread(fd, buffer, want, (off_t)range.offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(CODE_FAILED, "cannot read %s: %s", quote(name),
                        strerror(errno));
        if (n == 0)
            return fail(CODE_FAILED,
                        "%s was cut to %ju bytes while it was read",
                        quote(name), (uintmax_t)range.offset);
        output_bytes(buffer, (size_t)n);
        range.offset += (uint64_t)n;
        range.length -= (uint64_t)n;
    }
    return CODE_OK;
}

/* Bring the range into a block of `size` bytes. */
static int
fit_range(const char *name, uint64_t size, struct range *range)
{
    if (range->offset > size)
        return fail(CODE_FAILED,
                    "offset %ju is beyond the end of %s, which has %ju bytes",
                    (uintmax_t)range->offset, quote(name), (uintmax_t)size);
    if (range->length > size - range->offset)
        range->length = size - range->offset;
    return CODE_OK;
}

static int
cat_block(const char *name, struct range range)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block = NULL;
    int r, code, fd = -1;

    options.flags = SHMKIT_READ_ONLY;
    r = shmkit_block_attach(name, &options, &block);
    if (r == -ENODATA) /* an empty file is nothing to print */
        return fit_range(name, 0, &range);
    if (r < 0)
        return fail_result(r, "cannot attach %s", quote(name));
    code = fit_range(name, shmkit_block_size(block), &range);
    if (code != CODE_OK)
        goto out;
    r = shmkit_block_open_fd(block, &fd);
    if (r < 0) {
        code = fail_result(r, "cannot open %s", quote(name));
        goto out;
    }
    code = copy_out(fd, name, range);
    close(fd);
out:
    shmkit_block_close(block);
    return code;
}

static int
run_cat(int argc, char **argv)
{
    struct range range = {0, UINT64_MAX};
    struct options options;
    int letter, code = CODE_OK;

    options_start(&options, &command_cat, argc, argv);
    while ((letter = options_next(&options)) >= 0) {
        if (letter == 'a')
            code = size_option(&options, "offset", &range.offset);
        else
            code = size_option(&options, "length", &range.length);
        if (code != CODE_OK)
            return code;
    }
    if (letter == OPTIONS_STOP)
        return options.code;
    code = options_check_operands(&options, 1, 1);
    if (code != CODE_OK)
        return code;
    return cat_block(name_of(options.operands[0]), range);
}

const struct command command_cat = {
    .name = "cat",
    .usage = "[OPTION...] NAME",
    .summary = "Print the bytes of a block",
    .options = cat_options,
    .run = run_cat,
};
