/* SPDX-License-Identifier: MIT */
/* exercise.h - the whole life of blocks in one call, for other kernels and
 * other file systems. */
#ifndef SHMKIT_TESTS_EXERCISE_H
#define SHMKIT_TESTS_EXERCISE_H

/* Every lifetime made, attached by others, grown, kept and removed, by
 * members and strangers, with and without kills.  Puppets are started, so it
 * comes before the process is in a family. */
void exercise_blocks(void);

#endif
