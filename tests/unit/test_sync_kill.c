/* SPDX-License-Identifier: MIT */
/* test_sync_kill.c - every primitive, with the subject killed at every fault
 * point it passes.
 *
 * A scene is two processes of the same load that go on for ever: the subject,
 * which is killed at the n-th passage of one point, and a survivor with two
 * threads.  After the kill the survivor alone must make progress, many times,
 * before anybody else comes: a lost wake-up, a lock of the dead or a grant
 * that went with its waiter would stop it, and the watchdog ends the test.
 * The loads have no time-outs, since these would heal what is wrong, and each
 * checks what it must never see: two inside, an index twice, a barrier that
 * let somebody go early, half a change that nobody told of.
 *
 * First the points are found: each load runs with a hook that notes what it
 * passes.  Points of this layer that no load passes fail the test. */
#define SHMKIT_NO_INLINE 1 /* fault points are in the library's functions */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "sync_unit.h"

#define PROGRESS 30u /* operations of the survivor after the kill */
#define POINTS 400u

static struct shared {
    shmkit_lock lock;
    shmkit_rlock rlock;
    shmkit_rwlock rwlock;
    shmkit_condition free, full;
    shmkit_event event[3];
    shmkit_lock turn;
    uint64_t a, b;
    uint32_t item;        /* a buffer of one: 0 = empty */
    uint32_t inside;      /* token of who is inside */
    uint32_t subject;     /* operations of the subject, and the survivor's */
    uint32_t survivor[2]; /* per thread */
    uint32_t stop;
    uint32_t passed[POINTS];
} * shared;
static shmkit_semaphore *owned;
static shmkit_barrier *barrier;

/* Parties and the like are told apart by who they are. */
static _Thread_local uint32_t role; /* 0 subject, 1 and 2 survivor */

static void
check_held(int r, shmkit_lock *lock)
{
    T_CHECK(r == 0 || r == SHMKIT_OWNER_DIED);
    if (r == SHMKIT_OWNER_DIED) {
        /* Only after a death may the halves differ. */
        shared->b = shared->a;
        shmkit_lock_mark_consistent(lock);
    }
    T_CHECK_EQ(shared->a, shared->b);
}

static void
change_halves(void)
{
    shared->a++;
    __asm__ __volatile__("" ::: "memory");
    shared->b++;
}

/* ---- loads: one operation each ---- */

static void
use_lock(void)
{
    check_held(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER),
               &shared->lock);
    change_halves();
    T_CHECK_EQ(shmkit_lock_release(sync_arena, &shared->lock), 0);
}

static void
use_rlock(void)
{
    int r = shmkit_rlock_acquire(sync_arena, &shared->rlock, SHMKIT_FOREVER);

    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, &shared->rlock), 1);
    check_held(r, &shared->rlock.lock);
    T_CHECK_EQ(shmkit_rlock_acquire(sync_arena, &shared->rlock, SHMKIT_TRY),
               0);
    change_halves();
    T_CHECK_EQ(shmkit_rlock_release(sync_arena, &shared->rlock), 0);
    T_CHECK_EQ(shmkit_rlock_release(sync_arena, &shared->rlock), 0);
}

static void
use_rwlock(void)
{
    static _Thread_local uint32_t n;
    int r;

    if (n++ % 3 == 0) {
        r = shmkit_rwlock_acquire_write(sync_arena, &shared->rwlock,
                                        SHMKIT_FOREVER);
        check_held(r, &shared->rwlock.writer);
        change_halves();
        T_CHECK_EQ(shmkit_rwlock_release_write(sync_arena, &shared->rwlock),
                   0);
        return;
    }
    r = shmkit_rwlock_acquire_read(sync_arena, &shared->rwlock,
                                   SHMKIT_FOREVER);
    T_CHECK(r == SHMKIT_OWNER_DIED || (r == 0 && shared->a == shared->b));
    T_CHECK_EQ(shmkit_rwlock_release_read(sync_arena, &shared->rwlock), 0);
}

