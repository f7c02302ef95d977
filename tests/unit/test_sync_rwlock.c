/* SPDX-License-Identifier: MIT */
/* test_sync_rwlock.c - many readers or one writer, by threads and processes,
 * and what each leaves when it is killed; and the trace points of all. */
#include "arena/arena.h"
#include "base/trace.h"
#include "sync_unit.h"

static struct shared {
    shmkit_rwlock lock;
    uint64_t a, b; /* equal but for a writer */
    shmkit_rwlock more[9];
    uint32_t reading, done;
} * shared;

static void
open_scene(void)
{
    sync_open();
    shared = sync_new(sizeof *shared);
}

static int
read_until(int64_t deadline)
{
    return shmkit_rwlock_acquire_read(sync_arena, &shared->lock, deadline);
}

static int
write_until(int64_t deadline)
{
    return shmkit_rwlock_acquire_write(sync_arena, &shared->lock, deadline);
}

static int
end_read(void)
{
    return shmkit_rwlock_release_read(sync_arena, &shared->lock);
}

static int
end_write(void)
{
    return shmkit_rwlock_release_write(sync_arena, &shared->lock);
}

static uint32_t
count_readers(void)
{
    struct shmkit_lock_stat stat;
    uint32_t readers;

    T_CHECK_EQ(
        shmkit_rwlock_get_stat(sync_arena, &shared->lock, &stat, &readers), 0);
    return readers;
}

static void
a_thread_cannot_deadlock_with_itself(void)
{
    open_scene();
    T_CHECK_EQ(end_read(), -EPERM);
    T_CHECK_EQ(end_write(), -EPERM);
    T_CHECK_EQ(read_until(SHMKIT_TRY), 0);
    T_CHECK_EQ(read_until(SHMKIT_TRY), 0);
    T_CHECK_EQ(count_readers(), 1);
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), -EDEADLK);
    T_CHECK_EQ(end_write(), -EPERM);
    T_CHECK_EQ(end_read(), 0);
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), -EDEADLK);
    T_CHECK_EQ(end_read(), 0);
    T_CHECK_EQ(end_read(), -EPERM);
    T_CHECK_EQ(write_until(SHMKIT_TRY), 0);
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), -EDEADLK);
    T_CHECK_EQ(read_until(SHMKIT_FOREVER), -EDEADLK);
    T_CHECK_EQ(end_read(), -EPERM);
    T_CHECK_EQ(end_write(), 0);
    T_CHECK_EQ(read_until(SHMKIT_TRY), 0);
    sync_close();
}

static void
a_thread_reads_eight_at_a_time(void)
{
    open_scene();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++)
            T_CHECK_EQ(shmkit_rwlock_acquire_read(sync_arena, &shared->more[i],
                                                  SHMKIT_FOREVER),
                       0);
        T_CHECK_EQ(shmkit_rwlock_acquire_read(sync_arena, &shared->more[8],
                                              SHMKIT_FOREVER),
                   -EAGAIN);
        T_CHECK_EQ(shmkit_rwlock_release_read(sync_arena, &shared->more[8]),
                   -EPERM);
        T_CHECK_EQ(shmkit_rwlock_acquire_read(sync_arena, &shared->more[3],
                                              SHMKIT_FOREVER),
                   0);
        T_CHECK_EQ(shmkit_rwlock_release_read(sync_arena, &shared->more[3]),
                   0);
        for (int i = 7; i >= 0; i--)
            T_CHECK_EQ(
                shmkit_rwlock_release_read(sync_arena, &shared->more[i]), 0);
    }
    sync_close();
}

static void *
read_and_stay(void *arg)
{
    T_CHECK_EQ(read_until(SHMKIT_FOREVER), 0);
    (void)sync_add(&shared->reading, 1);
    SYNC_UNTIL(sync_load(&shared->done) == 1);
    T_CHECK_EQ(end_read(), 0);
    return arg;
}

static void *
write_once(void *arg)
{
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), 0);
    T_CHECK_EQ(sync_load(&shared->done), 1);
    shared->a++;
    T_CHECK_EQ(end_write(), 0);
    return arg;
}

