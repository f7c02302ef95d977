/* SPDX-License-Identifier: MIT */
/* sync_storm.c - every primitive of sync.h under SIGKILL, judged strictly.
 *
 * In namespaces of its own, a few workers in two roles use one object for
 * ever, without time-outs, so that a wake-up that is lost stops them; the
 * bounded buffer has room for one item.  The first process kills them: half
 * at a fault point it has told the victim to die at, half at any time; 1 in 8
 * takes two at once; 1 in 8 is stopped first, then killed or continued.  After
 * each death the survivors alone must go on: each must do MORE operations
 * before anybody is replaced.  Whoever does not in HANG_S seconds hangs.
 *
 * With --points nothing is random: at each fault point of the layer, at its
 * 1st and its 3rd passage, a worker of either role dies; and at the points of
 * repairs a second one dies while it repairs.  A point that was reached in no
 * run is a failure, unless a load was chosen.
 *
 * What is shared is one mapping: an entry a worker (its operations, what it
 * claims to hold), what the object guards, and the orders to die.  A claim is
 * made after an acquire and withdrawn before the release; so two living
 * claimants are a violation, while a dead one's claim says nothing: whether a
 * claimant is dying is asked of /proc.  The guarded data is two words that
 * are changed one after the other: who finds them different and was not told
 * that an owner died has found a violation.  One in three of those who were
 * told neither repairs nor marks: the news must stay. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <shmkit/arena.h>
#include <shmkit/family.h>
#include <shmkit/sync.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena/arena.h"
#include "base/fault.h"
#include "support.h"

#define WORKERS 6u
#define MORE 3u
#define HANG_S 8
#define UNITS 2u
#define PARTIES 3u
#define POINTS 200u

enum phase { OUTSIDE, INSIDE, ARRIVED };

struct worker {
    pid_t pid;
    uint32_t role, claim, phase, parked;
    uint64_t operations;
};

/* Die at the `passes`-th passage of `point`. */
struct order {
    char point[40];
    int32_t worker; /* -1: whoever comes first */
    int32_t passes;
};

static struct shared {
    struct worker worker[WORKERS];
    struct order order[2];
    uint64_t a, b;                /* guarded; alike unless half changed */
    uint64_t produced, consumed;  /* guarded too */
    uint64_t released, acquired;  /* of the plain semaphore */
    uint64_t arrivals, actions;   /* of the barrier, in this epoch */
    uint64_t epoch, told, stayed; /* told: owner died; stayed: and left so */
    uint32_t quit, bad;
    uint8_t reached[POINTS];
} * shared;

struct load {
    const char *name;
    void (*work)(void); /* one operation */
    const char *points[4];
    unsigned workers;
};

static const struct load *load;
static shmkit_arena *arena;
static struct worker *me;
static uint64_t random_state;
static uint64_t rounds; /* of the barrier, in this epoch */

static struct objects {
    shmkit_lock lock;
    shmkit_rlock rlock;
    shmkit_rwlock rwlock;
    shmkit_condition not_empty, not_full;
    shmkit_event event;
    _Alignas(64) shmkit_semaphore semaphore;
    uint32_t units[UNITS];
    _Alignas(64) shmkit_barrier barrier;
    uint64_t slots[PARTIES];
} * object;

static struct {
    uint64_t kills, seed;
    bool points;
    const char *only;
} opt = {200, 0, false, NULL};

/* ---- odds and ends ---- */

static uint64_t
draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static unsigned
pick(unsigned n)
{
    return (unsigned)(draw() >> 20) % n;
}

