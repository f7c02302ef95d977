/* SPDX-License-Identifier: MIT */
/* sync.h - locks and their kin, for threads and processes, that survive kills.
 *
 * Each object is a struct of fixed size, all zero = ready to use (but for the
 * barrier and the semaphore, which need numbers): put it in an arena, or into
 * your own shared struct.  The arena given to each call is where participants
 * and waiters are known; all who use one object must give the same arena.
 *
 * Deadlines are absolute, CLOCK_MONOTONIC, ns: SHMKIT_TRY never blocks,
 * SHMKIT_FOREVER has no end, shmkit_deadline(s) is s seconds from now.  Not in
 * time is -ETIMEDOUT, for a try as well.  A wait never ends with -EINTR,
 * unless shmkit_wait_hook() asks for it.  The first call of a process in an
 * arena registers it: about 12 us, and -ENOMEM, -EMFILE, -EAGAIN (no lane
 * left) are possible then; later ones fail only as said.
 *
 * When a process dies (however), everybody else notices within 25 ms, and a
 * try at once.  An acquire that took over from a dead owner succeeds with the
 * outcome SHMKIT_OWNER_DIED, and so does every later one until
 * mark_consistent(): the data behind the lock may be half changed.
 *
 * Threads and processes alike may wait, notify and release.  Not in a signal
 * handler, not async-cancel-safe. */
#ifndef SHMKIT_SYNC_H
#define SHMKIT_SYNC_H

#include <shmkit/api.h>
#include <shmkit/arena.h>

SHMKIT_BEGIN

#define SHMKIT_OWNER_DIED 16 /* outcome: yours, and its last owner died */
#define SHMKIT_BROKEN 17     /* outcome: the barrier is broken */
#define SHMKIT_RUN_ACTION 18 /* outcome: run the action, then call pass() */

/* Types of root objects.  A named object of shmkit's Python package, such as
 * Lock(name="jobs"), is root "object" of arena "shmkit.jobs" (lifetime
 * holders); a named condition's rlock is root "lock" beside it. */
enum shmkit_object_type {
    SHMKIT_OBJECT_LOCK = 0x101,
    SHMKIT_OBJECT_RLOCK,
    SHMKIT_OBJECT_RWLOCK,
    SHMKIT_OBJECT_SEMAPHORE,
    SHMKIT_OBJECT_CONDITION,
    SHMKIT_OBJECT_EVENT,
    SHMKIT_OBJECT_BARRIER
};

#define SHMKIT_TRY INT64_C(0)
#define SHMKIT_FOREVER INT64_MAX

/* Now + seconds, saturating; <= 0 or NaN is SHMKIT_TRY. */
SHMKIT_API int64_t shmkit_deadline(double seconds);

/* For this thread: called when a signal may have interrupted a wait, and every
 * 20 ms besides, for a signal that came just before the sleep; non-zero makes
 * the wait give up like a time-out, but with -EINTR.  NULL: never. */
SHMKIT_API void shmkit_wait_hook(int (*hook)(void *arg), void *arg);

/* What can be seen of a lock, for people: true only for a moment. */
struct shmkit_lock_stat {
    int64_t owner_pid;   /* 0 = free, -1 = a process of another PID namespace
                          * or one that cannot be told */
    char owner_name[16]; /* command name; "" if unknown */
    uint32_t owner_token;
    uint32_t deaths;  /* owners that died holding it */
    uint32_t waiting; /* 1 = somebody sleeps on it */
    uint32_t dirty;   /* 1 = owner died, not yet marked consistent */
};

/* ---- lock: one holder; any thread or process may release ---- */

typedef struct shmkit_lock {
    uint32_t word, died;
} shmkit_lock;
#define SHMKIT_LOCK_INIT \
    {                    \
        0, 0             \
    }

SHMKIT_API void shmkit_lock_init(shmkit_lock *lock);
SHMKIT_API SHMKIT_CHECK int shmkit_lock_acquire(shmkit_arena *arena,
                                                shmkit_lock *lock,
                                                int64_t deadline);
/* -EOVERFLOW: it was free. */
SHMKIT_API int shmkit_lock_release(shmkit_arena *arena, shmkit_lock *lock);
/* By the holder: the data is sound again. */
SHMKIT_API void shmkit_lock_mark_consistent(shmkit_lock *lock);
SHMKIT_API int shmkit_lock_is_locked(const shmkit_lock *lock);
SHMKIT_API SHMKIT_CHECK int shmkit_lock_get_stat(
    shmkit_arena *arena, const shmkit_lock *lock,
    struct shmkit_lock_stat *ret_stat);

