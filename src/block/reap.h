/* SPDX-License-Identifier: MIT */
/* reap.h - removing one block that nobody holds. */
#ifndef SHMKITI_BLOCK_REAP_H
#define SHMKITI_BLOCK_REAP_H

#include <stdbool.h>
#include <stdint.h>

#include "os/os.h"

enum shmkiti_reap {
    SHMKITI_REAP_REMOVED,
    SHMKITI_REAP_GONE,     /* no such name, or it went meanwhile */
    SHMKITI_REAP_LIVE,     /* somebody holds it */
    SHMKITI_REAP_NOT_MINE, /* no sticky regular file, or another key */
    SHMKITI_REAP_DENIED    /* may not open or remove it */
};

/* Remove sticky block `name` unless it is held.  `key` 0: any inode. */
enum shmkiti_reap shmkiti_reap(const char *name, uint64_t key);

/* Would shmkiti_reap() remove it?  Leaves it alone; takes EX for a moment. */
enum shmkiti_reap shmkiti_reap_probe(const char *name, uint64_t key);

/* A block of a dead family: if `wanted` accepts its key, mark it sticky, then
 * remove it unless held.  Another user's block is NOT_MINE, unless the family
 * is root's.  *ret_key is its key for REMOVED and LIVE. */
enum shmkiti_reap shmkiti_adopt(const char *name, uint32_t family_uid,
                                bool (*wanted)(uint64_t key, void *arg),
                                void *arg, uint64_t *ret_key);

/* Another remover is inside its critical section on this descriptor's inode:
 * a shared lock is refused.  Drops the lock again. */
bool shmkiti_remover_inside(int fd);

#endif
