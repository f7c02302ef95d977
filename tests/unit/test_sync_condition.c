/* SPDX-License-Identifier: MIT */
/* test_sync_condition.c - conditions without deaths, exactly; and what a death
 * does to those who wait.
 *
 * A queue of waiters is made one by one: each is started when the one before
 * is seen in the line, so that it is known who has waited longest. */
#include <time.h>

#include "arena/arena.h"
#include "sync_unit.h"

#define MANY 200u /* more than lanes fit one line of anything */

static struct shared {
    shmkit_lock lock;
    shmkit_rlock rlock;
    shmkit_condition condition, other;
    uint32_t woken, left;
    uint32_t order[MANY];
    uint32_t items;
} * shared;

static void
open_scene(void)
{
    sync_open();
    shared = sync_new(sizeof *shared);
}

static uint32_t
count_waiting(const shmkit_condition *condition)
{
    return shmkit_condition_count_waiting(sync_arena, condition);
}

static int
notify(uint32_t n)
{
    int granted;

    SYNC_ACQUIRE(&shared->lock);
    granted = shmkit_condition_notify(sync_arena, &shared->condition, n);
    SYNC_RELEASE(&shared->lock);
    return granted;
}

static int
wait_until(int64_t deadline)
{
    return shmkit_condition_wait(sync_arena, &shared->condition, &shared->lock,
                                 deadline);
}

/* Wait once; say as how manyth one was woken. */
static void *
wait_in_line(void *arg)
{
    SYNC_ACQUIRE(&shared->lock);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
    /* The lock is held: nobody else counts meanwhile. */
    shared->order[sync_load(&shared->woken)] = (uint32_t)(uintptr_t)arg;
    (void)sync_add(&shared->woken, 1);
    SYNC_RELEASE(&shared->lock);
    return NULL;
}

static int
wait_in_child(void *arg)
{
    (void)wait_in_line(arg);
    return T_PASS;
}

static void
line_up(pthread_t *threads, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t before = count_waiting(&shared->condition);

        threads[i] = sync_thread(wait_in_line, (void *)(uintptr_t)i);
        SYNC_UNTIL(count_waiting(&shared->condition) == before + 1);
    }
}

/* Those who were woken first, in any order among themselves. */
static void
check_woken(uint32_t from, uint32_t to)
{
    SYNC_UNTIL(sync_load(&shared->woken) >= to);
    t_sleep_ms(30); /* one too many would have come by now */
    T_CHECK_EQ(sync_load(&shared->woken), to);
    for (uint32_t i = from; i < to; i++)
        T_CHECK(shared->order[i] >= from && shared->order[i] < to);
}

static void
notify_lets_go_exactly_n_the_longest_waiting_first(void)
{
    pthread_t threads[10];

    open_scene();
    T_CHECK_EQ(notify(1), 0);
    line_up(threads, 10);
    T_CHECK_EQ(notify(0), 0);
    T_CHECK_EQ(notify(1), 1);
    check_woken(0, 1);
    T_CHECK_EQ(notify(3), 3);
    check_woken(1, 4);
    T_CHECK_EQ(count_waiting(&shared->condition), 6);
    T_CHECK_EQ(notify(UINT32_MAX), 6);
    check_woken(4, 10);
    T_CHECK_EQ(notify(UINT32_MAX), 0);
    for (int i = 0; i < 10; i++)
        sync_join(threads[i]);
    sync_close();
}

static void
two_notifications_under_one_lock_add_up(void)
{
    pthread_t threads[5];

    open_scene();
    line_up(threads, 5);
    SYNC_ACQUIRE(&shared->lock);
    T_CHECK_EQ(shmkit_condition_notify(sync_arena, &shared->condition, 1), 1);
    T_CHECK_EQ(shmkit_condition_notify(sync_arena, &shared->condition, 2), 2);
    T_CHECK_EQ(count_waiting(&shared->condition), 2);
    SYNC_RELEASE(&shared->lock);
    check_woken(0, 3);
    T_CHECK_EQ(notify(7), 2);
    for (int i = 0; i < 5; i++)
        sync_join(threads[i]);
    sync_close();
}