/* Whoever finds the buffer empty fills it, and whoever finds it full empties
 * it, twice: the survivors' two threads do both, so they need nobody. */
static void
put_and_get(bool put, int (*wait)(shmkit_condition *condition),
            uint32_t *inside)
{
    int r = 0;

    while (put == (shared->item != 0)) {
        r = wait(put ? &shared->free : &shared->full);
        T_CHECK(r == 0 || r == SHMKIT_OWNER_DIED);
    }
    T_CHECK_EQ(*inside, 0);
    *inside = role + 1;
    shared->item = put;
    *inside = 0;
    (void)shmkit_condition_notify(sync_arena,
                                  put ? &shared->full : &shared->free, 1);
}

static int
wait_with_lock(shmkit_condition *condition)
{
    int r = shmkit_condition_wait(sync_arena, condition, &shared->lock,
                                  SHMKIT_FOREVER);

    if (r == SHMKIT_OWNER_DIED) {
        shared->inside = 0;
        shmkit_lock_mark_consistent(&shared->lock);
    }
    return r;
}

/* Role 1 puts and role 2 gets; the subject does both in turn. */
static bool
is_putting(void)
{
    static _Thread_local uint32_t n;

    return role == 0 ? n++ % 2 == 0 : role == 1;
}

static void
use_condition(void)
{
    int r = shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER);

    T_CHECK(r >= 0);
    if (r == SHMKIT_OWNER_DIED) {
        shared->inside = 0;
        shmkit_lock_mark_consistent(&shared->lock);
    }
    put_and_get(is_putting(), wait_with_lock, &shared->inside);
    T_CHECK_EQ(shmkit_lock_release(sync_arena, &shared->lock), 0);
}

static int
wait_with_rlock(shmkit_condition *condition)
{
    int r = shmkit_condition_wait_rlock(sync_arena, condition, &shared->rlock,
                                        SHMKIT_FOREVER);

    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, &shared->rlock), 1);
    if (r == SHMKIT_OWNER_DIED) {
        shared->inside = 0;
        shmkit_rlock_mark_consistent(&shared->rlock);
    }
    return r;
}

static void
use_condition_with_rlock(void)
{
    int r = shmkit_rlock_acquire(sync_arena, &shared->rlock, SHMKIT_FOREVER);

    T_CHECK(r >= 0);
    if (r == SHMKIT_OWNER_DIED) {
        shared->inside = 0;
        shmkit_rlock_mark_consistent(&shared->rlock);
    }
    put_and_get(is_putting(), wait_with_rlock, &shared->inside);
    T_CHECK_EQ(shmkit_rlock_release(sync_arena, &shared->rlock), 0);
}

/* Two events and two threads that hand a turn to and fro; the subject sets
 * them as well, which may only let somebody go too early.  It clears one of
 * its own: a clear that is not followed by its set would stop the others by
 * right. */
static void
use_event(void)
{
    if (role == 0) {
        T_CHECK_EQ(shmkit_event_wait(&shared->event[0], SHMKIT_FOREVER), 0);
        shmkit_event_set(&shared->event[1]);
        shmkit_event_set(&shared->event[0]);
        shmkit_event_set(&shared->event[2]);
        shmkit_event_clear(&shared->event[2]);
        return;
    }
    shmkit_event_set(&shared->event[role - 1]);
    T_CHECK_EQ(shmkit_event_wait(&shared->event[2 - role], SHMKIT_FOREVER), 0);
    shmkit_event_clear(&shared->event[2 - role]);
}

static void
use_semaphore(void)
{
    int r = shmkit_semaphore_acquire_owned(sync_arena, owned, SHMKIT_FOREVER);

    T_CHECK(r == 0 || r == SHMKIT_OWNER_DIED);
    T_CHECK_EQ(shmkit_semaphore_release(sync_arena, owned), 0);
}

