/* SPDX-License-Identifier: MIT */
/* rlock.c - a lock that its owner, a thread, may take again.
 *
 *     lock     as in lock.c
 *     thread   who owns it: self() of that thread, 0 = nobody
 *     depth    how often
 *
 * Who writes: thread and depth are the owner's, under the lock.  The owner
 * takes the lock first and writes thread last, and clears thread before it
 * gives the lock back.
 *
 * Others read `thread` without the lock, to ask "is it mine?", and must never
 * read a yes that is not true.  A number that is unique within the process
 * would not do: thread 5 here could read the 5 of another process's thread 5,
 * and then, in the word, the token of thread 6 of its own process, which came
 * next.  So self() = token * K + number with K of golden-section hashing: of
 * any 2^18 tokens in a row no two products are closer than 7,000, so threads
 * numbered below that differ from each other in every process.  Then a yes can
 * only have been written by this thread, and what this thread wrote last is
 * what it reads.
 *
 * A kill leaves: a lock of a dead owner with any thread and depth.  The
 * inheritor of the lock overwrites both; nobody else takes them for his. */
#include "sync/rlock.h"

#include <errno.h>

void
shmkit_rlock_init(shmkit_rlock *lock)
{
    shmkit_lock_init(&lock->lock);
    shmkiti_rlock_disown(lock);
}

static int
acquire_again(shmkit_rlock *lock)
{
    uint32_t depth = shmkiti_load_relaxed_u32(&lock->depth);

    if (depth == UINT32_MAX)
        return -EOVERFLOW;
    shmkiti_store_relaxed_u32(&lock->depth, depth + 1);
    return shmkiti_lock_outcome(&lock->lock);
}

int
shmkit_rlock_acquire(shmkit_arena *arena, shmkit_rlock *lock, int64_t deadline)
{
    uint32_t self = shmkiti_rlock_self(arena);
    int r;

    if (shmkiti_rlock_is_mine(arena, lock, self))
        return acquire_again(lock);
    r = shmkiti_lock_acquire(arena, &lock->lock, deadline);
    if (r < 0)
        return r;
    SHMKITI_FAULT("rlock.acquire.got");
    if (self == 0)
        self = shmkiti_rlock_self(arena);
    shmkiti_rlock_own(lock, self, 1);
    return r;
}

int
shmkit_rlock_release(shmkit_arena *arena, shmkit_rlock *lock)
{
    uint32_t self = shmkiti_rlock_self(arena), depth;

    if (!shmkiti_rlock_is_mine(arena, lock, self))
        return -EPERM;
    depth = shmkiti_load_relaxed_u32(&lock->depth);
    if (depth > 1) {
        shmkiti_store_relaxed_u32(&lock->depth, depth - 1);
        return 0;
    }
    shmkiti_rlock_disown(lock);
    SHMKITI_FAULT("rlock.release.disowned");
    return shmkiti_lock_release(&lock->lock);
}

void
shmkit_rlock_mark_consistent(shmkit_rlock *lock)
{
    shmkit_lock_mark_consistent(&lock->lock);
}

uint32_t
shmkit_rlock_get_depth(shmkit_arena *arena, const shmkit_rlock *lock)
{
    if (!shmkiti_rlock_is_mine(arena, lock, shmkiti_rlock_self(arena)))
        return 0;
    return shmkiti_load_relaxed_u32(&lock->depth);
}

int
shmkit_rlock_get_stat(shmkit_arena *arena, const shmkit_rlock *lock,
                      struct shmkit_lock_stat *ret_stat)
{
    return shmkit_lock_get_stat(arena, &lock->lock, ret_stat);
}
