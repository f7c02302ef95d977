/* SPDX-License-Identifier: MIT */
/* arena_storm.c - processes that allocate, free, fork, name and grow in one
 * arena, killed at random.
 *
 *     crash-arena_storm [--kills N] [--seed N] [--procs N]
 *
 * Every object is filled with a number that no other object ever had, and
 * looked at whole before it is given up; a forked child goes on looking at
 * what it inherited, and gives up its own shares.  So memory in two hands is
 * seen by either.  Half of all kills come at fault points; some processes are
 * stopped before they are killed or go on.  At the end all are killed, one
 * collect runs, and nothing may be left but what has a name. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmkit/shmkit.h>

#include "base/fault.h"
#include "support.h"

#define PROCS_MAX 32
#define HELD 64
#define NAMES 8
#define CHECK_EVERY 100 /* kills */

struct shared {
    uint64_t numbers; /* drawn so far */
    uint32_t bad;     /* somebody saw one */
    uint32_t stopping;
    uint64_t operations, forks, adopted;
    int32_t pid[PROCS_MAX]; /* 0: the place is free */
};

struct object {
    uint64_t offset, number;
    size_t words;
};

struct worker {
    struct object held[HELD];
    unsigned count, slot;
    uint64_t chance;
    unsigned kill_in; /* passes of fault points, 0 = not */
};

static struct shared *shared;
static shmkit_arena *arena;

static uint32_t
draw(struct worker *worker, uint32_t below)
{
    worker->chance ^= worker->chance << 13;
    worker->chance ^= worker->chance >> 7;
    worker->chance ^= worker->chance << 17;
    return (uint32_t)(worker->chance >> 20) % below;
}

static void
say_bad(const char *what, const struct object *object, uint64_t got)
{
    printf("BAD %s: object %llx of %zu words: %llx, want %llx (pid %d)\n",
           what, (unsigned long long)object->offset, object->words,
           (unsigned long long)got, (unsigned long long)object->number,
           (int)getpid());
    (void)fflush(stdout);
    __atomic_store_n(&shared->bad, 1, __ATOMIC_SEQ_CST);
}

static void
look_at(const struct object *object)
{
    const uint64_t *at =
        shmkit_arena_at(arena, object->offset, object->words * 8);

    if (at == NULL) {
        say_bad("unreachable", object, 0);
        return;
    }
    for (size_t i = 0; i < object->words; i++) {
        if (at[i] != object->number) {
            say_bad("two hands", object, at[i]);
            return;
        }
    }
}

static void
make_one(struct worker *worker)
{
    struct object *object = &worker->held[worker->count];
    size_t size = draw(worker, 50) == 0 ? draw(worker, 200000) + 8
                                        : draw(worker, 700) + 8;
    uint64_t *at;
    int r;

    if (worker->count == HELD)
        return;
    object->words = size / 8;
    object->number = __atomic_add_fetch(&shared->numbers, 1, __ATOMIC_RELAXED);
    r = shmkit_arena_alloc(arena, size, &object->offset);
    if (r < 0) {
        if (r != -ENOSPC && r != -ENOMEM)
            say_bad("alloc fails", object, (uint64_t)r);
        return;
    }
    at = shmkit_arena_at(arena, object->offset, size);
    for (size_t i = 0; i < object->words; i++) {
        if (at[i] != 0)
            say_bad("not zero", object, at[i]);
        at[i] = object->number;
    }
    worker->count++;
}

static void
drop_one(struct worker *worker)
{
    unsigned i = worker->count == 0 ? 0 : draw(worker, worker->count);
    struct object *object = &worker->held[i];
    int r;

    if (worker->count == 0)
        return;
    look_at(object);
    r = shmkit_arena_free(arena, object->offset);
    if (r < 0)
        say_bad("free fails", object, (uint64_t)r);
    *object = worker->held[--worker->count];
}

