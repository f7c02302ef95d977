/* SPDX-License-Identifier: MIT */
/* rwlock.c - many readers or one writer.
 *
 *     writer   a lock as in lock.c, the writer's
 *     queue    event count on which the writer sleeps: odd = it does
 *     id       the number under which readers are known, 0 = not yet drawn
 * and in the lane of each reader one of its eight marks:
 *     { id 32 | count 32 }      count: how often this thread reads
 * The writer has a mark too, count = WRITER, so that the thread is known that
 * holds it: the lock's word names only the process.
 *
 * Who writes: marks are written by the lane's thread, and zeroed by the repair
 * of a dead lane.  queue: the writer sets bit 0, a leaving reader adds 1.
 *
 * Readers touch no line that another reader writes.  The protocol is Dekker's:
 *     reader   mark on (exchange), then look at the writer's word
 *     writer   take the word, touch it again in the one order of all such
 *              operations, then look at every lane's marks
 * so at least one sees the other, and the one to yield is the reader: it takes
 * its mark off, wakes the writer if that waits for it, and passes through the
 * writer's lock, under which it marks again.  Writers therefore go first.  The
 * way out is the same: mark off (exchange), then look whether queue is odd;
 * the writer makes it odd, looks at the marks again, and sleeps.
 *
 * A thread that reads already enters by its own mark, without a look at the
 * word: a writer waits for it anyway, and it must not wait for the writer.
 *
 * A kill leaves:
 *   - a reader: a mark in a dead lane.  The waiting writer's tick repairs it.
 *   - a reader between mark off and wake: a sleeping writer; its tick.
 *   - a writer: a lock of a dead owner.  The next writer or reader inherits,
 *     is told, and so is everybody until mark_consistent().  Its WRITER mark
 *     lies in a dead lane: the next writer repairs that lane. */
#include <errno.h>

#include "sync/lock.h"

#define WRITER 0x80000000u
#define DRAINED 1u /* bit of queue: the writer sleeps */

void
shmkit_rwlock_init(shmkit_rwlock *lock)
{
    shmkit_lock_init(&lock->writer);
    shmkiti_store_relaxed_u32(&lock->queue, 0);
    shmkiti_store_relaxed_u32(&lock->id, 0);
}

static uint64_t
mark_of(uint32_t id, uint32_t count)
{
    return (uint64_t)id << 32 | count;
}

static uint32_t
id_of(uint64_t mark)
{
    return (uint32_t)(mark >> 32);
}

/* The mark of lane `lane` for `id`, NULL if there is none. */
static uint64_t *
find_mark(const shmkit_arena *arena, uint32_t lane, uint32_t id)
{
    uint64_t *marks = shmkiti_lane_marks(arena, lane);

    for (uint32_t i = 0; i < SHMKITI_LANE_MARKS; i++) {
        uint64_t mark = shmkiti_load_seq_cst_u64(&marks[i]);

        if (id_of(mark) == id && (uint32_t)mark != 0)
            return &marks[i];
    }
    return NULL;
}

/* This thread's mark for the lock, or a free one; counts what is there. */
static int
own_mark(shmkit_arena *arena, uint32_t lane, uint32_t id, uint64_t **ret_mark,
         uint32_t *ret_count)
{
    uint64_t *marks = shmkiti_lane_marks(arena, lane), *free_mark = NULL;

    for (uint32_t i = 0; i < SHMKITI_LANE_MARKS; i++) {
        uint64_t mark = shmkiti_load_relaxed_u64(&marks[i]);

        if (mark == 0 && free_mark == NULL)
            free_mark = &marks[i];
        if (id_of(mark) == id && mark != 0) {
            *ret_mark = &marks[i];
            *ret_count = (uint32_t)mark;
            return 0;
        }
    }
    *ret_mark = free_mark;
    *ret_count = 0;
    return free_mark == NULL ? -EAGAIN : 0;
}

static void
wake_writer(shmkit_rwlock *lock)
{
    uint32_t q = shmkiti_load_seq_cst_u32(&lock->queue);

    if (__builtin_expect((q & DRAINED) == 0, 1))
        return;
    if (shmkiti_cas_seq_cst_u32(&lock->queue, q, q + 1)) {
        SHMKITI_FAULT("rw.read.counted");
        (void)shmkiti_wake(&lock->queue, INT32_MAX, SHMKITI_ALL_BITS);
    }
}

