/* SPDX-License-Identifier: MIT */
/* test_sync_lock.c - lock, rlock, deadlines, the hook. */
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sync_unit.h"

static shmkit_lock *lock;
static shmkit_rlock *rlock;

static int64_t
now_ns(void)
{
    struct timespec now;

    T_SYS(clock_gettime(CLOCK_MONOTONIC, &now));
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t
in_ms(int64_t ms)
{
    return now_ns() + ms * 1000000;
}

static struct shmkit_lock_stat
stat_of(const shmkit_lock *of)
{
    struct shmkit_lock_stat stat;

    T_CHECK_EQ(shmkit_lock_get_stat(sync_arena, of, &stat), 0);
    return stat;
}

static void
lock_excludes_and_says_so(void)
{
    sync_open();
    lock = sync_new(sizeof *lock);
    T_CHECK_EQ(shmkit_lock_is_locked(lock), 0);
    SYNC_ACQUIRE(lock);
    T_CHECK_EQ(shmkit_lock_is_locked(lock), 1);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_TRY), -ETIMEDOUT);
    T_CHECK_EQ(stat_of(lock).owner_pid, getpid());
    T_CHECK_EQ(stat_of(lock).deaths, 0);
    SYNC_RELEASE(lock);
    T_CHECK_EQ(stat_of(lock).owner_pid, 0);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_TRY), 0);
    SYNC_RELEASE(lock);
    T_CHECK_EQ(shmkit_lock_release(sync_arena, lock), -EOVERFLOW);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_TRY), 0);
    sync_close();
}

static void
deadlines_are_kept(void)
{
    int64_t end;

    T_CHECK_EQ(shmkit_deadline(0), SHMKIT_TRY);
    T_CHECK_EQ(shmkit_deadline(-1), SHMKIT_TRY);
    T_CHECK_EQ(shmkit_deadline((double)NAN), SHMKIT_TRY);
    T_CHECK(shmkit_deadline(1e300) == SHMKIT_FOREVER);
    T_CHECK(shmkit_deadline((double)INFINITY) == SHMKIT_FOREVER);
    T_CHECK(shmkit_deadline(10) > now_ns());
    sync_open();
    lock = sync_new(sizeof *lock);
    SYNC_ACQUIRE(lock);
    end = in_ms(60); /* several ticks */
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, end), -ETIMEDOUT);
    T_CHECK(now_ns() >= end);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, 1), -ETIMEDOUT);
    SYNC_RELEASE(lock);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, 1), 0);
    sync_close();
}

/* In a struct of the user's own, in memory that is no arena. */
struct counted {
    shmkit_lock lock;
    shmkit_rlock rlock;
    uint64_t n;
};

static void
static_and_dynamic_initialisation_are_the_same(void)
{
    static struct counted fixed = {SHMKIT_LOCK_INIT, SHMKIT_RLOCK_INIT, 0};
    struct counted set;

    memset(&set, 0xff, sizeof set);
    shmkit_lock_init(&set.lock);
    shmkit_rlock_init(&set.rlock);
    set.n = 0;
    T_CHECK_EQ(memcmp(&set, &fixed, sizeof set), 0);
    sync_open();
    SYNC_ACQUIRE(&fixed.lock);
    SYNC_RELEASE(&fixed.lock);
    T_CHECK_EQ(shmkit_rlock_acquire(sync_arena, &fixed.rlock, SHMKIT_FOREVER),
               0);
    T_CHECK_EQ(shmkit_rlock_release(sync_arena, &fixed.rlock), 0);
    sync_close();
}

#define ROUNDS 3000u

static void *
count_up(void *arg)
{
    struct counted *counted = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        SYNC_ACQUIRE(&counted->lock);
        counted->n++;
        SYNC_RELEASE(&counted->lock);
        T_CHECK_EQ(
            shmkit_rlock_acquire(sync_arena, &counted->rlock, SHMKIT_FOREVER),
            0);
        T_CHECK_EQ(
            shmkit_rlock_acquire(sync_arena, &counted->rlock, SHMKIT_TRY), 0);
        T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, &counted->rlock), 2);
        counted[1].n++;
        T_CHECK_EQ(shmkit_rlock_release(sync_arena, &counted->rlock), 0);
        T_CHECK_EQ(shmkit_rlock_release(sync_arena, &counted->rlock), 0);
    }
    return NULL;
}

