/* SPDX-License-Identifier: MIT */
/* bench_sync.c - the primitives beside the least that could do their work, and
 * beside those of the C library.
 *
 * bench_sync ROUNDS
 *
 * Each case has two sides that run in turn, a batch each a round, in the same
 * processes and on the same memory.  "floor" is one compare-exchange and one
 * exchange on a shared line; the rest is pthread with the attributes for
 * sharing (mutexes robust) and sem_t.  Processes are forked for a batch and
 * gone after it, so that nobody runs beside what is measured.
 *
 * The notify_all case holds for whole rounds: the time until all eight waiters
 * are through.  The barrier case is two processes, each on a core of its own.
 *
 * Output: one line of JSON a round and case, {"case", "theirs", "ours"} in
 * nanoseconds an operation; sync.py turns them into medians and ratios.  The
 * memory is an anonymous shared mapping and the family's arena: a kill leaves
 * nothing. */
#include <shmkit/shmkit.h>
#include <shmkit/sync.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAITERS 8
#define LINE 64

/* Each object on a line of its own. */
static struct shared {
    _Alignas(LINE) uint32_t floor;
    _Alignas(LINE) shmkit_lock lock;
    _Alignas(LINE) shmkit_rlock rlock;
    _Alignas(LINE) shmkit_rwlock rwlock;
    _Alignas(LINE) shmkit_event event;
    _Alignas(LINE) shmkit_condition condition;
    _Alignas(LINE) char semaphore[256];
    _Alignas(LINE) char barrier[256];
    _Alignas(LINE) pthread_mutex_t robust;
    _Alignas(LINE) pthread_mutex_t recursive;
    _Alignas(LINE) pthread_rwlock_t p_rwlock;
    _Alignas(LINE) pthread_cond_t p_condition;
    _Alignas(LINE) pthread_barrier_t p_barrier;
    _Alignas(LINE) sem_t sem;
    _Alignas(LINE) uint32_t round, waiting; /* notify_all */
    _Alignas(LINE) uint32_t through;
    _Alignas(LINE) uint32_t go, stop; /* the second reader */
} * shared;

static shmkit_arena *arena;

static void
die(const char *what, int error)
{
    fprintf(stderr, "bench_sync: %s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

static void
check(const char *what, int r)
{
    if (r != 0)
        die(what, r < 0 ? -r : r);
}

static double
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
report(const char *name, double theirs, double ours)
{
    printf("{\"case\": \"%s\", \"theirs\": %.3f, \"ours\": %.3f}\n", name,
           theirs, ours);
    fflush(stdout);
}

/* ---- one process ---- */

typedef void batch_fn(unsigned n);

static void
floor_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t free_word = 0;

        if (!__atomic_compare_exchange_n(&shared->floor, &free_word, 7, false,
                                         __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            die("floor", EBUSY);
        (void)__atomic_exchange_n(&shared->floor, 0, __ATOMIC_RELEASE);
    }
}

static void
lock_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check("lock",
              shmkit_lock_acquire(arena, &shared->lock, SHMKIT_FOREVER));
        shmkit_lock_release(arena, &shared->lock);
    }
}

static void
robust_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check("robust", pthread_mutex_lock(&shared->robust));
        pthread_mutex_unlock(&shared->robust);
    }
}

static void
rlock_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check("rlock",
              shmkit_rlock_acquire(arena, &shared->rlock, SHMKIT_FOREVER));
        shmkit_rlock_release(arena, &shared->rlock);
    }
}

static void
recursive_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check("recursive", pthread_mutex_lock(&shared->recursive));
        pthread_mutex_unlock(&shared->recursive);
    }
}

static void
semaphore_pairs(unsigned n)
{
    shmkit_semaphore *s = (shmkit_semaphore *)(void *)shared->semaphore;

    for (unsigned i = 0; i < n; i++) {
        check("semaphore", shmkit_semaphore_acquire(arena, s, SHMKIT_FOREVER));
        shmkit_semaphore_release(arena, s);
    }
}

static void
owned_pairs(unsigned n)
{
    shmkit_semaphore *s = (shmkit_semaphore *)(void *)shared->semaphore;

    for (unsigned i = 0; i < n; i++) {
        check("semaphore",
              shmkit_semaphore_acquire_owned(arena, s, SHMKIT_FOREVER));
        shmkit_semaphore_release(arena, s);
    }
}

static void
sem_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        sem_wait(&shared->sem);
        sem_post(&shared->sem);
    }
}

