/* SPDX-License-Identifier: MIT */
/* sync_unit.h - what the tests of locks and their kin share.
 *
 * Each case gets an arena of its own and objects in it.  Nothing here decides
 * on a time: tests wait until somebody is seen to wait, and the watchdog of
 * the runner ends what hangs. */
#ifndef SHMKIT_TESTS_SYNC_UNIT_H
#define SHMKIT_TESTS_SYNC_UNIT_H

#include <pthread.h>
#include <shmkit/sync.h>

#include "unit.h"

/* The case's arena. */
extern shmkit_arena *sync_arena;
void sync_open(void);
void sync_close(void);
/* `size` zero bytes in it. */
void *sync_new(size_t size);

/* A thread that runs fn(arg); joined by sync_join(). */
pthread_t sync_thread(void *(*fn)(void *arg), void *arg);
void sync_join(pthread_t thread);

#define SYNC_ACQUIRE(lock) \
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, (lock), SHMKIT_FOREVER), 0)
#define SYNC_RELEASE(lock) \
    T_CHECK_EQ(shmkit_lock_release(sync_arena, (lock)), 0)

/* Until it is so. */
#define SYNC_UNTIL(condition) \
    do {                      \
        while (!(condition))  \
            t_sleep_ms(1);    \
    } while (0)

static inline uint32_t
sync_load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void
sync_store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t
sync_add(uint32_t *word, uint32_t n)
{
    return __atomic_fetch_add(word, n, __ATOMIC_SEQ_CST);
}

#endif