static void
two_hundred_threads_read_and_a_writer_waits_for_all(void)
{
    pthread_t threads[200], writer;

    open_scene();
    for (int i = 0; i < 200; i++)
        threads[i] = sync_thread(read_and_stay, NULL);
    SYNC_UNTIL(sync_load(&shared->reading) == 200);
    T_CHECK_EQ(count_readers(), 200);
    T_CHECK_EQ(write_until(SHMKIT_TRY), -ETIMEDOUT);
    T_CHECK_EQ(write_until(shmkit_deadline(0.03)), -ETIMEDOUT);
    T_CHECK_EQ(read_until(SHMKIT_TRY), 0); /* a failed writer is no writer */
    T_CHECK_EQ(end_read(), 0);
    writer = sync_thread(write_once, NULL);
    SYNC_UNTIL(shmkit_lock_is_locked(&shared->lock.writer));
    T_CHECK_EQ(read_until(SHMKIT_TRY), -ETIMEDOUT); /* writers first */
    T_CHECK_EQ(shared->a, 0);
    sync_store(&shared->done, 1);
    for (int i = 0; i < 200; i++)
        sync_join(threads[i]);
    sync_join(writer);
    T_CHECK_EQ(shared->a, 1);
    sync_close();
}

#define ROUNDS 1500u

static void *
read_and_write(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (i % 8 == (uintptr_t)arg % 8) {
            T_CHECK_EQ(write_until(SHMKIT_FOREVER), 0);
            shared->a++;
            shared->b++;
            T_CHECK_EQ(end_write(), 0);
        } else {
            T_CHECK_EQ(read_until(SHMKIT_FOREVER), 0);
            T_CHECK_EQ(__atomic_load_n(&shared->a, __ATOMIC_RELAXED),
                       __atomic_load_n(&shared->b, __ATOMIC_RELAXED));
            T_CHECK_EQ(end_read(), 0);
        }
    }
    return NULL;
}

static int
mix_in_threads(void *arg)
{
    pthread_t threads[3];

    for (uintptr_t i = 0; i < 3; i++)
        threads[i] = sync_thread(read_and_write, (void *)i);
    for (int i = 0; i < 3; i++)
        sync_join(threads[i]);
    (void)arg;
    return T_PASS;
}

static void
readers_never_see_half_a_change(void)
{
    pid_t child;

    open_scene();
    child = t_fork(mix_in_threads, NULL);
    T_CHECK_EQ(mix_in_threads(NULL), T_PASS);
    T_CHECK_EQ(t_wait(child), T_PASS);
    T_CHECK(shared->a >= 6 * (ROUNDS / 8) && shared->a == shared->b);
    sync_close();
}

static int
read_and_die(void *arg)
{
    (void)arg;
    T_CHECK(read_until(SHMKIT_FOREVER) >= 0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static int
write_and_die(void *arg)
{
    (void)arg;
    T_CHECK(write_until(SHMKIT_FOREVER) >= 0);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
a_dead_reader_keeps_no_writer_out(void)
{
    open_scene();
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(t_fork_wait(read_and_die, NULL), -SIGKILL);
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), 0); /* nothing is half written */
    T_CHECK_EQ(end_write(), 0);
    T_CHECK_EQ(count_readers(), 0);
    sync_close();
}

static void
a_dead_writer_is_told_to_readers_and_writers_alike(void)
{
    open_scene();
    T_CHECK_EQ(t_fork_wait(write_and_die, NULL), -SIGKILL);
    T_CHECK_EQ(read_until(SHMKIT_FOREVER), SHMKIT_OWNER_DIED);
    T_CHECK_EQ(read_until(SHMKIT_TRY), SHMKIT_OWNER_DIED);
    T_CHECK_EQ(end_read(), 0);
    T_CHECK_EQ(end_read(), 0);
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), SHMKIT_OWNER_DIED);
    shmkit_rwlock_mark_consistent(&shared->lock);
    T_CHECK_EQ(end_write(), 0);
    T_CHECK_EQ(read_until(SHMKIT_FOREVER), 0);
    T_CHECK_EQ(end_read(), 0);
    sync_close();
}

static int
be_stopped_reading(void *arg)
{
    (void)arg;
    T_CHECK_EQ(read_until(SHMKIT_FOREVER), 0);
    (void)raise(SIGSTOP);
    T_CHECK_EQ(end_read(), 0);
    return T_PASS;
}