/* ---- reading ---- */

/* A writer is there: behind it. */
__attribute__((noinline, cold)) static int
pass_through(shmkit_arena *arena, shmkit_rwlock *lock, uint64_t *mark,
             int64_t deadline)
{
    uint32_t id = id_of(shmkiti_exchange_seq_cst_u64(mark, 0));
    int r;

    SHMKITI_FAULT("rw.read.yielded");
    wake_writer(lock);
    r = shmkiti_lock_acquire(arena, &lock->writer, deadline);
    if (r < 0)
        return r;
    (void)shmkiti_exchange_seq_cst_u64(mark, mark_of(id, 1));
    SHMKITI_FAULT("rw.read.passed");
    (void)shmkiti_lock_release(&lock->writer);
    SHMKITI_TRACE_ACQUIRE(lock);
    return r;
}

static int
read_again(shmkit_rwlock *lock, uint64_t *mark, uint32_t count)
{
    if ((count & WRITER) != 0)
        return -EDEADLK;
    if (count == WRITER - 1)
        return -EOVERFLOW;
    shmkiti_store_relaxed_u64(
        mark, mark_of(id_of(shmkiti_load_relaxed_u64(mark)), count + 1));
    return shmkiti_lock_outcome(&lock->writer);
}

int
shmkit_rwlock_acquire_read(shmkit_arena *arena, shmkit_rwlock *lock,
                           int64_t deadline)
{
    uint32_t count, id, lane;
    uint64_t *mark;
    int r = shmkiti_lane(arena, &lane);

    if (r < 0)
        return r;
    id = shmkiti_object_id(arena, &lock->id);
    r = own_mark(arena, lane, id, &mark, &count);
    if (r < 0)
        return r;
    if (count != 0)
        return read_again(lock, mark, count);
    (void)shmkiti_exchange_seq_cst_u64(mark, mark_of(id, 1));
    SHMKITI_FAULT("rw.read.marked");
    if (__builtin_expect(shmkiti_load_seq_cst_u32(&lock->writer.word) != 0, 0))
        return pass_through(arena, lock, mark, deadline);
    SHMKITI_TRACE_ACQUIRE(lock);
    return shmkiti_lock_outcome(&lock->writer);
}

int
shmkit_rwlock_release_read(shmkit_arena *arena, shmkit_rwlock *lock)
{
    uint32_t count, lane, id = shmkiti_load_relaxed_u32(&lock->id);
    uint64_t *mark;
    int r = shmkiti_lane(arena, &lane);

    if (r < 0)
        return r;
    r = own_mark(arena, lane, id, &mark, &count); /* < 0: eight others */
    if (r < 0 || id == 0 || count == 0 || (count & WRITER) != 0)
        return -EPERM;
    if (count > 1) {
        shmkiti_store_relaxed_u64(mark, mark_of(id, count - 1));
        return 0;
    }
    SHMKITI_TRACE_RELEASE(lock);
    (void)shmkiti_exchange_seq_cst_u64(mark, 0);
    SHMKITI_FAULT("rw.read.off");
    wake_writer(lock);
    return 0;
}

/* ---- writing ---- */

/* Until lane `lane` has no mark for `id`. */
static int
await_lane(shmkit_arena *arena, shmkit_rwlock *lock, uint32_t lane,
           struct shmkiti_wait *wait)
{
    uint32_t id = shmkiti_load_relaxed_u32(&lock->id), q, n = shmkiti_spins();
    int r = 0;

    for (uint32_t i = 0; i < n && find_mark(arena, lane, id) != NULL; i++)
        shmkiti_pause();
    while (find_mark(arena, lane, id) != NULL) {
        if (r < 0)
            return r;
        q = shmkiti_fetch_or_seq_cst_u32(&lock->queue, DRAINED) | DRAINED;
        if (find_mark(arena, lane, id) == NULL)
            break;
        SHMKITI_FAULT("rw.write.sleep");
        r = shmkiti_wait_sleep(wait, &lock->queue, q, SHMKITI_ALL_BITS);
        if (r != 0)
            (void)shmkiti_lane_repair(arena, lane);
    }
    return 0;
}

