/* SPDX-License-Identifier: MIT */
/* test_overlay.c - other file systems at /dev/shm: an overlay, where a
 * mapping does not keep the locks of its description, and a ramfs, which has
 * neither limits nor labels.
 *
 * Each is mounted over the private tmpfs of the test and taken away again. */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exercise.h"
#include "unit.h"

#define LAYERS                                         \
    "lowerdir=/dev/shm/lower,upperdir=/dev/shm/upper," \
    "workdir=/dev/shm/work"

static void
mount_overlay(void)
{
    T_SYS(mkdir("/dev/shm/lower", 0700));
    T_SYS(mkdir("/dev/shm/upper", 0700));
    T_SYS(mkdir("/dev/shm/work", 0700));
    T_SYS(chmod("/dev/shm/upper", 01777));
    if (mount("overlay", "/dev/shm", "overlay", 0, LAYERS) < 0) {
        (void)rmdir("/dev/shm/lower");
        (void)rmdir("/dev/shm/upper");
        (void)rmdir("/dev/shm/work");
        unit_skip("no overlay can be mounted");
    }
}

/* Only empty folders can be removed: the proof that nothing was left. */
static void
unmount_overlay(void)
{
    shmkit_process_exit();
    T_SYS(umount2("/dev/shm", MNT_DETACH));
    T_SYS(rmdir("/dev/shm/upper"));
    T_SYS(rmdir("/dev/shm/lower"));
    (void)rmdir("/dev/shm/work/work");
    T_SYS(rmdir("/dev/shm/work"));
}

static void
test_blocks_on_an_overlay(void)
{
    mount_overlay();
    exercise_blocks();
    T_CHECK_EQ(t_shm_left(), 0);
    unmount_overlay();
}

/* The holder's mapping alone would not keep the block here. */
static void
test_overlay_handle_keeps_its_descriptor(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;
    int fds;

    mount_overlay();
    fds = t_fd_count();
    block = unit_create(t_scratch_name(name, "pinned"), 4096, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(t_fd_count(), fds + 1);
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_IN_USE);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(t_fd_count(), fds);
    unmount_overlay();
}

/* The number of the descriptor through which `name` is kept open. */
static int
find_kept(const char *name)
{
    char path[T_NAME_SIZE + 16];
    struct stat want, st;

    T_SYS(stat(t_scratch_path(path, name), &want));
    for (int fd = 3; fd < 1000; fd++) {
        if (fstat(fd, &st) == 0 && st.st_dev == want.st_dev &&
            st.st_ino == want.st_ino)
            return fd;
    }
    return -1;
}

/* A descriptor that user code closed, as daemons do, and whose number came
 * again, is not ours to close: neither a block's nor a family's. */
static void
test_overlay_leaves_reused_numbers_alone(void)
{
    char name[T_NAME_SIZE], id[SHMKIT_FAMILY_ID_SIZE], file[60];
    shmkit_block *block;
    int wire[2], fd, pin;

    mount_overlay();
    block = unit_create(t_scratch_name(name, "reused"), 4096, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK_EQ(shmkit_family_get_id(id), 0);
    (void)snprintf(file, sizeof file, "shmkit-%u/%s", geteuid(), id);
    fd = find_kept(name);
    pin = find_kept(file);
    T_CHECK(fd >= 3 && pin >= 3);
    T_SYS(pipe(wire));
    T_SYS(dup2(wire[0], fd));
    T_SYS(dup2(wire[1], pin));
    T_SYS(close(wire[0]));
    T_SYS(close(wire[1]));
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
    unmount_overlay();
    T_CHECK_EQ(T_SYS(write(pin, "x", 1)), 1);
    T_SYS(close(pin));
    T_SYS(close(fd));
}

/* A file that was there below is copied up when it is first opened for
 * writing, and then lies elsewhere. */
static void
test_file_of_the_lower_layer(void)
{
    shmkit_block *block;

    mount_overlay();
    T_SYS(umount2("/dev/shm", MNT_DETACH));
    unit_plant("below", 4096, 0600);
    T_SYS(rename("/dev/shm/below", "/dev/shm/lower/below"));
    T_SYS(mount("overlay", "/dev/shm", "overlay", 0, LAYERS));
    block = unit_attach("below", SHMKIT_READ_ONLY);
    T_CHECK(unit_all_bytes(block, 0));
    shmkit_block_close(block);
    block = unit_attach("below", 0);
    ((char *)shmkit_block_data(block))[0] = 1;
    shmkit_block_close(block);
    block = unit_attach("below", 0);
    T_CHECK_EQ(((char *)shmkit_block_data(block))[0], 1);
    shmkit_block_close(block);
    shmkit_process_exit();
    T_SYS(umount2("/dev/shm", MNT_DETACH));
    T_SYS(unlink("/dev/shm/lower/below"));
    T_SYS(unlink("/dev/shm/upper/below"));
    T_SYS(mount("overlay", "/dev/shm", "overlay", 0, LAYERS));
    unmount_overlay();
}

static void
test_blocks_on_a_ramfs(void)
{
    if (mount("ramfs", "/dev/shm", "ramfs", 0, "mode=1777") < 0)
        unit_skip("no ramfs can be mounted");
    exercise_blocks();
    shmkit_process_exit();
    T_CHECK_EQ(t_shm_left(), 0);
    T_SYS(umount2("/dev/shm", MNT_DETACH));
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_blocks_on_an_overlay),
        UNIT_CASE(test_overlay_handle_keeps_its_descriptor),
        UNIT_CASE(test_overlay_leaves_reused_numbers_alone),
        UNIT_CASE(test_file_of_the_lower_layer),
        UNIT_CASE(test_blocks_on_a_ramfs),
    };

    return UNIT_MAIN("overlay", "size=64m", cases);
}
