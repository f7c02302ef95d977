/* SPDX-License-Identifier: MIT */
/* shmkit.h - everything public. */
#ifndef SHMKIT_SHMKIT_H
#define SHMKIT_SHMKIT_H

#include <shmkit/api.h>
#include <shmkit/arena.h>
#include <shmkit/atomics.h>
#include <shmkit/block.h>
#include <shmkit/family.h>
#include <shmkit/ndarray.h>
#include <shmkit/shareable_list.h>
#include <shmkit/sync.h>
#include <shmkit/value.h>

#endif