/* Lanes that nobody has are passed over by their owner words, sixteen to a
 * line: a thread takes its lane before it marks in it. */
static int
await_readers(shmkit_arena *arena, shmkit_rwlock *lock, uint32_t mine,
              int64_t deadline)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);
    const uint32_t *owners = shmkiti_lane_owner(arena, 0);
    uint32_t count, id = shmkiti_load_relaxed_u32(&lock->id);
    int r = 0;

    /* In one order with the exchange of a mark and the look at the word that
     * follows it: one of the two sees the other. */
    (void)shmkiti_fetch_or_seq_cst_u32(&lock->writer.word, 0);
    count = shmkiti_lane_count(arena);
    for (uint32_t lane = 0; lane < count && r == 0; lane++) {
        if (lane != mine && shmkiti_load_seq_cst_u32(&owners[lane]) != 0 &&
            find_mark(arena, lane, id) != NULL)
            r = await_lane(arena, lock, lane, &wait);
    }
    return r;
}

int
shmkit_rwlock_acquire_write(shmkit_arena *arena, shmkit_rwlock *lock,
                            int64_t deadline)
{
    uint32_t count, id, lane;
    uint64_t *mark;
    int r = shmkiti_lane(arena, &lane), drained;

    if (r < 0)
        return r;
    id = shmkiti_object_id(arena, &lock->id);
    r = own_mark(arena, lane, id, &mark, &count);
    if (r < 0)
        return r;
    if (count != 0)
        return -EDEADLK;
    r = shmkiti_lock_acquire(arena, &lock->writer, deadline);
    if (r < 0)
        return r;
    SHMKITI_FAULT("rw.write.taken");
    shmkiti_store_relaxed_u64(mark, mark_of(id, WRITER));
    drained = await_readers(arena, lock, lane, deadline);
    if (drained < 0) {
        shmkiti_store_relaxed_u64(mark, 0);
        (void)shmkiti_lock_release(&lock->writer);
        return drained;
    }
    SHMKITI_FAULT("rw.write.got");
    SHMKITI_TRACE_ACQUIRE(lock); /* again: what the readers released */
    return r;
}

int
shmkit_rwlock_release_write(shmkit_arena *arena, shmkit_rwlock *lock)
{
    uint32_t count, lane, id = shmkiti_load_relaxed_u32(&lock->id);
    uint64_t *mark;
    int r = shmkiti_lane(arena, &lane);

    if (r < 0)
        return r;
    r = own_mark(arena, lane, id, &mark, &count); /* < 0: eight others */
    if (r < 0 || id == 0 || (count & WRITER) == 0)
        return -EPERM;
    shmkiti_store_relaxed_u64(mark, 0);
    SHMKITI_FAULT("rw.write.off");
    return shmkiti_lock_release(&lock->writer);
}

void
shmkit_rwlock_mark_consistent(shmkit_rwlock *lock)
{
    shmkit_lock_mark_consistent(&lock->writer);
}

static uint32_t
count_readers(const shmkit_arena *arena, uint32_t id)
{
    uint32_t readers = 0, lanes = shmkiti_lane_count(arena);

    for (uint32_t lane = 0; lane < lanes; lane++) {
        uint64_t *mark = find_mark(arena, lane, id);

        if (mark != NULL &&
            ((uint32_t)shmkiti_load_relaxed_u64(mark) & WRITER) == 0)
            readers++;
    }
    return readers;
}

int
shmkit_rwlock_get_stat(shmkit_arena *arena, const shmkit_rwlock *lock,
                       struct shmkit_lock_stat *ret_stat,
                       uint32_t *ret_readers)
{
    uint32_t id = shmkiti_load_relaxed_u32(&lock->id), readers = 0;
    int r = shmkit_lock_get_stat(arena, &lock->writer, ret_stat);

    if (r < 0)
        return r;
    if (id != 0)
        readers = count_readers(arena, id);
    *ret_readers = readers;
    return 0;
}