/* Three parties that come each time: else one who dies between two waits
 * would leave the others waiting, by right.  Once it is broken by the death,
 * the survivors replace the dead party: they reset, and go on as a barrier of
 * two. */
static void
use_barrier(void)
{
    uint32_t index;
    int r = shmkit_barrier_wait(sync_arena, barrier, SHMKIT_FOREVER, &index);

    if (r == SHMKIT_RUN_ACTION) {
        shared->a++;
        r = shmkit_barrier_pass(sync_arena, barrier);
        T_CHECK(r == 0 || r == SHMKIT_BROKEN);
    }
    if (r != SHMKIT_BROKEN)
        return;
    T_CHECK(role != 0 || sync_load(&shared->stop) != 0);
    /* Told: that is progress enough for those left behind. */
    shmkit_barrier_reset(sync_arena, barrier);
    shmkit_barrier_abort(barrier);
}

static const struct load {
    const char *name;
    void (*use)(void);
} loads[] = {
    {"lock", use_lock},
    {"rlock", use_rlock},
    {"rwlock", use_rwlock},
    {"condition", use_condition},
    {"condition with rlock", use_condition_with_rlock},
    {"event", use_event},
    {"semaphore", use_semaphore},
    {"barrier", use_barrier},
};

#define LOADS (sizeof loads / sizeof loads[0])

/* ---- subject and survivor ---- */

static uint32_t
point_number(const char *point)
{
    for (uint32_t i = 0; i < POINTS && shmkiti_fault_name(i) != NULL; i++) {
        if (strcmp(shmkiti_fault_name(i), point) == 0)
            return i;
    }
    return POINTS - 1;
}

struct plan {
    const struct load *load;
    const char *point; /* NULL: only note what is passed */
    uint32_t passage;
};

static void
on_point(const char *point, void *arg)
{
    struct plan *plan = arg;

    if (role != 0 || (plan->load != NULL && sync_load(&shared->subject) == 0))
        return; /* a party counts as a regular once it has been one */
    if (plan->point == NULL)
        (void)sync_add(&shared->passed[point_number(point)], 1);
    else if (strcmp(plan->point, point) == 0 && --plan->passage == 0)
        (void)raise(SIGKILL);
}

static int
be_subject(void *arg)
{
    struct plan *plan = arg;

    T_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
    shmkiti_fault_set_hook(on_point, plan);
    while (sync_load(&shared->stop) == 0) {
        plan->load->use();
        (void)sync_add(&shared->subject, 1);
    }
    return T_PASS;
}

static const struct load *survivors_load;

static void *
survive(void *arg)
{
    role = (uint32_t)(uintptr_t)arg;
    for (;;) {
        survivors_load->use();
        (void)sync_add(&shared->survivor[role - 1], 1);
    }
    return NULL;
}

static int
be_survivor(void *arg)
{
    T_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
    survivors_load = ((struct plan *)arg)->load;
    (void)sync_thread(survive, (void *)(uintptr_t)2);
    (void)survive((void *)(uintptr_t)1);
    return T_FAIL;
}

static void
open_scene(void)
{
    sync_open();
    shared = sync_new(sizeof *shared);
    owned = sync_new(shmkit_semaphore_size(1));
    barrier = sync_new(shmkit_barrier_size(3));
    T_CHECK_EQ(shmkit_semaphore_init(owned, 1, 1), 0);
    T_CHECK_EQ(
        shmkit_barrier_init(barrier, 3,
                            SHMKIT_BARRIER_ACTION | SHMKIT_BARRIER_REGULARS),
        0);
}

static void
await_progress(void)
{
    for (int i = 0; i < 2; i++) {
        uint32_t before = sync_load(&shared->survivor[i]);

        SYNC_UNTIL(sync_load(&shared->survivor[i]) - before >= PROGRESS);
    }
}

