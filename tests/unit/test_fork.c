/* SPDX-License-Identifier: MIT */
/* test_fork.c - fork, exec and close_range beside a library at work.
 *
 * The danger is a descriptor of the library that lives a microsecond in one
 * thread and, copied by a fork in another, for ever in a child: with it a
 * lock, and with that a block that nobody can remove. */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define SIZE 4096

extern char **environ;

/* ---- descriptors ---- */

struct churn {
    struct t_flag *stop;
    pthread_t thread;
    uint32_t lifetime;
    unsigned rounds;
};

static void *
make_all_the_time(void *arg)
{
    struct churn *churn = arg;
    char name[T_NAME_SIZE];
    shmkit_block *block, *other;

    t_scratch_name(name, "churn");
    while (t_flag_get(churn->stop) == 0) {
        block = unit_create(name, SIZE, 0, churn->lifetime);
        other = unit_attach(name, 0);
        shmkit_block_close(other);
        other = NULL;
        T_CHECK_EQ(shmkit_block_grow(block, 2 * SIZE, &other), 0);
        shmkit_block_close(other);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
        shmkit_block_close(block);
        churn->rounds++;
    }
    return NULL;
}

static void
start_churn(struct churn *churn, uint32_t lifetime)
{
    *churn = (struct churn){.stop = t_flag_new(), .lifetime = lifetime};
    T_CHECK_EQ(pthread_create(&churn->thread, NULL, make_all_the_time, churn),
               0);
}

static void
stop_churn(struct churn *churn)
{
    t_flag_set(churn->stop, 1);
    T_CHECK_EQ(pthread_join(churn->thread, NULL), 0);
    T_CHECK(churn->rounds > 0);
}

/* In a child: how many descriptors lie in /dev/shm. */
static int
shm_descriptors(void)
{
    char link[64], target[300];
    ssize_t n;
    int count = 0;

    for (int fd = 3; fd < 64; fd++) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        if (strncmp(target, "/dev/shm", 8) == 0) {
            fprintf(stderr, "inherited: %s\n", target);
            count++;
        }
    }
    return count;
}

static void
fork_beside(uint32_t lifetime)
{
    struct churn churn;
    int status;
    pid_t pid;

    T_CHECK_EQ(shmkit_family_form(), 0);
    start_churn(&churn, lifetime);
    for (int i = 0; i < 300; i++) {
        pid = T_SYS(fork());
        if (pid == 0)
            _exit(shm_descriptors() == 0 ? T_PASS : T_FAIL);
        T_SYS(waitpid(pid, &status, 0));
        T_CHECK_EQ(status, 0);
    }
    stop_churn(&churn);
}

static void
test_children_inherit_no_temporary_descriptor(void)
{
    fork_beside(SHMKIT_LIFETIME_FAMILY);
    fork_beside(SHMKIT_LIFETIME_HOLDERS);
    fork_beside(SHMKIT_LIFETIME_PERSISTENT);
}

/* Children that live on must not keep what their parent was busy with. */
static int
linger(void *arg)
{
    t_flag_wait(arg, 1);
    return T_PASS;
}

static void
test_lingering_children_pin_nothing(void)
{
    struct t_flag *go = t_flag_new();
    struct churn churn;
    pid_t pids[30];

    T_CHECK_EQ(shmkit_family_form(), 0);
    /* A block that stands while a child is made is the child's as well; this
     * one's name is removed by the churn each time, so only locks could stay:
     * then its next unlink or create would be refused. */
    start_churn(&churn, SHMKIT_LIFETIME_HOLDERS);
    for (int i = 0; i < 30; i++) {
        pids[i] = t_fork_raw(linger, go);
        t_sleep_ms(1);
    }
    stop_churn(&churn);
    t_flag_set(go, 1);
    for (int i = 0; i < 30; i++)
        T_CHECK_EQ(t_wait(pids[i]), T_PASS);
    T_CHECK_EQ(unit_sweep(), 0);
}

/* ---- exec ---- */

struct execed {
    pid_t pid;
    int in;
};

/* `cat`, waiting on a pipe; returns when exec has happened. */
static struct execed
start_cat(void)
{
    struct execed cat;
    int in[2], ready[2];
    char byte;

    T_SYS(pipe2(in, O_CLOEXEC));
    T_SYS(pipe2(ready, O_CLOEXEC));
    cat.pid = T_SYS(fork());
    if (cat.pid == 0) {
        T_SYS(dup2(in[0], STDIN_FILENO));
        (void)execlp("cat", "cat", (char *)NULL);
        _exit(T_FAIL);
    }
    T_SYS(close(in[0]));
    T_SYS(close(ready[1]));
    T_CHECK_EQ(read(ready[0], &byte, 1), 0); /* closed by the exec */
    T_SYS(close(ready[0]));
    cat.in = in[1];
    return cat;
}

static void
end_cat(struct execed *cat)
{
    T_SYS(close(cat->in));
    T_CHECK_EQ(t_wait(cat->pid), T_PASS);
}

