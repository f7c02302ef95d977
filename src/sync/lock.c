/* SPDX-License-Identifier: MIT */
/* lock.c - a lock whose word names its owner.
 *
 *     word   W 1 | unused 1 | owner's token 30      0 = free
 *     died   deaths 31 | dirty 1
 *
 * Who writes: `word` is changed by compare-exchange (0 -> me, dead -> me, W
 * set) and by the release's exchange with 0; `died` by the holder alone, but
 * for the dirty bit, which a reader of an rwlock may clear.  Any thread of any
 * process may release: the exchange does not ask who it is.
 *
 * W says that somebody sleeps.  It is set by whoever goes to sleep, and by
 * whoever took the lock after sleeping, since he cannot know whether he was
 * the last; the releaser who took it away wakes one.
 *
 * A kill leaves:
 *   - between the compare-exchange and anything else: the word names the dead;
 *     there is no window in which a lock is held by nobody.  A sleeper's tick,
 *     or an attempt that is about to give up, asks whether the owner lives and
 *     puts its own token in place of a dead one.  The inheritor adds a death
 *     and sets dirty: a plain store, since it owns the lock; killed before it,
 *     it is the next dead owner, and his inheritor does it.
 *   - between the release's exchange and the wake-up, or a woken waiter that
 *     never comes: sleepers with no one to wake them.  Their tick does.
 * dirty stays until mark_consistent(): an inheritor who cannot repair must not
 * swallow the news.
 *
 * Order: the acquiring compare-exchange pairs with the releasing exchange.
 * died is read behind it and written before the release, so it needs none.
 *
 * Short cuts.  <shmkit/sync.h> has acquire and release inline, for C; they
 * look at the handle's `slow` and come here when it is not 0: a hook traced
 * when the arena was opened, or a thread of this process has notified a
 * condition and not yet woken anybody (condition.c).  It is a word of this
 * process, not of the shared memory.
 *
 * Not done: fairness.  Whoever runs takes the lock before a sleeper wakes. */
#define SHMKIT_NO_INLINE 1 /* the functions themselves are here */
#include "sync/lock.h"

#include <errno.h>
#include <string.h>

void
shmkit_lock_init(shmkit_lock *lock)
{
    shmkiti_store_relaxed_u32(&lock->word, 0);
    shmkiti_store_relaxed_u32(&lock->died, 0);
}

int
shmkit_lock_acquire(shmkit_arena *arena, shmkit_lock *lock, int64_t deadline)
{
    return shmkiti_lock_acquire(arena, lock, deadline);
}

int
shmkit_lock_acquire_slow(shmkit_arena *arena, shmkit_lock *lock,
                         int64_t deadline)
{
    return shmkiti_lock_acquire(arena, lock, deadline);
}

int
shmkit_lock_release(shmkit_arena *arena, shmkit_lock *lock)
{
    (void)arena;
    return shmkiti_lock_release(lock);
}

int
shmkit_lock_release_slow(shmkit_arena *arena, shmkit_lock *lock)
{
    (void)arena;
    return shmkiti_lock_release(lock);
}

__attribute__((noinline, cold)) int
shmkiti_lock_tell(const shmkit_lock *lock)
{
    SHMKITI_FAULT("lock.acquire.slow");
    SHMKITI_TRACE_ACQUIRE(lock);
    return shmkiti_lock_outcome(lock);
}

static bool
spin(shmkit_lock *lock, uint32_t token)
{
    uint32_t n = shmkiti_spins();

    for (uint32_t i = 0; i <= n; i++) {
        uint32_t v = shmkiti_load_relaxed_u32(&lock->word);

        if ((v & SHMKITI_WAITERS) != 0)
            return false; /* there is a queue already: go to its end */
        if (v == 0 && shmkiti_cas_acquire_u32(&lock->word, 0, token))
            return true;
        shmkiti_pause();
    }
    return false;
}

/* The owner is dead: be the next.  False when he lives, or somebody else was
 * faster. */
static bool
inherit(shmkit_arena *arena, shmkit_lock *lock, uint32_t token)
{
    uint32_t v = shmkiti_load_acquire_u32(&lock->word);
    uint32_t owner = v & SHMKITI_TOKEN_MASK;
    uint32_t died;

    if (owner == 0 || owner == token || !shmkiti_token_is_dead(arena, owner))
        return false;
    if (!shmkiti_cas_acq_rel_u32(&lock->word, v, token | SHMKITI_WAITERS))
        return false;
    SHMKITI_FAULT("lock.inherit.taken");
    died = shmkiti_load_relaxed_u32(&lock->died);
    shmkiti_store_relaxed_u32(&lock->died,
                              (died + SHMKITI_DEATH) | SHMKITI_DIRTY);
    SHMKITI_FAULT("lock.inherit.counted");
    return true;
}