static int
count_in_threads(void *arg)
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        threads[i] = sync_thread(count_up, arg);
    for (int i = 0; i < 3; i++)
        sync_join(threads[i]);
    return T_PASS;
}

static void
threads_of_processes_exclude_each_other(void)
{
    struct counted *counted = t_shared_page();
    pid_t children[2];

    sync_open();
    for (int i = 0; i < 2; i++)
        children[i] = t_fork(count_in_threads, counted);
    T_CHECK_EQ(count_in_threads(counted), T_PASS);
    for (int i = 0; i < 2; i++)
        T_CHECK_EQ(t_wait(children[i]), T_PASS);
    T_CHECK_EQ(counted[0].n, 9 * ROUNDS);
    T_CHECK_EQ(counted[1].n, 9 * ROUNDS);
    sync_close();
}

static void *
release_it(void *arg)
{
    (void)arg;
    SYNC_RELEASE(lock);
    return NULL;
}

static int
release_in_child(void *arg)
{
    (void)release_it(arg);
    return T_PASS;
}

static void
anybody_may_release_a_lock(void)
{
    sync_open();
    lock = sync_new(sizeof *lock);
    SYNC_ACQUIRE(lock);
    sync_join(sync_thread(release_it, NULL));
    T_CHECK_EQ(shmkit_lock_is_locked(lock), 0);
    SYNC_ACQUIRE(lock);
    T_CHECK_EQ(t_fork_wait(release_in_child, NULL), T_PASS);
    T_CHECK_EQ(shmkit_lock_is_locked(lock), 0);
    sync_close();
}

static int
die_holding(void *arg)
{
    (void)arg;
    T_CHECK(shmkit_lock_acquire(sync_arena, lock, SHMKIT_FOREVER) >= 0);
    (void)raise(SIGKILL);
    return T_PASS;
}

static void
death_is_told_until_marked_consistent(void)
{
    sync_open();
    lock = sync_new(sizeof *lock);
    T_CHECK_EQ(t_fork_wait(die_holding, NULL), -SIGKILL);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_FOREVER),
               SHMKIT_OWNER_DIED);
    T_CHECK_EQ(stat_of(lock).deaths, 1);
    T_CHECK_EQ(stat_of(lock).dirty, 1);
    SYNC_RELEASE(lock);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_TRY),
               SHMKIT_OWNER_DIED);
    SYNC_RELEASE(lock);
    /* A second death, of one who was told. */
    T_CHECK_EQ(t_fork_wait(die_holding, NULL), -SIGKILL);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_FOREVER),
               SHMKIT_OWNER_DIED);
    shmkit_lock_mark_consistent(lock);
    SYNC_RELEASE(lock);
    SYNC_ACQUIRE(lock);
    T_CHECK_EQ(stat_of(lock).deaths, 2);
    T_CHECK_EQ(stat_of(lock).dirty, 0);
    sync_close();
}

/* Whoever only tries, again and again, must not be left out. */
static void
a_try_takes_over_from_the_dead(void)
{
    sync_open();
    lock = sync_new(sizeof *lock);
    T_CHECK_EQ(t_fork_wait(die_holding, NULL), -SIGKILL);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_TRY),
               SHMKIT_OWNER_DIED);
    sync_close();
}

static void
deaths_wrap_around(void)
{
    sync_open();
    lock = sync_new(sizeof *lock);
    lock->died = UINT32_MAX - 1; /* 2^31 - 1 of them */
    T_CHECK_EQ(t_fork_wait(die_holding, NULL), -SIGKILL);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_FOREVER),
               SHMKIT_OWNER_DIED);
    T_CHECK_EQ(stat_of(lock).deaths, 0);
    shmkit_lock_mark_consistent(lock);
    SYNC_RELEASE(lock);
    SYNC_ACQUIRE(lock);
    sync_close();
}

static struct t_flag *flag;

