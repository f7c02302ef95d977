/* SPDX-License-Identifier: MIT */
/* trace.h - where every synchronising operation says so.
 *
 * SHMKITI_TRACE_ACQUIRE(address) stands behind the point where an operation
 * begins to see what others did before their release, SHMKITI_TRACE_RELEASE
 * (address) in front of the point where it hands on its own.  A race detector
 * attaches there.  Switched off, each costs one relaxed load of a word that
 * nobody writes, and a branch that is never taken.
 *
 * The hook is set before the threads that meet it start.  It runs inside the
 * operation, perhaps with the user's lock held: it must not call the library.
 * The flag is a word of its own so that the test needs no pointer. */
#ifndef SHMKITI_BASE_TRACE_H
#define SHMKITI_BASE_TRACE_H

#include <stdint.h>

enum shmkiti_trace_kind { SHMKITI_TRACED_ACQUIRE = 1, SHMKITI_TRACED_RELEASE };

typedef void shmkiti_trace_fn(enum shmkiti_trace_kind kind,
                              const void *address);

extern uint32_t shmkiti_trace_on;

/* NULL switches it off. */
void shmkiti_trace_set_hook(shmkiti_trace_fn *hook);
void shmkiti_trace_hit(enum shmkiti_trace_kind kind, const void *address);

/* For operations that must test for several things at once. */
#define SHMKITI_TRACED() __atomic_load_n(&shmkiti_trace_on, __ATOMIC_RELAXED)

#define SHMKITI_TRACE(kind, address)                    \
    do {                                                \
        if (__builtin_expect(SHMKITI_TRACED() != 0, 0)) \
            shmkiti_trace_hit((kind), (address));       \
    } while (0)
#define SHMKITI_TRACE_ACQUIRE(address) \
    SHMKITI_TRACE(SHMKITI_TRACED_ACQUIRE, address)
#define SHMKITI_TRACE_RELEASE(address) \
    SHMKITI_TRACE(SHMKITI_TRACED_RELEASE, address)

#endif
