/* SPDX-License-Identifier: MIT */
/* text.c - results in words, for people.
 *
 * The errno's usual meaning, and for the results that this library gives a
 * meaning of its own, what to do.  Static text, or a thread's own buffer. */
#include <errno.h>
#include <limits.h>
#include <shmkit/api.h>
#include <stdio.h>
#include <string.h>

#define VERSION "0.1.0"

struct text {
    int result;
    const char *words;
};

static const struct text texts[] = {
    {0, "done"},
    {SHMKIT_EXISTED, "it existed already and was attached"},
    {SHMKIT_IN_USE, "left alone: somebody holds it"},
    {SHMKIT_KEPT, "left alone: its lifetime says it stays"},
    {-ENOSPC,
     "not enough shared memory: /dev/shm, its inodes or the memory limit is "
     "full; see `shmkit ls`, remove with `shmkit gc` or `shmkit rm`"},
    {-ENOENT,
     "no block of that name: it was never made, was unlinked, or "
     "went with its last holder or its family"},
    {-EEXIST, "the name is taken: attach it, choose another, or unlink it"},
    {-EACCES,
     "not permitted by the block's mode: attach read-only, or create "
     "it with a wider mode"},
    {-ENODATA, "the block is empty: its creator has not given it a size"},
    {-ENODEV, "no regular file stands under that name in /dev/shm"},
    {-ELOOP, "a symbolic link stands under that name in /dev/shm: refused"},
    {-EBUSY,
     "somebody who removes the block has been stopped half-way: try "
     "again, or look for a stopped process"},
    {-ESTALE, "the name is gone, or names another block now"},
    {-EOWNERDEAD, "that family is dead"},
    {-EBADMSG,
     "not what was expected there (a family's file, an array, a list), or "
     "damaged: refused"},
    {-EPROTOTYPE, "an array of another dtype, shape or order than expected"},
    {-EOVERFLOW, "more than can be counted"},
    {-EPROTONOSUPPORT, "made by an incompatible version: refused"},
    {-ENAMETOOLONG, "a name has at most 255 bytes"},
    {-ERANGE, "the part asked for is not within the block"},
    {-EOPNOTSUPP,
     "this kernel has no 2 MiB pages, or no NUMA placement, for "
     "this block: leave the option out"},
    {-EFBIG, "beyond this process's file size limit (ulimit -f)"},
    {-EINVAL,
     "the name, the size or an option is no good; a name has 1 to 255 bytes "
     "without '/', and is not '.', '..' or shmkit-NUMBER"},
    {-EPERM,
     "only root and the owner of the block may do that; to lock memory, the "
     "limit on it must be above 0 (ulimit -l)"},
    {-EISDIR, "a directory stands under that name in /dev/shm: refused"},
    {-ENOMEM,
     "no memory or address space is left, or a limit on it or on locked "
     "memory is reached (ulimit -v, ulimit -l)"},
};

const char *
shmkit_version(void)
{
    return VERSION;
}

const char *
shmkit_strerror(int result)
{
    static _Thread_local char buffer[128];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].result == result)
            return texts[i].words;
    }
    if (result > 0 || result == INT_MIN) { /* which has no positive */
        (void)snprintf(buffer, sizeof buffer, "outcome %d", result);
        return buffer;
    }
    return strerror_r(-result, buffer, sizeof buffer);
}
