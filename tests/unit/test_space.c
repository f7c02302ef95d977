/* SPDX-License-Identifier: MIT */
/* test_space.c - a full /dev/shm, a full inode table and every limit on
 * memory are errors before anything is written, never a signal, and leave
 * nothing.
 *
 * /dev/shm is a tmpfs of 4 MiB here.  Limits are set in children, whose end
 * takes them away. */
#include <fcntl.h>
#include <signal.h>
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
#define SHM_SIZE (4 * MIB)

static uint64_t
free_bytes(void)
{
    struct statvfs fs;

    T_SYS(statvfs("/dev/shm", &fs));
    return (uint64_t)fs.f_bavail * fs.f_bsize;
}

static uint64_t
free_inodes(void)
{
    struct statvfs fs;

    T_SYS(statvfs("/dev/shm", &fs));
    return fs.f_favail;
}

static void
refuse(size_t size, uint32_t flags, uint32_t lifetime, int want)
{
    struct shmkit_block_options options = unit_options(flags, lifetime);
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL;
    uint64_t before = free_bytes();

    t_scratch_name(name, "refused");
    T_CHECK_EQ(shmkit_block_create(name, size, &options, &block), want);
    T_CHECK(block == NULL);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(free_bytes(), before);
}

static void
test_too_big_for_shm_is_enospc(void)
{
    T_CHECK_EQ(shmkit_family_form(), 0);
    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        refuse(SHM_SIZE + 1, 0, lifetime, -ENOSPC);
        refuse(16 * SHM_SIZE, 0, lifetime, -ENOSPC);
        refuse((size_t)1 << 40, 0, lifetime, -ENOSPC);
        refuse(SHM_SIZE + 1, SHMKIT_PREFAULT, lifetime, -ENOSPC);
    }
}

static void
test_filling_up_ends_in_enospc(void)
{
    shmkit_block *blocks[16];
    char names[16][T_NAME_SIZE];
    int n, r = 0;

    for (n = 0; n < 16; n++) {
        blocks[n] = NULL;
        t_scratch_name(names[n], "fill");
        r = shmkit_block_create(names[n], MIB / 2, NULL, &blocks[n]);
        if (r < 0)
            break;
    }
    T_CHECK_EQ(r, -ENOSPC);
    T_CHECK(n >= 6 && n <= 8);
    T_CHECK(!unit_exists(names[n]));
    /* What was reserved is there, full or not. */
    while (n-- > 0) {
        memset(shmkit_block_data(blocks[n]), 0xee, MIB / 2);
        T_CHECK_EQ(shmkit_block_unlink(names[n], NULL), 0);
        shmkit_block_close(blocks[n]);
    }
    T_CHECK(free_bytes() > SHM_SIZE - MIB / 2);
}

static void
test_grow_into_full_shm_is_enospc(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *grown = NULL;
    uint64_t before;

    block = unit_create(t_scratch_name(name, "grow"), MIB, 0, 0);
    memset(shmkit_block_data(block), 3, MIB);
    before = free_bytes();
    T_CHECK_EQ(shmkit_block_grow(block, SHM_SIZE + 1, &grown), -ENOSPC);
    T_CHECK(grown == NULL);
    T_CHECK(unit_all_bytes(block, 3));
    T_CHECK_EQ(unit_stat(name).size, MIB);
    T_CHECK_EQ(free_bytes(), before);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

static void
test_sparse_needs_no_space(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "sparse"), 64 * SHM_SIZE,
                        SHMKIT_SPARSE, 0);
    T_CHECK_EQ(shmkit_block_size(block), 64 * SHM_SIZE);
    ((char *)shmkit_block_data(block))[64 * SHM_SIZE - 1] = 1;
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

