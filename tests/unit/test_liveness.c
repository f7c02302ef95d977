/* SPDX-License-Identifier: MIT */
/* test_liveness.c - tokens and lanes: who is alive, who is dead, and what the
 * dead leave in their lanes.  A process that lives must never be taken for
 * dead, whatever it does to its descriptors, threads and children. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena/local.h"
#include "os/os.h"
#include "unit.h"

#define MIB ((size_t)1 << 20)
#define BIG (512 * MIB)

struct scene {
    shmkit_arena *arena;
    uint32_t *token; /* shared: of the child */
    struct t_flag *step;
    int how;
};

static struct scene
new_scene(void)
{
    struct scene scene = {.step = t_flag_new(), .token = t_shared_page()};
    int error;

    T_CHECK_EQ(shmkit_arena_create(NULL, 0, NULL, &scene.arena), 0);
    T_CHECK(shmkiti_token(scene.arena, &error) != 0);
    return scene;
}

static uint32_t
own_token(shmkit_arena *arena)
{
    int error = 0;
    uint32_t token = shmkiti_token(arena, &error);

    T_CHECK_EQ(error, 0);
    T_CHECK(token != 0);
    return token;
}

/* Registers and waits to be told. */
static int
be_there(void *arg)
{
    struct scene *scene = arg;
    uint32_t lane;

    *scene->token = own_token(scene->arena);
    T_CHECK_EQ(shmkiti_lane(scene->arena, &lane), 0);
    scene->token[1] = lane;
    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    return T_PASS;
}

static enum shmkiti_verdict
verdict(const struct scene *scene)
{
    return shmkiti_token_verdict(scene->arena, *scene->token);
}

static pid_t
start(struct scene *scene, int (*fn)(void *arg))
{
    pid_t pid;

    *scene = new_scene();
    pid = t_fork(fn, scene);
    t_flag_wait(scene->step, 1);
    return pid;
}

static void
end(const struct scene *scene)
{
    T_CHECK_EQ(shmkit_arena_check(scene->arena, NULL), 0);
    shmkit_arena_close(scene->arena);
}

/* ---- tokens ---- */

static void
fork_gives_a_new_token(void)
{
    struct scene scene;
    uint32_t mine, child;
    pid_t pid = start(&scene, be_there);

    mine = own_token(scene.arena);
    child = *scene.token;
    T_CHECK(mine != child);
    T_CHECK_EQ(shmkiti_token_verdict(scene.arena, mine), SHMKITI_ALIVE);
    T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
    T_CHECK_EQ(shmkiti_token_verdict(scene.arena, child + 1), SHMKITI_DEAD);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    end(&scene);
}

