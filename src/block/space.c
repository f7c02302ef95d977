/* SPDX-License-Identifier: MIT */
/* space.c - reserving memory before it is written.
 *
 * A page of /dev/shm that can not be given when it is touched is SIGBUS, so
 * pages are taken at creation, where a full file system is an error.  That
 * costs nothing in total: the first touch would have taken them.
 *
 * Two things are worse than an error and are asked about first: the kernel
 * sends SIGXFSZ beyond RLIMIT_FSIZE, and the OOM killer comes when the file
 * system promised more than the machine or the control group has.  The latter
 * takes some ten files of /proc and /sys, so only big requests ask. */
#include "block/space.h"

#include <errno.h>

#include "base/fault.h"
#include "os/os.h"

#define ASK_FROM (UINT64_C(4) << 20) /* bytes */

static int
within_limits(uint64_t to)
{
    if (to > (uint64_t)INT64_MAX)
        return -EFBIG;
    return to > shmkiti_os_file_size_limit() ? -EFBIG : 0;
}

static bool
is_there(int fd, uint64_t len)
{
    return len < ASK_FROM || (len <= shmkiti_os_free_space(fd) &&
                              len <= shmkiti_os_free_memory());
}

int
shmkiti_space_check(int fd, uint64_t from, uint64_t to)
{
    int r;

    r = within_limits(to);
    if (r < 0 || from >= to)
        return r;
    return is_there(fd, to - from) ? 0 : -ENOSPC;
}

int
shmkiti_space_reserve(int fd, uint64_t from, uint64_t to)
{
    int r;

    r = shmkiti_space_check(fd, from, to);
    if (r < 0 || from >= to)
        return r;
    r = shmkiti_os_reserve(fd, from, to);
    SHMKITI_FAULT("space.reserve.done");
    return r;
}

int
shmkiti_space_extend(int fd, uint64_t to)
{
    int r;

    r = within_limits(to);
    if (r < 0)
        return r;
    return shmkiti_os_set_size(fd, to);
}