/* What acquire and release do when they are not inlined, or cannot be short:
 * for the definitions below and for bindings.  wake: by who exchanged the word
 * `old` for 0. */
SHMKIT_API SHMKIT_CHECK int shmkit_lock_acquire_slow(shmkit_arena *arena,
                                                     shmkit_lock *lock,
                                                     int64_t deadline);
SHMKIT_API int shmkit_lock_release_slow(shmkit_arena *arena,
                                        shmkit_lock *lock);
SHMKIT_API int shmkit_lock_wake(shmkit_lock *lock, uint32_t old);

#ifndef SHMKIT_NO_INLINE
/* A call costs a third of the two locked instructions it leads to: the return
 * address has to leave the store buffer first.  So the common case is here,
 * for callers compiled with optimization; everybody else, and everybody who
 * takes its address, uses the library's.  With it the first words of an
 * arena's handle are ABI. */
struct shmkit_arena_hot {
    const uint32_t *self; /* *self: this process's token, 0 = none yet */
    uint32_t slow;        /* not 0: no short cuts, something is to be done */
    uint32_t reserved;
};
#define SHMKIT_SHORT_CUT extern __inline__ __attribute__((__gnu_inline__))

SHMKIT_SHORT_CUT int
shmkit_lock_acquire(shmkit_arena *arena, shmkit_lock *lock, int64_t deadline)
{
    const struct shmkit_arena_hot *hot =
        (const struct shmkit_arena_hot *)(const void *)arena;
    uint32_t self = __atomic_load_n(hot->self, __ATOMIC_RELAXED), none = 0;

    if (__builtin_expect(
            self == 0 || __atomic_load_n(&hot->slow, __ATOMIC_RELAXED) != 0 ||
                !__atomic_compare_exchange_n(&lock->word, &none, self, 0,
                                             __ATOMIC_ACQUIRE,
                                             __ATOMIC_RELAXED),
            0))
        return shmkit_lock_acquire_slow(arena, lock, deadline);
    if (__builtin_expect(
            (__atomic_load_n(&lock->died, __ATOMIC_RELAXED) & 1) != 0, 0))
        return SHMKIT_OWNER_DIED;
    return 0;
}

SHMKIT_SHORT_CUT int
shmkit_lock_release(shmkit_arena *arena, shmkit_lock *lock)
{
    const struct shmkit_arena_hot *hot =
        (const struct shmkit_arena_hot *)(const void *)arena;
    uint32_t old;

    if (__builtin_expect(__atomic_load_n(&hot->slow, __ATOMIC_RELAXED) != 0,
                         0))
        return shmkit_lock_release_slow(arena, lock);
    old = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE);
    if (__builtin_expect(old - 1 >= 0x3fffffff, 0))
        return shmkit_lock_wake(lock, old);
    return 0;
}
#undef SHMKIT_SHORT_CUT
#endif

/* ---- rlock: its owner, a thread, may acquire it again ---- */

typedef struct shmkit_rlock {
    shmkit_lock lock;
    uint32_t thread, depth; /* written by the owner only */
} shmkit_rlock;
#define SHMKIT_RLOCK_INIT      \
    {                          \
        SHMKIT_LOCK_INIT, 0, 0 \
    }

SHMKIT_API void shmkit_rlock_init(shmkit_rlock *lock);
/* -EOVERFLOW: 2^32 - 1 times already. */
SHMKIT_API SHMKIT_CHECK int shmkit_rlock_acquire(shmkit_arena *arena,
                                                 shmkit_rlock *lock,
                                                 int64_t deadline);
/* -EPERM: not this thread's. */
SHMKIT_API int shmkit_rlock_release(shmkit_arena *arena, shmkit_rlock *lock);
SHMKIT_API void shmkit_rlock_mark_consistent(shmkit_rlock *lock);
/* How often this thread holds it, 0 = not. */
SHMKIT_API uint32_t shmkit_rlock_get_depth(shmkit_arena *arena,
                                           const shmkit_rlock *lock);
SHMKIT_API SHMKIT_CHECK int shmkit_rlock_get_stat(
    shmkit_arena *arena, const shmkit_rlock *lock,
    struct shmkit_lock_stat *ret_stat);

/* ---- rwlock: many readers or one writer; writers first ---- */

