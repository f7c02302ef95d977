/* SPDX-License-Identifier: MIT */
/* test_big.c - what is for big blocks: 2 MiB pages, parts, private and locked
 * views, copies with bounds, placement, and no room for them.
 *
 * Whether there are 2 MiB pages depends on the kernel; that the bytes are
 * right, and that a demand is met or refused, does not. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "unit.h"

#define MIB ((size_t)1 << 20)

/* Bytes that tell their place. */
static void
fill(shmkit_block *block)
{
    unsigned char *data = shmkit_block_data(block);

    for (size_t i = 0; i < shmkit_block_size(block); i++)
        data[i] = (unsigned char)(i / 4096 + i);
}

static bool
is_filled(const shmkit_block *block, size_t from)
{
    const unsigned char *data = shmkit_block_data(block);

    for (size_t i = 0; i < shmkit_block_size(block); i++) {
        if (data[i] != (unsigned char)((from + i) / 4096 + (from + i)))
            return false;
    }
    return true;
}

static void
work_on_big(uint32_t flags, uint32_t lifetime, size_t size)
{
    struct shmkit_block_options options = unit_options(flags, lifetime);
    shmkit_block *block = NULL, *other, *grown = NULL;
    char name[T_NAME_SIZE];
    int r;

    t_scratch_name(name, "big");
    r = shmkit_block_create(name, size, &options, &block);
    if (r == -EOPNOTSUPP && (flags & SHMKIT_HUGE) != 0)
        return;
    T_CHECK_EQ(r, 0);
    T_CHECK(unit_all_bytes(block, 0));
    T_CHECK(unit_stat(name).resident >= size);
    fill(block);
    other = unit_attach(name, 0);
    T_CHECK(is_filled(other, 0));
    T_CHECK_EQ(shmkit_block_grow(block, size + 3 * MIB + 1, &grown), 0);
    T_CHECK_EQ(
        memcmp(shmkit_block_data(grown), shmkit_block_data(other), size), 0);
    T_CHECK_EQ(((char *)shmkit_block_data(grown))[size], 0);
    T_CHECK_EQ(((char *)shmkit_block_data(grown))[size + 3 * MIB], 0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(grown);
    shmkit_block_close(other);
    shmkit_block_close(block);
}

static void
test_big_blocks_of_every_kind(void)
{
    static const uint32_t flags[] = {0, SHMKIT_HUGE, SHMKIT_NO_HUGE,
                                     SHMKIT_PREFAULT};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
            work_on_big(flags[i], lifetime, 2 * MIB);
            work_on_big(flags[i], lifetime, 5 * MIB + 12345);
        }
    }
}

static void
test_demanded_huge_pages_are_there(void)
{
    struct shmkit_block_options options = unit_options(SHMKIT_HUGE, 0);
    shmkit_block *block = NULL;
    uint64_t bytes = 0;
    int r = shmkit_block_create(NULL, 4 * MIB, &options, &block);

    if (r == -EOPNOTSUPP)
        unit_skip("no 2 MiB pages here");
    T_CHECK_EQ(r, 0);
    r = shmkit_block_get_huge(block, &bytes);
    if (r != -ENOENT)
        T_CHECK_EQ(bytes, 4 * MIB);
    shmkit_block_close(block);
}

static void
attach_part(const char *name, uint64_t offset, uint64_t length, int want)
{
    struct shmkit_block_options options = unit_options(0, 0);
    size_t size = unit_stat(name).size;
    shmkit_block *part = NULL;

    options.offset = offset;
    options.length = length;
    T_CHECK_EQ(shmkit_block_attach(name, &options, &part), want);
    if (want < 0) {
        T_CHECK(part == NULL);
        return;
    }
    T_CHECK_EQ(shmkit_block_size(part), length != 0 ? length : size - offset);
    T_CHECK(is_filled(part, offset));
    T_CHECK(shmkit_block_close(part) == NULL);
}