static void
test_execed_program_holds_nothing(void)
{
    char name[T_NAME_SIZE], family[T_NAME_SIZE];
    shmkit_block *block;
    struct execed cat;

    block = unit_create(t_scratch_name(name, "exec"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    shmkit_block_close(
        unit_create(t_scratch_name(family, "execfam"), SIZE, 0, 0));
    cat = start_cat();
    T_CHECK(unit_exists(name));
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
    shmkit_process_exit();
    T_CHECK(!unit_exists(family));
    T_CHECK_EQ(unit_family_count(), 0);
    end_cat(&cat);
}

/* A close may meet a child on its way to exec, which holds the block for a
 * moment: looked at again later, so that nothing stays. */
static void *
spawn_all_the_time(void *arg)
{
    struct churn *churn = arg;
    char *argv[] = {(char *)(uintptr_t) "true", NULL};
    int status;
    pid_t pid;

    while (t_flag_get(churn->stop) == 0) {
        if (churn->rounds++ % 2 == 0) {
            T_CHECK_EQ(posix_spawnp(&pid, "true", NULL, NULL, argv, environ),
                       0);
        } else {
            pid = T_SYS(fork());
            if (pid == 0) {
                (void)execlp("true", "true", (char *)NULL);
                _exit(T_FAIL);
            }
        }
        T_SYS(waitpid(pid, &status, 0));
    }
    return NULL;
}

static void
test_closes_beside_spawning_leave_nothing(void)
{
    struct churn churn = {.stop = t_flag_new()};
    char name[T_NAME_SIZE];

    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK_EQ(pthread_create(&churn.thread, NULL, spawn_all_the_time, &churn),
               0);
    for (int i = 0; i < 1000; i++)
        shmkit_block_close(unit_create(t_scratch_name(name, "late"), SIZE, 0,
                                       SHMKIT_LIFETIME_HOLDERS));
    stop_churn(&churn);
    /* No sweep here: exit handling has to find them. */
}

/* ---- daemons ---- */

static int
close_all_descriptors(struct unit_call *call)
{
    (void)call;
    /* All but the pipes of this puppet would be its end: those below 64 that
     * lie in /dev/shm, which are all a daemon could take from us. */
    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[300];
        ssize_t n;

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof target - 1);
        if (n > 0 && strncmp(target, "/dev/shm", 8) == 0)
            T_SYS(close(fd));
    }
    return 0;
}

static void
test_daemon_without_descriptors_keeps_the_family(void)
{
    char name[T_NAME_SIZE], other[T_NAME_SIZE];
    struct unit_puppet parent = unit_puppet_start();
    struct unit_puppet daemon;
    int fd;

    (void)parent;
    T_CHECK_EQ(shmkit_family_get_fd(&fd), 0);
    daemon = unit_puppet_start();
    shmkit_block_close(
        unit_create(t_scratch_name(name, "daemon"), SIZE, 0, 0));
    T_CHECK_EQ(unit_puppet_run(&daemon, close_all_descriptors), 0);
    shmkit_process_exit();
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_puppet_sweep(&parent), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_puppet_attach(&daemon, name), 0);
    t_scratch_name(other, "daemonmade");
    daemon.call->slot = 1;
    T_CHECK_EQ(unit_puppet_create(&daemon, other, SIZE, 0), 0);
    unit_puppet_end(&daemon);
    T_CHECK(!unit_exists(name) && !unit_exists(other));
    unit_puppet_end(&parent);
}

static int
after_close_range(void *arg)
{
    shmkit_block *block;

    T_SYS(syscall(SYS_close_range, 3u, ~0u, 0u));
    block = unit_attach(arg, 0);
    T_CHECK(unit_all_bytes(block, 7));
    shmkit_block_close(block);
    block = unit_create(NULL, SIZE, 0, 0);
    T_CHECK_EQ(shmkit_block_unlink(shmkit_block_name(block), NULL), 0);
    shmkit_block_close(block);
    return T_PASS;
}

static void
test_close_range_in_a_child(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;
    int fd;

    block = unit_create(t_scratch_name(name, "range"), SIZE, 0, 0);
    memset(shmkit_block_data(block), 7, SIZE);
    T_CHECK_EQ(shmkit_family_get_fd(&fd), 0);
    T_CHECK_EQ(t_fork_wait(after_close_range, name), T_PASS);
    T_SYS(fcntl(fd, F_GETFD)); /* the parent's is the parent's */
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

/* A child that never execs and never calls the library still counts. */
static void
test_idle_child_keeps_the_family(void)
{
    struct t_flag *go = t_flag_new();
    char name[T_NAME_SIZE];
    pid_t pid;

    shmkit_block_close(unit_create(t_scratch_name(name, "idle"), SIZE, 0, 0));
    pid = t_fork(linger, go);
    shmkit_process_exit();
    T_CHECK(unit_exists(name));
    t_flag_set(go, 1);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK(!unit_exists(name));
}

static int
deeper(void *arg)
{
    int *depth = arg;

    if (--*depth > 0)
        return t_fork_wait(deeper, depth);
    T_CHECK(
        unit_stat(unit_slot[0] != NULL ? shmkit_block_name(unit_slot[0]) : "")
            .state == SHMKIT_STATE_LIVE);
    shmkit_block_close(unit_slot[0]);
    return T_PASS;
}

static void
test_grandchildren_hold_what_they_inherit(void)
{
    char name[T_NAME_SIZE];
    int depth = 5;

    unit_slot[0] = unit_create(t_scratch_name(name, "deep"), SIZE, 0,
                               SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(t_fork_wait(deeper, &depth), T_PASS);
    T_CHECK(unit_exists(name));
    shmkit_block_close(unit_slot[0]);
    T_CHECK(!unit_exists(name));
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_children_inherit_no_temporary_descriptor),
        UNIT_CASE(test_lingering_children_pin_nothing),
        UNIT_CASE(test_execed_program_holds_nothing),
        UNIT_CASE(test_closes_beside_spawning_leave_nothing),
        UNIT_CASE(test_daemon_without_descriptors_keeps_the_family),
        UNIT_CASE(test_close_range_in_a_child),
        UNIT_CASE(test_idle_child_keeps_the_family),
        UNIT_CASE(test_grandchildren_hold_what_they_inherit),
    };

    return UNIT_MAIN("fork", "size=64m", cases);
}
