/* SPDX-License-Identifier: MIT */
/* storm.c - blocks of lifetime `holders` under random SIGKILL.
 *
 * In a pid and mount namespace of its own with an empty /dev/shm, `procs`
 * workers create, attach (both ways), check, grow, persist, unlink, reap,
 * sweep, list, fork and close blocks of a few names, with a random delay in
 * front of every system call and at every fault point of the library.  A third
 * of the children leave without closing anything.  The first process kills
 * workers at random and starts new ones.
 *
 * The truth is kept by oracle.c.  Names: "n0".. must keep their inode while
 * anybody holds it, unless somebody has begun to unlink that very inode;
 * "u0".. are unlinked by name alone, so only their bytes are looked at; "p0"..
 * may become persistent, and then must stay.
 *
 * With --big the sizes lie about 2 MiB, where blocks begin to lie on 2 MiB
 * pages, and every block is filled and looked at from end to end.
 *
 * A round ends with everybody killed, one sweep, and a look at /dev/shm; the
 * last round is without kills and without sweep: everybody closes, and nothing
 * may be left either.  All processes of a round are in one process group,
 * whose leader only sleeps, so that the group can be ended as a whole. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actions.h"
#include "support.h"

#define MAX_PROCS 64
#define ROUND_KILLS 500u

static struct {
    uint64_t kills, seed;
    unsigned procs, names;
    bool unlink, big;
} opt = {2000, 0, 16, 8, false, false};

static unsigned depth; /* forks between the first process and this one */
static bool graceful;

static void
pick_name(char name[16])
{
    unsigned kind = t_pick(10);

    if (kind == 0 && !graceful)
        (void)snprintf(name, 16, "p%u", t_pick(2));
    else if (kind == 1 && opt.unlink)
        (void)snprintf(name, 16, "u%u", t_pick(3));
    else
        (void)snprintf(name, 16, "n%u", t_pick(opt.names));
}

static void run_operations(unsigned n);

static void
fork_one(void)
{
    uint64_t seed = t_random();
    pid_t pid;

    (void)t_reap_children();
    if (depth == 2)
        return;
    pid = fork();
    if (pid < 0 && errno != EAGAIN)
        t_bad(T_BAD_RESULT, "fork: %s", strerror(errno));
    if (pid == 0) {
        depth++;
        t_seed(seed);
        t_act_check();
        run_operations(t_pick(6));
        t_act_leave(graceful);
    }
    t_did(T_DID_FORK);
}

static void
unlink_one(void)
{
    char name[16];

    if (t_one_in(20))
        t_act_unlink_mine();
    if (t_one_in(40)) {
        (void)snprintf(name, sizeof name, "u%u", t_pick(3));
        t_act_unlink_by_name(name);
    }
}

static void
operate(void)
{
    unsigned dice = t_pick(40);
    char name[16];

    pick_name(name);
    if (dice < 7)
        (void)t_act_create(name, SHMKIT_LIFETIME_HOLDERS);
    else if (dice < 18)
        (void)t_act_attach(name);
    else if (dice < 26)
        t_act_close_any();
    else if (dice < 28)
        t_act_check();
    else if (dice < 32)
        fork_one();
    else if (dice < 34)
        t_act_grow();
    else if (dice < 35)
        t_act_stat(name);
    else if (dice < 36)
        t_act_reap(name);
    else if (dice < 38)
        t_act_sweep();
    else
        t_act_persist();
}

static void
run_operations(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (opt.unlink)
            unlink_one();
        operate();
    }
}

static void
worker(uint64_t seed, pid_t group, bool threads)
{
    (void)setpgid(0, group);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    t_seed(seed);
    t_delays_on();
    shmkit_family_form_at_fork(t_one_in(4));
    if (threads)
        t_start_churn();
    if (!graceful) {
        for (;;)
            run_operations(16);
    }
    run_operations(300);
    t_act_close_all();
    while (waitpid(-1, NULL, 0) > 0)
        ;
    exit(0);
}

static pid_t
start_worker(pid_t group)
{
    uint64_t seed = t_random();
    bool threads = !graceful && t_one_in(8);
    pid_t pid = T_SYS(fork());

    if (pid == 0)
        worker(seed, group, threads);
    (void)setpgid(pid, group);
    return pid;
}

