/* SPDX-License-Identifier: MIT */
/* test_namespaces.c - containers: processes that share /dev/shm but not pids
 * or user ids, and processes that share those but not /dev/shm.
 *
 * Liveness is a matter of kernel locks, which know no pids and no users; so
 * all that can go wrong is whose folder is whose. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define SIZE 4096

/* The steps of a child in another namespace, and what it is to work on. */
struct scene {
    struct t_flag *step; /* the child says 1, 3; the test says 2, 4 */
    char held[T_NAME_SIZE], made[T_NAME_SIZE];
    uint32_t lifetime;
};

static struct t_flag *
scene_init(struct scene *scene, uint32_t lifetime)
{
    scene->step = t_flag_new();
    scene->lifetime = lifetime;
    t_scratch_name(scene->held, "held");
    t_scratch_name(scene->made, "made");
    return scene->step;
}

/* Attach the test's block, make one, and stay until told to go. */
static int
play(void *arg)
{
    struct scene *scene = arg;
    shmkit_block *held = unit_attach(scene->held, 0);
    shmkit_block *made = unit_create(scene->made, SIZE, 0, scene->lifetime);

    unit_keep(held);
    unit_keep(made);
    memset(shmkit_block_data(made), 5, SIZE);
    t_flag_set(scene->step, 1);
    t_flag_wait(scene->step, 2);
    T_CHECK(unit_all_bytes(held, 5));
    t_flag_set(scene->step, 3);
    t_flag_wait(scene->step, 4);
    return T_PASS;
}

/* The process in between can make no thread any more, which a leak checker
 * would want at its exit: it has nothing of the library, so it goes without.
 */
static int
play_with_other_pids(void *arg)
{
    T_SYS(unshare(CLONE_NEWPID));
    _exit(t_fork_wait(play, arg));
}

/* The inner process, whose pid here nobody knows, dies with its namespace's
 * first process, which it is itself. */
static int
play_and_be_killed(void *arg)
{
    pid_t pid;
    struct scene *scene = arg;

    T_SYS(unshare(CLONE_NEWPID));
    pid = t_fork(play, arg);
    t_flag_wait(scene->step, 3);
    _exit(t_kill_wait(pid) == -SIGKILL ? T_PASS : T_FAIL);
}

static pid_t
start_scene(struct scene *scene, int (*how)(void *arg))
{
    shmkit_family_form_at_fork(0);
    pid_t pid = t_fork(how, scene);

    shmkit_family_form_at_fork(1);
    return pid;
}

static void
need_root(void)
{
    if (geteuid() != 0)
        unit_skip("needs root to make namespaces in namespaces");
}

/* A holders block of the test, attached inside; the test closes first. */
static void
holders_across(int (*how)(void *arg))
{
    struct scene scene;
    shmkit_block *mine, *theirs;
    pid_t pid;

    need_root();
    scene_init(&scene, SHMKIT_LIFETIME_HOLDERS);
    mine = unit_create(scene.held, SIZE, 0, SHMKIT_LIFETIME_HOLDERS);
    memset(shmkit_block_data(mine), 5, SIZE);
    pid = start_scene(&scene, how);
    t_flag_wait(scene.step, 1);
    theirs = unit_attach(scene.made, 0);
    T_CHECK(unit_all_bytes(theirs, 5));
    shmkit_block_close(mine);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(scene.held)); /* held inside */
    t_flag_set(scene.step, 2);
    t_flag_wait(scene.step, 3);
    t_flag_set(scene.step, 4);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(scene.held));
    T_CHECK(unit_exists(scene.made)); /* held here */
    shmkit_block_close(theirs);
    T_CHECK(!unit_exists(scene.made));
}

static void
test_holders_across_pid_namespaces(void)
{
    holders_across(play_with_other_pids);
}

static void
family_across(int (*how)(void *arg))
{
    struct scene scene;
    shmkit_block *mine;
    pid_t pid;

    need_root();
    scene_init(&scene, SHMKIT_LIFETIME_FAMILY);
    pid = start_scene(&scene, how);
    mine = unit_create(scene.held, SIZE, 0, SHMKIT_LIFETIME_PERSISTENT);
    memset(shmkit_block_data(mine), 5, SIZE);
    t_flag_wait(scene.step, 1);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(scene.made));
    T_CHECK_EQ(unit_stat(scene.made).state, SHMKIT_STATE_LIVE);
    t_flag_set(scene.step, 2);
    t_flag_wait(scene.step, 3);
    T_CHECK(unit_exists(scene.made));
    t_flag_set(scene.step, 4);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(scene.made));
    T_CHECK_EQ(shmkit_block_unlink(scene.held, NULL), 0);
    shmkit_block_close(mine);
}

static int
wait_then(struct scene *scene, int (*fn)(void *arg))
{
    while (!unit_exists(scene->held) || unit_stat(scene->held).size == 0)
        t_sleep_ms(1);
    return fn(scene);
}

static int
family_with_other_pids(void *arg)
{
    return wait_then(arg, play_with_other_pids);
}

static int
family_killed_with_other_pids(void *arg)
{
    return wait_then(arg, play_and_be_killed);
}

static void
test_family_in_another_pid_namespace(void)
{
    family_across(family_with_other_pids);
}

