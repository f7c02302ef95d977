/* SPDX-License-Identifier: MIT */
/* space.h - reserving memory before it is written. */
#ifndef SHMKITI_BLOCK_SPACE_H
#define SHMKITI_BLOCK_SPACE_H

#include <stdbool.h>
#include <stdint.h>

/* Make the file behind `fd` `to` bytes long, [from, to) reserved.  -ENOSPC,
 * -EFBIG; nothing is taken then. */
int shmkiti_space_reserve(int fd, uint64_t from, uint64_t to);
/* Could [from, to) be reserved, by all that can be asked without trying? */
int shmkiti_space_check(int fd, uint64_t from, uint64_t to);
/* The same without reserving. */
int shmkiti_space_extend(int fd, uint64_t to);

#endif