/* A subject that never comes to its point in a while is ended in any place. */
static bool
await_kill(pid_t subject)
{
    siginfo_t info = {.si_pid = 0};

    for (int ms = 0; ms < 700; ms++) {
        T_SYS(
            waitid(P_PID, (id_t)subject, &info, WEXITED | WNOHANG | WNOWAIT));
        if (info.si_pid != 0)
            break;
        t_sleep_ms(1);
    }
    T_CHECK_EQ(t_kill_wait(subject), -SIGKILL);
    return info.si_pid != 0;
}

static bool
kill_there(struct plan *plan)
{
    pid_t survivor, subject;
    bool reached;

    open_scene();
    survivor = t_fork_raw(be_survivor, plan);
    subject = t_fork_raw(be_subject, plan);
    reached = await_kill(subject);
    sync_store(&shared->stop, 1);
    await_progress();
    T_CHECK_EQ(t_kill_wait(survivor), -SIGKILL);
    sync_close();
    return reached;
}

/* What the subject passes in a run without kills, and how often. */
static void
find_points(const struct load *load, uint32_t *passed)
{
    struct plan plan = {load, NULL, 0};
    pid_t survivor, subject;

    open_scene();
    survivor = t_fork_raw(be_survivor, &plan);
    subject = t_fork_raw(be_subject, &plan);
    t_sleep_ms(300);
    SYNC_UNTIL(sync_load(&shared->subject) >= 1000);
    T_CHECK_EQ(t_kill_wait(subject), -SIGKILL);
    T_CHECK_EQ(t_kill_wait(survivor), -SIGKILL);
    for (uint32_t i = 0; i < POINTS - 1; i++)
        passed[i] = sync_load(&shared->passed[i]);
    sync_close();
}

/* Points at which a kill has happened; shared by all cases. */
static uint32_t *covered;

static bool
is_of_this_layer(const char *point)
{
    static const char *const nouns[] = {
        "lock.acquire.", "lock.release.", "lock.inherit.", "rlock.", "rw.",
        "wait.",         "notify.",       "event.",        "sem.",   "bar."};

    for (size_t i = 0; i < sizeof nouns / sizeof nouns[0]; i++) {
        if (strncmp(point, nouns[i], strlen(nouns[i])) == 0)
            return true;
    }
    return false;
}

static bool
kill_at(const struct load *load, uint32_t point, uint32_t passage)
{
    struct plan plan = {load, shmkiti_fault_name(point), passage};
    bool reached = kill_there(&plan);

    if (reached)
        sync_store(&covered[point], 1);
    return reached;
}

static void
kill_everywhere(const struct load *load)
{
    uint32_t passed[POINTS] = {0};
    unsigned kills = 0, reached = 0;

    find_points(load, passed);
    for (uint32_t i = 0; i < POINTS - 1; i++) {
        if (passed[i] == 0 || !is_of_this_layer(shmkiti_fault_name(i)))
            continue;
        for (uint32_t passage = 1; passage <= passed[i] && passage <= 3;
             passage += 2) {
            reached += kill_at(load, i, passage);
            kills++;
        }
    }
    printf("%s: %u kills, %u at their point\n", load->name, kills, reached);
    T_CHECK(reached > 0);
}

static void
lock_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[0]);
}

static void
rlock_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[1]);
}

static void
rwlock_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[2]);
}

static void
condition_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[3]);
}

static void
condition_with_rlock_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[4]);
}

static void
event_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[5]);
}

static void
semaphore_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[6]);
}

static void
barrier_subject_killed_everywhere(void)
{
    kill_everywhere(&loads[7]);
}

/* ---- points that only a death before leads to ---- */

/* Runs `act` in a child that is killed at `point`. */
static void
die_at(int (*act)(void *arg), const char *point)
{
    struct plan plan = {NULL, point, 1};

    T_CHECK_EQ(t_fork_wait(act, &plan), -SIGKILL);
    sync_store(&covered[point_number(point)], 1);
}

