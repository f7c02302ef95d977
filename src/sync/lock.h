/* SPDX-License-Identifier: MIT */
/* lock.h - the fast paths of the lock, for lock.c and those built on it. */
#ifndef SHMKITI_SYNC_LOCK_H
#define SHMKITI_SYNC_LOCK_H

#include "base/fault.h"
#include "base/trace.h"
#include "sync/wait.h"

#define SHMKITI_DIRTY 1u
#define SHMKITI_DEATH 2u

/* Everything but "it was free and nothing is to be told". */
int shmkiti_lock_wait(shmkit_arena *arena, shmkit_lock *lock,
                      int64_t deadline);
/* It is held now: trace, and tell. */
int shmkiti_lock_tell(const shmkit_lock *lock);
/* Release with all that may come with it. */
int shmkiti_lock_release_all(shmkit_lock *lock);
/* As acquire(), for ever and whatever the hook says. */
int shmkiti_lock_reacquire(shmkit_arena *arena, shmkit_lock *lock);
/* Wake those whom this thread has notified (condition.c). */
void shmkiti_condition_flush(void);

static inline uint32_t
shmkiti_lock_token(const shmkit_lock *lock)
{
    return shmkiti_load_relaxed_u32(&lock->word) & SHMKITI_TOKEN_MASK;
}

static inline uint32_t
shmkiti_lock_deaths(const shmkit_lock *lock)
{
    return shmkiti_load_relaxed_u32(&lock->died) / SHMKITI_DEATH;
}

/* What an acquire that succeeded returns. */
static inline int
shmkiti_lock_outcome(const shmkit_lock *lock)
{
    uint32_t died = shmkiti_load_relaxed_u32(&lock->died);

    return __builtin_expect((died & SHMKITI_DIRTY) != 0, 0) ? SHMKIT_OWNER_DIED
                                                            : 0;
}

/* Pairs with the release below. */
static inline bool
shmkiti_lock_grab(const shmkit_arena *arena, shmkit_lock *lock)
{
    uint32_t token = shmkiti_load_relaxed_u32(arena->token);

    return __builtin_expect(token != 0, 1) &&
           __builtin_expect(shmkiti_cas_acquire_u32(&lock->word, 0, token), 1);
}

/* Step of the count in shmkit_arena.slow; bit 0 is set while a hook traces. */
#define SHMKITI_SLOW_PENDING 2u

/* The cost of a pair is that of the two locked instructions; so nothing that
 * can be read before stands behind them, and no path here needs a frame. */
static inline int
shmkiti_lock_acquire(shmkit_arena *arena, shmkit_lock *lock, int64_t deadline)
{
    uint32_t traced = SHMKITI_TRACED();

    if (__builtin_expect(!shmkiti_lock_grab(arena, lock), 0))
        return shmkiti_lock_wait(arena, lock, deadline);
    SHMKITI_FAULT("lock.acquire.got");
    if (__builtin_expect((traced | (shmkiti_load_relaxed_u32(&lock->died) &
                                    SHMKITI_DIRTY)) != 0,
                         0))
        return shmkiti_lock_tell(lock);
    return 0;
}

static inline int
shmkiti_lock_release(shmkit_lock *lock)
{
    uint32_t old;

    SHMKITI_FAULT("lock.release.start");
    if (__builtin_expect(SHMKITI_TRACED() != 0 ||
                             shmkiti_sync_thread.pending.condition != NULL,
                         0))
        return shmkiti_lock_release_all(lock);
    old = shmkiti_exchange_release_u32(&lock->word, 0);
    /* 1 .. TOKEN_MASK: it was held and nobody waits. */
    if (__builtin_expect(old - 1 < SHMKITI_TOKEN_MASK, 1))
        return 0;
    return shmkit_lock_wake(lock, old);
}

#endif