/* Who comes after a notification does not get it, though he may have the lock
 * before the one who was meant. */
static void
nobody_steals_a_notification(void)
{
    pthread_t first;

    open_scene();
    for (uint32_t round = 0; round < 200; round++) {
        sync_store(&shared->woken, 0);
        line_up(&first, 1);
        SYNC_ACQUIRE(&shared->lock);
        T_CHECK_EQ(shmkit_condition_notify(sync_arena, &shared->condition, 1),
                   1);
        T_CHECK_EQ(wait_until(SHMKIT_TRY), -ETIMEDOUT);
        SYNC_RELEASE(&shared->lock);
        sync_join(first);
        T_CHECK_EQ(sync_load(&shared->woken), 1);
    }
    sync_close();
}

static void
time_outs_come_back_with_the_lock_and_leave_the_line(void)
{
    struct timespec now;

    open_scene();
    SYNC_ACQUIRE(&shared->lock);
    for (int i = 0; i < 3; i++) {
        int64_t end = i == 0 ? SHMKIT_TRY : shmkit_deadline(0.03 * i);

        T_CHECK_EQ(wait_until(end), -ETIMEDOUT);
        T_SYS(clock_gettime(CLOCK_MONOTONIC, &now));
        T_CHECK((int64_t)now.tv_sec * 1000000000 + now.tv_nsec >= end);
        T_CHECK_EQ(shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_TRY),
                   -ETIMEDOUT);
        T_CHECK_EQ(count_waiting(&shared->condition), 0);
    }
    SYNC_RELEASE(&shared->lock);
    T_CHECK_EQ(notify(5), 0);
    sync_close();
}

static void
waiting_needs_the_lock(void)
{
    open_scene();
    T_CHECK_EQ(wait_until(SHMKIT_TRY), -EPERM);
    T_CHECK_EQ(shmkit_condition_wait_rlock(sync_arena, &shared->condition,
                                           &shared->rlock, SHMKIT_TRY),
               -EPERM);
    sync_close();
}

static int
acquire_rlock(void)
{
    return shmkit_rlock_acquire(sync_arena, &shared->rlock, SHMKIT_FOREVER);
}

static void *
wait_deep(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(acquire_rlock(), 0);
    while (sync_load(&shared->items) == 0)
        T_CHECK_EQ(shmkit_condition_wait_rlock(sync_arena, &shared->condition,
                                               &shared->rlock, SHMKIT_FOREVER),
                   0);
    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, &shared->rlock), 3);
    T_CHECK_EQ(shmkit_condition_wait_rlock(sync_arena, &shared->condition,
                                           &shared->rlock, SHMKIT_TRY),
               -ETIMEDOUT);
    T_CHECK_EQ(shmkit_rlock_get_depth(sync_arena, &shared->rlock), 3);
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(shmkit_rlock_release(sync_arena, &shared->rlock), 0);
    return NULL;
}

static void
an_rlock_comes_back_as_deep_as_it_was(void)
{
    pthread_t threads[4];

    open_scene();
    for (int i = 0; i < 4; i++)
        threads[i] = sync_thread(wait_deep, NULL);
    SYNC_UNTIL(count_waiting(&shared->condition) == 4);
    T_CHECK_EQ(acquire_rlock(), 0);
    T_CHECK_EQ(acquire_rlock(), 0);
    sync_store(&shared->items, 1);
    T_CHECK_EQ(
        shmkit_condition_notify(sync_arena, &shared->condition, UINT32_MAX),
        4);
    T_CHECK_EQ(shmkit_rlock_release(sync_arena, &shared->rlock), 0);
    T_CHECK_EQ(shmkit_rlock_release(sync_arena, &shared->rlock), 0);
    for (int i = 0; i < 4; i++)
        sync_join(threads[i]);
    sync_close();
}

