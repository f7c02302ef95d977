/* SPDX-License-Identifier: MIT */
/* trace.c - the hook behind trace.h.
 *
 * Process-local: two words, written by set_hook() before other threads meet
 * them.  The flag is stored after the hook, so whoever sees it finds one. */
#include "base/trace.h"

#include <stddef.h>

uint32_t shmkiti_trace_on;
static shmkiti_trace_fn *trace_hook;

void
shmkiti_trace_set_hook(shmkiti_trace_fn *hook)
{
    __atomic_store_n(&trace_hook, hook, __ATOMIC_RELEASE);
    __atomic_store_n(&shmkiti_trace_on, hook != NULL, __ATOMIC_RELEASE);
}

/* Noinline and cold: it must not grow the operations it stands in. */
__attribute__((noinline, cold)) void
shmkiti_trace_hit(enum shmkiti_trace_kind kind, const void *address)
{
    shmkiti_trace_fn *hook = __atomic_load_n(&trace_hook, __ATOMIC_ACQUIRE);

    if (hook != NULL)
        hook(kind, address);
}