/* Nothing was promised, but paging it in is: an error, not SIGBUS. */
static void
test_prefault_of_an_unfillable_sparse_block(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *other = NULL;
    struct shmkit_block_options options = unit_options(SHMKIT_PREFAULT, 0);

    T_CHECK_EQ(shmkit_family_form(), 0);
    refuse(2 * SHM_SIZE, SHMKIT_SPARSE | SHMKIT_PREFAULT, 0, -ENOSPC);
    block = unit_create(t_scratch_name(name, "unfill"), 2 * SHM_SIZE,
                        SHMKIT_SPARSE, 0);
    T_CHECK_EQ(shmkit_block_attach(name, &options, &other), -ENOSPC);
    T_CHECK(other == NULL);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

static void
test_full_inode_table_is_enospc(void)
{
    char name[T_NAME_SIZE];
    int made = 0;

    T_CHECK_EQ(shmkit_family_form(), 0);
    while (free_inodes() > 0) {
        (void)snprintf(name, sizeof name, "%sinode%d", t_run_prefix(), made++);
        unit_plant(name, 0, 0600);
    }
    refuse(1, 0, SHMKIT_LIFETIME_FAMILY, -ENOSPC);
    refuse(1, 0, SHMKIT_LIFETIME_HOLDERS, -ENOSPC);
    refuse(1, 0, SHMKIT_LIFETIME_PERSISTENT, -ENOSPC);
    while (made-- > 0) {
        (void)snprintf(name, sizeof name, "%sinode%d", t_run_prefix(), made);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
}

/* The same before there is a family: its own file does not fit either. */
static void
test_full_inode_table_at_the_first_create(void)
{
    char name[T_NAME_SIZE];
    int made = 0;

    while (free_inodes() > 0) {
        (void)snprintf(name, sizeof name, "%sinode%d", t_run_prefix(), made++);
        unit_plant(name, 0, 0600);
    }
    refuse(1, 0, SHMKIT_LIFETIME_FAMILY, -ENOSPC);
    T_CHECK_EQ(shmkit_family_form(), -ENOSPC);
    while (made-- > 0) {
        (void)snprintf(name, sizeof name, "%sinode%d", t_run_prefix(), made);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
}

/* What a dead family holds is given back rather than to refuse. */
static void
test_enospc_sweeps_and_tries_again(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    t_scratch_name(name, "hog");
    T_CHECK_EQ(unit_puppet_create(&maker, name, 3 * MIB, 0), 0);
    unit_puppet_kill(&maker);
    T_CHECK(unit_exists(name));
    block = unit_create(NULL, 3 * MIB, 0, SHMKIT_LIFETIME_HOLDERS);
    T_CHECK(!unit_exists(name));
    shmkit_block_close(block);
}

static void
limit(int resource, rlim_t value)
{
    struct rlimit limits = {value, value};

    /* __rlimit_resource_t is an enum in C. */
    T_SYS(setrlimit((__rlimit_resource_t)resource, &limits));
}

static int
create_beyond_file_limit(void *arg)
{
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL, *grown = NULL;

    (void)arg;
    (void)signal(SIGXFSZ, SIG_DFL);
    T_CHECK_EQ(shmkit_family_form(), 0);
    limit(RLIMIT_FSIZE, MIB);
    refuse(MIB + 1, 0, SHMKIT_LIFETIME_FAMILY, -EFBIG);
    refuse(2 * MIB, 0, SHMKIT_LIFETIME_HOLDERS, -EFBIG);
    refuse(2 * MIB, SHMKIT_SPARSE, SHMKIT_LIFETIME_PERSISTENT, -EFBIG);
    refuse(2 * MIB, SHMKIT_PREFAULT, SHMKIT_LIFETIME_PERSISTENT, -EFBIG);
    block = unit_create(t_scratch_name(name, "fits"), MIB, 0, 0);
    T_CHECK_EQ(shmkit_block_grow(block, MIB + 1, &grown), -EFBIG);
    T_CHECK(grown == NULL);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
    return T_PASS;
}

static void
test_file_size_limit_is_efbig_not_sigxfsz(void)
{
    T_CHECK_EQ(t_fork_wait(create_beyond_file_limit, NULL), T_PASS);
}

/* So small that not even the family's own file may be written. */
static int
create_under_tiny_file_limit(void *arg)
{
    (void)arg;
    (void)signal(SIGXFSZ, SIG_DFL);
    limit(RLIMIT_FSIZE, 100);
    refuse(200, 0, SHMKIT_LIFETIME_FAMILY, -EFBIG);
    refuse(200, 0, SHMKIT_LIFETIME_HOLDERS, -EFBIG);
    T_CHECK_EQ(shmkit_family_form(), -EFBIG);
    return T_PASS;
}

static void
test_tiny_file_size_limit(void)
{
    shmkit_family_form_at_fork(0);
    T_CHECK_EQ(t_fork_wait(create_under_tiny_file_limit, NULL), T_PASS);
}

static uint64_t
address_space(void)
{
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "re");

    T_CHECK(file != NULL);
    T_CHECK_EQ(fscanf(file, "%lu", &pages), 1);
    (void)fclose(file);
    return (uint64_t)pages * 4096;
}

static int
map_beyond_address_limit(void *arg)
{
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL;

    (void)arg;
    T_CHECK_EQ(shmkit_family_form(), 0);
    unit_plant(t_scratch_name(name, "wide"), 512 * MIB, 0600);
    limit(RLIMIT_AS, address_space() + 64 * MIB);
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &block), -ENOMEM);
    T_CHECK(block == NULL);
    refuse(512 * MIB, SHMKIT_SPARSE, SHMKIT_LIFETIME_FAMILY, -ENOMEM);
    refuse(512 * MIB, SHMKIT_SPARSE, SHMKIT_LIFETIME_HOLDERS, -ENOMEM);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    return T_PASS;
}

