/* SPDX-License-Identifier: MIT */
/* test_block.c - one process: what create, attach, grow, close, unlink and
 * persist do and refuse, as block.h says it. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#define KIB 1024u

static struct stat
stat_of(const char *name)
{
    char path[T_NAME_SIZE + 16];
    struct stat st;

    T_SYS(lstat(t_scratch_path(path, name), &st));
    return st;
}

static void
test_created_block_is_a_plain_file_of_zeros(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;
    struct stat st;

    t_scratch_name(name, "plain");
    block = unit_create(name, 10000, 0, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(shmkit_block_size(block), 10000);
    T_CHECK(unit_all_bytes(block, 0));
    st = stat_of(name);
    T_CHECK(S_ISREG(st.st_mode));
    T_CHECK_EQ(st.st_size, 10000);
    T_CHECK_EQ(st.st_mode & 07777, 0600);
    T_CHECK(st.st_blocks * 512 >= 10000); /* reserved, not sparse */
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

static void
test_attached_handles_share_bytes(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *one, *two;

    one = unit_create(t_scratch_name(name, "share"), 3 * KIB, 0, 0);
    two = unit_attach(name, 0);
    T_CHECK(shmkit_block_data(one) != shmkit_block_data(two));
    T_CHECK_EQ(shmkit_block_size(two), 3 * KIB);
    memset(shmkit_block_data(one), 0x5a, 3 * KIB);
    T_CHECK(unit_all_bytes(two, 0x5a));
    memset(shmkit_block_data(two), 0xa5, 3 * KIB);
    T_CHECK(unit_all_bytes(one, 0xa5));
    shmkit_block_close(one);
    T_CHECK(unit_all_bytes(two, 0xa5));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    T_CHECK(unit_all_bytes(two, 0xa5)); /* bytes live as long as a mapping */
    shmkit_block_close(two);
}

static void
test_no_descriptor_is_kept(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *blocks[40];
    int before;

    T_CHECK_EQ(shmkit_family_form(), 0);
    before = t_fd_count();
    blocks[0] = unit_create(t_scratch_name(name, "fds"), KIB, 0,
                            SHMKIT_LIFETIME_HOLDERS);
    for (int i = 1; i < 40; i++)
        blocks[i] = unit_attach(name, 0);
    T_CHECK_EQ(t_fd_count(), before);
    for (int i = 0; i < 40; i++)
        shmkit_block_close(blocks[i]);
    T_CHECK(!unit_exists(name));
}

static void
test_taken_name_is_eexist(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *other = NULL;

    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        block = unit_create(t_scratch_name(name, "taken"), KIB, 0, lifetime);
        T_CHECK_EQ(shmkit_block_create(name, KIB, NULL, &other), -EEXIST);
        T_CHECK(other == NULL);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
        shmkit_block_close(block);
    }
}

