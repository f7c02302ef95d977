/* SPDX-License-Identifier: MIT */
/* scenarios.c - what hangs multiprocessing's primitives, one test each.
 *
 *   the holder of a lock is killed
 *   an event is set after one of its waiters was killed
 *   a party is killed inside a barrier
 *   a condition is notified after its longest waiting waiter was killed
 *   the holder of an owned unit of a semaphore is killed
 *   the holder of a lock is stopped for STOP_S seconds: it is never robbed
 *
 * Each is played in an arena of its own by processes of their own; `scene` is
 * what they share.  An actor says how far it is by `step`, and its last call's
 * result and time by `result` and `ended_ns`.  SOON_S seconds is far more than
 * any recovery takes, and far less than for ever; bench_recovery measures. */
#include <errno.h>
#include <shmkit/arena.h>
#include <shmkit/family.h>
#include <shmkit/sync.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define SOON_S 5
#define STOP_S 10
#define ACTORS 2

struct actor {
    struct t_flag step;
    int32_t result;
    int64_t ended_ns;
};

static struct scene {
    shmkit_lock lock;
    shmkit_condition condition;
    shmkit_event event;
    _Alignas(64) shmkit_semaphore semaphore;
    uint32_t unit;
    _Alignas(64) shmkit_barrier barrier;
    uint64_t slot[3];
    struct actor actor[ACTORS];
    struct t_flag go;
} * scene;

static shmkit_arena *arena;

static int64_t
now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
done(unsigned i, int result)
{
    scene->actor[i].ended_ns = now_ns();
    scene->actor[i].result = result;
    t_flag_set(&scene->actor[i].step, 2);
}

static pid_t
start(unsigned i, void (*play)(unsigned i))
{
    pid_t pid = T_SYS(fork());

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        play(i);
        _exit(0);
    }
    return pid;
}

/* It is about to make its call; give it time to fall asleep in it. */
static void
await_asleep(unsigned i)
{
    t_flag_wait(&scene->actor[i].step, 1);
    t_sleep_ms(30);
}

/* Its call ended with `result`, soon after `since`. */
static void
expect_soon(unsigned i, int result, int64_t since)
{
    while (t_flag_get(&scene->actor[i].step) < 2 &&
           now_ns() - since < SOON_S * INT64_C(1000000000))
        t_sleep_ms(1);
    T_CHECK_EQ(t_flag_get(&scene->actor[i].step), 2);
    T_CHECK_EQ(scene->actor[i].result, result);
    printf("  after %.1f ms\n",
           (double)(scene->actor[i].ended_ns - since) / 1e6);
}

static void
open_scene(const char *title)
{
    uint64_t offset;

    printf("%s\n", title);
    (void)fflush(stdout);
    T_CHECK_EQ(shmkit_arena_create(NULL, 1 << 16, NULL, &arena), 0);
    T_CHECK_EQ(shmkit_arena_alloc(arena, sizeof *scene, &offset), 0);
    scene = shmkit_arena_at(arena, offset, sizeof *scene);
    T_CHECK(scene != NULL);
    T_CHECK_EQ(shmkit_semaphore_init(&scene->semaphore, 1, 0), 0);
    T_CHECK_EQ(shmkit_barrier_init(&scene->barrier, 3, 0), 0);
}

/* ---- what actors do ---- */

static void
hold_lock(unsigned i)
{
    T_CHECK_EQ(shmkit_lock_acquire(arena, &scene->lock, SHMKIT_FOREVER), 0);
    t_flag_set(&scene->actor[i].step, 1);
    t_flag_wait(&scene->go, 1);
    done(i, shmkit_lock_release(arena, &scene->lock));
}

static void
want_lock(unsigned i)
{
    t_flag_set(&scene->actor[i].step, 1);
    done(i, shmkit_lock_acquire(arena, &scene->lock, SHMKIT_FOREVER));
}

static void
hold_unit(unsigned i)
{
    T_CHECK_EQ(shmkit_semaphore_acquire_owned(arena, &scene->semaphore,
                                              SHMKIT_FOREVER),
               0);
    t_flag_set(&scene->actor[i].step, 1);
    t_flag_wait(&scene->go, 1);
}

static void
want_unit(unsigned i)
{
    t_flag_set(&scene->actor[i].step, 1);
    done(i, shmkit_semaphore_acquire_owned(arena, &scene->semaphore,
                                           SHMKIT_FOREVER));
}

static void
await_event(unsigned i)
{
    t_flag_set(&scene->actor[i].step, 1);
    done(i, shmkit_event_wait(&scene->event, SHMKIT_FOREVER));
}

static void
await_barrier(unsigned i)
{
    uint32_t index;

    t_flag_set(&scene->actor[i].step, 1);
    done(i,
         shmkit_barrier_wait(arena, &scene->barrier, SHMKIT_FOREVER, &index));
}

static void
await_condition(unsigned i)
{
    int r;

    T_CHECK_EQ(shmkit_lock_acquire(arena, &scene->lock, SHMKIT_FOREVER), 0);
    t_flag_set(&scene->actor[i].step, 1);
    r = shmkit_condition_wait(arena, &scene->condition, &scene->lock,
                              SHMKIT_FOREVER);
    T_CHECK_EQ(shmkit_lock_release(arena, &scene->lock), 0);
    done(i, r);
}

