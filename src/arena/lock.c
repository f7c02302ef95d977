/* SPDX-License-Identifier: MIT */
/* lock.c - a lock whose word names a lane.
 *
 *     word   bit 31: somebody sleeps; the rest: lane number + 1, 0 = free
 *
 * It is never stolen.  Who waits and finds the holder dead repairs that lane;
 * a step of the layer that owns the lock puts right what it guards, as the
 * dead lane, and releases it.  Kills: a holder is in the word from the moment
 * it holds; one killed between the release and the wake leaves sleepers, whom
 * their tick wakes.  A word that names a lane nobody owns, and does not
 * change, or the very lane that asks, is damage: -EBADMSG. */
#include <errno.h>

#include "arena/local.h"
#include "base/fault.h"
#include "os/os.h"

#define SLEEPERS 0x80000000u
#define SPIN 40
#define TICK_NS INT64_C(1000000)
#define TICK_MAX_NS INT64_C(20000000)
#define NOBODY_TICKS 8 /* in a row before the word is damage */

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool
spin(uint32_t *word, uint32_t me)
{
    static unsigned cpus;

    if (cpus == 0)
        cpus = shmkiti_os_cpu_count();
    for (int i = 0; cpus > 1 && i < SPIN; i++) {
        if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0 &&
            shmkiti_cas_acq_rel_u32(word, 0, me))
            return true;
        relax();
    }
    return false;
}

/* The tick is over and the word the same: is there anybody behind it? */
static bool
names_nobody(shmkit_arena *arena, uint32_t word)
{
    uint32_t lane = (word & ~SLEEPERS) - 1;

    if (lane >= SHMKITI_LANE_MAX)
        return true;
    if (shmkiti_lane_repair(arena, lane))
        return false;
    return shmkiti_load_acquire_u32(shmkiti_lane_owner(arena, lane)) == 0;
}

/* Mark that we sleep, and sleep until the word changes or the tick is over.
 * True: over. */
static bool
sleep_on(uint32_t *word, uint32_t seen, int64_t tick)
{
    int64_t until = (int64_t)shmkiti_os_now_ns() + tick;

    if ((seen & SLEEPERS) == 0 &&
        !shmkiti_cas_acq_rel_u32(word, seen, seen | SLEEPERS))
        return false;
    return shmkiti_os_futex_wait(word, seen | SLEEPERS, until, UINT32_MAX) ==
           -ETIMEDOUT;
}

static int
lock_slow(shmkit_arena *arena, uint32_t *word, uint32_t me)
{
    int64_t tick = TICK_NS;
    int nobody = 0;

    if (spin(word, me))
        return 0;
    for (;;) {
        uint32_t seen = shmkiti_load_acquire_u32(word);

        if ((seen & ~SLEEPERS) == me)
            return -EBADMSG; /* we do not hold it */
        if ((seen & ~SLEEPERS) == 0) {
            if (shmkiti_cas_acq_rel_u32(word, seen, me | SLEEPERS))
                return 0;
            continue;
        }
        if (!sleep_on(word, seen, tick))
            continue;
        nobody = names_nobody(arena, seen) ? nobody + 1 : 0;
        if (nobody >= NOBODY_TICKS &&
            (shmkiti_load_acquire_u32(word) | SLEEPERS) == (seen | SLEEPERS))
            return -EBADMSG;
        tick = tick * 2 < TICK_MAX_NS ? tick * 2 : TICK_MAX_NS;
    }
}

int
shmkiti_lane_lock(shmkit_arena *arena, uint32_t *word, uint32_t lane)
{
    if (__builtin_expect(shmkiti_cas_acq_rel_u32(word, 0, lane + 1), 1))
        return 0;
    return lock_slow(arena, word, lane + 1);
}

void
shmkiti_lane_unlock(uint32_t *word)
{
    uint32_t old = __atomic_exchange_n(word, 0, __ATOMIC_RELEASE);

    if (__builtin_expect((old & SLEEPERS) != 0, 0)) {
        SHMKITI_FAULT("lane.unlock.released");
        (void)shmkiti_os_futex_wake(word, 1, UINT32_MAX);
    }
}

bool
shmkiti_lane_holds(const uint32_t *word, uint32_t lane)
{
    return (shmkiti_load_acquire_u32(word) & ~SLEEPERS) == lane + 1;
}