static void
test_parts_are_within_the_block(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "parts"), 20000, 0, 0);
    fill(block);
    attach_part(name, 0, 0, 0);
    attach_part(name, 0, 20000, 0);
    attach_part(name, 1, 1, 0);
    attach_part(name, 4095, 2, 0);
    attach_part(name, 5000, 0, 0);
    attach_part(name, 19999, 1, 0);
    attach_part(name, 0, 20001, -ERANGE);
    attach_part(name, 20000, 0, -ERANGE);
    attach_part(name, 20001, 0, -ERANGE);
    attach_part(name, 19999, 2, -ERANGE);
    attach_part(name, UINT64_MAX, 1, -ERANGE);
    attach_part(name, 1, UINT64_MAX, -ERANGE);
    attach_part(name, UINT64_MAX, UINT64_MAX, -ERANGE);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

/* A part of a holders block holds it like the whole. */
static void
test_part_holds_its_block(void)
{
    struct shmkit_block_options options = unit_options(0, 0);
    char name[T_NAME_SIZE];
    shmkit_block *block, *part = NULL;

    block = unit_create(t_scratch_name(name, "holds"), 20000, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    options.offset = 4097;
    options.length = 10;
    T_CHECK_EQ(shmkit_block_attach(name, &options, &part), 0);
    shmkit_block_close(block);
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_IN_USE);
    shmkit_block_close(part);
    T_CHECK(!unit_exists(name));
}

static void
test_private_writes_stay_here(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *view;

    block = unit_create(t_scratch_name(name, "private"), 20000, 0, 0);
    fill(block);
    view = unit_attach(name, SHMKIT_PRIVATE);
    T_CHECK(is_filled(view, 0));
    memset(shmkit_block_data(view), 0xff, 20000);
    T_CHECK(is_filled(block, 0));
    T_CHECK(unit_all_bytes(view, 0xff));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(view);
    shmkit_block_close(block);
}

static void
test_copies_are_bounded(void)
{
    size_t size = 3 * MIB + 77;
    shmkit_block *block = unit_create(NULL, size, 0, 0), *reader;
    unsigned char *from = malloc(size), *to = malloc(size);

    T_CHECK(from != NULL && to != NULL);
    for (size_t i = 0; i < size; i++)
        from[i] = (unsigned char)(i * 7 + i / 4096);
    T_CHECK_EQ(shmkit_copy_in(block, 0, from, size), 0);
    T_CHECK_EQ(memcmp(shmkit_block_data(block), from, size), 0);
    T_CHECK_EQ(shmkit_copy_out(block, 13, to, size - 13), 0);
    T_CHECK_EQ(memcmp(to, from + 13, size - 13), 0);
    T_CHECK_EQ(shmkit_copy_in(block, size, from, 0), 0);
    T_CHECK_EQ(shmkit_copy_in(block, size, from, 1), -ERANGE);
    T_CHECK_EQ(shmkit_copy_in(block, 1, from, size), -ERANGE);
    T_CHECK_EQ(shmkit_copy_in(block, SIZE_MAX, from, 2), -ERANGE);
    T_CHECK_EQ(shmkit_copy_out(block, 2, to, SIZE_MAX), -ERANGE);
    T_CHECK_EQ(shmkit_copy_out(block, size + 1, to, 0), -ERANGE);
    reader = unit_attach(shmkit_block_name(block), SHMKIT_READ_ONLY);
    T_CHECK_EQ(shmkit_copy_in(reader, 0, from, 1), -EACCES);
    T_CHECK_EQ(shmkit_copy_out(reader, 0, to, size), 0);
    T_CHECK_EQ(memcmp(to, from, size), 0);
    shmkit_block_close(reader);
    shmkit_block_close(block);
    free(from);
    free(to);
}