static int64_t
now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t
get(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void
put(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static uint64_t
add(uint64_t *word)
{
    return __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
}

__attribute__((format(printf, 1, 2))) static void
bad(const char *format, ...)
{
    va_list args;

    if (__atomic_fetch_add(&shared->bad, 1, __ATOMIC_SEQ_CST) < 10) {
        printf("%s: VIOLATED: ", load->name);
        va_start(args, format);
        (void)vprintf(format, args);
        va_end(args);
        printf("\n");
        (void)fflush(stdout);
    }
}

static void
expect(const char *call, int r)
{
    if (r < 0)
        bad("%s: %d (%s)", call, r, strerror(-r));
}

/* ---- dying where told ---- */

static bool
is_ordered(struct order *order, const char *point)
{
    int32_t worker = __atomic_load_n(&order->worker, __ATOMIC_SEQ_CST);

    return __atomic_load_n(&order->passes, __ATOMIC_SEQ_CST) > 0 &&
           (worker < 0 || &shared->worker[worker] == me) &&
           strcmp(order->point, point) == 0 &&
           __atomic_sub_fetch(&order->passes, 1, __ATOMIC_SEQ_CST) == 0;
}

static void
note_reached(const char *point)
{
    const char *name;

    for (unsigned i = 0; (name = shmkiti_fault_name(i)) != NULL; i++) {
        if (i < POINTS && strcmp(name, point) == 0)
            shared->reached[i] = 1;
    }
}

static void
at_point(const char *point, void *arg)
{
    (void)arg;
    if (me == NULL)
        return;
    if (strcmp(point, "bar.slot") == 0)
        __atomic_store_n(&me->phase, ARRIVED, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < 2; i++) {
        if (is_ordered(&shared->order[i], point)) {
            note_reached(point);
            (void)raise(SIGKILL);
        }
    }
    if (pick(16) == 0)
        (void)sched_yield();
    if (pick(200) == 0)
        (void)usleep(pick(2000));
}

static void
order_death(unsigned i, const char *point, int worker, int passes)
{
    struct order *order = &shared->order[i];

    __atomic_store_n(&order->passes, 0, __ATOMIC_SEQ_CST);
    (void)snprintf(order->point, sizeof order->point, "%s", point);
    __atomic_store_n(&order->worker, worker, __ATOMIC_SEQ_CST);
    __atomic_store_n(&order->passes, passes, __ATOMIC_SEQ_CST);
}

static void
cancel_orders(void)
{
    for (unsigned i = 0; i < 2; i++)
        __atomic_store_n(&shared->order[i].passes, 0, __ATOMIC_SEQ_CST);
}

/* ---- claims ---- */

/* Ended, or in exit() already: the kernel may have dropped its locks. */
static bool
is_dying(pid_t pid)
{
    char path[40], text[512], state = 'X';
    unsigned flags = 0;
    const char *end;
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return true;
    n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    end = strrchr(text, ')');
    if (end == NULL ||
        sscanf(end + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return true;
    return state == 'Z' || state == 'X' || (flags & 4) != 0;
}

/* { how many claims before : 30 | what : 2 }: no two claims are alike. */
static void
claim(uint32_t what)
{
    uint32_t before = __atomic_load_n(&me->claim, __ATOMIC_SEQ_CST) >> 2;

    __atomic_store_n(&me->claim, (before + 1) << 2 | what, __ATOMIC_SEQ_CST);
}

/* Living others that claim one of the bits, all at the same time: those whose
 * claims are the same in two passes, and who live in the second. */
static unsigned
count_claims(uint32_t bits)
{
    uint32_t claims[WORKERS];
    pid_t pids[WORKERS];
    unsigned n = 0;

    for (unsigned i = 0; i < WORKERS; i++) {
        pids[i] = __atomic_load_n(&shared->worker[i].pid, __ATOMIC_SEQ_CST);
        claims[i] =
            __atomic_load_n(&shared->worker[i].claim, __ATOMIC_SEQ_CST);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &shared->worker[i];

        if (w != me && pids[i] != 0 && (claims[i] & bits) != 0 &&
            !is_dying(pids[i]) &&
            __atomic_load_n(&w->claim, __ATOMIC_SEQ_CST) == claims[i] &&
            __atomic_load_n(&w->pid, __ATOMIC_SEQ_CST) == pids[i])
            n++;
    }
    return n;
}

static void
dawdle(void)
{
    if (pick(8) == 0)
        (void)usleep(pick(200));
    else
        for (unsigned n = pick(200); n > 0; n--)
            __asm__ __volatile__("" ::: "memory");
}

/* ---- what a lock guards ---- */

/* True: the data is sound, and may be changed. */
static bool
look_at_data(int told)
{
    if (told != SHMKIT_OWNER_DIED) {
        if (get(&shared->a) != get(&shared->b))
            bad("half changed, and nobody was told");
        return true;
    }
    (void)add(&shared->told);
    if (pick(3) == 0) {
        (void)add(&shared->stayed);
        return false;
    }
    put(&shared->b, get(&shared->a));
    return true;
}

static void
change_data(void)
{
    put(&shared->a, get(&shared->a) + 1);
    dawdle();
    put(&shared->b, get(&shared->b) + 1);
}

static void
work_alone(int told, void *lock, void mark_consistent(void *lock))
{
    claim(1);
    if (count_claims(1) != 0)
        bad("two holders");
    if (look_at_data(told)) {
        if (told == SHMKIT_OWNER_DIED)
            mark_consistent(lock);
        change_data();
    }
    claim(0);
}

static void
mark_lock(void *lock)
{
    shmkit_lock_mark_consistent(lock);
}

static void
mark_rlock(void *lock)
{
    shmkit_rlock_mark_consistent(lock);
}

static void
mark_rwlock(void *lock)
{
    shmkit_rwlock_mark_consistent(lock);
}

/* ---- the loads ---- */

static void
lock_once(void)
{
    int r = shmkit_lock_acquire(arena, &object->lock, SHMKIT_FOREVER);

    expect("lock_acquire", r);
    work_alone(r, &object->lock, mark_lock);
    expect("lock_release", shmkit_lock_release(arena, &object->lock));
}

static void
rlock_once(void)
{
    unsigned depth = 1 + pick(3);
    int told = 0;

    for (unsigned i = 1; i <= depth; i++) {
        int r = shmkit_rlock_acquire(arena, &object->rlock, SHMKIT_FOREVER);

        expect("rlock_acquire", r);
        told = i == 1 ? r : told;
        if (shmkit_rlock_get_depth(arena, &object->rlock) != i)
            bad("rlock: depth is not %u", i);
    }
    work_alone(told, &object->rlock, mark_rlock);
    for (unsigned i = 0; i < depth; i++)
        expect("rlock_release", shmkit_rlock_release(arena, &object->rlock));
}

static void
owned_once(void)
{
    int r = shmkit_semaphore_acquire_owned(arena, &object->semaphore,
                                           SHMKIT_FOREVER);

    expect("semaphore_acquire_owned", r);
    if (r == SHMKIT_OWNER_DIED)
        (void)add(&shared->told);
    claim(1);
    if (count_claims(1) >= UNITS)
        bad("more inside than units");
    dawdle();
    claim(0);
    r = shmkit_semaphore_release(arena, &object->semaphore);
    expect("semaphore_release", r);
}

/* Producers add a unit whenever there is none; takers are mortal, and what
 * they take is gone. */
static void
plain_once(void)
{
    if (me->role == 0) {
        if (shmkit_semaphore_get_value(&object->semaphore) == 0) {
            (void)add(&shared->released);
            expect("semaphore_release",
                   shmkit_semaphore_release(arena, &object->semaphore));
        }
        (void)usleep(pick(60));
        return;
    }
    expect(
        "semaphore_acquire",
        shmkit_semaphore_acquire(arena, &object->semaphore, SHMKIT_FOREVER));
    if (add(&shared->acquired) > get(&shared->released))
        bad("a unit from nowhere");
}

static void
write_once(void)
{
    int r =
        shmkit_rwlock_acquire_write(arena, &object->rwlock, SHMKIT_FOREVER);

    expect("rwlock_acquire_write", r);
    claim(1);
    if (count_claims(3) != 0)
        bad("a writer is not alone");
    claim(0);
    work_alone(r, &object->rwlock, mark_rwlock);
    expect("rwlock_release_write",
           shmkit_rwlock_release_write(arena, &object->rwlock));
}

static void
read_once(void)
{
    unsigned depth = 1 + pick(2);
    int told = 0;

    for (unsigned i = 0; i < depth; i++) {
        int r =
            shmkit_rwlock_acquire_read(arena, &object->rwlock, SHMKIT_FOREVER);

        expect("rwlock_acquire_read", r);
        told = i == 0 ? r : told;
    }
    claim(2);
    if (count_claims(1) != 0)
        bad("a reader beside a writer");
    if (told != SHMKIT_OWNER_DIED && get(&shared->a) != get(&shared->b))
        bad("read half changed data, and was not told");
    dawdle();
    claim(0);
    for (unsigned i = 0; i < depth; i++)
        expect("rwlock_release_read",
               shmkit_rwlock_release_read(arena, &object->rwlock));
    /* Writers go first, but a reader in a loop of its own is always there. */
    (void)usleep(pick(100));
}

static void
rwlock_once(void)
{
    if (me->role == 0)
        write_once();
    else
        read_once();
}

/* One item: produced - consumed is 0 or 1. */
static void
check_buffer(void)
{
    if (get(&shared->produced) - get(&shared->consumed) > 1)
        bad("%" PRIu64 " produced, %" PRIu64 " consumed",
            get(&shared->produced), get(&shared->consumed));
}

static bool
is_my_turn(void)
{
    bool full = get(&shared->produced) != get(&shared->consumed);

    return me->role == 0 ? !full : full;
}

static void
move_item(void)
{
    check_buffer();
    (void)add(me->role == 0 ? &shared->produced : &shared->consumed);
    dawdle();
    (void)shmkit_condition_notify(
        arena, me->role == 0 ? &object->not_empty : &object->not_full, 1);
}

static void
condition_once(void)
{
    shmkit_condition *mine =
        me->role == 0 ? &object->not_full : &object->not_empty;
    int r = shmkit_lock_acquire(arena, &object->lock, SHMKIT_FOREVER);

    for (;;) {
        expect("lock_acquire or condition_wait", r);
        claim(1);
        if (count_claims(1) != 0)
            bad("two holders");
        if (r == SHMKIT_OWNER_DIED) {
            (void)add(&shared->told);
            shmkit_lock_mark_consistent(&object->lock);
        }
        if (is_my_turn())
            break;
        claim(0);
        r = shmkit_condition_wait(arena, mine, &object->lock, SHMKIT_FOREVER);
    }
    move_item();
    claim(0);
    expect("lock_release", shmkit_lock_release(arena, &object->lock));
}

static void
condition_rlock_once(void)
{
    shmkit_condition *mine =
        me->role == 0 ? &object->not_full : &object->not_empty;
    uint32_t depth = 1 + pick(2);
    int r = 0, told;

    for (uint32_t i = 0; i < depth; i++) {
        told = shmkit_rlock_acquire(arena, &object->rlock, SHMKIT_FOREVER);
        r = i == 0 ? told : r;
    }
    for (;;) {
        expect("rlock_acquire or condition_wait_rlock", r);
        claim(1);
        if (count_claims(1) != 0)
            bad("two holders");
        if (shmkit_rlock_get_depth(arena, &object->rlock) != depth)
            bad("depth %" PRIu32 " is not %" PRIu32,
                shmkit_rlock_get_depth(arena, &object->rlock), depth);
        if (r == SHMKIT_OWNER_DIED) {
            (void)add(&shared->told);
            shmkit_rlock_mark_consistent(&object->rlock);
        }
        if (is_my_turn())
            break;
        claim(0);
        r = shmkit_condition_wait_rlock(arena, mine, &object->rlock,
                                        SHMKIT_FOREVER);
    }
    move_item();
    claim(0);
    for (uint32_t i = 0; i < depth; i++)
        expect("rlock_release", shmkit_rlock_release(arena, &object->rlock));
}

/* Setters set what is not set, every other time for no longer than a moment;
 * waiters clear what they saw. */
static void
event_once(void)
{
    if (me->role == 1) {
        expect("event_wait",
               shmkit_event_wait(&object->event, SHMKIT_FOREVER));
        shmkit_event_clear(&object->event);
        return;
    }
    if (!shmkit_event_is_set(&object->event)) {
        shmkit_event_set(&object->event);
        if (pick(2) == 0)
            shmkit_event_clear(&object->event);
    }
    (void)usleep(pick(60));
}

/* Until the first process has put the barrier in order again. */
static void
park(uint64_t epoch)
{
    __atomic_store_n(&me->parked, 1, __ATOMIC_SEQ_CST);
    while (get(&shared->epoch) == epoch)
        (void)usleep(100);
    __atomic_store_n(&me->parked, 0, __ATOMIC_SEQ_CST);
    rounds = 0;
}

static int
act_and_pass(void)
{
    uint64_t n = add(&shared->actions);

    if (n != rounds + 1)
        bad("action %" PRIu64 " in round %" PRIu64, n, rounds + 1);
    dawdle();
    return shmkit_barrier_pass(arena, &object->barrier);
}

static void
barrier_once(void)
{
    uint64_t epoch = get(&shared->epoch);
    uint32_t index;
    int r;

    if (pick(8) == 0)
        (void)usleep(pick(4000));
    (void)add(&shared->arrivals);
    __atomic_store_n(&me->phase, INSIDE, __ATOMIC_SEQ_CST);
    r = shmkit_barrier_wait(arena, &object->barrier, SHMKIT_FOREVER, &index);
    if (r == SHMKIT_RUN_ACTION)
        r = act_and_pass();
    __atomic_store_n(&me->phase, OUTSIDE, __ATOMIC_SEQ_CST);
    expect("barrier_wait", r);
    if (r == SHMKIT_BROKEN) {
        park(epoch);
        return;
    }
    rounds++;
    if (get(&shared->arrivals) < rounds * PARTIES ||
        get(&shared->actions) < rounds)
        bad("passed too early: round %" PRIu64 ", %" PRIu64
            " arrivals, %" PRIu64 " actions",
            rounds, get(&shared->arrivals), get(&shared->actions));
}

static const struct load loads[] = {
    {"lock", lock_once, {"lock."}, 5},
    {"rlock", rlock_once, {"lock.", "rlock."}, 5},
    {"owned", owned_once, {"sem."}, 6},
    {"plain", plain_once, {"sem."}, 6},
    {"rwlock", rwlock_once, {"rw.", "lock.", "lane."}, 6},
    {"condition", condition_once, {"wait.", "notify.", "lock.", "lane."}, 6},
    {"condition_rlock",
     condition_rlock_once,
     {"wait.", "notify.", "lock.", "rlock."},
     6},
    {"event", event_once, {"event."}, 6},
    {"barrier", barrier_once, {"bar."}, PARTIES},
};
#define LOADS (sizeof loads / sizeof loads[0])

/* ---- workers ---- */

static void
work(unsigned i, uint64_t seed)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    random_state = seed | 1;
    me = &shared->worker[i];
    while (get(&me->operations) == 0)
        (void)sched_yield(); /* until it is entered */
    rounds = 0;
    while (__atomic_load_n(&shared->quit, __ATOMIC_SEQ_CST) == 0) {
        load->work();
        (void)add(&me->operations);
    }
    _exit(0);
}

static void
start(unsigned i)
{
    struct worker *w = &shared->worker[i];
    uint64_t seed = draw();
    pid_t pid;

    memset(w, 0, sizeof *w);
    w->role = i % 2;
    pid = T_SYS(fork());
    if (pid == 0)
        work(i, seed);
    __atomic_store_n(&w->pid, pid, __ATOMIC_SEQ_CST);
    put(&w->operations, 1);
}

static bool
is_alive(unsigned i)
{
    return shared->worker[i].pid != 0;
}

/* True when it has ended (by SIGKILL, else that is bad) and is reaped. */
static bool
reap(unsigned i, bool block)
{
    int status;
    pid_t pid = shared->worker[i].pid;

    if (pid == 0)
        return true;
    if (waitpid(pid, &status, block ? 0 : WNOHANG) != pid)
        return false;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        bad("worker %u ended with status %#x", i, (unsigned)status);
    __atomic_store_n(&shared->worker[i].pid, 0, __ATOMIC_SEQ_CST);
    return true;
}

static void
make_object(void)
{
    uint64_t offset;
    int r = shmkit_arena_alloc(arena, sizeof *object, &offset);

    T_CHECK_EQ(r, 0);
    object = shmkit_arena_at(arena, offset, sizeof *object);
    T_CHECK(object != NULL);
    r = shmkit_semaphore_init(&object->semaphore,
                              load->work == plain_once ? 0 : UNITS, 0);
    T_CHECK_EQ(r, 0);
    r = shmkit_barrier_init(&object->barrier, PARTIES, SHMKIT_BARRIER_ACTION);
    T_CHECK_EQ(r, 0);
}

/* ---- the first process: survivors must go on ---- */

static int64_t longest_ns;
static uint64_t deaths, stops, arrived_deaths;

static void
describe_hang(const uint64_t before[WORKERS])
{
    bad("hang: lock %#x/%u rw %#x/%#x cond %u+%u event %#x sem %#x/%" PRIu64
        " %#x %#x bar %#" PRIx64 " run %#" PRIx64 " items %" PRIu64
        "/%" PRIu64,
        object->lock.word | object->rlock.lock.word, object->lock.died,
        object->rwlock.writer.word, object->rwlock.queue,
        object->not_empty.seq, object->not_full.seq, object->event.word,
        object->semaphore.queue, object->semaphore.extra, object->units[0],
        object->units[1], object->barrier.word, object->barrier.run,
        shared->produced, shared->consumed);
    for (unsigned i = 0; i < WORKERS; i++) {
        if (is_alive(i))
            printf("  worker %u (pid %d, role %u): %" PRIu64
                   " operations since, claim %u\n",
                   i, (int)shared->worker[i].pid, shared->worker[i].role,
                   shared->worker[i].operations - before[i],
                   shared->worker[i].claim & 3);
    }
}

static bool
did_more(const uint64_t before[WORKERS], uint64_t more)
{
    for (unsigned i = 0; i < load->workers; i++) {
        if (is_alive(i) &&
            get(&shared->worker[i].operations) - before[i] < more)
            return false;
    }
    return true;
}

static void
snapshot(uint64_t before[WORKERS])
{
    for (unsigned i = 0; i < WORKERS; i++)
        before[i] = get(&shared->worker[i].operations);
}

/* A second death, by an order that is still out, is reaped here too. */
static void
reap_ordered(void)
{
    for (unsigned i = 0; i < load->workers; i++) {
        if (is_alive(i) && reap(i, false))
            deaths++;
    }
}

static void
await_progress(uint64_t more)
{
    int64_t began = now_ns(), last = began;
    uint64_t before[WORKERS], sum = 0, seen;

    snapshot(before);
    while (!did_more(before, more)) {
        (void)usleep(50);
        reap_ordered();
        seen = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            seen += get(&shared->worker[i].operations);
        if (seen != sum || sum == 0) {
            if (now_ns() - last > longest_ns)
                longest_ns = now_ns() - last;
            last = now_ns();
            sum = seen;
        }
        if (now_ns() - began > HANG_S * INT64_C(1000000000)) {
            describe_hang(before);
            return;
        }
        if (shared->bad != 0)
            return;
    }
}

/* Wait until all living parties are parked, having been told. */
static void
await_parked(void)
{
    int64_t began = now_ns();
    uint64_t before[WORKERS];
    bool all = false;

    snapshot(before);
    while (!all && shared->bad == 0) {
        all = true;
        reap_ordered();
        for (unsigned i = 0; i < PARTIES; i++)
            all = all &&
                  (!is_alive(i) || __atomic_load_n(&shared->worker[i].parked,
                                                   __ATOMIC_SEQ_CST) != 0);
        if (!all && now_ns() - began > HANG_S * INT64_C(1000000000)) {
            describe_hang(before);
            return;
        }
        (void)usleep(50);
    }
    if (now_ns() - began > longest_ns)
        longest_ns = now_ns() - began;
}

static void
reset_and_die(void)
{
    pid_t pid;

    order_death(0, "bar.reset", -1, 1);
    pid = T_SYS(fork());
    if (pid == 0) {
        me = &shared->worker[WORKERS - 1]; /* of no party */
        shmkit_barrier_reset(arena, &object->barrier);
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    cancel_orders();
}

/* Whoever died at the barrier breaks it; whoever died before it leaves the
 * others waiting, as nobody can know that it would have come. */
static void
mend_barrier(bool arrived)
{
    if (arrived)
        arrived_deaths++;
    if (!arrived)
        shmkit_barrier_abort(&object->barrier);
    await_parked();
    if (opt.points && shared->bad == 0)
        reset_and_die();
    shmkit_barrier_reset(arena, &object->barrier);
    put(&shared->arrivals, 0);
    put(&shared->actions, 0);
}

static void
replace_the_dead(void)
{
    bool barrier = load->work == barrier_once;

    cancel_orders();
    reap_ordered();
    for (unsigned i = 0; i < load->workers; i++) {
        if (!is_alive(i))
            start(i);
    }
    if (barrier)
        (void)add(&shared->epoch);
}

/* After a death: `arrived` is about the barrier. */
static void
judge_survivors(bool arrived)
{
    if (load->work == barrier_once)
        mend_barrier(arrived);
    else
        await_progress(MORE);
    replace_the_dead();
    if (shared->bad == 0)
        await_progress(1);
}

/* ---- killing ---- */

static bool
is_of_load(const char *point)
{
    for (unsigned i = 0; i < 4 && load->points[i] != NULL; i++) {
        if (strncmp(point, load->points[i], strlen(load->points[i])) == 0)
            return true;
    }
    return false;
}

static const char *
pick_point(void)
{
    const char *points[POINTS], *name;
    unsigned n = 0;

    for (unsigned i = 0; (name = shmkiti_fault_name(i)) != NULL; i++) {
        if (n < POINTS && is_of_load(name))
            points[n++] = name;
    }
    T_CHECK(n > 0);
    return points[pick(n)];
}

/* Until the ordered death, or `ms` are over. */
static bool
await_death(unsigned victim, unsigned ms)
{
    int64_t end = now_ns() + ms * INT64_C(1000000);

    while (now_ns() < end) {
        if (reap(victim, false))
            return true;
        (void)usleep(50);
    }
    return false;
}

static void
kill_worker(unsigned victim)
{
    if (is_alive(victim)) {
        (void)kill(shared->worker[victim].pid, SIGKILL);
        (void)reap(victim, true);
    }
    deaths++;
}

/* True: killed; it may go on instead. */
static bool
stop_and_see(unsigned victim)
{
    (void)kill(shared->worker[victim].pid, SIGSTOP);
    stops++;
    (void)usleep(pick(30000));
    if (pick(2) == 0)
        return true;
    (void)kill(shared->worker[victim].pid, SIGCONT);
    return false;
}

/* An action that nobody ends, or a mark of this generation and of the dead. */
static bool
waits_for_the_dead(void)
{
    uint64_t word = get(&object->barrier.word), slot;

    if ((word & 3) == 1)
        return true;
    for (unsigned i = 0; i < PARTIES && (word & 3) == 0; i++) {
        slot = get(&object->slots[i]);
        if (slot >> 36 == (word >> 2 & 0xfffffff) &&
            (uint32_t)slot % (1u << 30) != 0 &&
            shmkiti_token_is_dead(arena, (uint32_t)slot % (1u << 30)))
            return true;
    }
    return false;
}

/* Whoever dies after it has arrived breaks the barrier by that, unless the
 * others arrive before their tick: then they pass, and wait in the next round
 * for one who never comes. */
static bool
await_broken(unsigned victim)
{
    int64_t began = now_ns(), end = began + HANG_S * INT64_C(1000000000);

    if (__atomic_load_n(&shared->worker[victim].phase, __ATOMIC_SEQ_CST) !=
        ARRIVED)
        return false;
    while (now_ns() < end) {
        reap_ordered();
        if (shmkit_barrier_is_broken(&object->barrier))
            return true;
        if (now_ns() - began > 60000000 && !waits_for_the_dead())
            return false;
        (void)usleep(50);
    }
    bad("the barrier waits for the dead");
    return false;
}

static void
kill_some(void)
{
    unsigned victim = pick(load->workers);
    unsigned other = (victim + 1 + pick(2)) % load->workers;
    bool arrived, two = pick(8) == 0;

    if (pick(2) == 0) {
        order_death(0, pick_point(), (int)victim, 1 + (int)pick(3));
        if (await_death(victim, 20))
            deaths++;
        else
            cancel_orders();
    } else if (pick(8) == 0 && !stop_and_see(victim)) {
        await_progress(1);
        return;
    }
    if (is_alive(victim))
        kill_worker(victim);
    /* Of three a role at least one is left. */
    if (two)
        kill_worker(other);
    arrived = load->work == barrier_once &&
              (await_broken(victim) || (two && await_broken(other)));
    judge_survivors(arrived);
}

static void
start_all(void)
{
    memset(shared->order, 0, sizeof shared->order);
    shared->a = shared->b = shared->produced = shared->consumed = 0;
    shared->released = shared->acquired = 0;
    shared->told = shared->stayed = 0;
    shared->arrivals = shared->actions = shared->epoch = 0;
    shared->quit = 0;
    longest_ns = 0;
    deaths = stops = arrived_deaths = 0;
    make_object();
    for (unsigned i = 0; i < load->workers; i++)
        start(i);
    await_progress(1);
}

/* All units are there again, and no more. */
static void
check_units(void)
{
    unsigned n = 0;

    me = NULL;
    while (n <= UNITS &&
           shmkit_semaphore_acquire_owned(arena, &object->semaphore,
                                          shmkit_deadline(0.1)) >= 0)
        n++;
    if (n != UNITS)
        bad("%u units of %u in the end", n, UNITS);
}

static void
kill_all(void)
{
    for (unsigned i = 0; i < load->workers; i++) {
        if (is_alive(i)) {
            (void)kill(shared->worker[i].pid, SIGKILL);
            (void)reap(i, true);
        }
    }
    if (load->work == owned_once && shared->bad == 0)
        check_units();
}

static void
report(void)
{
    printf("%-16s %6" PRIu64 " kills, %5" PRIu64 " stops, %6" PRIu64
           " told, longest pause %5.1f ms, %" PRIu32 " bad",
           load->name, deaths, stops, shared->told, (double)longest_ns / 1e6,
           shared->bad);
    if (load->work == barrier_once)
        printf(", %" PRIu64 " broken by themselves", arrived_deaths);
    printf("\n");
    (void)fflush(stdout);
}

static void
storm(void)
{
    start_all();
    while (deaths < opt.kills && shared->bad == 0) {
        (void)usleep(pick(3) == 0 ? pick(2000) : pick(300));
        kill_some();
    }
    kill_all();
    report();
}

/* ---- every point ---- */

static bool
is_of_repair(const char *point)
{
    return strncmp(point, "lane.repair.", 12) == 0 ||
           strstr(point, ".inherit.") != NULL ||
           strcmp(point, "notify.pass") == 0 ||
           strcmp(point, "bar.break") == 0;
}

/* Somebody must die first, so that there is something to repair. */
static void
die_in_repair(const char *point, unsigned victim, int passes)
{
    static const char *const first[] = {
        "lock.acquire.got", "wait.locked", "sem.acquire.got", "rw.read.marked",
        "wait.woke",        "wait.sleep",  "bar.sleep",       "bar.slot"};

    for (unsigned i = 0; i < sizeof first / sizeof first[0]; i++) {
        if (shared->bad != 0 || !is_of_load(first[i]))
            continue;
        order_death(1, point, -1, 1);
        order_death(0, first[i], (int)victim, passes);
        if (await_death(victim, 50))
            deaths++;
        judge_survivors(load->work == barrier_once && await_broken(victim));
    }
}

static void
die_at(const char *point, unsigned victim, int passes)
{
    order_death(0, point, (int)victim, passes);
    if (await_death(victim, 40)) {
        deaths++;
        judge_survivors(load->work == barrier_once && await_broken(victim));
    }
    cancel_orders();
}

/* How often somebody is killed again, until one dies in the repair. */
#define TRIES 12u

static void
all_points(void)
{
    const char *point;

    start_all();
    for (unsigned i = 0; (point = shmkiti_fault_name(i)) != NULL; i++) {
        if (!is_of_load(point) || shared->bad != 0)
            continue;
        for (unsigned role = 0; role < 2; role++) {
            if (is_of_repair(point)) {
                for (unsigned n = 0;
                     n < TRIES && (n < 1 || shared->reached[i] == 0); n++)
                    die_in_repair(point, (role + n) % load->workers,
                                  1 + (int)n % 4);
                continue;
            }
            die_at(point, role, 1);
            die_at(point, role, 3);
        }
        for (unsigned n = 0; n < 24 && shared->reached[i] == 0; n++)
            die_at(point, n % load->workers, 1);
    }
    kill_all();
    report();
}

/* All but bar.break, which needs a death that the others do not make up for:
 * tests/unit/test_sync_kill.c makes that scene, and kills at every point. */
static unsigned
count_unreached(void)
{
    static const char *const layers[] = {"lock.",  "rlock.", "sem.",
                                         "rw.",    "wait.",  "notify.",
                                         "event.", "bar.",   "lane.repair."};
    const char *point;
    unsigned n = 0;

    for (unsigned i = 0; (point = shmkiti_fault_name(i)) != NULL; i++) {
        for (unsigned k = 0; k < sizeof layers / sizeof layers[0]; k++) {
            if (shared->reached[i] == 0 && strcmp(point, "bar.break") != 0 &&
                strncmp(point, layers[k], strlen(layers[k])) == 0) {
                printf("nobody died at %s\n", point);
                n++;
            }
        }
    }
    return n;
}

/* ---- */

static void
usage(void)
{
    printf(
        "usage: sync_storm [--kills N] [--points] [--only LOAD] [--seed S]\n");
    exit(2);
}

static void
parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"kills", 1, NULL, 'k'}, {"points", 0, NULL, 'p'},
        {"only", 1, NULL, 'o'},  {"seed", 1, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    int c;

    opt.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'k')
            opt.kills = strtoull(optarg, NULL, 10);
        else if (c == 'p')
            opt.points = true;
        else if (c == 'o')
            opt.only = optarg;
        else if (c == 's')
            opt.seed = strtoull(optarg, NULL, 10);
        else
            usage();
    }
}

static void
prepare(void)
{
    int r = shmkit_arena_create("storm", 1 << 20, NULL, &arena);

    T_CHECK_EQ(r, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    T_CHECK(shared != MAP_FAILED);
    random_state = opt.seed * 0x9e3779b97f4a7c15u | 1;
    shmkiti_fault_set_hook(at_point, NULL);
    printf("sync_storm: seed %" PRIu64 "\n", opt.seed);
    (void)fflush(stdout);
}

int
main(int argc, char **argv)
{
    unsigned failures = 0;

    parse(argc, argv);
    /* A family formed here, outside, would stay. */
    shmkit_family_form_at_fork(0);
    t_namespace(NULL);
    prepare();
    for (unsigned i = 0; i < LOADS; i++) {
        load = &loads[i];
        if (opt.only != NULL && strcmp(opt.only, load->name) != 0)
            continue;
        shared->bad = 0;
        if (opt.points)
            all_points();
        else
            storm();
        failures += shared->bad;
    }
    if (opt.points && opt.only == NULL)
        failures += count_unreached();
    shmkit_arena_close(arena);
    printf("%u failures\n", failures);
    return failures != 0;
}
