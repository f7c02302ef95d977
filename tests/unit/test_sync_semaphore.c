/* SPDX-License-Identifier: MIT */
/* test_sync_semaphore.c - semaphores whose units know whose they are. */
#include <string.h>

#include "arena/arena.h"
#include "sync_unit.h"

static shmkit_semaphore *semaphore;
static struct shared {
    uint32_t inside, most, done, failed;
} * shared;

static void
make(uint32_t value, uint32_t max)
{
    semaphore = sync_new(shmkit_semaphore_size(value));
    T_CHECK_EQ(shmkit_semaphore_init(semaphore, value, max), 0);
}

static void
open_scene(uint32_t value, uint32_t max)
{
    sync_open();
    shared = sync_new(sizeof *shared);
    make(value, max);
}

static int
acquire(int64_t deadline)
{
    return shmkit_semaphore_acquire(sync_arena, semaphore, deadline);
}

static int
acquire_owned(int64_t deadline)
{
    return shmkit_semaphore_acquire_owned(sync_arena, semaphore, deadline);
}

static int
release(void)
{
    return shmkit_semaphore_release(sync_arena, semaphore);
}

static uint32_t
value(void)
{
    return shmkit_semaphore_get_value(semaphore);
}

static void
values_are_checked(void)
{
    shmkit_semaphore one;

    T_CHECK_EQ(shmkit_semaphore_init(&one, 0x80000000u, 0), -EINVAL);
    T_CHECK_EQ(shmkit_semaphore_init(&one, 3, 2), -EINVAL);
    T_CHECK_EQ(shmkit_semaphore_size(0), sizeof one);
    T_CHECK_EQ(shmkit_semaphore_size(8), 64);
    T_CHECK_EQ(shmkit_semaphore_size(100000),
               sizeof one + 4 * SHMKIT_UNIT_WORDS);
}

/* Both ways of acquiring, and where the units with words end. */
static void
check_count(uint32_t n, uint32_t max, int (*take)(int64_t deadline))
{
    make(n, max);
    for (int round = 0; round < 2; round++) {
        T_CHECK_EQ(value(), n);
        for (uint32_t i = 0; i < n; i++) {
            T_CHECK_EQ(take(SHMKIT_TRY), 0);
            T_CHECK_EQ(value(), n - i - 1);
        }
        T_CHECK_EQ(take(SHMKIT_TRY), -ETIMEDOUT);
        T_CHECK_EQ(take(shmkit_deadline(0.005)), -ETIMEDOUT);
        for (uint32_t i = 0; i < n; i++)
            T_CHECK_EQ(release(), 0);
    }
    for (uint32_t i = n; i < n + 3 && (max == 0 || i < max); i++)
        T_CHECK_EQ(release(), 0);
    if (max != 0 && max < n + 3)
        T_CHECK_EQ(release(), -EOVERFLOW);
    T_CHECK_EQ(value(), max == 0 || n + 3 <= max ? n + 3 : max);
}

static void
every_unit_counts_once(void)
{
    static const uint32_t counts[] = {0, 1, 2, 8, 9, 1024, 1100};

    sync_open();
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_count(counts[i], 0, acquire);
        check_count(counts[i], 0, acquire_owned);
        if (counts[i] > 0)
            check_count(counts[i], counts[i], acquire);
        check_count(counts[i], counts[i] + 2, acquire_owned);
    }
    sync_close();
}

static void
an_unbounded_value_has_an_end(void)
{
    open_scene(2, 0);
    semaphore->extra = 0x7fffffff - 3;
    T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(value(), 0x7fffffff);
    T_CHECK_EQ(release(), -EOVERFLOW);
    T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    T_CHECK_EQ(release(), 0);
    sync_close();
}

