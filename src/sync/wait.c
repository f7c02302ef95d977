/* SPDX-License-Identifier: MIT */
/* wait.c - spinning, sleeping by ticks, deadlines, the hook.
 *
 * No sleep of this layer is longer than a tick, 4, 8 or 16 ms.  The tick
 * only heals: without a death every wake-up comes from the one who made the
 * wait superfluous.  The deadline is absolute and so is the sleep's end, so a
 * spurious return costs nothing.  Shorter first ticks would make each sleep
 * set a timer that fires before most wake-ups come: on virtual machines that
 * costs more than the wake-up.
 *
 * Everything here is the thread's own, but for the number of CPUs, which each
 * thread would compute alike. */
#include "sync/wait.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "os/os.h"
#include "sync/lock.h"

static_assert(offsetof(struct shmkit_arena, token) ==
                      offsetof(struct shmkit_arena_hot, self) &&
                  offsetof(struct shmkit_arena, slow) ==
                      offsetof(struct shmkit_arena_hot, slow),
              "what the header's short cuts see of a handle");

#define MS INT64_C(1000000)
#define TICK_MIN_MS 4u
#define TICK_MAX_MS 16u

SHMKITI_TLS struct shmkiti_sync_thread shmkiti_sync_thread;

int64_t
shmkit_deadline(double seconds)
{
    int64_t now, span;

    if (!(seconds > 0))
        return SHMKIT_TRY;
    if (seconds >= 9.0e9)
        return SHMKIT_FOREVER;
    now = (int64_t)shmkiti_os_now_ns();
    span = (int64_t)(seconds * 1e9);
    return now > SHMKIT_FOREVER - span ? SHMKIT_FOREVER : now + span;
}

void
shmkit_wait_hook(int (*hook)(void *arg), void *arg)
{
    shmkiti_sync_thread.hook = hook;
    shmkiti_sync_thread.hook_arg = arg;
}

static uint32_t
next_tick(struct shmkiti_wait *wait)
{
    wait->tick_ms = wait->tick_ms == 0 ? TICK_MIN_MS : wait->tick_ms * 2;
    if (wait->tick_ms > TICK_MAX_MS)
        wait->tick_ms = TICK_MAX_MS;
    return wait->tick_ms;
}

static int
interrupted(const struct shmkiti_wait *wait)
{
    if (wait->no_hook || shmkiti_sync_thread.hook == NULL)
        return 0;
    return shmkiti_sync_thread.hook(shmkiti_sync_thread.hook_arg) != 0 ? -EINTR
                                                                       : 0;
}

int
shmkiti_wait_sleep(struct shmkiti_wait *wait, const uint32_t *word,
                   uint32_t expected, uint32_t bits)
{
    int64_t now, until;
    int r;

    if (wait->deadline <= SHMKIT_TRY)
        return -ETIMEDOUT;
    shmkiti_condition_flush();
    now = (int64_t)shmkiti_os_now_ns();
    if (now >= wait->deadline)
        return -ETIMEDOUT;
    until = now + next_tick(wait) * MS;
    if (until > wait->deadline)
        until = wait->deadline;
    r = shmkiti_os_futex_wait(word, expected, until, bits);
    if (r == -EINTR)
        return interrupted(wait);
    if (r != -ETIMEDOUT)
        return 0;
    if (until == wait->deadline)
        return -ETIMEDOUT;
    /* A signal that came just before the sleep interrupted nothing. */
    r = interrupted(wait);
    return r < 0 ? r : SHMKITI_TICK;
}

uint32_t
shmkiti_wake(const uint32_t *word, uint32_t count, uint32_t bits)
{
    int r = shmkiti_os_futex_wake(word, count, bits);

    return r < 0 ? 0 : (uint32_t)r;
}

uint32_t
shmkiti_cpu(void)
{
    return shmkiti_os_this_cpu() + 1;
}

uint32_t
shmkiti_spins(void)
{
    static uint32_t count;
    uint32_t n = shmkiti_load_relaxed_u32(&count);

    if (n == 0) {
        n = shmkiti_os_cpu_count();
        shmkiti_store_relaxed_u32(&count, n);
    }
    return n > 1 ? SHMKITI_SPIN_NEAR : 0;
}

/* On one CPU the other side cannot run while we spin.  The number of CPUs does
 * not come in: this process may be bound to one and the other to another. */
uint32_t
shmkiti_spins_for(uint32_t seen)
{
    if (seen == 0)
        return shmkiti_spins();
    return seen == shmkiti_cpu() ? 0 : SHMKITI_SPIN_FAR;
}

bool
shmkiti_fits(const shmkit_arena *arena, const void *object, size_t first,
             size_t whole)
{
    uint64_t offset = (uintptr_t)object - (uintptr_t)arena->base;

    return shmkit_arena_at(arena, offset, first) == NULL ||
           shmkit_arena_at(arena, offset, whole) != NULL;
}

uint32_t
shmkiti_object_id(shmkit_arena *arena, uint32_t *id)
{
    uint32_t v = shmkiti_load_acquire_u32(id);

    if (__builtin_expect(v == 0, 0)) {
        (void)shmkiti_cas_acq_rel_u32(id, 0, shmkiti_arena_new_id(arena));
        v = shmkiti_load_acquire_u32(id);
    }
    return v;
}