static int
hold_and_be_stopped(void *arg)
{
    (void)arg;
    SYNC_ACQUIRE(lock);
    (void)raise(SIGSTOP);
    SYNC_RELEASE(lock);
    return T_PASS;
}

static void
a_stopped_holder_is_not_robbed(void)
{
    pid_t child;

    sync_open();
    lock = sync_new(sizeof *lock);
    child = t_fork(hold_and_be_stopped, NULL);
    T_CHECK(t_wait_stopped(child));
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, in_ms(200)), -ETIMEDOUT);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, lock, SHMKIT_TRY), -ETIMEDOUT);
    T_SYS(kill(child, SIGCONT));
    SYNC_ACQUIRE(lock);
    T_CHECK_EQ(t_wait(child), T_PASS);
    sync_close();
}

/* ---- the hook ---- */

static uint32_t handled, asked, give_up_at;

static void
on_signal(int number)
{
    (void)number;
    (void)sync_add(&handled, 1);
}

static int
ask(void *arg)
{
    T_CHECK(arg == &asked);
    return sync_add(&asked, 1) + 1 == give_up_at;
}

static void *
wait_hooked(void *arg)
{
    shmkit_wait_hook(ask, &asked);
    *(int *)arg = shmkit_lock_acquire(sync_arena, lock, SHMKIT_FOREVER);
    return NULL;
}

/* The signal may come while the thread looks around between two sleeps: then
 * no wait was interrupted, and it is sent again. */
static void
signal_until_asked(pthread_t thread, uint32_t times)
{
    while (sync_load(&asked) < times) {
        T_CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        t_sleep_ms(1);
    }
}

static void
the_hook_ends_a_wait_or_not(void)
{
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = SA_RESTART};
    int result = 1;
    pthread_t thread;

    sync_open();
    lock = sync_new(sizeof *lock);
    T_SYS(sigaction(SIGUSR1, &action, NULL));
    SYNC_ACQUIRE(lock);
    give_up_at = 3;
    thread = sync_thread(wait_hooked, &result);
    SYNC_UNTIL(stat_of(lock).waiting == 1);
    signal_until_asked(thread, 3);
    sync_join(thread);
    T_CHECK_EQ(result, -EINTR);
    T_CHECK_EQ(sync_load(&asked), 3);
    T_CHECK(sync_load(&handled) >= 3);
    SYNC_RELEASE(lock);
    SYNC_ACQUIRE(lock);
    sync_close();
}

static void *
wait_unhooked(void *arg)
{
    *(int *)arg = shmkit_lock_acquire(sync_arena, lock, in_ms(100));
    return NULL;
}

static void
without_a_hook_signals_do_not_matter(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    int result = 1;
    pthread_t thread;

    sync_open();
    lock = sync_new(sizeof *lock);
    T_SYS(sigaction(SIGUSR1, &action, NULL));
    SYNC_ACQUIRE(lock);
    thread = sync_thread(wait_unhooked, &result);
    for (int i = 0; i < 20; i++) {
        (void)pthread_kill(thread, SIGUSR1);
        t_sleep_ms(1);
    }
    sync_join(thread);
    T_CHECK_EQ(result, -ETIMEDOUT);
    sync_close();
}

/* ---- rlock ---- */

static int
acquire_rlock(int64_t deadline)
{
    return shmkit_rlock_acquire(sync_arena, rlock, deadline);
}

static int
release_rlock(void)
{
    return shmkit_rlock_release(sync_arena, rlock);
}

static void *
see_it_is_not_mine(void *arg)
{
    (void)arg;
    T_CHECK_EQ(release_rlock(), -EPERM);
    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, rlock), 0);
    T_CHECK_EQ(acquire_rlock(SHMKIT_TRY), -ETIMEDOUT);
    return NULL;
}

static int
see_it_in_child(void *arg)
{
    (void)see_it_is_not_mine(arg);
    sync_join(sync_thread(see_it_is_not_mine, NULL));
    return T_PASS;
}

