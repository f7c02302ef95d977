/* SPDX-License-Identifier: MIT */
/* test_hostile.c - things that are no blocks under a block's name, files that
 * change under the library's hands, and other users.
 *
 * The claim is the same throughout: an error, or the right answer, but never
 * a fault inside the library, a wait, or a touch on what is not its own. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

#define SIZE 4096

/* What every function says to something that is no regular file, and that it
 * still stands there afterwards. */
static void
refuse_planted(const char *name, int attach_want, int other_attach_want)
{
    struct shmkit_block_options exist_ok = unit_options(SHMKIT_EXIST_OK, 0);
    struct shmkit_block_stat stat;
    shmkit_block *block = NULL;
    int r;

    r = shmkit_block_attach(name, NULL, &block);
    if (r != other_attach_want)
        T_CHECK_EQ(r, attach_want);
    T_CHECK_EQ(shmkit_block_create(name, SIZE, NULL, &block), -EEXIST);
    r = shmkit_block_create(name, SIZE, &exist_ok, &block);
    if (r != other_attach_want)
        T_CHECK_EQ(r, attach_want);
    T_CHECK(block == NULL);
    T_CHECK_EQ(shmkit_block_stat(name, &stat, sizeof stat), -ENODEV);
    T_CHECK(shmkit_block_reap(name) != 0);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
}

static int
see_nothing(const struct shmkit_block_stat *stat, void *arg)
{
    if (strncmp(stat->name, "shmkit-", 7) != 0)
        T_CHECK(strcmp(stat->name, arg) != 0);
    return 0;
}

static void
remove_planted(const char *name)
{
    char path[T_NAME_SIZE + 16];

    T_CHECK_EQ(shmkit_block_list(see_nothing, (void *)(uintptr_t)name), 0);
    T_CHECK_EQ(remove(t_scratch_path(path, name)), 0);
}

static void
test_symlink_is_never_followed(void)
{
    char name[T_NAME_SIZE], target[T_NAME_SIZE], path[T_NAME_SIZE + 16];

    unit_plant(t_scratch_name(target, "target"), SIZE, 0600);
    t_scratch_name(name, "link");
    T_SYS(symlink(target, t_scratch_path(path, name)));
    refuse_planted(name, -ELOOP, -ENODEV);
    remove_planted(name);
    T_SYS(symlink("nowhere", t_scratch_path(path, name)));
    refuse_planted(name, -ELOOP, -ENODEV);
    T_CHECK(!unit_exists("nowhere"));
    remove_planted(name);
    T_SYS(symlink(path, t_scratch_path(path, name))); /* to itself */
    refuse_planted(name, -ELOOP, -ENODEV);
    remove_planted(name);
    T_CHECK(unit_exists(target));
    T_CHECK_EQ(shmkit_block_unlink(target, NULL), 0);
}

static void
test_directory_is_refused(void)
{
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];

    T_SYS(mkdir(t_scratch_path(path, t_scratch_name(name, "dir")), 0700));
    refuse_planted(name, -EISDIR, -ENODEV);
    T_CHECK(shmkit_block_unlink(name, NULL) < 0);
    T_CHECK(unit_exists(name));
    T_SYS(chmod(path, 01700)); /* sticky, as our mark */
    refuse_planted(name, -EISDIR, -ENODEV);
    remove_planted(name);
}

/* Opening one without a writer, or for writing without a reader, waits. */
static void
test_fifo_is_refused_without_waiting(void)
{
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];

    T_SYS(mkfifo(t_scratch_path(path, t_scratch_name(name, "fifo")), 0600));
    refuse_planted(name, -ENODEV, -ENXIO);
    T_SYS(chmod(path, 01600));
    refuse_planted(name, -ENODEV, -ENXIO);
    remove_planted(name);
}

static void
test_socket_is_refused(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];
    int fd = T_SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

    t_scratch_path(path, t_scratch_name(name, "socket"));
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    T_SYS(bind(fd, (struct sockaddr *)&address, sizeof address));
    refuse_planted(name, -ENODEV, -ENXIO);
    T_SYS(close(fd));
    remove_planted(name);
}

static void
test_device_is_refused(void)
{
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];

    t_scratch_path(path, t_scratch_name(name, "device"));
    if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) < 0) /* /dev/zero */
        unit_skip("no devices here");
    /* The private /dev/shm is nodev, as the real one. */
    refuse_planted(name, -ENODEV, -EACCES);
    remove_planted(name);
}

static void
test_empty_file_is_enodata(void)
{
    struct shmkit_block_options exist_ok = unit_options(SHMKIT_EXIST_OK, 0);
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL;

    unit_plant(t_scratch_name(name, "empty"), 0, 0600);
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &block), -ENODATA);
    T_CHECK_EQ(shmkit_block_create(name, SIZE, NULL, &block), -EEXIST);
    T_CHECK_EQ(shmkit_block_create(name, SIZE, &exist_ok, &block), -ENODATA);
    T_CHECK(block == NULL);
    T_CHECK_EQ(unit_stat(name).size, 0);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_FOREIGN);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* Somebody's sticky file under our rules: an orphan, as good as ours. */
