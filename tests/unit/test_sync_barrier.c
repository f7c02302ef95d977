/* SPDX-License-Identifier: MIT */
/* test_sync_barrier.c - barriers, with parties that are threads, processes and
 * dead, and events. */
#include <string.h>

#include "sync_unit.h"

#define PARTIES 4u
#define ROUNDS 300u

static shmkit_barrier *barrier;
static struct shared {
    uint32_t entered[ROUNDS], actions[ROUNDS], index[ROUNDS];
    uint32_t results[8], woken;
} * shared;

static void
open_scene(uint32_t parties, uint32_t flags)
{
    sync_open();
    shared = sync_new(sizeof *shared);
    barrier = sync_new(shmkit_barrier_size(parties));
    T_CHECK_EQ(shmkit_barrier_init(barrier, parties, flags), 0);
}

static int
wait_until(int64_t deadline)
{
    uint32_t index = 99;
    int r = shmkit_barrier_wait(sync_arena, barrier, deadline, &index);

    T_CHECK(r < 0 || r == SHMKIT_BROKEN || index < 8);
    return r;
}

static uint32_t
count_waiting(void)
{
    return shmkit_barrier_count_waiting(barrier);
}

static void
sizes_are_checked(void)
{
    shmkit_barrier one;

    memset(&one, 0, sizeof one);
    T_CHECK_EQ(shmkit_barrier_init(&one, 0, 0), -EINVAL);
    T_CHECK_EQ(shmkit_barrier_init(&one, 65537, 0), -EINVAL);
    T_CHECK_EQ(shmkit_barrier_init(&one, 1, 1u << 7), -EINVAL);
    T_CHECK_EQ(shmkit_barrier_size(5), 64);
    open_scene(2, 0);
    barrier->parties = 0;
    T_CHECK_EQ(wait_until(SHMKIT_TRY), -EBADMSG);
    barrier->parties = 70000;
    T_CHECK_EQ(wait_until(SHMKIT_TRY), -EBADMSG);
    T_CHECK_EQ(count_waiting(), 0);
    sync_close();
}

/* ---- rounds ---- */

/* One party's rounds: nobody is let go before all have come, each round has
 * each index once, and its action once, before anybody is let go. */
static void
go_round(uint32_t i, bool action)
{
    uint32_t index = 99;
    int r;

    (void)sync_add(&shared->entered[i], 1);
    r = shmkit_barrier_wait(sync_arena, barrier, SHMKIT_FOREVER, &index);
    if (r == SHMKIT_RUN_ACTION) {
        T_CHECK(action);
        T_CHECK_EQ(sync_load(&shared->entered[i]), PARTIES);
        (void)sync_add(&shared->actions[i], 1);
        r = shmkit_barrier_pass(sync_arena, barrier);
    }
    T_CHECK_EQ(r, 0);
    T_CHECK_EQ(sync_load(&shared->entered[i]), PARTIES);
    T_CHECK_EQ(sync_load(&shared->actions[i]), action);
    T_CHECK(index < PARTIES);
    (void)sync_add(&shared->index[i], 1u << (8 * index));
}

static void *
go_rounds(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        go_round(i, arg != NULL);
    return NULL;
}

static int
be_two_parties(void *arg)
{
    pthread_t thread = sync_thread(go_rounds, arg);

    (void)go_rounds(arg);
    sync_join(thread);
    return T_PASS;
}

static void
check_rounds(uint32_t flags, uint32_t generation)
{
    bool action = (flags & SHMKIT_BARRIER_ACTION) != 0;
    pid_t child;

    open_scene(PARTIES, flags);
    barrier->word = (uint64_t)generation << 2;
    child = t_fork(be_two_parties, action ? shared : NULL);
    T_CHECK_EQ(be_two_parties(action ? shared : NULL), T_PASS);
    T_CHECK_EQ(t_wait(child), T_PASS);
    for (uint32_t i = 0; i < ROUNDS; i++)
        T_CHECK_EQ(shared->index[i], 0x01010101);
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
    T_CHECK_EQ(count_waiting(), 0);
    sync_close();
}

static void
threads_of_processes_pass_together(void)
{
    check_rounds(0, 0);
}

static void
the_action_runs_once_before_anybody_passes(void)
{
    check_rounds(SHMKIT_BARRIER_ACTION, 0);
}

static void
regulars_pass_together(void)
{
    check_rounds(SHMKIT_BARRIER_REGULARS, 0);
}