static void
test_foreign_file_keeps_its_name(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *other = NULL;

    unit_plant(t_scratch_name(name, "foreign"), KIB, 0600);
    T_CHECK_EQ(shmkit_block_create(name, KIB, NULL, &other), -EEXIST);
    T_CHECK_EQ(stat_of(name).st_size, KIB);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
test_exist_ok_attaches_whatever_size(void)
{
    struct shmkit_block_options options =
        unit_options(SHMKIT_EXIST_OK, SHMKIT_LIFETIME_PERSISTENT);
    char name[T_NAME_SIZE];
    shmkit_block *one = NULL, *two = NULL;

    t_scratch_name(name, "existok");
    T_CHECK_EQ(shmkit_block_create(name, 100, &options, &one), 0);
    memset(shmkit_block_data(one), 7, 100);
    options.lifetime = SHMKIT_LIFETIME_HOLDERS; /* not changed by attaching */
    T_CHECK_EQ(shmkit_block_create(name, 9999, &options, &two),
               SHMKIT_EXISTED);
    T_CHECK_EQ(shmkit_block_size(two), 100);
    T_CHECK(unit_all_bytes(two, 7));
    shmkit_block_close(one);
    shmkit_block_close(two);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_PERSISTENT);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
refuse_create(const struct shmkit_block_options *options, size_t size)
{
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL;

    t_scratch_name(name, "refused");
    T_CHECK_EQ(shmkit_block_create(name, size, options, &block), -EINVAL);
    T_CHECK(block == NULL);
    T_CHECK(!unit_exists(name));
}

static void
test_bad_options_are_einval(void)
{
    const struct shmkit_block_options good = unit_options(0, 0);
    struct shmkit_block_options bad;

    refuse_create(NULL, 0);
    bad = good;
    bad.struct_size = 0;
    refuse_create(&bad, 1);
    bad.struct_size = sizeof good - 1;
    refuse_create(&bad, 1);
    bad = good;
    bad.flags = SHMKIT_LOCKED << 1; /* one more than there are */
    refuse_create(&bad, 1);
    bad.flags = 1u << 31;
    refuse_create(&bad, 1);
    bad = good;
    bad.lifetime = 3;
    refuse_create(&bad, 1);
    bad = good;
    bad.mode = 01600; /* sticky is the library's own mark */
    refuse_create(&bad, 1);
    bad.mode = 04600;
    refuse_create(&bad, 1);
    bad.mode = 0200; /* its owner could not clean it up */
    refuse_create(&bad, 1);
    bad.mode = 0;
    refuse_create(&bad, 1);
    bad = good;
    bad.placement = SHMKIT_PLACEMENT_INTERLEAVE + 1;
    refuse_create(&bad, 1);
}

static void
test_bad_attach_options_are_einval(void)
{
    struct shmkit_block_options bad = unit_options(SHMKIT_LOCKED << 1, 0);
    char name[T_NAME_SIZE];
    shmkit_block *block, *other = NULL;

    block = unit_create(t_scratch_name(name, "attach"), 1, 0, 0);
    T_CHECK_EQ(shmkit_block_attach(name, &bad, &other), -EINVAL);
    bad = unit_options(0, 0);
    bad.struct_size = 1;
    T_CHECK_EQ(shmkit_block_attach(name, &bad, &other), -EINVAL);
    bad = unit_options(0, 0);
    bad.placement = 9;
    T_CHECK_EQ(shmkit_block_attach(name, &bad, &other), -EINVAL);
    T_CHECK(other == NULL);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

/* A number of bytes that no file can have is an error, not a wrap-around. */
static void
test_absurd_sizes_are_refused(void)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095,
                                   (size_t)SSIZE_MAX, (size_t)SSIZE_MAX + 1,
                                   (size_t)1 << 60};
    shmkit_block *block = NULL;
    int r;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        r = shmkit_block_create(NULL, sizes[i], NULL, &block);
        if (r != -EFBIG && r != -ENOSPC && r != -ENOMEM && r != -EINVAL)
            T_CHECK_EQ(r, -EFBIG);
        T_CHECK(block == NULL);
    }
}

static void
test_mode_is_exact_whatever_the_umask(void)
{
    static const uint32_t modes[] = {0600, 0644, 0666, 0660, 0400, 0640, 0777};
    struct shmkit_block_options options = unit_options(0, 0);
    char name[T_NAME_SIZE];
    shmkit_block *block;

    (void)umask(0077);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        for (options.lifetime = 0; options.lifetime < 3; options.lifetime++) {
            options.mode = modes[i];
            block = NULL;
            t_scratch_name(name, "mode");
            T_CHECK_EQ(shmkit_block_create(name, 1, &options, &block), 0);
            T_CHECK_EQ(stat_of(name).st_mode & 0777, modes[i]);
            T_CHECK_EQ(shmkit_block_mode(block), modes[i]);
            T_CHECK_EQ(unit_stat(name).mode, modes[i]);
            T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
            shmkit_block_close(block);
        }
    }
    (void)umask(0);
}