static void
test_address_space_limit_is_enomem(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    unit_skip("a sanitizer needs the address space itself");
#endif
    T_CHECK_EQ(t_fork_wait(map_beyond_address_limit, NULL), T_PASS);
}

/* A family's table wants a span of addresses; under a small RLIMIT_AS it must
 * do with less, or say so, but not crash. */
static int
form_in_little_address_space(void *arg)
{
    shmkit_block *block = NULL;
    int r;

    (void)arg;
    limit(RLIMIT_AS, address_space() + MIB);
    r = shmkit_block_create(NULL, 4096, NULL, &block);
    if (r < 0) {
        T_CHECK_EQ(r, -ENOMEM);
        return T_PASS;
    }
    T_CHECK_EQ(shmkit_block_unlink(shmkit_block_name(block), NULL), 0);
    shmkit_block_close(block);
    return T_PASS;
}

static void
test_family_in_little_address_space(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    unit_skip("a sanitizer needs the address space itself");
#endif
    shmkit_family_form_at_fork(0);
    T_CHECK_EQ(t_fork_wait(form_in_little_address_space, NULL), T_PASS);
}

static int
open_beyond_descriptor_limit(void *arg)
{
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL, *other = NULL;
    int fds[64], n;

    (void)arg;
    block = unit_create(t_scratch_name(name, "emfile"), 1, 0, 0);
    limit(RLIMIT_NOFILE, 40);
    for (n = 0; n < 64; n++) {
        fds[n] = dup(STDERR_FILENO);
        if (fds[n] < 0)
            break;
    }
    T_CHECK(n < 64);
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &other), -EMFILE);
    T_CHECK_EQ(shmkit_block_create(NULL, 1, NULL, &other), -EMFILE);
    T_CHECK_EQ(shmkit_block_grow(block, 2, &other), -EMFILE);
    T_CHECK(other == NULL);
    while (n-- > 0)
        T_SYS(close(fds[n]));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
    return T_PASS;
}

static void
test_descriptor_limit_is_emfile(void)
{
    if (getenv("T_VALGRIND") != NULL)
        unit_skip("valgrind moves the limit and keeps some for itself");
    T_CHECK_EQ(t_fork_wait(open_beyond_descriptor_limit, NULL), T_PASS);
}

/* ---- the memory limit of a control group ---- */

static void
write_file(const char *path, const char *text)
{
    int fd = T_SYS(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));

    T_SYS(write(fd, text, strlen(text)));
    T_SYS(close(fd));
}

/* This process's group in a hierarchy that says it has `left` bytes: a plain
 * folder stands in for the kernel's, since only the files are read. */