static int
hold_lock(void *arg)
{
    if (arg != NULL)
        shmkiti_fault_set_hook(on_point, arg);
    T_CHECK(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER) >=
            0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
an_heir_that_dies_is_inherited_too(void)
{
    struct shmkit_lock_stat stat;

    open_scene();
    T_CHECK_EQ(t_fork_wait(hold_lock, NULL), -SIGKILL);
    die_at(hold_lock, "lock.inherit.taken");
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER),
               SHMKIT_OWNER_DIED);
    T_CHECK_EQ(shmkit_lock_get_stat(sync_arena, &shared->lock, &stat), 0);
    T_CHECK_EQ(stat.deaths, 1); /* the first one's was not counted any more */
    T_CHECK_EQ(shmkit_lock_release(sync_arena, &shared->lock), 0);
    T_CHECK_EQ(t_fork_wait(hold_lock, NULL), -SIGKILL);
    die_at(hold_lock, "lock.inherit.counted");
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER),
               SHMKIT_OWNER_DIED);
    T_CHECK_EQ(shmkit_lock_get_stat(sync_arena, &shared->lock, &stat), 0);
    T_CHECK_EQ(stat.deaths, 3);
    sync_close();
}

static int
hold_unit(void *arg)
{
    if (arg != NULL)
        shmkiti_fault_set_hook(on_point, arg);
    T_CHECK(shmkit_semaphore_acquire_owned(sync_arena, owned,
                                           SHMKIT_FOREVER) >= 0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
an_heir_of_a_unit_that_dies_is_inherited_too(void)
{
    open_scene();
    T_CHECK_EQ(t_fork_wait(hold_unit, NULL), -SIGKILL);
    die_at(hold_unit, "sem.inherit.taken");
    T_CHECK_EQ(
        shmkit_semaphore_acquire_owned(sync_arena, owned, SHMKIT_FOREVER),
        SHMKIT_OWNER_DIED);
    sync_close();
}

static int
wait_once(void *arg)
{
    int r = shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER);

    T_CHECK(r >= 0);
    while (sync_load(&shared->item) == 0)
        r = shmkit_condition_wait(sync_arena, &shared->full, &shared->lock,
                                  SHMKIT_FOREVER);
    T_CHECK(r >= 0);
    T_CHECK_EQ(shmkit_lock_release(sync_arena, &shared->lock), 0);
    (void)arg;
    return T_PASS;
}

static int
notify_once(void *arg)
{
    shmkiti_fault_set_hook(on_point, arg);
    T_CHECK_EQ(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER),
               0);
    sync_store(&shared->item, 1);
    T_CHECK_EQ(shmkit_condition_notify(sync_arena, &shared->full, 1), 1);
    T_CHECK_EQ(shmkit_lock_release(sync_arena, &shared->lock), 0);
    return T_FAIL;
}

/* The first in line is dead, the second gets its grant, and the notifier dies
 * before it has woken him. */
static void
a_grant_is_passed_on_though_the_notifier_dies(void)
{
    pid_t first, second;

    open_scene();
    first = t_fork_raw(wait_once, NULL);
    SYNC_UNTIL(shmkit_condition_count_waiting(sync_arena, &shared->full) == 1);
    second = t_fork_raw(wait_once, NULL);
    SYNC_UNTIL(shmkit_condition_count_waiting(sync_arena, &shared->full) == 2);
    T_CHECK_EQ(t_kill_wait(first), -SIGKILL);
    die_at(notify_once, "notify.pass");
    T_CHECK_EQ(t_wait(second), T_PASS);
    sync_close();
}

static int
break_it(void *arg)
{
    uint32_t index;

    shmkiti_fault_set_hook(on_point, arg);
    T_CHECK_EQ(shmkit_barrier_wait(sync_arena, barrier, SHMKIT_TRY, &index),
               -ETIMEDOUT);
    shmkit_barrier_reset(sync_arena, barrier);
    return T_FAIL;
}