static int
lock_beyond_the_limit(void *arg)
{
    struct rlimit none = {4096, 4096};
    struct shmkit_block_options options = unit_options(SHMKIT_LOCKED, 0);
    shmkit_block *block = NULL;
    int r;

    (void)arg;
    if (geteuid() == 0)
        unit_become(UNIT_NOBODY);
    T_SYS(setrlimit(RLIMIT_MEMLOCK, &none));
    r = shmkit_block_create("locked", MIB, &options, &block);
    T_CHECK(r == -ENOMEM || r == -EPERM);
    T_CHECK(block == NULL && !unit_exists("locked"));
    return T_PASS;
}

static void
test_locked_within_and_beyond_the_limit(void)
{
    shmkit_block *block = unit_create(NULL, 40960, SHMKIT_LOCKED, 0);

    T_CHECK(unit_all_bytes(block, 0));
    shmkit_block_close(block);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    unit_skip("a sanitizer makes mlock() do nothing");
#endif
    shmkit_family_form_at_fork(0);
    shmkit_process_exit();
    T_CHECK_EQ(t_fork_wait(lock_beyond_the_limit, NULL), T_PASS);
}

static void
test_placement_on_this_machines_node(void)
{
    struct shmkit_block_options options = unit_options(0, 0);
    shmkit_block *block = NULL;
    int r;

    for (options.placement = 1; options.placement < 3; options.placement++) {
        options.nodes = 1; /* there is always a node 0, or no NUMA at all */
        r = shmkit_block_create(NULL, MIB, &options, &block);
        if (r != -EOPNOTSUPP) {
            T_CHECK_EQ(r, 0);
            T_CHECK(unit_all_bytes(block, 0));
        }
        block = shmkit_block_close(block);
        options.nodes = UINT64_C(1) << 63; /* nowhere */
        T_CHECK(shmkit_block_create(NULL, MIB, &options, &block) < 0);
        T_CHECK(block == NULL);
    }
}

/* ---- a /dev/shm of 64 MiB, to the last byte ---- */

#define SMALL (64 * MIB)

static uint64_t
free_bytes(void)
{
    struct statvfs fs;

    T_SYS(statvfs("/dev/shm", &fs));
    return (uint64_t)fs.f_bavail * fs.f_bsize;
}

/* As unit_all_bytes(), at the speed of memory. */
static bool
is_all(const shmkit_block *block, unsigned char value)
{
    const unsigned char *data = shmkit_block_data(block);

    return data[0] == value &&
           memcmp(data, data + 1, shmkit_block_size(block) - 1) == 0;
}

static void
fits_to_the_last_byte(size_t size, uint32_t lifetime)
{
    uint64_t before = free_bytes();
    char name[T_NAME_SIZE];
    shmkit_block *block, *other;

    block = unit_create(t_scratch_name(name, "fits"), size, 0, lifetime);
    T_CHECK_EQ(free_bytes(), before - (size + 4095) / 4096 * 4096);
    T_CHECK(is_all(block, 0));
    memset(shmkit_block_data(block), 0xee, size);
    other = unit_attach(name, SHMKIT_READ_ONLY);
    T_CHECK(is_all(other, 0xee));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(other);
    shmkit_block_close(block);
    T_CHECK_EQ(free_bytes(), before);
}

static void
does_not_fit(size_t size, uint32_t flags, uint32_t lifetime)
{
    struct shmkit_block_options options = unit_options(flags, lifetime);
    uint64_t before = free_bytes();
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL;

    t_scratch_name(name, "refused");
    T_CHECK_EQ(shmkit_block_create(name, size, &options, &block), -ENOSPC);
    T_CHECK(block == NULL && !unit_exists(name));
    T_CHECK_EQ(free_bytes(), before);
}

