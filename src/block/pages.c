/* SPDX-License-Identifier: MIT */
/* pages.c - reserving and mapping big blocks on 2 MiB pages.
 *
 * The first touch of a 4 KiB page costs twelve times what filling it costs.
 * From 2 MiB up the kernel is therefore asked for 2 MiB pages, by
 * MADV_COLLAPSE (Linux 6.1), which needs no privilege and heeds no setting:
 *     seed       length, and one page in each 2 MiB piece: an empty piece can
 *                not be collapsed, and a full file system is an error here
 *     map        at an address congruent to the offset modulo 2 MiB, else the
 *                pages are big but mapped small; attachers do the same
 *     collapse   each piece becomes one page, zeroed at memory speed
 *     reserve    the tail that is no whole piece; or all of it, when the
 *                kernel said no (older, out of 2 MiB pieces, other base pages)
 * A block that grows is visible: it is reserved first, so that nobody meets a
 * length without pages, and then collapsed, which only costs more.
 *
 * No state, no locks: seed and settle work on a file before it has a name, so
 * a kill leaves nothing; a collapse changes no byte. */
#include "block/pages.h"

#include <errno.h>

#include "base/fault.h"
#include "block/space.h"
#include "os/os.h"

/* Collapsed in steps, so that a fork in another thread is not kept waiting
 * for the mapping's lock longer than needed, and a failure is met early. */
#define STEP (UINT64_C(64) << 20)

static uint64_t
round_down(uint64_t x)
{
    return x & ~(SHMKITI_HUGE_SIZE - 1);
}

bool
shmkiti_pages_wanted(uint64_t size, uint32_t flags)
{
    return size >= SHMKITI_HUGE_SIZE &&
           (flags & (SHMKIT_SPARSE | SHMKIT_NO_HUGE)) == 0 &&
           shmkiti_os_page_size() == 4096;
}

int
shmkiti_pages_seed(int fd, uint64_t size)
{
    uint64_t end = round_down(size);
    int r;

    r = shmkiti_space_check(fd, 0, size);
    if (r == 0)
        r = shmkiti_os_set_size(fd, size);
    for (uint64_t at = 0; r == 0 && at < end; at += SHMKITI_HUGE_SIZE)
        r = shmkiti_os_write(fd, at, "", 1);
    if (r < 0)
        (void)shmkiti_os_set_size(fd, 0);
    SHMKITI_FAULT("pages.seed.done");
    return r;
}

/* How far the pieces from `from` on could be collapsed. */
static uint64_t
collapse(unsigned char *addr, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t len = to - from < STEP ? to - from : STEP;

        if (shmkiti_os_collapse(addr + from, (size_t)len) < 0)
            break;
        from += len;
    }
    return from;
}

int
shmkiti_pages_settle(int fd, void *addr, uint64_t size, uint32_t flags)
{
    uint64_t end = round_down(size), done = collapse(addr, 0, end);

    SHMKITI_FAULT("pages.settle.collapsed");
    if (done < end && (flags & SHMKIT_HUGE) != 0)
        return -EOPNOTSUPP;
    return done < size ? shmkiti_os_reserve(fd, done, size) : 0;
}

void
shmkiti_pages_collapse(void *addr, uint64_t from, uint64_t to)
{
    uint64_t start = round_down(from), end = round_down(to);

    if (start < end)
        (void)collapse(addr, start, end);
}