static void
breaking_and_resetting_may_end_anywhere(void)
{
    static const char *const points[] = {"bar.break", "bar.changed",
                                         "bar.reset", "bar.sleep"};
    uint32_t index;

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        open_scene();
        T_CHECK_EQ(shmkit_barrier_init(barrier, 2, 0), 0);
        die_at(break_it, points[i]);
        shmkit_barrier_reset(sync_arena, barrier);
        T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
        T_CHECK_EQ(
            shmkit_barrier_wait(sync_arena, barrier, SHMKIT_TRY, &index),
            -ETIMEDOUT);
        sync_close();
    }
}

/* ---- points that only patience leads to ---- */

static void
take_lock(void)
{
    T_CHECK(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER) >=
            0);
}

static void
give_lock(void)
{
    T_CHECK_EQ(shmkit_lock_release(sync_arena, &shared->lock), 0);
}

static void
take_unit(void)
{
    T_CHECK(shmkit_semaphore_acquire_owned(sync_arena, owned,
                                           SHMKIT_FOREVER) >= 0);
}

static void
give_unit(void)
{
    T_CHECK_EQ(shmkit_semaphore_release(sync_arena, owned), 0);
}

static void
begin_read(void)
{
    T_CHECK(shmkit_rwlock_acquire_read(sync_arena, &shared->rwlock,
                                       SHMKIT_FOREVER) >= 0);
}

static void
end_read(void)
{
    T_CHECK_EQ(shmkit_rwlock_release_read(sync_arena, &shared->rwlock), 0);
}

static void
begin_write(void)
{
    T_CHECK(shmkit_rwlock_acquire_write(sync_arena, &shared->rwlock,
                                        SHMKIT_FOREVER) >= 0);
}

static void
end_write(void)
{
    T_CHECK_EQ(shmkit_rwlock_release_write(sync_arena, &shared->rwlock), 0);
}

static void
await_event(void)
{
    T_CHECK_EQ(shmkit_event_wait(&shared->event[0], SHMKIT_FOREVER), 0);
}

static void
set_event(void)
{
    shmkit_event_set(&shared->event[0]);
}

static void
clear_event(void)
{
    shmkit_event_clear(&shared->event[0]);
}

static bool
lock_is_awaited(void)
{
    return sync_load(&shared->lock.word) >> 31 != 0;
}

static bool
unit_is_awaited(void)
{
    return (sync_load(&owned->queue) & 1) != 0;
}

static bool
readers_are_awaited(void)
{
    return (sync_load(&shared->rwlock.queue) & 1) != 0;
}

static bool
event_is_awaited(void)
{
    return sync_load(&shared->event[0].word) >> 31 != 0;
}

/* One holds, another wants; `wanted` tells that he sleeps. */
static const struct pair {
    void (*take)(void), (*give)(void);
    void (*want)(void), (*end)(void);
    bool (*wanted)(void);
    const char *sleeper[3], *waker[3]; /* where each is killed */
} pairs[] = {
    {take_lock,
     give_lock,
     take_lock,
     give_lock,
     lock_is_awaited,
     {"lock.acquire.sleep", "lock.acquire.woke", NULL},
     {"lock.release.start", "lock.release.freed", "lock.release.woken"}},
    {take_unit,
     give_unit,
     take_unit,
     give_unit,
     unit_is_awaited,
     {"sem.acquire.sleep", "sem.acquire.woke", NULL},
     {"sem.release.freed", "sem.release.counted", NULL}},
    {begin_read,
     end_read,
     begin_write,
     end_write,
     readers_are_awaited,
     {"rw.write.taken", "rw.write.sleep", NULL},
     {"rw.read.off", "rw.read.counted", NULL}},
    {begin_write,
     end_write,
     begin_read,
     end_read,
     NULL,
     {"rw.read.marked", "rw.read.yielded", NULL},
     {NULL}},
    {clear_event,
     set_event,
     await_event,
     clear_event,
     event_is_awaited,
     {"event.wait.sleep", "event.wait.woke", NULL},
     {"event.set.changed", NULL}},
};
#define PAIRS (sizeof pairs / sizeof pairs[0])

