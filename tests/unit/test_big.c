/* SPDX-License-Identifier: MIT */
/* test_big.c - what is for big blocks: 2 MiB pages, parts, private and locked
 * views, copies with bounds, placement.
 *
 * Whether there are 2 MiB pages depends on the kernel; that the bytes are
 * right, and that a demand is met or refused, does not. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
    };

    return UNIT_MAIN("big", "size=256m", cases);
}