static void
test_attached_mode_is_without_the_mark(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *other;

    block = unit_create(t_scratch_name(name, "marked"), 1, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    other = unit_attach(name, 0);
    T_CHECK_EQ(stat_of(name).st_mode & 07777, 01600);
    T_CHECK_EQ(shmkit_block_mode(block), 0600);
    T_CHECK_EQ(shmkit_block_mode(other), 0600);
    shmkit_block_close(other);
    shmkit_block_close(block);
}

static int
write_one(void *arg)
{
    (void)signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
    *(volatile char *)arg = 1;
    return T_PASS;
}

static void
test_read_only_cannot_write(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *reader, *grown = NULL;

    block = unit_create(t_scratch_name(name, "readonly"), KIB, 0, 0);
    memset(shmkit_block_data(block), 3, KIB);
    reader = unit_attach(name, SHMKIT_READ_ONLY);
    T_CHECK(unit_all_bytes(reader, 3));
    T_CHECK_EQ(shmkit_block_is_read_only(reader), 1);
    T_CHECK_EQ(shmkit_block_is_read_only(block), 0);
    T_CHECK_EQ(t_fork_wait(write_one, shmkit_block_data(reader)), -SIGSEGV);
    T_CHECK_EQ(shmkit_block_grow(reader, 2 * KIB, &grown), -EACCES);
    T_CHECK(grown == NULL);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(reader);
    shmkit_block_close(block);
}

static void
test_read_only_descriptor(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *reader;
    int fd = -1;

    block = unit_create(t_scratch_name(name, "rofd"), KIB, 0, 0);
    reader = unit_attach(name, SHMKIT_READ_ONLY);
    T_CHECK_EQ(shmkit_block_open_fd(reader, &fd), 0);
    T_CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    T_CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    T_SYS(close(fd));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(reader);
    shmkit_block_close(block);
}

static void
test_descriptor_is_of_the_block(void)
{
    char name[T_NAME_SIZE];
    struct stat st, named;
    shmkit_block *block, *again;
    int fd = -1, other = -1;

    block = unit_create(t_scratch_name(name, "fd"), KIB, 0, 0);
    T_CHECK_EQ(shmkit_block_open_fd(block, &fd), 0);
    T_SYS(fstat(fd, &st));
    named = stat_of(name);
    T_CHECK(st.st_ino == named.st_ino && st.st_dev == named.st_dev);
    T_CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    T_CHECK_EQ(pwrite(fd, "x", 1, 5), 1);
    T_CHECK_EQ(((char *)shmkit_block_data(block))[5], 'x');
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    T_CHECK_EQ(shmkit_block_open_fd(block, &other), -ESTALE);
    again = unit_create(name, KIB, 0, 0);
    T_CHECK_EQ(shmkit_block_open_fd(block, &other), -ESTALE);
    T_CHECK_EQ(other, -1);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(again);
    shmkit_block_close(block);
    T_SYS(close(fd));
}

static void
grow_and_compare(uint32_t lifetime)
{
    char name[T_NAME_SIZE];
    shmkit_block *old, *grown = NULL;

    old = unit_create(t_scratch_name(name, "grow"), 5000, 0, lifetime);
    memset(shmkit_block_data(old), 9, 5000);
    T_CHECK_EQ(shmkit_block_grow(old, 100000, &grown), 0);
    T_CHECK_EQ(shmkit_block_size(grown), 100000);
    T_CHECK_EQ(shmkit_block_size(old), 5000);
    T_CHECK(stat_of(name).st_blocks * 512 >= 100000);
    T_CHECK(unit_all_bytes(old, 9));
    T_CHECK_EQ(memcmp(shmkit_block_data(old), shmkit_block_data(grown), 5000),
               0);
    T_CHECK_EQ(((char *)shmkit_block_data(grown))[5000], 0);
    T_CHECK_EQ(((char *)shmkit_block_data(grown))[99999], 0);
    memset(shmkit_block_data(grown), 8, 100000);
    T_CHECK(unit_all_bytes(old, 8));
    shmkit_block_close(old);
    T_CHECK(unit_all_bytes(grown, 8));
    T_CHECK_EQ(unit_exists(name), 1);
    if (lifetime != SHMKIT_LIFETIME_HOLDERS)
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(grown);
    T_CHECK(!unit_exists(name));
}

static void
test_grow_gives_a_second_handle(void)
{
    grow_and_compare(SHMKIT_LIFETIME_FAMILY);
    grow_and_compare(SHMKIT_LIFETIME_HOLDERS);
    grow_and_compare(SHMKIT_LIFETIME_PERSISTENT);
}

static void
test_grow_never_shrinks(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *small = NULL, *same = NULL;

    block = unit_create(t_scratch_name(name, "shrink"), 50000, 0, 0);
    T_CHECK_EQ(shmkit_block_grow(block, 10, &small), 0);
    T_CHECK_EQ(shmkit_block_size(small), 50000);
    T_CHECK_EQ(stat_of(name).st_size, 50000);
    T_CHECK_EQ(shmkit_block_grow(block, 50000, &same), 0);
    T_CHECK_EQ(shmkit_block_size(same), 50000);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(same);
    shmkit_block_close(small);
    shmkit_block_close(block);
}

/* Somebody else grew it: size 0 takes what there is now. */
static void
test_grow_to_zero_follows_the_file(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *other, *bigger = NULL, *followed = NULL;

    block = unit_create(t_scratch_name(name, "follow"), KIB, 0, 0);
    other = unit_attach(name, 0);
    T_CHECK_EQ(shmkit_block_grow(other, 30 * KIB, &bigger), 0);
    T_CHECK_EQ(shmkit_block_grow(block, 0, &followed), 0);
    T_CHECK_EQ(shmkit_block_size(followed), 30 * KIB);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(followed);
    shmkit_block_close(bigger);
    shmkit_block_close(other);
    shmkit_block_close(block);
}

static void
test_grow_of_another_block_is_estale(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *again, *grown = NULL;

    block = unit_create(t_scratch_name(name, "stale"), KIB, 0, 0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    T_CHECK_EQ(shmkit_block_grow(block, 2 * KIB, &grown), -ESTALE);
    again = unit_create(name, KIB, 0, 0);
    T_CHECK_EQ(shmkit_block_grow(block, 2 * KIB, &grown), -ESTALE);
    T_CHECK_EQ(shmkit_block_persist(block), -ESTALE);
    T_CHECK(grown == NULL);
    T_CHECK_EQ(stat_of(name).st_size, KIB);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    T_CHECK_EQ(shmkit_block_persist(block), -ESTALE);
    shmkit_block_close(again);
    shmkit_block_close(block);
}

static void
test_close_takes_null(void)
{
    T_CHECK(shmkit_block_close(NULL) == NULL);
}

static void
test_unlink_is_enoent_the_second_time(void)
{
    char name[T_NAME_SIZE];

    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        shmkit_block *block =
            unit_create(t_scratch_name(name, "twice"), 1, 0, lifetime);

        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
        T_CHECK(!unit_exists(name));
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), -ENOENT);
        shmkit_block_close(block);
    }
}