/* `there` is free. */
static void
try_about(size_t there, uint32_t lifetime)
{
    fits_to_the_last_byte(there - 4 * MIB, lifetime);
    fits_to_the_last_byte(there - MIB, lifetime);
    fits_to_the_last_byte(there, lifetime);
    fits_to_the_last_byte(there - 1, lifetime);
    does_not_fit(there + 1, 0, lifetime);
    does_not_fit(there + MIB, 0, lifetime);
    does_not_fit(there + MIB, SHMKIT_PREFAULT, lifetime);
    does_not_fit(2 * SMALL, 0, lifetime);
}

static void
write_plain_file(const char *path, size_t size)
{
    char *bytes = calloc(1, size);
    int fd = T_SYS(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

    T_CHECK(bytes != NULL);
    T_CHECK_EQ(write(fd, bytes, size), (long long)size);
    T_SYS(close(fd));
    free(bytes);
}

static int
fill_small_shm(void *arg)
{
    (void)arg;
    t_mount_shm("size=64m");
    T_CHECK_EQ(free_bytes(), SMALL);
    try_about(SMALL, SHMKIT_LIFETIME_HOLDERS);
    try_about(SMALL, SHMKIT_LIFETIME_PERSISTENT);
    /* A family has a file of its own there. */
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK(free_bytes() >= SMALL - 64 * 1024);
    try_about((size_t)free_bytes(), SHMKIT_LIFETIME_FAMILY);

    write_plain_file("/dev/shm/other", 9 * MIB + 4096);
    for (uint32_t lifetime = 0; lifetime < 3; lifetime++)
        try_about((size_t)free_bytes(), lifetime);
    T_SYS(unlink("/dev/shm/other"));
    shmkit_process_exit();
    t_unmount_shm();
    return T_PASS;
}

static void
test_small_shm_is_filled_to_the_last_byte(void)
{
    shmkit_family_form_at_fork(0); /* it has 64 MiB only without a family */
    T_CHECK_EQ(t_fork_wait(fill_small_shm, NULL), T_PASS);
}

/* ---- a memory limit below the size ---- */

static void
write_text(const char *path, const char *text)
{
    int fd = T_SYS(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));

    T_SYS(write(fd, text, strlen(text)));
    T_SYS(close(fd));
}

/* A control group "in" within "out", as either generation shows it.  Plain
 * files stand in for the kernel's, since they are only read. */
struct group_files {
    const char *line; /* of /proc/self/cgroup */
    const char *root, *limit, *usage, *none;
};

static const struct group_files generations[] = {
    {"0::/out/in\n", "/sys/fs/cgroup", "memory.max", "memory.current",
     "max\n"},
    {"4:memory:/out/in\n", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
     "memory.usage_in_bytes", "9223372036854771712\n"},
};

static void
write_group(const struct group_files *files, const char *group,
            const char *limit, const char *usage)
{
    char path[200];

    (void)snprintf(path, sizeof path, "%s%s", files->root, group);
    if (access(path, F_OK) < 0)
        T_SYS(mkdir(path, 0700));
    (void)snprintf(path, sizeof path, "%s%s/%s", files->root, group,
                   files->limit);
    write_text(path, limit);
    (void)snprintf(path, sizeof path, "%s%s/%s", files->root, group,
                   files->usage);
    write_text(path, usage);
}

/* The limit is 32 MiB and half of it is used. */
static void
create_about_the_limit(void)
{
    does_not_fit(17 * MIB, 0, SHMKIT_LIFETIME_HOLDERS);
    does_not_fit(17 * MIB, SHMKIT_PREFAULT, SHMKIT_LIFETIME_PERSISTENT);
    does_not_fit(200 * MIB, 0, SHMKIT_LIFETIME_HOLDERS);
    fits_to_the_last_byte(15 * MIB, SHMKIT_LIFETIME_HOLDERS);
}