static void
send_one(struct worker *worker)
{
    struct shmkit_ref ref;
    struct object *object;

    if (worker->count == 0 || worker->count == HELD)
        return;
    object = &worker->held[draw(worker, worker->count)];
    if (shmkit_arena_send(arena, object->offset, &ref) < 0)
        return;
    if (shmkit_arena_adopt(arena, ref) == 0)
        worker->held[worker->count++] = *object;
    (void)__atomic_add_fetch(&shared->adopted, 1, __ATOMIC_RELAXED);
}

/* A name's bytes all say the same. */
static void
use_name(struct worker *worker)
{
    char name[8];
    uint64_t offset;
    int r;

    (void)snprintf(name, sizeof name, "n%u", draw(worker, NAMES));
    if (draw(worker, 4) == 0) {
        (void)!shmkit_arena_root_remove(arena, name);
        return;
    }
    r = shmkit_arena_root(
        arena, &(struct shmkit_root){name, 7, 200, NULL, NULL}, &offset);
    if (r < 0 && r != -ENOSPC && r != -ENOMEM)
        say_bad("root fails", &(struct object){0}, (uint64_t)r);
}

static void work(struct worker *worker);

static bool
take_slot(unsigned *ret_slot)
{
    for (unsigned i = 0; i < PROCS_MAX; i++) {
        int32_t none = 0;

        if (__atomic_compare_exchange_n(&shared->pid[i], &none, -1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            *ret_slot = i;
            return true;
        }
    }
    return false;
}

static void
fork_one(struct worker *worker)
{
    unsigned slot;
    pid_t pid;

    if (!take_slot(&slot))
        return;
    pid = fork();
    if (pid == 0) {
        worker->slot = slot;
        worker->chance += (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
        __atomic_store_n(&shared->pid[slot], getpid(), __ATOMIC_SEQ_CST);
        work(worker);
        _exit(0);
    }
    if (pid < 0)
        __atomic_store_n(&shared->pid[slot], 0, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&shared->forks, 1, __ATOMIC_RELAXED);
}

static void
maybe_die(const char *point, void *arg)
{
    struct worker *worker = arg;

    (void)point;
    if (worker->kill_in != 0 && --worker->kill_in == 0)
        (void)kill(getpid(), SIGKILL);
}

static void
work(struct worker *worker)
{
    shmkiti_fault_set_hook(maybe_die, worker);
    worker->kill_in = draw(worker, 2) == 0 ? draw(worker, 3000) + 1 : 0;
    while (__atomic_load_n(&shared->bad, __ATOMIC_RELAXED) == 0) {
        uint32_t what = draw(worker, 1000);

        if (what < 450)
            make_one(worker);
        else if (what < 900)
            drop_one(worker);
        else if (what < 950)
            use_name(worker);
        else if (what < 970)
            send_one(worker);
        else if (what < 972)
            fork_one(worker);
        else if (what < 973)
            (void)shmkit_arena_collect(arena);
        (void)__atomic_add_fetch(&shared->operations, 1, __ATOMIC_RELAXED);
    }
}

/* ---- the one who kills ---- */

static void
spawn(unsigned slot, uint64_t seed)
{
    struct worker worker;
    pid_t pid;

    memset(&worker, 0, sizeof worker);
    worker.chance = seed | 1;
    worker.slot = slot;
    pid = T_SYS(fork());
    if (pid == 0) {
        work(&worker);
        _exit(0);
    }
    __atomic_store_n(&shared->pid[slot], pid, __ATOMIC_SEQ_CST);
}

static unsigned
reap_all(bool wait_for_them)
{
    unsigned dead = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, wait_for_them ? 0 : WNOHANG)) > 0) {
        dead++;
        for (unsigned i = 0; i < PROCS_MAX; i++) {
            if (shared->pid[i] == pid)
                __atomic_store_n(&shared->pid[i], 0, __ATOMIC_SEQ_CST);
        }
    }
    return dead;
}