static void
test_planted_sticky_file_is_an_orphan(void)
{
    shmkit_block *block = NULL;
    char name[T_NAME_SIZE];

    unit_plant(t_scratch_name(name, "sticky"), 0, 01600);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_ORPHAN);
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &block), -ENOENT);
    T_CHECK(!unit_exists(name));
}

/* ---- truncation by somebody else ---- */

static void
truncate_block(const char *name, size_t size)
{
    char path[T_NAME_SIZE + 16];

    T_SYS(truncate(t_scratch_path(path, name), (off_t)size));
}

static void
test_truncation_under_a_handle(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *again = NULL, *grown = NULL;
    int fd = -1;

    block = unit_create(t_scratch_name(name, "cut"), 16 * SIZE, 0, 0);
    truncate_block(name, 0);
    T_CHECK_EQ(shmkit_block_size(block), 16 * SIZE);
    T_CHECK_EQ(unit_stat(name).size, 0);
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &again), -ENODATA);
    T_CHECK_EQ(shmkit_block_open_fd(block, &fd), 0);
    T_SYS(close(fd));
    T_CHECK_EQ(shmkit_block_grow(block, 0, &grown), -ENODATA);
    T_CHECK_EQ(shmkit_block_grow(block, 4 * SIZE, &grown), 0);
    T_CHECK_EQ(shmkit_block_size(grown), 4 * SIZE);
    memset(shmkit_block_data(grown), 1, 4 * SIZE);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(grown);
    shmkit_block_close(block);
}