/* ---- the six ---- */

static void
lock_holder_killed(void)
{
    pid_t holder, other;
    int64_t since;

    open_scene("holder of a lock killed");
    holder = start(0, hold_lock);
    t_flag_wait(&scene->actor[0].step, 1);
    other = start(1, want_lock);
    await_asleep(1);
    since = now_ns();
    (void)t_kill_wait(holder);
    expect_soon(1, SHMKIT_OWNER_DIED, since);
    T_CHECK_EQ(t_wait(other), 0);
}

static void
event_waiter_killed(void)
{
    pid_t victim, other;
    int64_t since;

    open_scene("event set after a waiter was killed");
    victim = start(0, await_event);
    other = start(1, await_event);
    await_asleep(0);
    await_asleep(1);
    (void)t_kill_wait(victim);
    since = now_ns();
    shmkit_event_set(&scene->event);
    T_CHECK(now_ns() - since < SOON_S * INT64_C(1000000000));
    expect_soon(1, 0, since);
    T_CHECK_EQ(t_wait(other), 0);
    shmkit_event_clear(&scene->event);
    shmkit_event_set(&scene->event);
}

/* Of three, two are in. */
static void
barrier_party_killed(void)
{
    pid_t victim, other;
    uint32_t index;
    int64_t since;

    open_scene("party killed inside a barrier");
    victim = start(0, await_barrier);
    other = start(1, await_barrier);
    await_asleep(0);
    await_asleep(1);
    since = now_ns();
    (void)t_kill_wait(victim);
    expect_soon(1, SHMKIT_BROKEN, since);
    T_CHECK_EQ(t_wait(other), 0);
    T_CHECK_EQ(
        shmkit_barrier_wait(arena, &scene->barrier, SHMKIT_FOREVER, &index),
        SHMKIT_BROKEN);
}

static void
condition_waiter_killed(void)
{
    pid_t victim, other;
    int64_t since;

    open_scene("condition notified after a waiter was killed");
    victim = start(0, await_condition);
    await_asleep(0);
    other = start(1, await_condition);
    await_asleep(1);
    (void)t_kill_wait(victim);
    since = now_ns();
    T_CHECK_EQ(shmkit_lock_acquire(arena, &scene->lock, SHMKIT_FOREVER), 0);
    T_CHECK_EQ(shmkit_condition_notify(arena, &scene->condition, 1), 1);
    T_CHECK_EQ(shmkit_lock_release(arena, &scene->lock), 0);
    expect_soon(1, 0, since);
    T_CHECK_EQ(t_wait(other), 0);
}

static void
unit_holder_killed(void)
{
    pid_t holder, other;
    int64_t since;

    open_scene("holder of an owned unit killed");
    holder = start(0, hold_unit);
    t_flag_wait(&scene->actor[0].step, 1);
    other = start(1, want_unit);
    await_asleep(1);
    since = now_ns();
    (void)t_kill_wait(holder);
    expect_soon(1, SHMKIT_OWNER_DIED, since);
    T_CHECK_EQ(t_wait(other), 0);
    T_CHECK_EQ(shmkit_semaphore_get_deaths(&scene->semaphore), 1);
}

static void
lock_holder_stopped(void)
{
    int64_t end, since;
    pid_t holder, other;

    open_scene("holder of a lock stopped");
    holder = start(0, hold_lock);
    t_flag_wait(&scene->actor[0].step, 1);
    T_SYS(kill(holder, SIGSTOP));
    T_CHECK(t_wait_stopped(holder));
    other = start(1, want_lock);
    await_asleep(1);
    end = now_ns() + STOP_S * INT64_C(1000000000);
    while (now_ns() < end) {
        T_CHECK_EQ(shmkit_lock_acquire(arena, &scene->lock, SHMKIT_TRY),
                   -ETIMEDOUT);
        T_CHECK_EQ(t_flag_get(&scene->actor[1].step), 1);
        t_sleep_ms(5);
    }
    T_SYS(kill(holder, SIGCONT));
    since = now_ns();
    t_flag_set(&scene->go, 1);
    expect_soon(0, 0, since);
    expect_soon(1, 0, since);
    T_CHECK_EQ(t_wait(holder), 0);
    T_CHECK_EQ(t_wait(other), 0);
}

int
main(void)
{
    static void (*const scenarios[])(void) = {
        lock_holder_killed,      event_waiter_killed, barrier_party_killed,
        condition_waiter_killed, unit_holder_killed,  lock_holder_stopped,
    };

    /* A family formed here, outside, would stay. */
    shmkit_family_form_at_fork(0);
    t_namespace(NULL);
    t_watchdog("scenarios", 120);
    for (unsigned i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        scenarios[i]();
        shmkit_arena_close(arena);
    }
    t_watchdog("scenarios", 0);
    t_shm_check_empty();
    printf("6 scenarios played\n");
    return 0;
}