static void
two_hundred_threads_are_all_let_go(void)
{
    pthread_t threads[MANY];

    open_scene();
    for (uint32_t i = 0; i < MANY; i++)
        threads[i] = sync_thread(wait_in_line, NULL);
    SYNC_UNTIL(count_waiting(&shared->condition) == MANY);
    T_CHECK(shmkiti_lane_count(sync_arena) > 128);
    T_CHECK_EQ(notify(MANY / 2), MANY / 2);
    SYNC_UNTIL(sync_load(&shared->woken) == MANY / 2);
    T_CHECK_EQ(notify(UINT32_MAX), MANY / 2);
    for (uint32_t i = 0; i < MANY; i++)
        sync_join(threads[i]);
    T_CHECK_EQ(sync_load(&shared->woken), MANY);
    sync_close();
}

/* Tickets have 30 bits; their count, 32. */
static void
order_is_kept_where_tickets_wrap(void)
{
    static const uint32_t starts[] = {(UINT32_C(1) << 30) - 3, UINT32_MAX - 2};
    pthread_t threads[6];

    open_scene();
    for (int k = 0; k < 2; k++) {
        shared->condition.next = starts[k];
        sync_store(&shared->woken, 0);
        line_up(threads, 6);
        for (uint32_t i = 0; i < 6; i++) {
            T_CHECK_EQ(notify(1), 1);
            SYNC_UNTIL(sync_load(&shared->woken) == i + 1);
            T_CHECK_EQ(shared->order[i], i);
        }
        for (int i = 0; i < 6; i++)
            sync_join(threads[i]);
    }
    sync_close();
}

static void
threads_and_processes_wait_in_one_line(void)
{
    pthread_t threads[2];
    pid_t children[2];

    open_scene();
    for (uint32_t i = 0; i < 4; i++) {
        void *arg = (void *)(uintptr_t)i;

        if (i % 2 == 0)
            children[i / 2] = t_fork(wait_in_child, arg);
        else
            threads[i / 2] = sync_thread(wait_in_line, arg);
        SYNC_UNTIL(count_waiting(&shared->condition) == i + 1);
    }
    for (uint32_t i = 0; i < 4; i++) {
        T_CHECK_EQ(notify(1), 1);
        check_woken(i, i + 1);
    }
    for (int i = 0; i < 2; i++) {
        T_CHECK_EQ(t_wait(children[i]), T_PASS);
        sync_join(threads[i]);
    }
    sync_close();
}

/* ---- embedded ---- */

#define ITEMS 2000u

static void
put_items(void)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        SYNC_ACQUIRE(&shared->lock);
        while (shared->items != 0)
            T_CHECK_EQ(shmkit_condition_wait(sync_arena, &shared->other,
                                             &shared->lock, SHMKIT_FOREVER),
                       0);
        shared->items = i + 1;
        (void)shmkit_condition_notify(sync_arena, &shared->condition, 1);
        SYNC_RELEASE(&shared->lock);
    }
}

static int
get_items(void *arg)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        SYNC_ACQUIRE(&shared->lock);
        while (shared->items == 0)
            T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
        T_CHECK_EQ(shared->items, i + 1);
        shared->items = 0;
        (void)shmkit_condition_notify(sync_arena, &shared->other, 1);
        SYNC_RELEASE(&shared->lock);
    }
    (void)arg;
    return T_PASS;
}

/* All zero in a block of the user's own, known in the family's arena. */
static int
use_family_arena(void *arg)
{
    shmkit_block *block;
    pid_t child;

    (void)arg;
    block = unit_create(NULL, sizeof *shared, 0, SHMKIT_LIFETIME_HOLDERS);
    shared = shmkit_block_data(block);
    T_CHECK_EQ(shmkit_arena_of_family(&sync_arena), 0);
    child = t_fork(get_items, NULL);
    put_items();
    T_CHECK_EQ(t_wait(child), T_PASS);
    T_CHECK(shared->condition.id != 0);
    T_CHECK(shared->other.id != shared->condition.id);
    T_CHECK(shmkit_block_close(block) == NULL);
    return T_PASS;
}

/* That arena is never closed, so its user is another process. */
static void
conditions_work_in_a_block_of_the_users(void)
{
    T_CHECK_EQ(t_fork_wait(use_family_arena, NULL), T_PASS);
}

/* ---- deaths ---- */