/* In the middle of the rounds. */
static void
generations_wrap_around(void)
{
    check_rounds(SHMKIT_BARRIER_ACTION, (1u << 28) - ROUNDS / 2);
}

static void
a_barrier_of_one_passes_at_once(void)
{
    open_scene(1, SHMKIT_BARRIER_ACTION);
    for (int i = 0; i < 40; i++) {
        T_CHECK_EQ(wait_until(SHMKIT_TRY), SHMKIT_RUN_ACTION);
        T_CHECK_EQ(shmkit_barrier_pass(sync_arena, barrier), 0);
        T_CHECK_EQ(shmkit_barrier_pass(sync_arena, barrier), SHMKIT_BROKEN);
    }
    sync_close();
}

/* ---- breaking ---- */

static void *
wait_and_tell(void *arg)
{
    uint32_t at = (uint32_t)(uintptr_t)arg;

    sync_store(&shared->results[at], (uint32_t)wait_until(SHMKIT_FOREVER));
    (void)sync_add(&shared->woken, 1);
    return NULL;
}

static int
wait_as_child(void *arg)
{
    (void)wait_and_tell(arg);
    return T_PASS;
}

static void
start_waiting(pthread_t *threads, uint32_t n)
{
    sync_store(&shared->woken, 0);
    for (uint32_t i = 0; i < n; i++)
        threads[i] = sync_thread(wait_and_tell, (void *)(uintptr_t)i);
    SYNC_UNTIL(count_waiting() == n);
}

static void
check_all_told(pthread_t *threads, uint32_t n, int result)
{
    for (uint32_t i = 0; i < n; i++) {
        sync_join(threads[i]);
        T_CHECK_EQ((int)sync_load(&shared->results[i]), result);
    }
}

static void
a_time_out_breaks_it_for_all_until_reset(void)
{
    pthread_t threads[2];

    open_scene(4, 0);
    start_waiting(threads, 2);
    T_CHECK_EQ(wait_until(shmkit_deadline(0.03)), -ETIMEDOUT);
    check_all_told(threads, 2, SHMKIT_BROKEN);
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 1);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), SHMKIT_BROKEN);
    shmkit_barrier_reset(sync_arena, barrier);
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
    T_CHECK_EQ(wait_until(SHMKIT_TRY), -ETIMEDOUT);
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 1);
    sync_close();
}

static void
abort_breaks_it_for_all(void)
{
    pthread_t threads[3];

    open_scene(4, 0);
    start_waiting(threads, 3);
    shmkit_barrier_abort(barrier);
    check_all_told(threads, 3, SHMKIT_BROKEN);
    shmkit_barrier_abort(barrier);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), SHMKIT_BROKEN);
    sync_close();
}

static void
reset_sends_the_waiting_home_and_starts_fresh(void)
{
    pthread_t threads[4];

    open_scene(4, 0);
    shmkit_barrier_reset(sync_arena, barrier); /* nobody waits: nothing */
    T_CHECK_EQ(barrier->word, 0);
    start_waiting(threads, 3);
    shmkit_barrier_reset(sync_arena, barrier);
    check_all_told(threads, 3, SHMKIT_BROKEN);
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
    start_waiting(threads, 3);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
    check_all_told(threads, 3, 0);
    sync_close();
}

/* Once all are there the action decides, not the clock. */
static void
no_time_out_during_the_action(void)
{
    pthread_t threads[1];

    open_scene(2, SHMKIT_BARRIER_ACTION);
    start_waiting(threads, 1);
    shared->results[1] = (uint32_t)wait_until(shmkit_deadline(0.02));
    if (shared->results[1] != SHMKIT_RUN_ACTION) {
        /* The other one runs it. */
        T_CHECK_EQ(shared->results[1], 0);
        sync_join(threads[0]);
        T_CHECK_EQ(shared->results[0], SHMKIT_RUN_ACTION);
    } else {
        t_sleep_ms(60);
        T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
        T_CHECK_EQ(shmkit_barrier_pass(sync_arena, barrier), 0);
        check_all_told(threads, 1, 0);
    }
    sync_close();
}

static void *
wait_and_act(void *arg)
{
    int r = wait_until(shmkit_deadline(0.01));

    if (r == SHMKIT_RUN_ACTION) {
        t_sleep_ms(50);
        (void)sync_add(&shared->actions[0], 1);
        r = shmkit_barrier_pass(sync_arena, barrier);
    }
    T_CHECK(r == 0 || r == SHMKIT_BROKEN || r == -ETIMEDOUT);
    (void)sync_add(&shared->woken, r == 0);
    return arg;
}

