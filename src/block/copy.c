/* SPDX-License-Identifier: MIT */
/* copy.c - bytes into a block and out of it, bounds-checked.
 *
 * The copy itself is the caller's access to shared bytes: what other processes
 * do to the same bytes meanwhile is theirs to agree upon, and a file that was
 * shortened under the mapping faults here as it would in the caller. */
#include <errno.h>
#include <shmkit/block.h>

#include "base/copy.h"
#include "block/local.h"

static int
within(const shmkit_block *block, size_t offset, size_t len)
{
    return offset <= block->size && len <= block->size - offset ? 0 : -ERANGE;
}

int
shmkit_copy_in(shmkit_block *block, size_t offset, const void *from,
               size_t len)
{
    int r;

    if ((block->flags & SHMKIT_READ_ONLY) != 0)
        return -EACCES;
    r = within(block, offset, len);
    if (r == 0)
        shmkiti_copy((unsigned char *)block->addr + offset, from, len);
    return r;
}

int
shmkit_copy_out(const shmkit_block *block, size_t offset, void *to, size_t len)
{
    int r;

    r = within(block, offset, len);
    if (r == 0)
        shmkiti_copy(to, (const unsigned char *)block->addr + offset, len);
    return r;
}
