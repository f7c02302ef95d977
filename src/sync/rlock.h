/* SPDX-License-Identifier: MIT */
/* rlock.h - whose rlock it is, for rlock.c and condition.c. */
#ifndef SHMKITI_SYNC_RLOCK_H
#define SHMKITI_SYNC_RLOCK_H

#include "sync/lock.h"

/* This thread of this process, never 0; 0 when the process is not registered.
 * See rlock.c for why this is unique. */
static inline uint32_t
shmkiti_rlock_self(const shmkit_arena *arena)
{
    uint32_t token = shmkiti_load_relaxed_u32(arena->token), self;

    if (__builtin_expect(shmkiti_sync_thread.number == 0, 0))
        shmkiti_sync_thread.number = shmkiti_thread_number();
    self = token * 0x9e3779b1u + shmkiti_sync_thread.number;
    if (token == 0)
        return 0;
    return self != 0 ? self : 1;
}

static inline bool
shmkiti_rlock_is_mine(const shmkit_arena *arena, const shmkit_rlock *lock,
                      uint32_t self)
{
    return self != 0 && shmkiti_load_relaxed_u32(&lock->thread) == self &&
           shmkiti_lock_token(&lock->lock) ==
               shmkiti_load_relaxed_u32(arena->token);
}

/* By who has just taken lock->lock. */
static inline void
shmkiti_rlock_own(shmkit_rlock *lock, uint32_t self, uint32_t depth)
{
    shmkiti_store_relaxed_u32(&lock->depth, depth);
    shmkiti_store_relaxed_u32(&lock->thread, self);
}

/* By its owner, before it gives lock->lock back. */
static inline void
shmkiti_rlock_disown(shmkit_rlock *lock)
{
    shmkiti_store_relaxed_u32(&lock->thread, 0);
    shmkiti_store_relaxed_u32(&lock->depth, 0);
}

#endif