/* Either the time-out came first and no action ran, or all passed. */
static void
an_action_that_ran_is_followed_by_the_pass(void)
{
    pthread_t threads[3];

    open_scene(3, SHMKIT_BARRIER_ACTION);
    for (int round = 0; round < 10; round++) {
        shared->woken = shared->actions[0] = 0;
        for (int i = 0; i < 3; i++)
            threads[i] = sync_thread(wait_and_act, NULL);
        for (int i = 0; i < 3; i++)
            sync_join(threads[i]);
        T_CHECK_EQ(shared->woken, shared->actions[0] * 3);
        shmkit_barrier_reset(sync_arena, barrier);
    }
    sync_close();
}

static void *
abort_slowly(void *arg)
{
    t_sleep_ms(30);
    shmkit_barrier_abort(barrier);
    return arg;
}

static void
an_abort_reaches_the_action(void)
{
    pthread_t thread;

    open_scene(1, SHMKIT_BARRIER_ACTION);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), SHMKIT_RUN_ACTION);
    thread = sync_thread(abort_slowly, NULL);
    SYNC_UNTIL(shmkit_barrier_is_broken(barrier));
    T_CHECK_EQ(shmkit_barrier_pass(sync_arena, barrier), SHMKIT_BROKEN);
    sync_join(thread);
    sync_close();
}

static void *
reset_it(void *arg)
{
    shmkit_barrier_reset(sync_arena, barrier);
    (void)sync_add(&shared->woken, 1);
    return arg;
}

static void
reset_waits_for_the_action_but_not_inside_of_it(void)
{
    pthread_t thread;

    open_scene(1, SHMKIT_BARRIER_ACTION);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), SHMKIT_RUN_ACTION);
    thread = sync_thread(reset_it, NULL);
    t_sleep_ms(60);
    T_CHECK_EQ(sync_load(&shared->woken), 0);
    T_CHECK_EQ(shmkit_barrier_pass(sync_arena, barrier), 0);
    sync_join(thread);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), SHMKIT_RUN_ACTION);
    shmkit_barrier_reset(sync_arena, barrier);
    T_CHECK_EQ(shmkit_barrier_pass(sync_arena, barrier), SHMKIT_BROKEN);
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
    sync_close();
}

/* ---- deaths ---- */

static void
a_party_killed_inside_breaks_it(void)
{
    pthread_t threads[3];
    pid_t child;

    open_scene(5, 0);
    child = t_fork(wait_as_child, (void *)(uintptr_t)7);
    SYNC_UNTIL(count_waiting() == 1);
    sync_store(&shared->woken, 0);
    for (uint32_t i = 0; i < 3; i++)
        threads[i] = sync_thread(wait_and_tell, (void *)(uintptr_t)i);
    SYNC_UNTIL(count_waiting() == 4);
    T_CHECK_EQ(t_kill_wait(child), -SIGKILL);
    check_all_told(threads, 3, SHMKIT_BROKEN);
    sync_close();
}

static int
pass_then_die(void *arg)
{
    (void)arg;
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
a_regular_killed_outside_breaks_it_and_reset_forgets_him(void)
{
    pthread_t threads[2];
    pid_t child;

    open_scene(3, SHMKIT_BARRIER_REGULARS);
    child = t_fork(pass_then_die, NULL);
    SYNC_UNTIL(count_waiting() == 1);
    threads[0] = sync_thread(wait_and_tell, NULL);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
    sync_join(threads[0]);
    T_CHECK_EQ(t_wait(child), -SIGKILL);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), SHMKIT_BROKEN);
    shmkit_barrier_reset(sync_arena, barrier);
    start_waiting(threads, 2);
    t_sleep_ms(60); /* some ticks */
    T_CHECK_EQ(shmkit_barrier_is_broken(barrier), 0);
    T_CHECK_EQ(wait_until(SHMKIT_FOREVER), 0);
    check_all_told(threads, 2, 0);
    sync_close();
}

/* ---- events ---- */

static shmkit_event *event;

static void *
wait_for_event(void *arg)
{
    (void)sync_add(&shared->results[0], 1);
    T_CHECK_EQ(shmkit_event_wait(event, SHMKIT_FOREVER), 0);
    (void)sync_add(&shared->woken, 1);
    return arg;
}