static void
test_family_killed_in_another_pid_namespace(void)
{
    family_across(family_killed_with_other_pids);
}

/* ---- users ---- */

static void
write_map(const char *path, const char *text)
{
    int fd = T_SYS(open(path, O_WRONLY | O_CLOEXEC));

    T_CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    T_SYS(close(fd));
}

/* Root inside, nobody outside: as in a container without privileges. */
static int
become_root_inside(void *arg)
{
    unit_become(UNIT_NOBODY);
    if (unshare(CLONE_NEWUSER) < 0)
        unit_skip("no user namespaces");
    write_map("/proc/self/setgroups", "deny");
    write_map("/proc/self/uid_map", "0 65534 1");
    write_map("/proc/self/gid_map", "0 65534 1");
    T_CHECK_EQ(geteuid(), 0);
    return play(arg);
}

static int
root_inside(void *arg)
{
    struct scene *scene = arg;

    while (!unit_exists(scene->held))
        t_sleep_ms(1);
    return become_root_inside(arg);
}

/* Both think they are user 0 and want /dev/shm/shmkit-0. */
static void
test_root_of_a_user_namespace_is_not_root(void)
{
    struct shmkit_block_options options =
        unit_options(0, SHMKIT_LIFETIME_PERSISTENT);
    shmkit_block *mine = NULL;
    struct scene scene;
    struct stat st;
    int status;
    pid_t pid;

    need_root();
    scene_init(&scene, SHMKIT_LIFETIME_FAMILY);
    pid = start_scene(&scene, root_inside);
    T_CHECK_EQ(shmkit_family_form(), 0); /* takes the folder's name */
    options.mode = 0666;
    T_CHECK_EQ(shmkit_block_create(scene.held, SIZE, &options, &mine), 0);
    memset(shmkit_block_data(mine), 5, SIZE);
    while (t_flag_get(scene.step) < 1) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            T_CHECK_EQ(WEXITSTATUS(status), T_SKIP);
            unit_skip("no user namespaces");
        }
        t_sleep_ms(1);
    }
    T_SYS(lstat("/dev/shm/shmkit-0.1", &st));
    T_CHECK_EQ(st.st_uid, UNIT_NOBODY);
    T_CHECK_EQ(unit_stat(scene.made).state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(unit_stat(scene.made).uid, UNIT_NOBODY);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(scene.made));
    t_flag_set(scene.step, 2);
    t_flag_wait(scene.step, 3);
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK_EQ(unit_sweep(), 0); /* the real root sweeps for everybody */
    T_CHECK(!unit_exists(scene.made));
    T_CHECK(lstat("/dev/shm/shmkit-0.1", &st) < 0);
    T_CHECK_EQ(shmkit_block_unlink(scene.held, NULL), 0);
    shmkit_block_close(mine);
}

/* ---- mounts ---- */

static int
work_in_another_shm(void *arg)
{
    shmkit_block *block;

    T_SYS(unshare(CLONE_NEWNS));
    t_mount_shm("size=16m");
    T_CHECK(!unit_exists(arg));
    block = unit_create(arg, 2 * SIZE, 0, 0);
    T_CHECK_EQ(shmkit_block_size(block), 2 * SIZE);
    shmkit_block_close(block);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(arg));
    shmkit_process_exit();
    T_CHECK_EQ(t_shm_left(), 0);
    return T_PASS;
}

static void
test_other_mounts_have_other_names(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    need_root();
    block = unit_create(t_scratch_name(name, "samename"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    shmkit_family_form_at_fork(0);
    T_CHECK_EQ(t_fork_wait(work_in_another_shm, name), T_PASS);
    T_CHECK_EQ(unit_stat(name).size, SIZE);
    shmkit_block_close(block);
}

/* A member of a family moves to another /dev/shm: its family's file is not
 * there, so it forms a new one, and the first keeps what it has. */
static int
create_elsewhere(void *arg)
{
    shmkit_block *block;

    T_SYS(unshare(CLONE_NEWNS));
    t_mount_shm("size=16m");
    t_sleep_ms(1200); /* it looks for its file once a second */
    block = unit_create(arg, SIZE, 0, 0);
    shmkit_block_close(block);
    T_CHECK_EQ(unit_family_count(), 1);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(arg));
    shmkit_process_exit();
    T_CHECK_EQ(t_shm_left(), 0);
    return T_PASS;
}

static void
test_member_moves_to_another_shm(void)
{
    char name[T_NAME_SIZE], other[T_NAME_SIZE];

    need_root();
    shmkit_block_close(unit_create(t_scratch_name(name, "home"), SIZE, 0, 0));
    t_scratch_name(other, "elsewhere");
    T_CHECK_EQ(t_fork_wait(create_elsewhere, other), T_PASS);
    T_CHECK(unit_exists(name));
    T_CHECK(!unit_exists(other));
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_holders_across_pid_namespaces),
        UNIT_CASE(test_family_in_another_pid_namespace),
        UNIT_CASE(test_family_killed_in_another_pid_namespace),
        UNIT_CASE(test_root_of_a_user_namespace_is_not_root),
        UNIT_CASE(test_other_mounts_have_other_names),
        UNIT_CASE(test_member_moves_to_another_shm),
    };

    return UNIT_MAIN("namespaces", "size=64m", cases);
}