/* With a ref, only the block that was met goes: not one that has taken its
 * name since. */
static void
test_unlink_by_ref_spares_a_new_block(void)
{
    char name[T_NAME_SIZE];
    struct shmkit_block_ref ref, ref2;
    shmkit_block *block, *again;

    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        block = unit_create(t_scratch_name(name, "ref"), 1, 0, lifetime);
        ref = shmkit_block_get_ref(block);
        T_CHECK_EQ(shmkit_block_unlink(name, &ref), 0);
        T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
        again = unit_create(name, 1, 0, lifetime);
        T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
        T_CHECK(unit_exists(name));
        ref2 = shmkit_block_get_ref(again);
        shmkit_block_close(block);
        shmkit_block_close(again);
        /* The ref outlives its handle. */
        T_CHECK_EQ(shmkit_block_unlink(name, &ref2),
                   lifetime == SHMKIT_LIFETIME_HOLDERS ? -ENOENT : 0);
    }
}

/* The same when the first block is closed, so that its inode number may be
 * used again. */
static void
test_unlink_by_ref_knows_a_reused_inode(void)
{
    char name[T_NAME_SIZE];
    struct shmkit_block_ref ref;
    shmkit_block *block;

    t_scratch_name(name, "reuse");
    for (int i = 0; i < 50; i++) {
        block = unit_create(name, 1, 0, 0);
        ref = shmkit_block_get_ref(block);
        shmkit_block_close(block);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
        block = unit_create(name, 1, 0, 0);
        T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
        shmkit_block_close(block);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
}

static void
test_unlink_by_ref_after_foreign_removal(void)
{
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];
    struct shmkit_block_ref ref;
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "foreignrm"), 1, 0, 0);
    ref = shmkit_block_get_ref(block);
    T_SYS(unlink(t_scratch_path(path, name)));
    T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
    unit_plant(name, 10, 0600);
    T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
    T_CHECK(unit_exists(name));
    shmkit_block_close(block);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
test_drawn_block_unlinks(void)
{
    shmkit_block *block = unit_create(NULL, 1, 0, 0);
    struct shmkit_block_ref ref = shmkit_block_get_ref(block);
    char name[SHMKIT_NAME_SIZE];

    (void)snprintf(name, sizeof name, "%s", shmkit_block_name(block));
    T_CHECK_EQ(shmkit_block_unlink(name, &ref), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
    shmkit_block_close(block);
}

static void
test_sparse_reserves_nothing(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *grown = NULL;
    size_t size = (size_t)64 << 20;

    block =
        unit_create(t_scratch_name(name, "sparse"), size, SHMKIT_SPARSE, 0);
    T_CHECK_EQ(shmkit_block_size(block), size);
    T_CHECK_EQ(unit_stat(name).resident, 0);
    ((char *)shmkit_block_data(block))[size - 1] = 1;
    T_CHECK(unit_stat(name).resident > 0);
    T_CHECK(unit_stat(name).resident < size / 2);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    T_CHECK(grown == NULL);
    shmkit_block_close(block);
}

/* Pages that are mapped already, as the kernel tells it. */
static size_t
pages_mapped(const shmkit_block *block)
{
    size_t pages = shmkit_block_size(block) / 4096, mapped = 0;
    uint64_t entry, at = (uint64_t)(uintptr_t)shmkit_block_data(block) / 4096;
    int fd = T_SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));

    for (size_t i = 0; i < pages; i++) {
        T_CHECK_EQ(
            pread(fd, &entry, sizeof entry, (off_t)((at + i) * sizeof entry)),
            sizeof entry);
        mapped += (entry >> 63) != 0;
    }
    T_SYS(close(fd));
    return mapped;
}