static int
wait_for_event_as_child(void *arg)
{
    (void)wait_for_event(arg);
    return T_PASS;
}

static void
open_event(void)
{
    sync_open();
    shared = sync_new(sizeof *shared);
    event = sync_new(sizeof *event);
}

static void
an_event_is_set_until_it_is_cleared(void)
{
    static shmkit_event fixed = SHMKIT_EVENT_INIT;

    event = &fixed;
    T_CHECK_EQ(shmkit_event_is_set(event), 0);
    T_CHECK_EQ(shmkit_event_wait(event, SHMKIT_TRY), -ETIMEDOUT);
    T_CHECK_EQ(shmkit_event_wait(event, shmkit_deadline(0.03)), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        shmkit_event_set(event);
        T_CHECK_EQ(shmkit_event_is_set(event), 1);
        T_CHECK_EQ(shmkit_event_wait(event, SHMKIT_TRY), 0);
    }
    for (int i = 0; i < 2; i++) {
        shmkit_event_clear(event);
        T_CHECK_EQ(shmkit_event_is_set(event), 0);
        T_CHECK_EQ(shmkit_event_wait(event, SHMKIT_TRY), -ETIMEDOUT);
    }
}

/* Where the count wraps, too. */
static void
a_pulse_is_seen_by_all_who_wait(void)
{
    static const uint32_t starts[] = {0, 0x7ffffffe};
    pthread_t threads[150];
    pid_t child;

    for (int k = 0; k < 2; k++) {
        open_event();
        event->word = starts[k];
        child = t_fork(wait_for_event_as_child, NULL);
        for (int i = 0; i < 150; i++)
            threads[i] = sync_thread(wait_for_event, NULL);
        SYNC_UNTIL(sync_load(&shared->results[0]) == 151 &&
                   (sync_load(&event->word) >> 31) == 1);
        t_sleep_ms(50); /* all have looked at the word by now */
        shmkit_event_set(event);
        shmkit_event_clear(event);
        T_CHECK_EQ(shmkit_event_is_set(event), 0);
        for (int i = 0; i < 150; i++)
            sync_join(threads[i]);
        T_CHECK_EQ(t_wait(child), T_PASS);
        sync_close();
    }
}

static void *
answer(void *arg)
{
    shmkit_event *pair = arg;

    for (int i = 0; i < 1000; i++) {
        T_CHECK_EQ(shmkit_event_wait(&pair[0], SHMKIT_FOREVER), 0);
        shmkit_event_clear(&pair[0]);
        shmkit_event_set(&pair[1]);
    }
    return NULL;
}

static void
events_go_to_and_fro(void)
{
    shmkit_event *pair;
    pthread_t thread;

    open_event();
    pair = sync_new(2 * sizeof *pair);
    thread = sync_thread(answer, pair);
    for (int i = 0; i < 1000; i++) {
        shmkit_event_set(&pair[0]);
        T_CHECK_EQ(shmkit_event_wait(&pair[1], SHMKIT_FOREVER), 0);
        shmkit_event_clear(&pair[1]);
    }
    sync_join(thread);
    sync_close();
}

static const struct unit_case cases[] = {
    UNIT_CASE(sizes_are_checked),
    UNIT_CASE(threads_of_processes_pass_together),
    UNIT_CASE(the_action_runs_once_before_anybody_passes),
    UNIT_CASE(regulars_pass_together),
    UNIT_CASE(generations_wrap_around),
    UNIT_CASE(a_barrier_of_one_passes_at_once),
    UNIT_CASE(a_time_out_breaks_it_for_all_until_reset),
    UNIT_CASE(abort_breaks_it_for_all),
    UNIT_CASE(reset_sends_the_waiting_home_and_starts_fresh),
    UNIT_CASE(no_time_out_during_the_action),
    UNIT_CASE(an_action_that_ran_is_followed_by_the_pass),
    UNIT_CASE(an_abort_reaches_the_action),
    UNIT_CASE(reset_waits_for_the_action_but_not_inside_of_it),
    UNIT_CASE(a_party_killed_inside_breaks_it),
    UNIT_CASE(a_regular_killed_outside_breaks_it_and_reset_forgets_him),
    UNIT_CASE(an_event_is_set_until_it_is_cleared),
    UNIT_CASE(a_pulse_is_seen_by_all_who_wait),
    UNIT_CASE(events_go_to_and_fro),
};

int
main(void)
{
    return UNIT_MAIN("barrier", NULL, cases);
}