static const struct pair *pair;

static int
want_and_die(void *arg)
{
    shmkiti_fault_set_hook(on_point, arg);
    pair->want();
    return T_FAIL;
}

static void
sleepers_may_be_killed(void)
{
    for (pair = pairs; pair < pairs + PAIRS; pair++) {
        for (int i = 0; i < 3 && pair->sleeper[i] != NULL; i++) {
            open_scene();
            pair->take();
            die_at(want_and_die, pair->sleeper[i]);
            pair->give();
            pair->want();
            pair->end();
            sync_close();
        }
    }
}

static void *
want_in_thread(void *arg)
{
    pair->want();
    pair->end();
    return arg;
}

static int
give_and_die(void *arg)
{
    pair->take();
    sync_store(&shared->item, 1);
    SYNC_UNTIL(pair->wanted());
    shmkiti_fault_set_hook(on_point, arg);
    pair->give();
    return T_FAIL;
}

static void
kill_waker_at(const char *point)
{
    struct plan plan = {NULL, point, 1};
    pthread_t thread;
    pid_t waker;

    open_scene();
    waker = t_fork_raw(give_and_die, &plan);
    SYNC_UNTIL(sync_load(&shared->item) == 1);
    thread = sync_thread(want_in_thread, NULL);
    T_CHECK_EQ(t_wait(waker), -SIGKILL);
    sync_join(thread);
    sync_store(&covered[point_number(point)], 1);
    sync_close();
}

static void
wakers_may_be_killed(void)
{
    for (pair = pairs; pair < pairs + PAIRS; pair++) {
        for (int i = 0; i < 3 && pair->waker[i] != NULL; i++)
            kill_waker_at(pair->waker[i]);
    }
}

/* ---- all points ---- */

/* Chance has it whether a load comes to a point in its time: give each more
 * of it. */
static bool
chase(uint32_t point)
{
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LOADS; i++) {
            if (kill_at(&loads[i], point, 1))
                return true;
        }
    }
    return false;
}

static void
every_point_has_been_killed_at(void)
{
    unsigned missing = 0, all = 0;

    for (uint32_t i = 0; shmkiti_fault_name(i) != NULL; i++) {
        const char *point = shmkiti_fault_name(i);

        T_CHECK(i < POINTS - 1);
        if (!is_of_this_layer(point) || point_number(point) != i)
            continue;
        all++;
        if (sync_load(&covered[i]) != 0 || chase(i))
            continue;
        printf("never killed at %s\n", point);
        missing++;
    }
    printf("%u points\n", all);
    T_CHECK_EQ(missing, 0);
}

static const struct unit_case cases[] = {
    UNIT_CASE(lock_subject_killed_everywhere),
    UNIT_CASE(rlock_subject_killed_everywhere),
    UNIT_CASE(rwlock_subject_killed_everywhere),
    UNIT_CASE(condition_subject_killed_everywhere),
    UNIT_CASE(condition_with_rlock_subject_killed_everywhere),
    UNIT_CASE(event_subject_killed_everywhere),
    UNIT_CASE(semaphore_subject_killed_everywhere),
    UNIT_CASE(barrier_subject_killed_everywhere),
    UNIT_CASE(an_heir_that_dies_is_inherited_too),
    UNIT_CASE(an_heir_of_a_unit_that_dies_is_inherited_too),
    UNIT_CASE(a_grant_is_passed_on_though_the_notifier_dies),
    UNIT_CASE(breaking_and_resetting_may_end_anywhere),
    UNIT_CASE(sleepers_may_be_killed),
    UNIT_CASE(wakers_may_be_killed),
    UNIT_CASE(every_point_has_been_killed_at),
};

int
main(void)
{
    covered = t_shared_page();
    return UNIT_MAIN("kill", NULL, cases);
}
