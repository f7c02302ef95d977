/* SPDX-License-Identifier: MIT */
/* wait.h - what all waits of this layer have in common: spinning, sleeping no
 * longer than a tick, deadlines, interruption, and what a thread remembers.
 */
#ifndef SHMKITI_SYNC_WAIT_H
#define SHMKITI_SYNC_WAIT_H

#include <shmkit/sync.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena/arena.h"

/* Initial-exec: one instruction from the thread register, also in a shared
 * library.  It costs some of the space that the loader keeps for libraries
 * loaded late; the struct is small. */
#define SHMKITI_TLS _Thread_local __attribute__((tls_model("initial-exec")))

/* Waiters bit of a lock, event and barrier; low bits of a lock: its token. */
#define SHMKITI_WAITERS 0x80000000u

/* A wake-up that notify() left for the release of the lock. */
struct shmkiti_pending {
    shmkit_condition *condition; /* NULL = none */
    shmkit_arena *arena;
    uint32_t id, bits, granted;
    uint32_t limit; /* tickets before this one may be granted */
};

/* What a thread remembers, all of it its own. */
struct shmkiti_sync_thread {
    struct shmkiti_pending pending;
    uint32_t number;  /* shmkiti_thread_number(), 0 = not asked yet */
    uint32_t running; /* generation + 1 of the barrier whose action runs */
    const shmkit_barrier *barrier;
    int (*hook)(void *arg);
    void *hook_arg;
};
extern SHMKITI_TLS struct shmkiti_sync_thread shmkiti_sync_thread;

/* ---- one wait ---- */

struct shmkiti_wait {
    int64_t deadline;
    uint32_t tick_ms;
    bool no_hook; /* nothing but its end ends this wait */
};

static inline struct shmkiti_wait
shmkiti_wait_until(int64_t deadline)
{
    return (struct shmkiti_wait){deadline, 0, false};
}

#define SHMKITI_TICK 1 /* outcome of a sleep: look for the dead */

/* Sleep while *word is `expected`, no longer than the next tick (4, 8,
 * 16 ms).  0: look again; SHMKITI_TICK: look for the dead as well; -ETIMEDOUT,
 * -EINTR: look for the dead as well, then give up.  A TRY never sleeps. */
int shmkiti_wait_sleep(struct shmkiti_wait *wait, const uint32_t *word,
                       uint32_t expected, uint32_t bits);

/* How many were woken. */
uint32_t shmkiti_wake(const uint32_t *word, uint32_t count, uint32_t bits);
#define SHMKITI_ALL_BITS UINT32_MAX

/* ---- spinning ---- */

#define SHMKITI_SPIN_NEAR 40u
#define SHMKITI_SPIN_FAR 2000u

static inline void
shmkiti_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb");
#endif
}

/* Number of this CPU plus 1; 0 = unknown. */
uint32_t shmkiti_cpu(void);
/* Pauses that are worth while when nothing is known of the other side; when
 * it was last seen on CPU number `seen` - 1 (0 = never). */
uint32_t shmkiti_spins(void);
uint32_t shmkiti_spins_for(uint32_t seen);

/* ---- untrusted sizes ---- */

/* False: `object` starts inside the arena's objects, where `first` bytes of
 * it are, and `whole` bytes of it are not. */
bool shmkiti_fits(const shmkit_arena *arena, const void *object, size_t first,
                  size_t whole);

/* The object's id: drawn by the first who needs it.  Whoever loses the race,
 * or is killed in it, costs a number. */
uint32_t shmkiti_object_id(shmkit_arena *arena, uint32_t *id);

#endif