static void
wrong_bytes_are_refused(void)
{
    open_scene(3, 3);
    semaphore->words = 1025;
    T_CHECK_EQ(acquire(SHMKIT_TRY), -EBADMSG);
    T_CHECK_EQ(release(), -EBADMSG);
    semaphore->words = 3;
    semaphore->hint = UINT32_MAX;
    semaphore->queue = UINT32_MAX;
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    T_CHECK_EQ(acquire(SHMKIT_TRY), -ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(release(), -EOVERFLOW);
    sync_close();
}

/* ---- never more than n, never less ---- */

#define ROUNDS 2000u

/* Holds a unit, so there is one to give back, and gives it back, so there is
 * one to be had: neither may ever fail. */
static void
go_in_and_out(uint32_t i)
{
    bool owned = i % 3 == 0;
    uint32_t n;

    T_CHECK_EQ(owned ? acquire_owned(SHMKIT_FOREVER) : acquire(SHMKIT_FOREVER),
               0);
    n = sync_add(&shared->inside, 1) + 1;
    if (n > sync_load(&shared->most))
        sync_store(&shared->most, n);
    if (i % 64 == 0)
        (void)sched_yield();
    (void)sync_add(&shared->inside, UINT32_MAX);
    T_CHECK_EQ(release(), 0);
}

static void *
go(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        go_in_and_out(i);
    return arg;
}

static int
go_in_threads(void *arg)
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        threads[i] = sync_thread(go, arg);
    for (int i = 0; i < 3; i++)
        sync_join(threads[i]);
    return T_PASS;
}

static void
never_more_than_n_are_inside(void)
{
    pid_t child;

    for (uint32_t n = 1; n <= 3; n++) {
        open_scene(n, n);
        child = t_fork(go_in_threads, NULL);
        T_CHECK_EQ(go_in_threads(NULL), T_PASS);
        T_CHECK_EQ(t_wait(child), T_PASS);
        T_CHECK(sync_load(&shared->most) <= n);
        T_CHECK_EQ(value(), n);
        T_CHECK_EQ(release(), -EOVERFLOW);
        T_CHECK_EQ(shmkit_semaphore_get_deaths(semaphore), 0);
        sync_close();
    }
}

/* One unit more than threads: a try must never find nothing, and a release
 * must never find it too many, however the units move about meanwhile. */
static void *
try_and_never_fail(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
        T_CHECK_EQ(release(), 0);
    }
    return arg;
}

static void
a_failure_is_true_at_some_instant(void)
{
    pthread_t threads[4];

    open_scene(4, 4);
    for (int i = 0; i < 4; i++)
        threads[i] = sync_thread(try_and_never_fail, NULL);
    for (int i = 0; i < 4; i++)
        sync_join(threads[i]);
    T_CHECK_EQ(value(), 4);
    sync_close();
}

/* ---- signalling ---- */

static void *
take_all(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        T_CHECK_EQ(acquire(SHMKIT_FOREVER), 0);
    (void)sync_add(&shared->done, 1);
    return arg;
}

static void
releases_by_others_wake_all_takers(void)
{
    pthread_t threads[4];

    open_scene(0, 0);
    for (int i = 0; i < 4; i++)
        threads[i] = sync_thread(take_all, NULL);
    for (uint32_t i = 0; i < 4 * ROUNDS; i++)
        T_CHECK_EQ(release(), 0);
    for (int i = 0; i < 4; i++)
        sync_join(threads[i]);
    T_CHECK_EQ(value(), 0);
    sync_close();
}

static void *
take_one(void *arg)
{
    T_CHECK_EQ(acquire(SHMKIT_FOREVER), 0);
    (void)sync_add(&shared->done, 1);
    return arg;
}

static void
two_hundred_threads_get_a_unit_each(void)
{
    pthread_t threads[200];

    open_scene(0, 0);
    for (int i = 0; i < 200; i++)
        threads[i] = sync_thread(take_one, NULL);
    SYNC_UNTIL((sync_load(&semaphore->queue) & 1) == 1);
    for (int i = 0; i < 200; i++)
        T_CHECK_EQ(release(), 0);
    for (int i = 0; i < 200; i++)
        sync_join(threads[i]);
    T_CHECK_EQ(value(), 0);
    sync_close();
}

/* ---- deaths ---- */