static int
create_in_stand_in(void *arg)
{
    const struct group_files *files = arg;

    t_mount_shm("size=256m"); /* nobody else makes files there */
    if (mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL) < 0)
        unit_skip("/sys/fs/cgroup cannot be covered");
    write_text("/sys/fs/cgroup/line", files->line);
    if (mount("/sys/fs/cgroup/line", "/proc/self/cgroup", "none", MS_BIND,
              NULL) < 0)
        unit_skip("/proc/self/cgroup cannot be covered");
    if (access(files->root, F_OK) < 0)
        T_SYS(mkdir(files->root, 0700));

    write_group(files, "/out", files->none, "0\n");
    write_group(files, "/out/in", "33554432\n", "16777216\n");
    create_about_the_limit();
    write_group(files, "/out", "33554432\n", "16777216\n");
    write_group(files, "/out/in", files->none, "0\n");
    create_about_the_limit();
    write_group(files, "/out", files->none, "0\n");
    fits_to_the_last_byte(17 * MIB, SHMKIT_LIFETIME_HOLDERS);

    T_SYS(umount("/proc/self/cgroup"));
    T_SYS(umount("/sys/fs/cgroup"));
    shmkit_process_exit();
    t_unmount_shm();
    return T_PASS;
}

static void
test_memory_limit_of_either_kind_of_group(void)
{
    for (size_t i = 0; i < 2; i++) {
        struct group_files files = generations[i];
        int status = t_fork_wait(create_in_stand_in, &files);

        if (status == T_SKIP)
            unit_skip("no files can stand in for a control group's");
        T_CHECK_EQ(status, T_PASS);
    }
}

#define REAL_ROOT "/sys/fs/cgroup/memory"
#define REAL_GROUP REAL_ROOT "/shmkit-test-big"

static uint64_t
number_in(const char *path)
{
    char text[64] = "";
    int fd = T_SYS(open(path, O_RDONLY | O_CLOEXEC));

    T_SYS(read(fd, text, sizeof text - 1));
    T_SYS(close(fd));
    return strtoull(text, NULL, 10);
}

/* The kernel counts: nothing big was written, and the limit never met. */
static int
create_in_real_group(void *arg)
{
    (void)arg;
    write_text(REAL_GROUP "/cgroup.procs", "0\n");
    does_not_fit(64 * MIB, 0, SHMKIT_LIFETIME_HOLDERS);
    does_not_fit(33 * MIB, SHMKIT_PREFAULT, SHMKIT_LIFETIME_PERSISTENT);
    T_CHECK(number_in(REAL_GROUP "/memory.max_usage_in_bytes") < 8 * MIB);
    T_CHECK_EQ(number_in(REAL_GROUP "/memory.failcnt"), 0);
    fits_to_the_last_byte(16 * MIB, SHMKIT_LIFETIME_HOLDERS);
    return T_PASS;
}

static void
test_memory_limit_of_the_kernel_is_never_met(void)
{
    int status;

    if (access(REAL_ROOT "/memory.limit_in_bytes", F_OK) < 0 ||
        mkdir(REAL_GROUP, 0755) < 0)
        unit_skip("no control group of the first kind can be made");
    write_text(REAL_GROUP "/memory.limit_in_bytes", "33554432\n");
    status = t_fork_wait(create_in_real_group, NULL);
    (void)rmdir(REAL_GROUP);
    T_CHECK_EQ(status, T_PASS);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_big_blocks_of_every_kind),
        UNIT_CASE(test_demanded_huge_pages_are_there),
        UNIT_CASE(test_parts_are_within_the_block),
        UNIT_CASE(test_part_holds_its_block),
        UNIT_CASE(test_private_writes_stay_here),
        UNIT_CASE(test_copies_are_bounded),
        UNIT_CASE(test_locked_within_and_beyond_the_limit),
        UNIT_CASE(test_placement_on_this_machines_node),
        UNIT_CASE(test_small_shm_is_filled_to_the_last_byte),
        UNIT_CASE(test_memory_limit_of_either_kind_of_group),
        UNIT_CASE(test_memory_limit_of_the_kernel_is_never_met),
    };

    return UNIT_MAIN("big", "size=256m", cases);
}