static int
fork_and_die(void *arg)
{
    struct scene *scene = arg;

    *scene->token = own_token(scene->arena);
    if (T_SYS(fork()) == 0) {
        t_flag_set(scene->step, 1);
        t_flag_wait(scene->step, 2);
        shmkit_arena_close(scene->arena);
        t_flag_set(scene->step, 3);
        _exit(0);
    }
    t_flag_wait(scene->step, 1);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
the_dead_are_dead_though_their_children_live(void)
{
    struct scene scene = new_scene();

    T_CHECK_EQ(t_fork_wait(fork_and_die, &scene), -SIGKILL);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    t_flag_set(scene.step, 2);
    t_flag_wait(scene.step, 3);
    end(&scene);
}

static int
exec_sleep(void *arg)
{
    struct scene *scene = arg;

    *scene->token = own_token(scene->arena);
    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    (void)execlp("sleep", "sleep", "1000", (char *)NULL);
    return T_FAIL;
}

static void
exec_is_a_death(void)
{
    struct scene scene;
    pid_t pid = start(&scene, exec_sleep);

    T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
    t_flag_set(scene.step, 2);
    while (verdict(&scene) == SHMKITI_ALIVE)
        t_sleep_ms(1);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    end(&scene);
}

static int
close_everything(void *arg)
{
    struct scene *scene = arg;

    *scene->token = own_token(scene->arena);
    T_SYS(syscall(SYS_close_range, 3, ~0u, 0));
    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    return T_PASS;
}

static void
closing_descriptors_is_no_death(void)
{
    struct scene scene;
    pid_t pid = start(&scene, close_everything);

    T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
    t_flag_set(scene.step, 2);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    end(&scene);
}

static void
stopped_is_no_death(void)
{
    struct scene scene;
    pid_t pid = start(&scene, be_there);

    T_SYS(kill(pid, SIGSTOP));
    T_CHECK(t_wait_stopped(pid));
    for (int i = 0; i < 100; i++) {
        T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
        t_sleep_ms(1);
    }
    T_SYS(kill(pid, SIGCONT));
    t_flag_set(scene.step, 2);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    end(&scene);
}

static void
zombies_are_dead(void)
{
    struct scene scene;
    pid_t pid = start(&scene, be_there);
    siginfo_t info;

    T_SYS(kill(pid, SIGKILL));
    T_SYS(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    while (verdict(&scene) == SHMKITI_ALIVE)
        t_sleep_ms(1);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    (void)t_wait(pid);
    end(&scene);
}

static void *
stay_behind(void *arg)
{
    struct scene *scene = arg;

    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    _exit(T_PASS); /* a leak checker would miss the leader */
}

/* The leader is a zombie, its thread lives. */
static int
leader_ends(void *arg)
{
    struct scene *scene = arg;
    pthread_t thread;

    *scene->token = own_token(scene->arena);
    T_CHECK_EQ(pthread_create(&thread, NULL, stay_behind, scene), 0);
    pthread_exit(NULL);
}

static void
a_thread_outlives_its_leader(void)
{
    struct scene scene;
    pid_t pid = start(&scene, leader_ends);

    t_sleep_ms(20);
    for (int i = 0; i < 50; i++) {
        T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
        t_sleep_ms(1);
    }
    t_flag_set(scene.step, 2);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    end(&scene);
}

static int
be_big(void *arg)
{
    char *memory = mmap(NULL, BIG, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    T_CHECK(memory != MAP_FAILED);
    (void)madvise(memory, BIG, MADV_NOHUGEPAGE);
    memset(memory, 1, BIG);
    return be_there(arg);
}

/* Killed, but its memory not yet gone: its lock stands, /proc tells. */
static void
big_ones_die_early(void)
{
    unsigned early = 0;

    for (int i = 0; i < 20 && early == 0; i++) {
        struct scene scene;
        pid_t pid = start(&scene, be_big);
        int fd;

        T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
        T_CHECK_EQ(shmkiti_arena_probe(scene.arena, &fd), 0);
        T_SYS(kill(pid, SIGKILL));
        while (verdict(&scene) != SHMKITI_DEAD)
            (void)sched_yield();
        early += shmkiti_os_byte_is_locked(
                     fd, SHMKITI_BYTE_TOKEN + *scene.token) == 1;
        (void)t_wait(pid);
        end(&scene);
    }
    T_CHECK(early > 0);
}

static int
another_pid_namespace(void *arg)
{
    struct scene *scene = arg;
    int status;
    pid_t pid;

    T_SYS(unshare(CLONE_NEWPID));
    pid = T_SYS(fork());
    if (pid == 0) {
        /* Parent and child may have one number there: 1 is not ours. */
        T_CHECK_EQ(getpid(), 1);
        T_CHECK_EQ(shmkiti_token_verdict(scene->arena, scene->token[2]),
                   SHMKITI_ALIVE);
        *scene->token = own_token(scene->arena);
        t_flag_set(scene->step, 1);
        for (;;)
            t_sleep_ms(1000);
    }
    t_flag_wait(scene->step, 2);
    T_SYS(kill(pid, SIGKILL));
    T_CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? T_PASS : T_FAIL;
}

static void
pid_namespaces_do_not_matter(void)
{
    struct scene scene = new_scene();
    char name[16];
    pid_t pid;

    scene.token[2] = own_token(scene.arena);
    T_CHECK_EQ(shmkiti_token_get_pid(scene.arena, scene.token[2], name),
               getpid());
    pid = t_fork_raw(another_pid_namespace, &scene);
    t_flag_wait(scene.step, 1);
    T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
    T_CHECK_EQ(shmkiti_token_get_pid(scene.arena, *scene.token, name), 0);
    T_CHECK_STR(name, "");
    t_flag_set(scene.step, 2);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    end(&scene);
}

/* The same pid lives on as somebody else. */
static void
a_pid_that_comes_back_proves_nothing(void)
{
    struct scene scene;
    pid_t pid = start(&scene, be_there), again = 0;
    char text[32];
    int fd;

    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
    if (fd < 0)
        unit_skip("ns_last_pid cannot be written");
    (void)snprintf(text, sizeof text, "%d", (int)pid - 1);
    T_CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    again = T_SYS(fork());
    if (again == 0) {
        t_flag_wait(scene.step, 2);
        _exit(0);
    }
    T_SYS(close(fd));
    if (again != pid)
        printf("pid %d, wanted %d\n", (int)again, (int)pid);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    t_flag_set(scene.step, 2);
    T_CHECK_EQ(t_wait(again), T_PASS);
    end(&scene);
}

/* ---- the probe ---- */

static void
a_lost_probe_is_replaced(void)
{
    struct scene scene;
    pid_t pid = start(&scene, be_there);
    int old = scene.arena->local->probe, other;

    /* Its number is another file's now. */
    other = T_SYS(open("/dev/null", O_RDWR));
    T_SYS(dup2(other, old));
    T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    T_CHECK(scene.arena->local->probe != old);
    T_SYS(close(scene.arena->local->probe));
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    end(&scene);
    T_SYS(close(old));
    T_SYS(close(other));
}

static void
without_a_witness_nobody_is_dead(void)
{
    struct scene scene;
    pid_t pid = start(&scene, be_there);
    char path[T_NAME_SIZE + 16];
    int other = T_SYS(open("/dev/null", O_RDWR));
    int probe = scene.arena->local->probe;

    T_SYS(unlink(t_scratch_path(path, shmkit_arena_get_name(scene.arena))));
    T_SYS(dup2(other, probe));
    T_CHECK_EQ(verdict(&scene), SHMKITI_UNKNOWN);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(verdict(&scene), SHMKITI_UNKNOWN);
    T_SYS(close(probe));
    T_CHECK_EQ(verdict(&scene), SHMKITI_UNKNOWN);
    T_SYS(close(other));
    shmkit_arena_close(scene.arena);
}

static void
a_nameless_arena_takes_new_members(void)
{
    struct scene scene = new_scene();
    char path[T_NAME_SIZE + 16];
    pid_t pid;

    T_SYS(unlink(t_scratch_path(path, shmkit_arena_get_name(scene.arena))));
    pid = t_fork(be_there, &scene);
    t_flag_wait(scene.step, 1);
    T_CHECK_EQ(verdict(&scene), SHMKITI_ALIVE);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(verdict(&scene), SHMKITI_DEAD);
    end(&scene);
}

/* ---- lanes ---- */

static void *
take_a_lane(void *arg)
{
    struct scene *scene = arg;
    uint32_t lane, same;

    T_CHECK_EQ(shmkiti_lane(scene->arena, &lane), 0);
    T_CHECK_EQ(shmkiti_lane(scene->arena, &same), 0);
    T_CHECK_EQ(lane, same);
    shmkiti_lane_marks(scene->arena, lane)[3] = 5;
    scene->token[3] = lane;
    return NULL;
}

static void
threads_have_lanes_and_give_them_back(void)
{
    struct scene scene = new_scene();
    uint32_t mine, number = shmkiti_thread_number();
    pthread_t thread;

    T_CHECK(number != 0);
    T_CHECK_EQ(shmkiti_lane(scene.arena, &mine), 0);
    T_CHECK_EQ(*shmkiti_lane_owner(scene.arena, mine), own_token(scene.arena));
    for (int i = 0; i < 3; i++) {
        T_CHECK_EQ(pthread_create(&thread, NULL, take_a_lane, &scene), 0);
        T_CHECK_EQ(pthread_join(thread, NULL), 0);
        T_CHECK(scene.token[3] != mine);
        T_CHECK_EQ(*shmkiti_lane_owner(scene.arena, scene.token[3]), 0);
        T_CHECK_EQ(shmkiti_lane_marks(scene.arena, scene.token[3])[3], 0);
    }
    T_CHECK_EQ(shmkiti_lane_count(scene.arena), 2);
    T_CHECK_EQ(shmkiti_thread_number(), number);
    end(&scene);
}

static void
repair_counts_a_lost_grant(void)
{
    struct scene scene;
    pid_t pid = start(&scene, be_there);
    uint32_t lane = scene.token[1], id = shmkiti_arena_new_id(scene.arena);

    *shmkiti_lane_wait(scene.arena, lane) =
        shmkiti_wait_word(id, 7, SHMKITI_WAIT_GRANTED);
    shmkiti_lane_marks(scene.arena, lane)[0] = 77;
    T_CHECK(!shmkiti_lane_repair(scene.arena, lane)); /* it lives */
    T_CHECK_EQ(*shmkiti_arena_orphan(scene.arena, id), 0);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    /* As if a repairer had been killed as well. */
    *shmkiti_lane_owner(scene.arena, lane) |= SHMKITI_LANE_ADOPTED;
    T_CHECK(shmkiti_lane_repair(scene.arena, lane));
    T_CHECK(!shmkiti_lane_repair(scene.arena, lane));
    T_CHECK_EQ(*shmkiti_arena_orphan(scene.arena, id), 1);
    T_CHECK_EQ(*shmkiti_lane_owner(scene.arena, lane), 0);
    T_CHECK_EQ(*shmkiti_lane_wait(scene.arena, lane), 0);
    T_CHECK_EQ(shmkiti_lane_marks(scene.arena, lane)[0], 0);
    end(&scene);
}

static int
use_up_lanes(void *arg)
{
    struct scene *scene = arg;
    uint32_t token = own_token(scene->arena);

    for (uint32_t lane = 0; lane < SHMKITI_LANE_MAX; lane++) {
        uint32_t free_lane = 0;

        (void)__atomic_compare_exchange_n(
            shmkiti_lane_owner(scene->arena, lane), &free_lane, token, false,
            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    scene->arena->header->lanes = SHMKITI_LANE_MAX;
    *scene->token = token;
    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    return T_PASS;
}

static void
no_lane_is_an_error_until_the_dead_make_room(void)
{
    struct scene scene;
    pid_t pid = start(&scene, use_up_lanes);
    uint32_t lane = 99999;
    uint64_t offset;

    T_CHECK_EQ(shmkiti_lane(scene.arena, &lane), -EAGAIN);
    T_CHECK_EQ(shmkit_arena_alloc(scene.arena, 8, &offset), -EAGAIN);
    T_CHECK_EQ(lane, 99999);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(shmkiti_lane(scene.arena, &lane), 0);
    T_CHECK_EQ(shmkit_arena_alloc(scene.arena, 8, &offset), 0);
    end(&scene);
}

/* ---- the lane lock ---- */

static int
hold_the_heap(void *arg)
{
    struct scene *scene = arg;
    uint32_t lane;

    T_CHECK_EQ(shmkiti_lane(scene->arena, &lane), 0);
    T_CHECK_EQ(shmkiti_lane_lock(scene->arena,
                                 &scene->arena->header->heap.lock, lane),
               0);
    *scene->token = own_token(scene->arena);
    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    shmkiti_lane_unlock(&scene->arena->header->heap.lock);
    return T_PASS;
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    T_SYS(clock_gettime(CLOCK_MONOTONIC, &now));
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
a_dead_holder_of_the_heap_blocks_nobody(void)
{
    struct scene scene;
    pid_t pid = start(&scene, hold_the_heap);
    uint64_t offset, before;

    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    before = now_ms();
    T_CHECK_EQ(shmkit_arena_alloc(scene.arena, 8, &offset), 0);
    printf("taken over after %u ms\n", (unsigned)(now_ms() - before));
    end(&scene);
}

static void
release_later(int signal)
{
    (void)signal;
}

static void
a_stopped_holder_is_waited_for(void)
{
    struct scene scene;
    pid_t pid = start(&scene, hold_the_heap);
    uint64_t offset, before = now_ms();
    pid_t helper;

    (void)signal(SIGCHLD, release_later);
    T_SYS(kill(pid, SIGSTOP));
    helper = T_SYS(fork());
    if (helper == 0) {
        t_sleep_ms(300);
        t_flag_set(scene.step, 2);
        T_SYS(kill(pid, SIGCONT));
        _exit(0);
    }
    T_CHECK_EQ(shmkit_arena_alloc(scene.arena, 8, &offset), 0);
    T_CHECK(now_ms() - before >= 290);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(t_wait(helper), T_PASS);
    end(&scene);
}

static void
a_lock_that_names_nobody_is_damage(void)
{
    struct scene scene = new_scene();
    uint32_t *lock = &scene.arena->header->heap.lock;
    uint64_t offset;

    *lock = 500;
    T_CHECK_EQ(shmkit_arena_alloc(scene.arena, 8, &offset), -EBADMSG);
    *lock = 0x7fffffff;
    T_CHECK_EQ(shmkit_arena_check(scene.arena, NULL), -EBADMSG);
    *lock = 0;
    end(&scene);
}

int
main(void)
{
    const struct unit_case cases[] = {
        UNIT_CASE(fork_gives_a_new_token),
        UNIT_CASE(the_dead_are_dead_though_their_children_live),
        UNIT_CASE(exec_is_a_death),
        UNIT_CASE(closing_descriptors_is_no_death),
        UNIT_CASE(stopped_is_no_death),
        UNIT_CASE(zombies_are_dead),
        UNIT_CASE(a_thread_outlives_its_leader),
        UNIT_CASE(big_ones_die_early),
        UNIT_CASE(pid_namespaces_do_not_matter),
        UNIT_CASE(a_pid_that_comes_back_proves_nothing),
        UNIT_CASE(a_lost_probe_is_replaced),
        UNIT_CASE(without_a_witness_nobody_is_dead),
        UNIT_CASE(a_nameless_arena_takes_new_members),
        UNIT_CASE(threads_have_lanes_and_give_them_back),
        UNIT_CASE(repair_counts_a_lost_grant),
        UNIT_CASE(no_lane_is_an_error_until_the_dead_make_room),
        UNIT_CASE(a_dead_holder_of_the_heap_blocks_nobody),
        UNIT_CASE(a_stopped_holder_is_waited_for),
        UNIT_CASE(a_lock_that_names_nobody_is_damage),
    };

    return UNIT_MAIN("liveness", "size=64m", cases);
}