static pid_t
start_group(void)
{
    pid_t pid = T_SYS(fork());

    if (pid == 0) {
        (void)setpgid(0, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    (void)setpgid(pid, pid);
    return pid;
}

/* ---- rounds ---- */

static struct {
    pid_t group, pids[MAX_PROCS];
} crew;

static void
check_status(pid_t pid, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        t_bad(T_BAD_CRASH, "%d died of signal %d", pid, WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        t_bad(T_BAD_CRASH, "%d ended with %d", pid, WEXITSTATUS(status));
}

/* Orphans become this process's children, so that "no child is left" means
 * everybody is dead and the kernel has dropped all locks. */
static void
end_group(void)
{
    int status;
    pid_t pid;

    while (kill(-crew.group, SIGKILL) == 0 || errno != ESRCH) {
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            check_status(pid, status);
        (void)usleep(500);
    }
    while ((pid = waitpid(-1, &status, 0)) > 0)
        check_status(pid, status);
}

static void
kill_one(void)
{
    pid_t *slot = &crew.pids[t_pick(opt.procs)];
    int status = 0;

    (void)kill(*slot, SIGKILL);
    while (waitpid(*slot, &status, 0) < 0 && errno == EINTR)
        ;
    check_status(*slot, status);
    t_did(T_DID_KILL);
    *slot = start_worker(crew.group);
    while (waitpid(-crew.group, &status, WNOHANG) > 0)
        check_status(0, status); /* orphans; a worker only if it crashed */
}

static void
round_of_kills(uint64_t kills)
{
    crew.group = start_group();
    for (unsigned i = 0; i < opt.procs; i++)
        crew.pids[i] = start_worker(crew.group);
    for (uint64_t k = 0; k < kills && t_bad_total() == 0; k++) {
        t_progress("storm", t_oracle->did[T_DID_KILL], opt.kills);
        (void)usleep(t_pick(4) == 0 ? t_pick(6000) : t_pick(1500));
        kill_one();
    }
    end_group();
    (void)__atomic_add_fetch(&t_oracle->did[T_DID_BEFORE], t_count_left(),
                             __ATOMIC_RELAXED);
    t_sweep_once();
    t_check_left("after one sweep", "");
    t_oracle_reset();
}

/* Nobody is killed and nobody sweeps last: the closes alone must do it. */
static void
round_of_peace(void)
{
    int status;

    graceful = true;
    crew.group = start_group();
    for (unsigned i = 0; i < opt.procs; i++)
        crew.pids[i] = start_worker(crew.group);
    for (unsigned i = 0; i < opt.procs; i++) {
        (void)waitpid(crew.pids[i], &status, 0);
        check_status(crew.pids[i], status);
    }
    end_group();
    t_check_left("after closing, without a sweep", "");
    graceful = false;
}

static void
usage(void)
{
    printf(
        "usage: storm [--kills N] [--procs N] [--names N] [--seed S] "
        "[--unlink] [--big]\n");
    exit(2);
}

static void
parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"kills", 1, NULL, 'k'},  {"procs", 1, NULL, 'p'},
        {"names", 1, NULL, 'n'},  {"seed", 1, NULL, 's'},
        {"unlink", 0, NULL, 'u'}, {"big", 0, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    int c;

    opt.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'k')
            opt.kills = strtoull(optarg, NULL, 10);
        else if (c == 'p')
            opt.procs = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'n')
            opt.names = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 's')
            opt.seed = strtoull(optarg, NULL, 10);
        else if (c == 'u')
            opt.unlink = true;
        else if (c == 'b')
            opt.big = true;
        else
            usage();
    }
    if (opt.procs < 1 || opt.procs > MAX_PROCS || opt.names < 1)
        usage();
}

int
main(int argc, char **argv)
{
    uint64_t done = 0;

    parse(argc, argv);
    shmkit_family_form_at_fork(0);
    t_namespace("size=1g");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)t_oracle_make(0, NULL);
    t_oracle->big = opt.big;
    t_seed(opt.seed);
    printf("storm: seed %" PRIu64 "\n", opt.seed);
    (void)fflush(stdout);
    while (done < opt.kills && t_bad_total() == 0) {
        uint64_t n = opt.kills - done;

        n = n < ROUND_KILLS ? n : ROUND_KILLS;
        round_of_kills(n);
        done += n;
    }
    if (t_bad_total() == 0)
        round_of_peace();
    t_progress("storm", done, opt.kills);
    t_summary("storm", opt.seed);
    return t_bad_total() != 0;
}
