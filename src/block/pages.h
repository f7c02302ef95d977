/* SPDX-License-Identifier: MIT */
/* pages.h - reserving and mapping big blocks on 2 MiB pages. */
#ifndef SHMKITI_BLOCK_PAGES_H
#define SHMKITI_BLOCK_PAGES_H

#include <shmkit/block.h>
#include <stdbool.h>
#include <stdint.h>

#define SHMKITI_HUGE_SIZE (UINT64_C(2) << 20)

/* Whether a block of `size` bytes shall try for 2 MiB pages. */
bool shmkiti_pages_wanted(uint64_t size, uint32_t flags);
/* Give a file that nobody else sees its length, and one page in each whole
 * piece.  -ENOSPC, -EFBIG: nothing is taken then. */
int shmkiti_pages_seed(int fd, uint64_t size);
/* Collapse the whole pieces of the mapping at `addr` of a seeded file, then
 * reserve what is left.  -ENOSPC; -EOPNOTSUPP only with SHMKIT_HUGE. */
int shmkiti_pages_settle(int fd, void *addr, uint64_t size, uint32_t flags);
/* Collapse the pieces of a mapping from the one that holds `from` to the last
 * whole one before `to`; the pages are reserved already, their bytes stay, and
 * what can not be collapsed stays as it is. */
void shmkiti_pages_collapse(void *addr, uint64_t from, uint64_t to);

#endif
