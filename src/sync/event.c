/* SPDX-License-Identifier: MIT */
/* event.c - a flag to wait for.
 *
 *     word   W 1 | changes 31      odd = set
 *     cpu    where the last setter ran that had to wake somebody; a hint
 *
 * Every change of the flag counts, so whoever waits for an even number n is
 * let go by anything else than n: a set that is followed at once by a clear is
 * seen too.  All words are changed by compare-exchange; no owner matters, so
 * none is named, and nothing needs an arena.
 *
 * W is set by sleepers and cleared by the set that wakes them all.  A kill
 * between the setter's compare-exchange and its wake leaves sleepers and a
 * word that has changed: their tick finds it.  A killed waiter leaves W: one
 * superfluous wake-up.
 *
 * Spinning: long when the setter was last seen on another CPU, not at all when
 * it was seen on this one.  Only a setter that found W leaves its CPU, so the
 * hint costs nothing while waits are answered within the spin, and is renewed
 * as soon as they are not. */
#include <errno.h>

#include "sync/lock.h"

#define COUNT (~SHMKITI_WAITERS)

void
shmkit_event_init(shmkit_event *event)
{
    shmkiti_store_relaxed_u32(&event->word, 0);
    shmkiti_store_relaxed_u32(&event->cpu, 0);
}

int
shmkit_event_is_set(const shmkit_event *event)
{
    bool set = (shmkiti_load_acquire_u32(&event->word) & 1) != 0;

    if (set)
        SHMKITI_TRACE_ACQUIRE(event);
    return set;
}

void
shmkit_event_set(shmkit_event *event)
{
    uint32_t v;

    SHMKITI_TRACE_RELEASE(event);
    do {
        v = shmkiti_load_seq_cst_u32(&event->word);
        if ((v & 1) != 0)
            return;
    } while (!shmkiti_cas_seq_cst_u32(&event->word, v, (v + 1) & COUNT));
    SHMKITI_FAULT("event.set.changed");
    if ((v & SHMKITI_WAITERS) == 0)
        return;
    shmkiti_store_relaxed_u32(&event->cpu, shmkiti_cpu());
    (void)shmkiti_wake(&event->word, INT32_MAX, SHMKITI_ALL_BITS);
}

void
shmkit_event_clear(shmkit_event *event)
{
    uint32_t v;

    do {
        v = shmkiti_load_seq_cst_u32(&event->word);
        if ((v & 1) == 0)
            return;
    } while (!shmkiti_cas_seq_cst_u32(&event->word, v, (v + 1) & COUNT));
    SHMKITI_FAULT("event.clear.changed");
}

static bool
has_changed(const shmkit_event *event, uint32_t first)
{
    return (shmkiti_load_acquire_u32(&event->word) & COUNT) != first;
}

static bool
spin(const shmkit_event *event, uint32_t first)
{
    uint32_t n = shmkiti_spins_for(shmkiti_load_relaxed_u32(&event->cpu));

    for (uint32_t i = 0; i < n; i++) {
        if (has_changed(event, first))
            return true;
        shmkiti_pause();
    }
    return false;
}

/* Until the count is no longer `first`, an even one. */
static int
sleep_until_changed(shmkit_event *event, uint32_t first,
                    struct shmkiti_wait *wait)
{
    uint32_t marked = first | SHMKITI_WAITERS;
    int r = 0;

    for (;;) {
        (void)shmkiti_cas_seq_cst_u32(&event->word, first, marked);
        if (has_changed(event, first))
            return 0;
        if (r < 0)
            return r;
        SHMKITI_FAULT("event.wait.sleep");
        r = shmkiti_wait_sleep(wait, &event->word, marked, SHMKITI_ALL_BITS);
        SHMKITI_FAULT("event.wait.woke");
    }
}

__attribute__((noinline, cold)) static int
wait_slow(shmkit_event *event, uint32_t first, int64_t deadline)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);
    int r = 0;

    if (deadline <= SHMKIT_TRY)
        return -ETIMEDOUT;
    shmkiti_condition_flush();
    if (!spin(event, first))
        r = sleep_until_changed(event, first, &wait);
    if (r == 0)
        SHMKITI_TRACE_ACQUIRE(event);
    return r;
}

int
shmkit_event_wait(shmkit_event *event, int64_t deadline)
{
    uint32_t v = shmkiti_load_acquire_u32(&event->word);

    if (__builtin_expect((v & 1) == 0, 0))
        return wait_slow(event, v & COUNT, deadline);
    SHMKITI_TRACE_ACQUIRE(event);
    return 0;
}