static int
take_owned_and_die(void *arg)
{
    for (uintptr_t i = 0; i < (uintptr_t)arg; i++)
        T_CHECK(acquire_owned(SHMKIT_FOREVER) >= 0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static int
take_plain_and_die(void *arg)
{
    for (uintptr_t i = 0; i < (uintptr_t)arg; i++)
        T_CHECK(acquire(SHMKIT_FOREVER) >= 0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
an_owned_unit_comes_back_and_is_told_once(void)
{
    void *three = (void *)(uintptr_t)3;

    open_scene(3, 3);
    T_CHECK_EQ(t_fork_wait(take_owned_and_die, three), -SIGKILL);
    T_CHECK_EQ(value(), 0);
    T_CHECK_EQ(acquire(SHMKIT_FOREVER), SHMKIT_OWNER_DIED);
    T_CHECK_EQ(acquire_owned(shmkit_deadline(5)), SHMKIT_OWNER_DIED);
    T_CHECK_EQ(acquire_owned(SHMKIT_TRY), SHMKIT_OWNER_DIED);
    T_CHECK_EQ(acquire(SHMKIT_TRY), -ETIMEDOUT);
    T_CHECK_EQ(shmkit_semaphore_get_deaths(semaphore), 3);
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(release(), -EOVERFLOW);
    T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    sync_close();
}

static void
an_anonymous_unit_stays_out_until_somebody_releases_it(void)
{
    open_scene(2, 2);
    T_CHECK_EQ(t_fork_wait(take_plain_and_die, (void *)(uintptr_t)2),
               -SIGKILL);
    T_CHECK_EQ(acquire(shmkit_deadline(0.1)), -ETIMEDOUT);
    T_CHECK_EQ(acquire_owned(shmkit_deadline(0.1)), -ETIMEDOUT);
    T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(release(), -EOVERFLOW);
    sync_close();
}

static int
release_two(void *arg)
{
    T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(release(), (int)(intptr_t)arg);
    return T_PASS;
}

/* Mine first, then nobody's, never another's. */
static void
a_release_takes_the_right_unit(void)
{
    open_scene(2, 2);
    T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    T_CHECK_EQ(acquire_owned(SHMKIT_TRY), 0);
    /* The child may give back the anonymous one only. */
    T_CHECK_EQ(t_fork_wait(release_two, (void *)(intptr_t)-EOVERFLOW), T_PASS);
    T_CHECK_EQ(value(), 1);
    T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    /* Now mine goes first: what is left is anonymous. */
    T_CHECK_EQ(release(), 0);
    T_CHECK_EQ(t_fork_wait(release_two, (void *)(intptr_t)-EOVERFLOW), T_PASS);
    T_CHECK_EQ(value(), 2);
    sync_close();
}

static void
a_sleeper_gets_the_unit_of_the_dead(void)
{
    pthread_t threads[3];

    open_scene(1, 1);
    T_CHECK_EQ(acquire(SHMKIT_TRY), 0);
    for (int i = 0; i < 3; i++)
        threads[i] = sync_thread(go, NULL);
    T_CHECK_EQ(release(), 0);
    for (int i = 0; i < 3; i++)
        sync_join(threads[i]);
    T_CHECK_EQ(t_fork_wait(take_owned_and_die, (void *)(uintptr_t)1),
               -SIGKILL);
    T_CHECK_EQ(acquire(SHMKIT_FOREVER), SHMKIT_OWNER_DIED);
    sync_close();
}

static const struct unit_case cases[] = {
    UNIT_CASE(values_are_checked),
    UNIT_CASE(every_unit_counts_once),
    UNIT_CASE(an_unbounded_value_has_an_end),
    UNIT_CASE(wrong_bytes_are_refused),
    UNIT_CASE(never_more_than_n_are_inside),
    UNIT_CASE(a_failure_is_true_at_some_instant),
    UNIT_CASE(releases_by_others_wake_all_takers),
    UNIT_CASE(two_hundred_threads_get_a_unit_each),
    UNIT_CASE(an_owned_unit_comes_back_and_is_told_once),
    UNIT_CASE(an_anonymous_unit_stays_out_until_somebody_releases_it),
    UNIT_CASE(a_release_takes_the_right_unit),
    UNIT_CASE(a_sleeper_gets_the_unit_of_the_dead),
};

int
main(void)
{
    return UNIT_MAIN("semaphore", NULL, cases);
}