typedef struct shmkit_rwlock {
    shmkit_lock writer;
    uint32_t queue, id; /* id: 0 until the first use */
} shmkit_rwlock;
#define SHMKIT_RWLOCK_INIT     \
    {                          \
        SHMKIT_LOCK_INIT, 0, 0 \
    }

SHMKIT_API void shmkit_rwlock_init(shmkit_rwlock *lock);
/* A thread may read again what it reads.  -EAGAIN: it reads 8 rwlocks of this
 * arena already; -EDEADLK: it holds this one for writing. */
SHMKIT_API SHMKIT_CHECK int shmkit_rwlock_acquire_read(shmkit_arena *arena,
                                                       shmkit_rwlock *lock,
                                                       int64_t deadline);
/* -EDEADLK: this thread reads it, or holds it for writing; -EAGAIN as above.
 * A reader that comes later waits for the writer that waits. */
SHMKIT_API SHMKIT_CHECK int shmkit_rwlock_acquire_write(shmkit_arena *arena,
                                                        shmkit_rwlock *lock,
                                                        int64_t deadline);
/* By the thread that acquired.  -EPERM: it does not hold it. */
SHMKIT_API int shmkit_rwlock_release_read(shmkit_arena *arena,
                                          shmkit_rwlock *lock);
SHMKIT_API int shmkit_rwlock_release_write(shmkit_arena *arena,
                                           shmkit_rwlock *lock);
SHMKIT_API void shmkit_rwlock_mark_consistent(shmkit_rwlock *lock);
/* Writer in stat.owner_pid; readers counted. */
SHMKIT_API SHMKIT_CHECK int shmkit_rwlock_get_stat(
    shmkit_arena *arena, const shmkit_rwlock *lock,
    struct shmkit_lock_stat *ret_stat, uint32_t *ret_readers);

/* ---- semaphore: n units ----
 * A unit taken by acquire_owned() comes back when its holder dies; the taker
 * is told (SHMKIT_OWNER_DIED).  One taken by acquire() stays taken until
 * somebody releases it: anybody may. */

typedef struct shmkit_semaphore {
    uint32_t queue; /* event count, bit 0 = somebody waits */
    uint32_t words; /* how many unit words follow; fixed */
    uint32_t max;   /* bound on the value, 0 = none; fixed */
    uint32_t died;  /* holders that died, << 1 */
    uint64_t extra; /* units without a word: see src/sync/semaphore.c */
    uint32_t hint;
    uint32_t owned; /* 1 = acquire_owned() has been used */
    /* uint32_t unit[words] follows */
} shmkit_semaphore;

/* Bytes for a semaphore of `value` units; units beyond SHMKIT_UNIT_WORDS have
 * no word and do not come back from the dead. */
#define SHMKIT_UNIT_WORDS 1024u
SHMKIT_API size_t shmkit_semaphore_size(uint32_t value);
/* max 0: unbounded (2^31 - 1); else value <= max.  -EINVAL.  Calls below
 * return -EBADMSG where the fixed numbers have been overwritten with what no
 * semaphore has. */
SHMKIT_API SHMKIT_CHECK int shmkit_semaphore_init(shmkit_semaphore *semaphore,
                                                  uint32_t value,
                                                  uint32_t max);
SHMKIT_API SHMKIT_CHECK int shmkit_semaphore_acquire(
    shmkit_arena *arena, shmkit_semaphore *semaphore, int64_t deadline);
SHMKIT_API SHMKIT_CHECK int shmkit_semaphore_acquire_owned(
    shmkit_arena *arena, shmkit_semaphore *semaphore, int64_t deadline);
/* One's own unit first, then one taken by acquire(), then a new one.
 * -EOVERFLOW: over max; nothing changed. */
SHMKIT_API int shmkit_semaphore_release(shmkit_arena *arena,
                                        shmkit_semaphore *semaphore);
/* Units free. */
SHMKIT_API uint32_t
shmkit_semaphore_get_value(const shmkit_semaphore *semaphore);
SHMKIT_API uint32_t
shmkit_semaphore_get_deaths(const shmkit_semaphore *semaphore);

/* ---- condition ---- */

typedef struct shmkit_condition {
    uint32_t id; /* 0 until the first use */
    uint32_t seq, next, maybe;
} shmkit_condition;
#define SHMKIT_CONDITION_INIT \
    {                         \
        0, 0, 0, 0            \
    }