static void
hit_one(struct worker *chance)
{
    int32_t pid = shared->pid[draw(chance, PROCS_MAX)];

    if (pid <= 0)
        return;
    if (draw(chance, 8) == 0) {
        (void)kill(pid, SIGSTOP);
        t_sleep_ms(draw(chance, 30));
        if (draw(chance, 2) == 0) {
            (void)kill(pid, SIGCONT);
            return;
        }
    }
    (void)kill(pid, SIGKILL);
}

static void
must_be_sound(unsigned kills)
{
    const char *what = NULL;
    int r = shmkit_arena_check(arena, &what);

    if (r != 0)
        t_fail(__FILE__, __LINE__, "after %u kills: %s (%d)", kills,
               what == NULL ? "?" : what, r);
}

static unsigned
storm(unsigned kills, unsigned procs, uint64_t seed)
{
    struct worker chance = {.chance = seed | 1};
    unsigned dead = 0, checked = 0, slot;

    while (dead < kills &&
           __atomic_load_n(&shared->bad, __ATOMIC_RELAXED) == 0) {
        unsigned alive = 0;

        dead += reap_all(false);
        for (unsigned i = 0; i < PROCS_MAX; i++)
            alive += shared->pid[i] != 0;
        while (alive < procs && take_slot(&slot)) {
            spawn(slot, seed += 0x9e3779b97f4a7c15u);
            alive++;
        }
        t_sleep_ms(draw(&chance, 6));
        hit_one(&chance);
        if (dead / CHECK_EVERY > checked) {
            checked = dead / CHECK_EVERY;
            t_watchdog("arena_storm", 120);
            must_be_sound(dead);
        }
    }
    return dead;
}

static void
end_all(void)
{
    /* Forks in flight: again until nobody is left. */
    for (int i = 0; i < 3; i++) {
        for (unsigned k = 0; k < PROCS_MAX; k++) {
            if (shared->pid[k] > 0)
                (void)kill(shared->pid[k], SIGKILL);
        }
        t_sleep_ms(20);
        (void)reap_all(false);
    }
    __atomic_store_n(&shared->bad, shared->bad | 2, __ATOMIC_SEQ_CST);
    (void)reap_all(true);
}

static void
must_be_empty(void)
{
    struct shmkit_arena_stat stat;
    uint64_t named = 0, offset, size;
    char name[8];

    (void)shmkit_arena_collect(arena);
    must_be_sound(0);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        named += shmkit_arena_root_find(arena, name, 7, &offset, &size) == 0;
    }
    T_CHECK_EQ(shmkit_arena_get_stat(arena, &stat), 0);
    printf(
        "%u lanes repaired, %llu operations, %llu forks, %llu adopted, "
        "file %llu KiB\n",
        stat.deaths, (unsigned long long)shared->operations,
        (unsigned long long)shared->forks, (unsigned long long)shared->adopted,
        (unsigned long long)stat.size / 1024);
    T_CHECK_EQ(stat.allocations, named);
    T_CHECK_EQ(stat.participants, 1);
}

int
main(int argc, char **argv)
{
    unsigned kills = 1000, procs = 6, dead;
    uint64_t seed = (uint64_t)getpid();

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--kills") == 0)
            kills = (unsigned)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--procs") == 0)
            procs = (unsigned)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
    /* A family formed here, outside, would stay. */
    shmkit_family_form_at_fork(0);
    t_namespace("size=256m");
    T_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    t_watchdog("arena_storm", 120);
    shared = t_shared_page();
    t_shm_snapshot();
    T_CHECK_EQ(shmkit_arena_create("storm", 0, NULL, &arena), 0);
    printf("seed %llu\n", (unsigned long long)seed);
    dead = storm(kills, procs, seed * 0x9e3779b97f4a7c15u);
    T_CHECK_EQ(shared->bad, 0);
    end_all();
    must_be_empty();
    shmkit_arena_close(arena);
    shmkit_process_exit();
    t_shm_check_empty();
    printf("%u killed, 0 bad\n", dead);
    return T_PASS;
}