static int
wait_for_ever(void *arg)
{
    (void)arg;
    SYNC_ACQUIRE(&shared->lock);
    (void)wait_until(SHMKIT_FOREVER);
    return T_FAIL;
}

static void
a_dead_waiter_takes_no_notification(void)
{
    pthread_t thread;
    pid_t children[3];

    open_scene();
    for (uint32_t i = 0; i < 3; i++) {
        children[i] = t_fork(wait_for_ever, NULL);
        SYNC_UNTIL(count_waiting(&shared->condition) == i + 1);
    }
    line_up(&thread, 1);
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(t_kill_wait(children[i]), -SIGKILL);
    T_CHECK_EQ(notify(1), 1);
    sync_join(thread);
    T_CHECK_EQ(sync_load(&shared->woken), 1);
    sync_close();
}

static int
take_and_die(void *arg)
{
    (void)arg;
    SYNC_ACQUIRE(&shared->lock);
    sync_store(&shared->items, 1);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void *
wait_for_items(void *arg)
{
    int r = shmkit_lock_acquire(sync_arena, &shared->lock, SHMKIT_FOREVER);

    T_CHECK(r >= 0);
    while (sync_load(&shared->items) == 0)
        r = wait_until(SHMKIT_FOREVER);
    T_CHECK(r >= 0);
    (void)sync_add(&shared->left, r == SHMKIT_OWNER_DIED);
    SYNC_RELEASE(&shared->lock);
    return arg;
}

/* Whoever owed them a notification is dead: all look for themselves. */
static void
a_dead_holder_wakes_all(void)
{
    pthread_t threads[5];

    open_scene();
    /* Their ticks must not come together, or all would see the dead owner. */
    for (uint32_t i = 0; i < 5; i++) {
        threads[i] = sync_thread(wait_for_items, NULL);
        SYNC_UNTIL(count_waiting(&shared->condition) == i + 1);
        t_sleep_ms(4);
    }
    t_sleep_ms(60);
    T_CHECK_EQ(t_fork_wait(take_and_die, NULL), -SIGKILL);
    for (int i = 0; i < 5; i++)
        sync_join(threads[i]);
    T_CHECK_EQ(sync_load(&shared->left), 5);
    sync_close();
}

/* The count of deaths wraps; that it changed is what matters. */
static void
a_dead_holder_wakes_all_where_deaths_wrap(void)
{
    pthread_t threads[2];

    open_scene();
    shared->lock.died = UINT32_MAX - 1;
    for (int i = 0; i < 2; i++)
        threads[i] = sync_thread(wait_for_items, NULL);
    SYNC_UNTIL(count_waiting(&shared->condition) == 2);
    T_CHECK_EQ(t_fork_wait(take_and_die, NULL), -SIGKILL);
    for (int i = 0; i < 2; i++)
        sync_join(threads[i]);
    sync_close();
}

/* ---- two conditions whose ids meet in one orphan word ---- */

static void *
wait_for_other(void *arg)
{
    SYNC_ACQUIRE((shmkit_lock *)arg);
    while (sync_load(&shared->items) == 0) {
        T_CHECK_EQ(shmkit_condition_wait(sync_arena, &shared->other, arg,
                                         SHMKIT_FOREVER),
                   0);
        (void)sync_add(&shared->left, 1);
    }
    SYNC_RELEASE((shmkit_lock *)arg);
    return NULL;
}

/* An orphan of one wakes the waiters of both, and of no third. */
static void
an_orphan_is_seen_by_all_who_share_its_word(void)
{
    shmkit_lock *lock;
    pthread_t thread;

    open_scene();
    lock = sync_new(sizeof *lock);
    thread = sync_thread(wait_for_other, lock);
    SYNC_UNTIL(count_waiting(&shared->other) == 1);
    (void)sync_add(
        shmkiti_arena_orphan(sync_arena, shared->other.id + SHMKITI_ORPHANS),
        1);
    SYNC_UNTIL(sync_load(&shared->left) == 1);
    SYNC_UNTIL(count_waiting(&shared->other) == 1);
    (void)sync_add(shmkiti_arena_orphan(sync_arena, shared->other.id + 1), 1);
    t_sleep_ms(60);
    T_CHECK_EQ(sync_load(&shared->left), 1);
    SYNC_ACQUIRE(lock);
    sync_store(&shared->items, 1);
    T_CHECK_EQ(shmkit_condition_notify(sync_arena, &shared->other, 1), 1);
    SYNC_RELEASE(lock);
    sync_join(thread);
    sync_close();
}

/* ---- the hook ---- */

static uint32_t asked;

static void
on_signal(int number)
{
    (void)number;
}

static int
give_up(void *arg)
{
    (void)arg;
    (void)sync_add(&asked, 1);
    return 1;
}

static void *
wait_hooked(void *arg)
{
    shmkit_wait_hook(give_up, NULL);
    SYNC_ACQUIRE(&shared->lock);
    *(int *)arg = wait_until(SHMKIT_FOREVER);
    SYNC_RELEASE(&shared->lock);
    return NULL;
}

static void
an_interrupted_wait_comes_back_with_the_lock(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t thread;
    int result = 1;

    open_scene();
    T_SYS(sigaction(SIGUSR1, &action, NULL));
    thread = sync_thread(wait_hooked, &result);
    SYNC_UNTIL(count_waiting(&shared->condition) == 1);
    while (sync_load(&asked) == 0) {
        T_CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        t_sleep_ms(1);
    }
    sync_join(thread);
    T_CHECK_EQ(result, -EINTR);
    T_CHECK_EQ(count_waiting(&shared->condition), 0);
    sync_close();
}

/* What notify() left for the release is not forgotten when the thread waits
 * for something else first. */
static void *
set_items(void *arg)
{
    SYNC_ACQUIRE(&shared->lock);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
    SYNC_RELEASE(&shared->lock);
    shmkit_event_set(arg);
    return NULL;
}

static void
a_notifier_that_waits_wakes_first(void)
{
    shmkit_event *event;
    pthread_t thread;

    open_scene();
    event = sync_new(sizeof *event);
    thread = sync_thread(set_items, event);
    SYNC_UNTIL(count_waiting(&shared->condition) == 1);
    SYNC_ACQUIRE(&shared->lock);
    T_CHECK_EQ(shmkit_condition_notify(sync_arena, &shared->condition, 1), 1);
    T_CHECK(sync_arena->slow != 0);
    T_CHECK_EQ(shmkit_condition_wait(sync_arena, &shared->other, &shared->lock,
                                     SHMKIT_TRY),
               -ETIMEDOUT);
    T_CHECK_EQ(sync_arena->slow, 0);
    SYNC_RELEASE(&shared->lock);
    T_CHECK_EQ(shmkit_event_wait(event, SHMKIT_FOREVER), 0);
    sync_join(thread);
    sync_close();
}

static const struct unit_case cases[] = {
    UNIT_CASE(notify_lets_go_exactly_n_the_longest_waiting_first),
    UNIT_CASE(two_notifications_under_one_lock_add_up),
    UNIT_CASE(nobody_steals_a_notification),
    UNIT_CASE(time_outs_come_back_with_the_lock_and_leave_the_line),
    UNIT_CASE(waiting_needs_the_lock),
    UNIT_CASE(an_rlock_comes_back_as_deep_as_it_was),
    UNIT_CASE(two_hundred_threads_are_all_let_go),
    UNIT_CASE(order_is_kept_where_tickets_wrap),
    UNIT_CASE(threads_and_processes_wait_in_one_line),
    UNIT_CASE(conditions_work_in_a_block_of_the_users),
    UNIT_CASE(a_dead_waiter_takes_no_notification),
    UNIT_CASE(a_dead_holder_wakes_all),
    UNIT_CASE(a_dead_holder_wakes_all_where_deaths_wrap),
    UNIT_CASE(an_orphan_is_seen_by_all_who_share_its_word),
    UNIT_CASE(an_interrupted_wait_comes_back_with_the_lock),
    UNIT_CASE(a_notifier_that_waits_wakes_first),
};

int
main(void)
{
    return UNIT_MAIN("condition", NULL, cases);
}