/* Free: take it.  Else set W; *ret_seen is then the word to sleep on. */
static bool
take_or_mark(shmkit_lock *lock, uint32_t token, uint32_t *ret_seen)
{
    for (;;) {
        uint32_t v = shmkiti_load_relaxed_u32(&lock->word);

        if ((v & SHMKITI_TOKEN_MASK) == 0) {
            if (shmkiti_cas_acquire_u32(&lock->word, v,
                                        token | SHMKITI_WAITERS))
                return true;
        } else if ((v & SHMKITI_WAITERS) != 0 ||
                   shmkiti_cas_acquire_u32(&lock->word, v,
                                           v | SHMKITI_WAITERS)) {
            *ret_seen = v | SHMKITI_WAITERS;
            return false;
        }
    }
}

static int
sleep_for_it(shmkit_arena *arena, shmkit_lock *lock, uint32_t token,
             struct shmkiti_wait *wait)
{
    uint32_t seen;
    int r;

    while (!take_or_mark(lock, token, &seen)) {
        SHMKITI_FAULT("lock.acquire.sleep");
        r = shmkiti_wait_sleep(wait, &lock->word, seen, SHMKITI_ALL_BITS);
        SHMKITI_FAULT("lock.acquire.woke");
        if (r != 0 && inherit(arena, lock, token))
            break;
        if (r < 0)
            return r;
    }
    return shmkiti_lock_tell(lock);
}

static int
acquire(shmkit_arena *arena, shmkit_lock *lock, struct shmkiti_wait *wait)
{
    int r = 0;
    uint32_t token = shmkiti_token(arena, &r);

    if (token == 0)
        return r;
    if (wait->deadline <= SHMKIT_TRY) {
        if (shmkiti_cas_acquire_u32(&lock->word, 0, token) ||
            inherit(arena, lock, token))
            return shmkiti_lock_tell(lock);
        return -ETIMEDOUT;
    }
    shmkiti_condition_flush();
    if (spin(lock, token))
        return shmkiti_lock_tell(lock);
    return sleep_for_it(arena, lock, token, wait);
}

__attribute__((noinline, cold)) int
shmkiti_lock_wait(shmkit_arena *arena, shmkit_lock *lock, int64_t deadline)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);

    return acquire(arena, lock, &wait);
}

int
shmkiti_lock_reacquire(shmkit_arena *arena, shmkit_lock *lock)
{
    struct shmkiti_wait wait = shmkiti_wait_until(SHMKIT_FOREVER);

    wait.no_hook = true;
    if (shmkiti_lock_grab(arena, lock))
        return shmkiti_lock_tell(lock);
    return acquire(arena, lock, &wait);
}

__attribute__((noinline, cold)) int
shmkit_lock_wake(shmkit_lock *lock, uint32_t old)
{
    SHMKITI_FAULT("lock.release.freed");
    if ((old & SHMKITI_WAITERS) != 0)
        (void)shmkiti_wake(&lock->word, 1, SHMKITI_ALL_BITS);
    SHMKITI_FAULT("lock.release.woken");
    return (old & SHMKITI_TOKEN_MASK) == 0 ? -EOVERFLOW : 0;
}

__attribute__((noinline, cold)) int
shmkiti_lock_release_all(shmkit_lock *lock)
{
    uint32_t old;
    int r;

    SHMKITI_TRACE_RELEASE(lock);
    old = shmkiti_exchange_release_u32(&lock->word, 0);
    r = shmkit_lock_wake(lock, old);
    shmkiti_condition_flush();
    return r;
}

void
shmkit_lock_mark_consistent(shmkit_lock *lock)
{
    (void)shmkiti_fetch_and_seq_cst_u32(&lock->died, ~SHMKITI_DIRTY);
}

int
shmkit_lock_is_locked(const shmkit_lock *lock)
{
    return (shmkiti_load_acquire_u32(&lock->word) & SHMKITI_TOKEN_MASK) != 0;
}

int
shmkit_lock_get_stat(shmkit_arena *arena, const shmkit_lock *lock,
                     struct shmkit_lock_stat *ret_stat)
{
    uint32_t word = shmkiti_load_acquire_u32(&lock->word);
    uint32_t died = shmkiti_load_relaxed_u32(&lock->died);
    struct shmkit_lock_stat stat;

    memset(&stat, 0, sizeof stat);
    stat.owner_token = word & SHMKITI_TOKEN_MASK;
    if (stat.owner_token != 0) {
        stat.owner_pid =
            shmkiti_token_get_pid(arena, stat.owner_token, stat.owner_name);
        if (stat.owner_pid == 0)
            stat.owner_pid = -1;
    }
    stat.deaths = died / SHMKITI_DEATH;
    stat.dirty = died & SHMKITI_DIRTY;
    stat.waiting = (word & SHMKITI_WAITERS) != 0;
    *ret_stat = stat;
    return 0;
}