static void
test_prefault_maps_every_page(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block, *writer, *reader, *lazy;

    t_scratch_name(name, "prefault");
    block = unit_create(name, 64 * 4096, SHMKIT_PREFAULT, 0);
    T_CHECK_EQ(pages_mapped(block), 64);
    T_CHECK(unit_all_bytes(block, 0));
    writer = unit_attach(name, SHMKIT_PREFAULT);
    T_CHECK_EQ(pages_mapped(writer), 64);
    reader = unit_attach(name, SHMKIT_PREFAULT | SHMKIT_READ_ONLY);
    T_CHECK_EQ(pages_mapped(reader), 64);
    lazy = unit_attach(name, 0);
    T_CHECK_EQ(pages_mapped(lazy), 0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(lazy);
    shmkit_block_close(reader);
    shmkit_block_close(writer);
    shmkit_block_close(block);
}

static void
test_persist_survives_every_cleaning(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        block = unit_create(t_scratch_name(name, "persist"), 1, 0, lifetime);
        T_CHECK_EQ(shmkit_block_persist(block), 0);
        T_CHECK_EQ(shmkit_block_persist(block), 0); /* and again */
        T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_PERSISTENT);
        shmkit_block_close(block);
        T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_IDLE);
        shmkit_process_exit();
        T_CHECK_EQ(unit_sweep(), 0);
        T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_KEPT);
        T_CHECK(unit_exists(name));
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
}

static void
test_rename_of_the_file_is_followed_nowhere(void)
{
    char name[T_NAME_SIZE], moved[T_NAME_SIZE];
    char from[T_NAME_SIZE + 16], to[T_NAME_SIZE + 16];
    shmkit_block *block, *grown = NULL;

    block = unit_create(t_scratch_name(name, "rename"), KIB, 0, 0);
    t_scratch_name(moved, "renamed");
    T_SYS(rename(t_scratch_path(from, name), t_scratch_path(to, moved)));
    T_CHECK_EQ(shmkit_block_grow(block, 2 * KIB, &grown), -ESTALE);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), -ENOENT);
    shmkit_block_close(block);
    /* But the family finds it by its inode: the teardown would tell. */
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_created_block_is_a_plain_file_of_zeros),
        UNIT_CASE(test_attached_handles_share_bytes),
        UNIT_CASE(test_no_descriptor_is_kept),
        UNIT_CASE(test_taken_name_is_eexist),
        UNIT_CASE(test_foreign_file_keeps_its_name),
        UNIT_CASE(test_exist_ok_attaches_whatever_size),
        UNIT_CASE(test_bad_options_are_einval),
        UNIT_CASE(test_bad_attach_options_are_einval),
        UNIT_CASE(test_absurd_sizes_are_refused),
        UNIT_CASE(test_mode_is_exact_whatever_the_umask),
        UNIT_CASE(test_attached_mode_is_without_the_mark),
        UNIT_CASE(test_read_only_cannot_write),
        UNIT_CASE(test_read_only_descriptor),
        UNIT_CASE(test_descriptor_is_of_the_block),
        UNIT_CASE(test_grow_gives_a_second_handle),
        UNIT_CASE(test_grow_never_shrinks),
        UNIT_CASE(test_grow_to_zero_follows_the_file),
        UNIT_CASE(test_grow_of_another_block_is_estale),
        UNIT_CASE(test_close_takes_null),
        UNIT_CASE(test_unlink_is_enoent_the_second_time),
        UNIT_CASE(test_unlink_by_ref_spares_a_new_block),
        UNIT_CASE(test_unlink_by_ref_knows_a_reused_inode),
        UNIT_CASE(test_unlink_by_ref_after_foreign_removal),
        UNIT_CASE(test_drawn_block_unlinks),
        UNIT_CASE(test_sparse_reserves_nothing),
        UNIT_CASE(test_prefault_maps_every_page),
        UNIT_CASE(test_persist_survives_every_cleaning),
        UNIT_CASE(test_rename_of_the_file_is_followed_nowhere),
    };

    return UNIT_MAIN("block", "size=256m", cases);
}