static void
test_truncated_to_part_of_a_page(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *again;

    block = unit_create(t_scratch_name(name, "odd"), 16 * SIZE, 0, 0);
    truncate_block(name, 17);
    again = unit_attach(name, SHMKIT_PREFAULT);
    T_CHECK_EQ(shmkit_block_size(again), 17);
    T_CHECK_EQ(shmkit_block_persist(block), 0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(again);
    shmkit_block_close(block);
}

/* A child that changes the size of the file without a break, until killed. */
static int
truncate_for_ever(void *arg)
{
    char path[T_NAME_SIZE + 16];
    int fd = T_SYS(open(t_scratch_path(path, arg), O_RDWR | O_CLOEXEC));

    while (getppid() != 1) {
        T_SYS(ftruncate(fd, 0));
        T_SYS(ftruncate(fd, 200 * SIZE));
        T_SYS(ftruncate(fd, 1));
    }
    return T_FAIL;
}

static void
expect_size_errors(int r)
{
    /* What truncation may make of a call; never a signal. */
    if (r < 0 && r != -ENODATA && r != -ENOSPC && r != -EFAULT)
        T_CHECK_EQ(r, 0);
}

static void
work_under_truncation(const char *name, shmkit_block *block)
{
    struct shmkit_block_options prefault = unit_options(SHMKIT_PREFAULT, 0);
    shmkit_block *other = NULL, *grown = NULL;
    struct shmkit_block_stat stat;
    int r;

    r = shmkit_block_attach(name, &prefault, &other);
    expect_size_errors(r);
    shmkit_block_close(other);
    other = NULL;
    r = shmkit_block_attach(name, NULL, &other);
    expect_size_errors(r);
    shmkit_block_close(other);
    r = shmkit_block_grow(block, 64 * SIZE, &grown);
    expect_size_errors(r);
    shmkit_block_close(grown);
    T_CHECK_EQ(shmkit_block_stat(name, &stat, sizeof stat), 0);
    T_CHECK_EQ(unit_sweep(), 0);
}

static void
test_truncation_at_any_moment_cannot_fault(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;
    pid_t cutter;

    block = unit_create(t_scratch_name(name, "storm"), 200 * SIZE, 0, 0);
    cutter = t_fork_raw(truncate_for_ever, name);
    for (int i = 0; i < 1000; i++)
        work_under_truncation(name, block);
    T_CHECK_EQ(t_kill_wait(cutter), -SIGKILL);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

/* ---- other users ---- */

static void
need_root(void)
{
    if (geteuid() != 0)
        unit_skip("needs root to be somebody else");
}

static void
make_as_root(char name[T_NAME_SIZE], uint32_t mode, uint32_t lifetime)
{
    struct shmkit_block_options options = unit_options(0, lifetime);
    shmkit_block *block = NULL;

    options.mode = mode;
    t_scratch_name(name, "root");
    T_CHECK_EQ(shmkit_block_create(name, SIZE, &options, &block), 0);
    unit_slot[7] = block;
}

static int
attach_read_only(struct unit_call *call)
{
    struct shmkit_block_options options = unit_options(SHMKIT_READ_ONLY, 0);

    return shmkit_block_attach(call->name, &options, &unit_slot[call->slot]);
}

static int
reap_it(struct unit_call *call)
{
    return shmkit_block_reap(call->name);
}

static int
stat_it(struct unit_call *call)
{
    struct shmkit_block_stat stat;

    return shmkit_block_stat(call->name, &stat, sizeof stat);
}

static int
persist_it(struct unit_call *call)
{
    return shmkit_block_persist(unit_slot[call->slot]);
}

static void
test_private_block_is_eacces_to_others(void)
{
    struct unit_puppet other;
    char name[T_NAME_SIZE];

    need_root();
    other = unit_puppet_start_as(UNIT_NOBODY);
    make_as_root(name, 0600, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(unit_puppet_attach(&other, name), -EACCES);
    T_CHECK_EQ(unit_puppet_run(&other, attach_read_only), -EACCES);
    T_CHECK_EQ(unit_puppet_unlink(&other, name), -EACCES);
    T_CHECK_EQ(unit_puppet_run(&other, stat_it), 0);
    T_CHECK_EQ(unit_puppet_sweep(&other), 0);
    T_CHECK_EQ(unit_puppet_create(&other, name, SIZE, 0), -EEXIST);
    T_CHECK(unit_exists(name));
    unit_puppet_end(&other);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(unit_slot[7]);
}

static void
test_readable_block_is_read_by_others(void)
{
    struct unit_puppet other;
    char name[T_NAME_SIZE];

    need_root();
    other = unit_puppet_start_as(UNIT_NOBODY);
    make_as_root(name, 0644, SHMKIT_LIFETIME_FAMILY);
    memset(shmkit_block_data(unit_slot[7]), 9, SIZE);
    T_CHECK_EQ(unit_puppet_attach(&other, name), -EACCES);
    T_CHECK_EQ(unit_puppet_run(&other, attach_read_only), 0);
    T_CHECK_EQ(unit_puppet_reads(&other, 9), 1);
    T_CHECK(unit_puppet_unlink(&other, name) < 0);
    T_CHECK_EQ(unit_puppet_run(&other, persist_it), -EPERM);
    T_CHECK(unit_exists(name));
    unit_puppet_end(&other);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(unit_slot[7]);
}

/* /dev/shm is sticky: writing the file is not yet removing its name. */
static void
test_shared_block_is_not_removed_by_others(void)
{
    struct unit_puppet other;
    char name[T_NAME_SIZE];
    int r;

    need_root();
    other = unit_puppet_start_as(UNIT_NOBODY);
    make_as_root(name, 0666, SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(unit_puppet_attach(&other, name), 0);
    T_CHECK_EQ(unit_puppet_unlink(&other, name), -EPERM);
    T_CHECK_EQ(unit_puppet_run(&other, persist_it), -EPERM);
    unit_slot[7] = shmkit_block_close(unit_slot[7]);
    T_CHECK(unit_exists(name));
    /* The last holder may not remove it; the owner's next sweep does. */
    T_CHECK_EQ(unit_puppet_close(&other), 0);
    r = unit_puppet_run(&other, reap_it);
    T_CHECK(r == -EPERM || r == -EACCES);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_ORPHAN);
    T_CHECK_EQ(unit_puppet_attach(&other, name), -ENOENT);
    T_CHECK_EQ(unit_puppet_sweep(&other), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name));
    unit_puppet_end(&other);
}

static void
test_root_sweeps_for_every_user(void)
{
    struct unit_puppet other;
    char name[T_NAME_SIZE];

    need_root();
    other = unit_puppet_start_as(UNIT_NOBODY);
    t_scratch_name(name, "theirs");
    T_CHECK_EQ(unit_puppet_create(&other, name, SIZE, 0), 0);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    unit_puppet_kill(&other);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name));
}

static void
test_foreign_users_mapping_keeps_a_dead_familys_block(void)
{
    struct unit_puppet maker, other;
    char name[T_NAME_SIZE];

    need_root();
    maker = unit_puppet_start();
    other = unit_puppet_start_as(UNIT_NOBODY);
    t_scratch_name(name, "crossuser");
    maker.call->mode = 0666;
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, 0), 0);
    T_CHECK_EQ(unit_puppet_attach(&other, name), 0);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    unit_puppet_end(&other);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name));
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_symlink_is_never_followed),
        UNIT_CASE(test_directory_is_refused),
        UNIT_CASE(test_fifo_is_refused_without_waiting),
        UNIT_CASE(test_socket_is_refused),
        UNIT_CASE(test_device_is_refused),
        UNIT_CASE(test_empty_file_is_enodata),
        UNIT_CASE(test_planted_sticky_file_is_an_orphan),
        UNIT_CASE(test_truncation_under_a_handle),
        UNIT_CASE(test_truncated_to_part_of_a_page),
        UNIT_CASE(test_truncation_at_any_moment_cannot_fault),
        UNIT_CASE(test_private_block_is_eacces_to_others),
        UNIT_CASE(test_readable_block_is_read_by_others),
        UNIT_CASE(test_shared_block_is_not_removed_by_others),
        UNIT_CASE(test_root_sweeps_for_every_user),
        UNIT_CASE(test_foreign_users_mapping_keeps_a_dead_familys_block),
    };

    return UNIT_MAIN("hostile", "size=64m", cases);
}