static void
rlock_counts_for_its_thread_only(void)
{
    sync_open();
    rlock = sync_new(sizeof *rlock);
    T_CHECK_EQ(release_rlock(), -EPERM);
    for (uint32_t i = 1; i <= 3; i++) {
        T_CHECK_EQ(acquire_rlock(SHMKIT_TRY), 0);
        T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, rlock), i);
    }
    sync_join(sync_thread(see_it_is_not_mine, NULL));
    T_CHECK_EQ(t_fork_wait(see_it_in_child, NULL), T_PASS);
    for (uint32_t i = 3; i >= 1; i--) {
        T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, rlock), i);
        T_CHECK_EQ(release_rlock(), 0);
    }
    T_CHECK_EQ(release_rlock(), -EPERM);
    T_CHECK_EQ(shmkit_lock_is_locked(&rlock->lock), 0);
    sync_close();
}

static void
rlock_depth_has_an_end(void)
{
    sync_open();
    rlock = sync_new(sizeof *rlock);
    T_CHECK_EQ(acquire_rlock(SHMKIT_TRY), 0);
    rlock->depth = UINT32_MAX - 1;
    T_CHECK_EQ(acquire_rlock(SHMKIT_TRY), 0);
    T_CHECK_EQ(acquire_rlock(SHMKIT_TRY), -EOVERFLOW);
    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, rlock), UINT32_MAX);
    sync_close();
}

static int
die_in_rlock(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        T_CHECK_EQ(acquire_rlock(SHMKIT_FOREVER), 0);
    (void)raise(SIGKILL);
    return T_PASS;
}

static void
rlock_of_a_dead_owner_starts_anew(void)
{
    sync_open();
    rlock = sync_new(sizeof *rlock);
    T_CHECK_EQ(t_fork_wait(die_in_rlock, NULL), -SIGKILL);
    T_CHECK_EQ(acquire_rlock(SHMKIT_FOREVER), SHMKIT_OWNER_DIED);
    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, rlock), 1);
    T_CHECK_EQ(acquire_rlock(SHMKIT_FOREVER), SHMKIT_OWNER_DIED);
    shmkit_rlock_mark_consistent(rlock);
    T_CHECK_EQ(acquire_rlock(SHMKIT_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(release_rlock(), 0);
    T_CHECK_EQ(acquire_rlock(SHMKIT_TRY), 0);
    sync_close();
}

/* ---- many, and forks ---- */

static int
use_after_fork(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        SYNC_ACQUIRE(lock);
        SYNC_RELEASE(lock);
    }
    return T_PASS;
}

static int
fork_again(void *arg)
{
    SYNC_ACQUIRE(lock);
    pid_t child = t_fork(use_after_fork, arg);

    t_sleep_ms(5);
    SYNC_RELEASE(lock);
    return t_wait(child);
}

static void
a_lock_held_over_a_fork_stays_the_parents(void)
{
    sync_open();
    lock = sync_new(sizeof *lock);
    flag = t_flag_new();
    T_CHECK_EQ(fork_again(NULL), T_PASS);
    T_CHECK_EQ(t_fork_wait(fork_again, NULL), T_PASS);
    T_CHECK_EQ(stat_of(lock).deaths, 0);
    sync_close();
}

static const struct unit_case cases[] = {
    UNIT_CASE(lock_excludes_and_says_so),
    UNIT_CASE(deadlines_are_kept),
    UNIT_CASE(static_and_dynamic_initialisation_are_the_same),
    UNIT_CASE(threads_of_processes_exclude_each_other),
    UNIT_CASE(anybody_may_release_a_lock),
    UNIT_CASE(death_is_told_until_marked_consistent),
    UNIT_CASE(a_try_takes_over_from_the_dead),
    UNIT_CASE(deaths_wrap_around),
    UNIT_CASE(a_stopped_holder_is_not_robbed),
    UNIT_CASE(the_hook_ends_a_wait_or_not),
    UNIT_CASE(without_a_hook_signals_do_not_matter),
    UNIT_CASE(rlock_counts_for_its_thread_only),
    UNIT_CASE(rlock_depth_has_an_end),
    UNIT_CASE(rlock_of_a_dead_owner_starts_anew),
    UNIT_CASE(a_lock_held_over_a_fork_stays_the_parents),
};

int
main(void)
{
    return UNIT_MAIN("lock", NULL, cases);
}