SHMKIT_API void shmkit_condition_init(shmkit_condition *condition);
/* Give `lock` back, wait, take it again: returns with the lock held whatever
 * the result: 0 notified, SHMKIT_OWNER_DIED as for the lock, -ETIMEDOUT,
 * -EINTR; only -EPERM (lock not held by this process) and errors of the first
 * use return before anything happened.  Without deaths there are no spurious
 * wake-ups; after the death of a holder or a notified waiter every waiter may
 * wake once.  All who use a condition use it with the same lock. */
SHMKIT_API SHMKIT_CHECK int shmkit_condition_wait(shmkit_arena *arena,
                                                  shmkit_condition *condition,
                                                  shmkit_lock *lock,
                                                  int64_t deadline);
/* Releases all levels, and takes all again. */
SHMKIT_API SHMKIT_CHECK int shmkit_condition_wait_rlock(
    shmkit_arena *arena, shmkit_condition *condition, shmkit_rlock *lock,
    int64_t deadline);
/* With the lock held: let the n longest waiting go (UINT32_MAX = all).  They
 * wake when this thread releases the lock.  Returns how many. */
SHMKIT_API int shmkit_condition_notify(shmkit_arena *arena,
                                       shmkit_condition *condition,
                                       uint32_t n);
/* Living waiters not yet notified; for people. */
SHMKIT_API uint32_t shmkit_condition_count_waiting(
    shmkit_arena *arena, const shmkit_condition *condition);

/* ---- event ---- */

typedef struct shmkit_event {
    uint32_t word;
    uint32_t cpu; /* a hint */
} shmkit_event;
#define SHMKIT_EVENT_INIT \
    {                     \
        0, 0              \
    }

SHMKIT_API void shmkit_event_init(shmkit_event *event);
SHMKIT_API int shmkit_event_is_set(const shmkit_event *event);
SHMKIT_API void shmkit_event_set(shmkit_event *event);
SHMKIT_API void shmkit_event_clear(shmkit_event *event);
/* Until set; a set followed at once by a clear is seen too. */
SHMKIT_API SHMKIT_CHECK int shmkit_event_wait(shmkit_event *event,
                                              int64_t deadline);

/* ---- barrier: n parties wait for each other, again and again ----
 * A party killed while it waits, or while it runs the action, breaks the
 * barrier for the others within 25 ms. */

typedef struct shmkit_barrier {
    uint64_t word;
    uint32_t parties, flags; /* fixed */
    uint64_t run;
    /* uint64_t slot[parties] follows */
} shmkit_barrier;

enum shmkit_barrier_flags {
    /* the same parties come each time: one killed between two waits breaks it
     * as well; a party that leaves for good must abort() or reset() */
    SHMKIT_BARRIER_REGULARS = 1 << 0,
    /* one party per round is told SHMKIT_RUN_ACTION */
    SHMKIT_BARRIER_ACTION = 1 << 1
};

SHMKIT_API size_t shmkit_barrier_size(uint32_t parties);
/* 1 to 65536 parties; -EINVAL. */
SHMKIT_API SHMKIT_CHECK int shmkit_barrier_init(shmkit_barrier *barrier,
                                                uint32_t parties,
                                                uint32_t flags);
/* 0 passed, *ret_index = arrival number 0..parties-1; SHMKIT_RUN_ACTION: all
 * are here, run the action and call pass() or abort(); SHMKIT_BROKEN;
 * -ETIMEDOUT and -EINTR break it for all, but not while an action runs: that
 * is waited for.  -EBADMSG: the fixed numbers have been overwritten. */
SHMKIT_API SHMKIT_CHECK int shmkit_barrier_wait(shmkit_arena *arena,
                                                shmkit_barrier *barrier,
                                                int64_t deadline,
                                                uint32_t *ret_index);
/* After the action: let all go.  SHMKIT_BROKEN: somebody aborted meanwhile;
 * -EPERM: this process runs none. */
SHMKIT_API SHMKIT_CHECK int shmkit_barrier_pass(shmkit_arena *arena,
                                                shmkit_barrier *barrier);
/* Fresh and unbroken; who waits gets SHMKIT_BROKEN.  Waits for the end of an
 * action, but in the thread that runs it: there the action counts as aborted.
 */
SHMKIT_API void shmkit_barrier_reset(shmkit_arena *arena,
                                     shmkit_barrier *barrier);
SHMKIT_API void shmkit_barrier_abort(shmkit_barrier *barrier);
SHMKIT_API int shmkit_barrier_is_broken(const shmkit_barrier *barrier);
SHMKIT_API uint32_t
shmkit_barrier_count_waiting(const shmkit_barrier *barrier);

SHMKIT_END

#endif
