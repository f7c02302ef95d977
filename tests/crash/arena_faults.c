/* SPDX-License-Identifier: MIT */
/* arena_faults.c - a process that uses an arena in every way, killed at every
 * pass of every fault point; then the process that repairs killed as well, at
 * every pass of its own; then every system call failed in turn.
 *
 * After each: the arena is sound, nobody hangs, and when one collect has run
 * exactly the objects are there that the living own and that have names. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmkit/shmkit.h>

#include "base/fault.h"
#include "support.h"

#define OWN 20        /* objects of the test's own */
#define POINTS 128    /* of the library, at most */
#define EVERY 7       /* runs in which the repairer is killed too */
#define PATIENCE 1000 /* ms for an orphan to be gone */

struct killer {
    unsigned n, seen;
    char *reached; /* shared: by number of the fault point */
};

static bool
is_ours(const char *point)
{
    static const char *const prefixes[] = {"arena.", "token.", "lane.",
                                           "heap.",  "share.", "root."};

    for (unsigned i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(point, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

static void
kill_at(const char *point, void *arg)
{
    struct killer *killer = arg;
    const char *name;

    if (!is_ours(point))
        return;
    for (unsigned i = 0; (name = shmkiti_fault_name(i)) != NULL; i++) {
        if (i < POINTS && strcmp(name, point) == 0)
            killer->reached[i] = 1;
    }
    if (++killer->seen == killer->n)
        (void)kill(getpid(), SIGKILL);
}

/* ---- a life ---- */

struct life {
    shmkit_arena *arena; /* the test's, inherited */
    unsigned n;          /* where it ends, 0 = nowhere */
    int error;           /* or: which system call fails, with this */
    char *reached;
    uint32_t *done; /* shared: it came to its end */
};

static int
idle(void *arg)
{
    (void)arg;
    return 0;
}

static void *
use_a_lane(void *arg)
{
    uint64_t offset;

    if (shmkit_arena_alloc(arg, 30, &offset) == 0)
        (void)shmkit_arena_free(arg, offset);
    return NULL;
}

static void
use_heap(shmkit_arena *arena)
{
    uint64_t offset[40], big;

    for (unsigned i = 0; i < 40; i++) {
        if (shmkit_arena_alloc(arena, 50 * (i % 5 + 1), &offset[i]) < 0)
            offset[i] = 0;
    }
    for (unsigned i = 0; i < 40; i += 2)
        (void)shmkit_arena_free(arena, offset[i]);
    if (shmkit_arena_alloc(arena, 500000, &big) == 0) /* grows */
        (void)shmkit_arena_free(arena, big);
}

static void
use_shares(shmkit_arena *arena)
{
    struct shmkit_ref ref;
    uint64_t offset = 0;
    pid_t pid;

    if (shmkit_arena_alloc(arena, 70, &offset) < 0)
        return;
    pid = fork();
    if (pid == 0)
        _exit(idle(NULL));
    (void)waitpid(pid, NULL, 0);
    (void)shmkit_arena_free(arena, offset); /* retired */
    (void)shmkit_arena_collect(arena);
    if (shmkit_arena_alloc(arena, 70, &offset) < 0)
        return;
    if (shmkit_arena_send(arena, offset, &ref) == 0 &&
        shmkit_arena_adopt(arena, ref) == 0)
        (void)shmkit_arena_free(arena, offset);
    (void)shmkit_arena_free(arena, offset);
}

static void
use_names(shmkit_arena *arena)
{
    uint64_t offset;

    (void)!shmkit_arena_root(
        arena, &(struct shmkit_root){"one", 1, 100, NULL, NULL}, &offset);
    (void)!shmkit_arena_root(
        arena, &(struct shmkit_root){"two", 1, 1000, NULL, NULL}, &offset);
    (void)!shmkit_arena_root_remove(arena, "one");
}

static void
use_another(void)
{
    shmkit_arena *arena;
    uint64_t offset;

    if (shmkit_arena_create("other", 0, NULL, &arena) < 0)
        return;
    (void)!shmkit_arena_alloc(arena, 10, &offset);
    shmkit_arena_close(arena);
}

static int
fail_at(const char *call, void *arg)
{
    struct killer *killer = arg;

    (void)call;
    if (killer->n != 0 && ++killer->seen == killer->n)
        return -(int)(uintptr_t)killer->reached;
    return 0;
}

static int
live(void *arg)
{
    struct life *life = arg;
    struct killer killer = {life->n, 0, life->reached};
    pthread_t thread;

    if (life->error != 0) {
        killer.reached = (char *)(uintptr_t)life->error;
        shmkiti_syscall_set_hook(fail_at, &killer);
    } else {
        shmkiti_fault_set_hook(kill_at, &killer);
    }
    use_heap(life->arena);
    use_shares(life->arena);
    use_names(life->arena);
    if (pthread_create(&thread, NULL, use_a_lane, life->arena) == 0)
        (void)pthread_join(thread, NULL);
    use_another();
    shmkiti_fault_set_hook(NULL, NULL);
    shmkiti_syscall_set_hook(NULL, NULL);
    if (killer.seen < life->n)
        *life->done = 1;
    if (life->error != 0)
        T_CHECK_EQ(shmkit_arena_check(life->arena, NULL), 0);
    return T_PASS;
}

/* What every process does that comes after a dead one. */
static int
mend(void *arg)
{
    struct life *life = arg;
    struct killer killer = {life->n, 0, life->reached};
    uint64_t offset;

    shmkiti_fault_set_hook(kill_at, &killer);
    (void)shmkit_arena_collect(life->arena);
    (void)!shmkit_arena_alloc(life->arena, 50, &offset);
    shmkiti_fault_set_hook(NULL, NULL);
    if (killer.seen < life->n)
        *life->done = 1;
    return T_PASS;
}

/* ---- what must hold ---- */

static void
must_be_sound(shmkit_arena *arena, unsigned n, unsigned m)
{
    const char *what = NULL;

    if (shmkit_arena_check(arena, &what) != 0)
        t_fail(__FILE__, __LINE__, "killed at %u, %u: %s", n, m, what);
}

static unsigned
count_names(shmkit_arena *arena)
{
    uint64_t offset, size;
    unsigned count = 0;

    count += shmkit_arena_root_find(arena, "one", 1, &offset, &size) == 0;
    count += shmkit_arena_root_find(arena, "two", 1, &offset, &size) == 0;
    return count;
}

static uint64_t
count_objects(shmkit_arena *arena)
{
    struct shmkit_arena_stat stat;

    (void)shmkit_arena_collect(arena);
    T_CHECK_EQ(shmkit_arena_get_stat(arena, &stat), 0);
    return stat.allocations;
}

static void
must_be_clean(shmkit_arena *arena, unsigned n, unsigned m)
{
    uint64_t want = OWN + count_names(arena), got = 0;

    must_be_sound(arena, n, m);
    for (int i = 0; i < PATIENCE; i++) {
        got = count_objects(arena);
        if (got == want)
            break;
        t_sleep_ms(1); /* the killed one's own child may live still */
    }
    if (got != want)
        t_fail(__FILE__, __LINE__, "killed at %u, %u: %u objects, want %u", n,
               m, (unsigned)got, (unsigned)want);
    (void)!shmkit_arena_root_remove(arena, "one");
    (void)!shmkit_arena_root_remove(arena, "two");
    must_be_sound(arena, n, m);
}

static shmkit_arena *
make_arena(uint64_t own[OWN])
{
    shmkit_arena *arena;

    T_CHECK_EQ(shmkit_arena_create("crash", 0, NULL, &arena), 0);
    for (unsigned i = 0; i < OWN; i++) {
        T_CHECK_EQ(shmkit_arena_alloc(arena, 100, &own[i]), 0);
        memset(shmkit_arena_at(arena, own[i], 100), (int)i + 1, 100);
    }
    return arena;
}

static void
close_arena(shmkit_arena *arena, const uint64_t own[OWN])
{
    for (unsigned i = 0; i < OWN; i++) {
        const unsigned char *at = shmkit_arena_at(arena, own[i], 100);

        for (unsigned k = 0; k < 100; k++)
            T_CHECK_EQ(at[k], i + 1);
    }
    shmkit_arena_close(arena);
}

/* Killed at pass n, its repairer at pass m (0: not).  False: n or m is more
 * than there are. */
static bool
kill_at_both(unsigned n, unsigned m, char *reached, uint32_t *done)
{
    uint64_t own[OWN];
    struct life life = {make_arena(own), n, 0, reached, done};
    bool killed;

    t_watchdog("arena_faults", 60);
    *done = 0;
    killed = t_fork_wait(live, &life) != T_PASS || *done == 0;
    *done = 0;
    life.n = m;
    if (killed && m != 0)
        killed = t_fork_wait(mend, &life) != T_PASS || *done == 0;
    must_be_clean(life.arena, n, m);
    close_arena(life.arena, own);
    return killed;
}

/* Returns how often something was killed. */
static unsigned
kill_everywhere(char *reached, uint32_t *done)
{
    unsigned kills = 0;

    for (unsigned n = 1; kill_at_both(n, 0, reached, done); n++) {
        kills++;
        if (n % EVERY != 3)
            continue;
        for (unsigned m = 1; kill_at_both(n, m, reached, done); m++)
            kills += 2;
    }
    return kills;
}

static unsigned
fail_everywhere(int error, uint32_t *done)
{
    uint64_t own[OWN];
    unsigned n = 0;

    for (*done = 0; *done == 0;) {
        struct life life = {make_arena(own), ++n, error, NULL, done};

        t_watchdog("arena_faults", 60);
        T_CHECK_EQ(t_fork_wait(live, &life), T_PASS);
        must_be_clean(life.arena, n, 0);
        close_arena(life.arena, own);
    }
    return n;
}

static void
must_have_reached_all(const char *reached)
{
    const char *name;
    unsigned left = 0;

    for (unsigned i = 0; (name = shmkiti_fault_name(i)) != NULL; i++) {
        /* That one needs somebody asleep: the storm's. */
        if (!is_ours(name) || strcmp(name, "lane.unlock.released") == 0 ||
            reached[i] != 0)
            continue;
        printf("never reached: %s\n", name);
        left++;
    }
    T_CHECK_EQ(left, 0);
}

int
main(void)
{
    static const int errors[] = {ENOMEM, EMFILE, ENOSPC, EINTR};
    char *reached;
    uint32_t *done;

    /* A family formed here, outside, would stay. */
    shmkit_family_form_at_fork(0);
    t_namespace("size=64m");
    reached = t_shared_page();
    done = t_shared_page();
    t_shm_snapshot();
    printf("%u kills\n", kill_everywhere(reached, done));
    must_have_reached_all(reached);
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++)
        printf("%u calls failed with errno %d\n",
               fail_everywhere(errors[i], done), errors[i]);
    T_CHECK_EQ(shmkit_sweep(0, NULL, NULL), 0);
    shmkit_process_exit();
    t_shm_check_empty();
    return T_PASS;
}