static int
create_beyond_group_limit(void *arg)
{
    char group[600] = "", path[900], line[560];
    FILE *file = fopen("/proc/self/cgroup", "re");
    shmkit_block *block;

    (void)arg;
    T_CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::", 3) == 0)
            (void)snprintf(group, sizeof group, "%s", line + 3);
    }
    (void)fclose(file);
    if (group[0] == '\0')
        unit_skip("no unified control groups");
    t_mount_shm("size=64m"); /* so that only the group's limit is in the way */
    T_SYS(mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL));
    for (char *slash = group + 1; *slash != '\0'; slash++) {
        if (*slash != '/')
            continue;
        *slash = '\0';
        (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s", group);
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s", group);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
    write_file(path, "104857600\n");
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current",
                   group);
    write_file(path, "103809024\n"); /* 1 MiB below */
    T_CHECK_EQ(shmkit_family_form(), 0);
    refuse(8 * MIB, 0, SHMKIT_LIFETIME_FAMILY, -ENOSPC);
    refuse(8 * MIB, 0, SHMKIT_LIFETIME_HOLDERS, -ENOSPC);
    refuse(8 * MIB, SHMKIT_PREFAULT, SHMKIT_LIFETIME_PERSISTENT, -ENOSPC);
    write_file(path, "1048576\n"); /* nearly all is free: now it fits */
    block = unit_create(NULL, 8 * MIB, 0, SHMKIT_LIFETIME_HOLDERS);
    shmkit_block_close(block);
    shmkit_process_exit();
    T_SYS(umount("/sys/fs/cgroup"));
    t_unmount_shm();
    return T_PASS;
}

static void
test_group_memory_limit_is_enospc(void)
{
    int status = t_fork_wait(create_beyond_group_limit, NULL);

    if (status == T_SKIP)
        unit_skip("no unified control groups");
    T_CHECK_EQ(status, T_PASS);
}

/* The kernel's own, where this process may make a group. */
#define REAL_GROUP "/sys/fs/cgroup/shmkit-test"

static int
create_in_real_group(void *arg)
{
    (void)arg;
    write_file(REAL_GROUP "/cgroup.procs", "0\n");
    T_CHECK_EQ(shmkit_family_form(), 0);
    refuse(3 * MIB, 0, SHMKIT_LIFETIME_FAMILY, -ENOSPC);
    return T_PASS;
}

static void
test_real_group_memory_limit(void)
{
    int status;

    if (access("/sys/fs/cgroup/cgroup.controllers", W_OK) < 0 ||
        mkdir(REAL_GROUP, 0755) < 0)
        unit_skip("no control group can be made");
    if (access(REAL_GROUP "/memory.max", W_OK) < 0) {
        T_SYS(rmdir(REAL_GROUP));
        unit_skip("no memory controller");
    }
    write_file(REAL_GROUP "/memory.max", "2097152\n");
    status = t_fork_wait(create_in_real_group, NULL);
    T_SYS(rmdir(REAL_GROUP));
    T_CHECK_EQ(status, T_PASS);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_too_big_for_shm_is_enospc),
        UNIT_CASE(test_filling_up_ends_in_enospc),
        UNIT_CASE(test_grow_into_full_shm_is_enospc),
        UNIT_CASE(test_sparse_needs_no_space),
        UNIT_CASE(test_prefault_of_an_unfillable_sparse_block),
        UNIT_CASE(test_full_inode_table_is_enospc),
        UNIT_CASE(test_full_inode_table_at_the_first_create),
        UNIT_CASE(test_enospc_sweeps_and_tries_again),
        UNIT_CASE(test_file_size_limit_is_efbig_not_sigxfsz),
        UNIT_CASE(test_tiny_file_size_limit),
        UNIT_CASE(test_address_space_limit_is_enomem),
        UNIT_CASE(test_family_in_little_address_space),
        UNIT_CASE(test_descriptor_limit_is_emfile),
        UNIT_CASE(test_group_memory_limit_is_enospc),
        UNIT_CASE(test_real_group_memory_limit),
    };

    return UNIT_MAIN("space", "size=4m,nr_inodes=64", cases);
}
