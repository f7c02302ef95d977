/* SPDX-License-Identifier: MIT */
/* shmkit.h - everything public. */
#ifndef SHMKIT_SHMKIT_H
#define SHMKIT_SHMKIT_H

#include <shmkit/api.h>
#include <shmkit/block.h>
#include <shmkit/family.h>

#endif