static void
read_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check("read", shmkit_rwlock_acquire_read(arena, &shared->rwlock,
                                                 SHMKIT_FOREVER));
        shmkit_rwlock_release_read(arena, &shared->rwlock);
    }
}

static void
write_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check("write", shmkit_rwlock_acquire_write(arena, &shared->rwlock,
                                                   SHMKIT_FOREVER));
        shmkit_rwlock_release_write(arena, &shared->rwlock);
    }
}

static void
pthread_read_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&shared->p_rwlock);
        pthread_rwlock_unlock(&shared->p_rwlock);
    }
}

static void
pthread_write_pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pthread_rwlock_wrlock(&shared->p_rwlock);
        pthread_rwlock_unlock(&shared->p_rwlock);
    }
}

static double
clock_batch(batch_fn *batch, unsigned n)
{
    double start = now_ns();

    batch(n);
    return (now_ns() - start) / n;
}

static const struct alone {
    const char *name;
    batch_fn *theirs, *ours;
} alone[] = {
    {"lock / floor", floor_pairs, lock_pairs},
    {"lock / robust mutex", robust_pairs, lock_pairs},
    {"rlock / recursive robust mutex", recursive_pairs, rlock_pairs},
    {"semaphore / sem_t", sem_pairs, semaphore_pairs},
    {"owned semaphore / sem_t", sem_pairs, owned_pairs},
    {"rwlock read / pthread", pthread_read_pairs, read_pairs},
    {"rwlock write / pthread", pthread_write_pairs, write_pairs},
};

static void
run_alone(bool theirs_first)
{
    enum { N = 100000 };

    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        double theirs = 0, ours;

        if (theirs_first)
            theirs = clock_batch(alone[i].theirs, N);
        ours = clock_batch(alone[i].ours, N);
        if (!theirs_first)
            theirs = clock_batch(alone[i].theirs, N);
        report(alone[i].name, theirs, ours);
    }
}

/* ---- several processes ---- */

static pid_t
start(void (*main_of)(unsigned), unsigned number)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork", errno);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        main_of(number);
        exit(EXIT_SUCCESS);
    }
    return pid;
}

static void
finish(pid_t pid)
{
    if (waitpid(pid, NULL, 0) != pid)
        die("waitpid", errno);
}