static void
a_stopped_reader_holds_up_writers_only(void)
{
    pid_t child;

    open_scene();
    child = t_fork(be_stopped_reading, NULL);
    T_CHECK(t_wait_stopped(child));
    T_CHECK_EQ(read_until(SHMKIT_TRY), 0);
    T_CHECK_EQ(end_read(), 0);
    T_CHECK_EQ(write_until(shmkit_deadline(0.1)), -ETIMEDOUT);
    T_SYS(kill(child, SIGCONT));
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), 0);
    T_CHECK_EQ(t_wait(child), T_PASS);
    sync_close();
}

/* ---- trace points ---- */

static uint32_t acquired, released;
static const void *traced;

static void
count_trace(enum shmkiti_trace_kind kind, const void *address)
{
    if (address == traced)
        (void)sync_add(kind == SHMKITI_TRACED_ACQUIRE ? &acquired : &released,
                       1);
}

static void
expect_traced(const void *address, uint32_t acquires, uint32_t releases)
{
    T_CHECK_EQ(sync_load(&acquired), acquires);
    T_CHECK_EQ(sync_load(&released), releases);
    traced = address;
    acquired = released = 0;
}

static void
trace_locks(void)
{
    shmkit_lock *lock = sync_new(sizeof *lock);
    shmkit_rlock *rlock = sync_new(sizeof *rlock);

    expect_traced(lock, 0, 0);
    SYNC_ACQUIRE(lock);
    SYNC_RELEASE(lock);
    SYNC_ACQUIRE(lock);
    SYNC_RELEASE(lock);
    expect_traced(&rlock->lock, 2, 2);
    for (int i = 0; i < 2; i++)
        T_CHECK_EQ(shmkit_rlock_acquire(sync_arena, rlock, SHMKIT_FOREVER), 0);
    for (int i = 0; i < 2; i++)
        T_CHECK_EQ(shmkit_rlock_release(sync_arena, rlock), 0);
    expect_traced(&shared->lock, 1, 1);
    T_CHECK_EQ(read_until(SHMKIT_FOREVER), 0);
    T_CHECK_EQ(end_read(), 0);
    T_CHECK_EQ(write_until(SHMKIT_FOREVER), 0);
    T_CHECK_EQ(end_write(), 0);
}

static void
trace_others(void)
{
    shmkit_event *event = sync_new(sizeof *event);
    shmkit_semaphore *semaphore = sync_new(shmkit_semaphore_size(1));
    shmkit_barrier *barrier = sync_new(shmkit_barrier_size(1));
    uint32_t index;

    T_CHECK_EQ(shmkit_semaphore_init(semaphore, 1, 1), 0);
    T_CHECK_EQ(shmkit_barrier_init(barrier, 1, 0), 0);
    expect_traced(event, 3, 2); /* a writer: the lock, then the readers */
    shmkit_event_set(event);
    T_CHECK_EQ(shmkit_event_wait(event, SHMKIT_FOREVER), 0);
    expect_traced(semaphore, 1, 1);
    T_CHECK_EQ(shmkit_semaphore_acquire(sync_arena, semaphore, SHMKIT_FOREVER),
               0);
    T_CHECK_EQ(shmkit_semaphore_release(sync_arena, semaphore), 0);
    expect_traced(barrier, 1, 1);
    T_CHECK_EQ(
        shmkit_barrier_wait(sync_arena, barrier, SHMKIT_FOREVER, &index), 0);
    expect_traced(NULL, 1, 1);
}

static void
every_primitive_is_traced(void)
{
    shmkiti_trace_set_hook(count_trace);
    open_scene();
    trace_locks();
    trace_others();
    sync_close();
    shmkiti_trace_set_hook(NULL);
}

static const struct unit_case cases[] = {
    UNIT_CASE(a_thread_cannot_deadlock_with_itself),
    UNIT_CASE(a_thread_reads_eight_at_a_time),
    UNIT_CASE(two_hundred_threads_read_and_a_writer_waits_for_all),
    UNIT_CASE(readers_never_see_half_a_change),
    UNIT_CASE(a_dead_reader_keeps_no_writer_out),
    UNIT_CASE(a_dead_writer_is_told_to_readers_and_writers_alike),
    UNIT_CASE(a_stopped_reader_holds_up_writers_only),
    UNIT_CASE(every_primitive_is_traced),
};

int
main(void)
{
    return UNIT_MAIN("rwlock", NULL, cases);
}