static void
pin_to(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static uint32_t
load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void
store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void
second_reader(unsigned which)
{
    batch_fn *batch = which == 0 ? pthread_read_pairs : read_pairs;

    pin_to(1);
    batch(1);
    store(&shared->go, 1);
    while (load(&shared->stop) == 0)
        batch(1000);
}

/* A pair of one reader while another reads all the time. */
static double
read_beside(unsigned which)
{
    batch_fn *batch = which == 0 ? pthread_read_pairs : read_pairs;
    pid_t other;
    double ns;

    store(&shared->go, 0);
    store(&shared->stop, 0);
    other = start(second_reader, which);
    while (load(&shared->go) == 0)
        sched_yield();
    ns = clock_batch(batch, 200000);
    store(&shared->stop, 1);
    finish(other);
    return ns;
}

static void
run_readers(void)
{
    double alone_ns, beside;

    alone_ns = clock_batch(read_pairs, 200000);
    beside = read_beside(1);
    report("rwlock, two reading / one", alone_ns, beside);
    report("rwlock, two reading / pthread", read_beside(0), beside);
}

/* ---- barrier of two ---- */

#define BARRIER_ROUNDS 5000u

static void
barrier_rounds(unsigned ours, unsigned n)
{
    shmkit_barrier *b = (shmkit_barrier *)(void *)shared->barrier;
    uint32_t index;

    for (unsigned i = 0; i < n; i++) {
        if (ours)
            check("barrier",
                  shmkit_barrier_wait(arena, b, SHMKIT_FOREVER, &index));
        else
            pthread_barrier_wait(&shared->p_barrier);
    }
}

static void
barrier_partner(unsigned ours)
{
    pin_to(1);
    barrier_rounds(ours, BARRIER_ROUNDS + 1);
}

static double
clock_barrier(unsigned ours)
{
    pid_t partner = start(barrier_partner, ours);
    double began;

    barrier_rounds(ours, 1); /* the partner is there */
    began = now_ns();
    barrier_rounds(ours, BARRIER_ROUNDS);
    began = (now_ns() - began) / BARRIER_ROUNDS;
    finish(partner);
    return began;
}

/* ---- notify_all ---- */

#define NOTIFY_ROUNDS 40u

static void
enter(unsigned ours)
{
    if (ours)
        check("lock",
              shmkit_lock_acquire(arena, &shared->lock, SHMKIT_FOREVER));
    else
        check("robust", pthread_mutex_lock(&shared->robust));
}

static void
leave(unsigned ours)
{
    if (ours)
        shmkit_lock_release(arena, &shared->lock);
    else
        pthread_mutex_unlock(&shared->robust);
}

static void
wait_once(unsigned ours)
{
    if (ours)
        check("wait", shmkit_condition_wait(arena, &shared->condition,
                                            &shared->lock, SHMKIT_FOREVER));
    else
        check("wait",
              pthread_cond_wait(&shared->p_condition, &shared->robust));
}

static void
waiter(unsigned ours)
{
    for (uint32_t seen = 0; seen < NOTIFY_ROUNDS; seen++) {
        enter(ours);
        shared->waiting++;
        while (shared->round == seen)
            wait_once(ours);
        leave(ours);
        __atomic_add_fetch(&shared->through, 1, __ATOMIC_ACQ_REL);
    }
}

static void
notify_all(unsigned ours)
{
    enter(ours);
    shared->round++;
    if (ours)
        shmkit_condition_notify(arena, &shared->condition, UINT32_MAX);
    else
        pthread_cond_broadcast(&shared->p_condition);
    leave(ours);
}

/* All asleep in the condition, as far as can be told from outside. */
static void
await_waiters(unsigned ours)
{
    struct timespec settle = {0, 200000};
    uint32_t waiting;

    do {
        nanosleep(&settle, NULL);
        enter(ours);
        waiting = shared->waiting;
        leave(ours);
    } while (waiting < WAITERS * (shared->round + 1));
    nanosleep(&settle, NULL);
}

static double
clock_notify(unsigned ours)
{
    pid_t waiters[WAITERS];
    double total = 0;

    shared->round = shared->waiting = shared->through = 0;
    for (unsigned i = 0; i < WAITERS; i++)
        waiters[i] = start(waiter, ours);
    for (uint32_t i = 0; i < NOTIFY_ROUNDS; i++) {
        double began;

        await_waiters(ours);
        began = now_ns();
        notify_all(ours);
        while (load(&shared->through) < WAITERS * (i + 1))
            sched_yield();
        total += now_ns() - began;
    }
    for (unsigned i = 0; i < WAITERS; i++)
        finish(waiters[i]);
    return total / NOTIFY_ROUNDS;
}

static void
run_together(const char *name, double (*clock_side)(unsigned ours),
             bool theirs_first)
{
    double theirs = 0, ours;

    if (theirs_first)
        theirs = clock_side(0);
    ours = clock_side(1);
    if (!theirs_first)
        theirs = clock_side(0);
    report(name, theirs, ours);
}

/* ---- setting up ---- */

static void
make_mutex(pthread_mutex_t *mutex, int type)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_settype(&attributes, type);
    check("pthread_mutex_init", pthread_mutex_init(mutex, &attributes));
}

static void
make_theirs(void)
{
    pthread_rwlockattr_t rwlock;
    pthread_condattr_t condition;
    pthread_barrierattr_t barrier;

    make_mutex(&shared->robust, PTHREAD_MUTEX_NORMAL);
    make_mutex(&shared->recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&shared->p_rwlock, &rwlock);
    pthread_condattr_init(&condition);
    pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&shared->p_condition, &condition);
    pthread_barrierattr_init(&barrier);
    pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->p_barrier, &barrier, 2);
    sem_init(&shared->sem, 1, 2);
}

static void
make_ours(void)
{
    check("arena", shmkit_arena_of_family(&arena));
    check("semaphore",
          shmkit_semaphore_init((shmkit_semaphore *)(void *)shared->semaphore,
                                2, 0));
    check("barrier", shmkit_barrier_init(
                         (shmkit_barrier *)(void *)shared->barrier, 2, 0));
}

int
main(int argc, char **argv)
{
    unsigned long rounds;

    if (argc != 2 || (rounds = strtoul(argv[1], NULL, 10)) == 0) {
        fprintf(stderr, "usage: bench_sync ROUNDS\n");
        return 2;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap", errno);

    make_theirs();
    make_ours();
    for (unsigned long i = 0; i < rounds; i++)
        run_together("notify_all, 8 waiters / pthread", clock_notify,
                     i % 2 == 0);
    pin_to(0);
    for (unsigned long i = 0; i < rounds; i++) {
        run_alone(i % 2 == 0);
        run_readers();
        run_together("barrier of two, two cores / pthread", clock_barrier,
                     i % 2 == 0);
    }
    return EXIT_SUCCESS;
}
