/* SPDX-License-Identifier: MIT */
/* test_table.c - the words of a family's file, in tables of 8 words with
 * windows of 4, so that everything that takes a hundred thousand blocks
 * otherwise happens here with a hundred.
 *
 * How many segments there are is read off the length of the family's file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/table.h"
#include "unit.h"

_Static_assert(SHMKITI_TABLE_FIRST == 8, "the tiny library's headers");

#define SPAN ((size_t)SHMKITI_TABLE_SPAN)

/* ---- the table alone ---- */

static struct shmkiti_table
new_table(uint32_t segments)
{
    struct shmkiti_table table = {.known = segments};

    table.shared = mmap(NULL, SPAN, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    T_CHECK(table.shared != MAP_FAILED);
    shmkiti_table_init(table.shared, 42);
    table.shared->segments = segments;
    return table;
}

static void
free_table(struct shmkiti_table *table)
{
    T_SYS(munmap(table->shared, SPAN));
}

static void
test_words_are_found_settled_and_dropped(void)
{
    struct shmkiti_table table = new_table(1);
    uint64_t key = UINT64_C(0x1234567800000007);

    T_CHECK(!shmkiti_table_has(&table, key));
    T_CHECK(!shmkiti_table_replace(&table, key, 0));
    T_CHECK(shmkiti_table_add(&table, key | SHMKITI_PEND));
    T_CHECK(shmkiti_table_has(&table, key)); /* pending counts */
    T_CHECK(!shmkiti_table_replace(&table, key, 0));
    T_CHECK(shmkiti_table_replace(&table, key | SHMKITI_PEND, key));
    T_CHECK(shmkiti_table_has(&table, key));
    /* The same inode number, born at another time, is another block. */
    T_CHECK(!shmkiti_table_has(&table, key ^ (UINT64_C(1) << 40)));
    T_CHECK(shmkiti_table_replace(&table, key, 0));
    T_CHECK(!shmkiti_table_has(&table, key));
    free_table(&table);
}

static void
test_full_windows_refuse_and_free_places_are_free_at_once(void)
{
    struct shmkiti_table table = new_table(1);
    uint64_t word = UINT64_C(1) << 32 | 5, added = 0;

    /* Equal low halves share one window. */
    while (shmkiti_table_add(&table, word + (added << 32)))
        added++;
    T_CHECK_EQ(added, SHMKITI_TABLE_WINDOW);
    T_CHECK(shmkiti_table_replace(&table, word + (UINT64_C(1) << 32), 0));
    T_CHECK(shmkiti_table_add(&table, word + (UINT64_C(9) << 32)));
    T_CHECK(!shmkiti_table_add(&table, word + (UINT64_C(10) << 32)));
    table.known = 2; /* a second segment has a window of its own */
    T_CHECK(shmkiti_table_add(&table, word + (UINT64_C(10) << 32)));
    T_CHECK(shmkiti_table_has(&table, word + (UINT64_C(9) << 32)));
    free_table(&table);
}

static void
test_collect_tells_every_word(void)
{
    struct shmkiti_table table = new_table(4);
    uint64_t words[200], sum = 0, got = 0;
    size_t added = 0, count;

    for (uint32_t i = 1; i < 100; i++) {
        uint64_t word = (uint64_t)i << 32 | i * 2654435761u;

        if (shmkiti_table_add(&table, word)) {
            sum += word;
            added++;
        }
    }
    T_CHECK(added > 20);
    count = shmkiti_table_collect(&table, words, 200);
    T_CHECK_EQ(count, added);
    for (size_t i = 0; i < count; i++)
        got += words[i];
    T_CHECK(got == sum);
    memset(words, 0, sizeof words);
    T_CHECK_EQ(shmkiti_table_collect(&table, words, 3), added);
    T_CHECK(words[2] != 0 && words[3] == 0); /* not beyond the room */
    free_table(&table);
}

static void
test_keys_tell_inodes_and_births_apart(void)
{
    struct shmkiti_os_stat st = {.ino = 7, .birth = 1000, .birth_ns = 1};
    uint64_t key = shmkiti_table_key(&st);

    T_CHECK(key != 0);
    T_CHECK((key & SHMKITI_PEND) == 0);
    T_CHECK_EQ((uint32_t)key, 7);
    st.birth_ns = 2;
    T_CHECK(shmkiti_table_key(&st) != key);
    st = (struct shmkiti_os_stat){.ino = 0};
    T_CHECK(shmkiti_table_key(&st) != 0);
    /* No time of birth: the upper half of a 64-bit number. */
    st.ino = UINT64_C(0x500000007);
    key = shmkiti_table_key(&st);
    st.ino = UINT64_C(0x600000007);
    T_CHECK(shmkiti_table_key(&st) != key);
}

static void
check_page(uint32_t segments, uint32_t kept_len, uint64_t size, int want)
{
    struct shmkiti_table_shared page;

    shmkiti_table_init(&page, 1);
    page.segments = segments;
    page.kept_len = kept_len;
    T_CHECK_EQ(shmkiti_table_check(&page, size), want);
}

static void
test_check_bounds_what_it_reads(void)
{
    for (uint32_t n = 1; n <= SHMKITI_TABLE_SEGMENTS; n++) {
        check_page(n, 0, SHMKITI_TABLE_OFFSET(n), 0);
        check_page(n, 0, SHMKITI_TABLE_OFFSET(n) - 1, -EBADMSG);
        check_page(n, 0, UINT64_MAX, 0);
    }
    check_page(0, 0, UINT64_MAX, -EBADMSG);
    check_page(SHMKITI_TABLE_SEGMENTS + 1, 0, UINT64_MAX, -EBADMSG);
    check_page(UINT32_MAX, 0, UINT64_MAX, -EBADMSG);
    check_page(1, SHMKITI_TABLE_KEPT_SIZE, UINT64_MAX, 0);
    check_page(1, SHMKITI_TABLE_KEPT_SIZE + 1, UINT64_MAX, -EBADMSG);
    check_page(1, 0, 0, -EBADMSG);
}

/* ---- a family at work ---- */

static uint64_t
table_size(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE], path[128];
    struct stat st;

    T_CHECK_EQ(shmkit_family_get_id(id), 0);
    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u/%s", geteuid(), id);
    T_SYS(lstat(path, &st));
    return (uint64_t)st.st_size;
}

static void
block_name(char name[T_NAME_SIZE], int i)
{
    (void)snprintf(name, T_NAME_SIZE, "%stable%d", t_run_prefix(), i);
}

static void
make_blocks(int from, int to)
{
    char name[T_NAME_SIZE];

    for (int i = from; i < to; i++) {
        block_name(name, i);
        shmkit_block_close(unit_create(name, 1, 0, 0));
    }
}

static void
unlink_blocks(int from, int to)
{
    char name[T_NAME_SIZE];

    for (int i = from; i < to; i++) {
        block_name(name, i);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
}

static void
expect_blocks(int from, int to, uint32_t state)
{
    char name[T_NAME_SIZE];

    for (int i = from; i < to; i++) {
        block_name(name, i);
        T_CHECK_EQ(unit_stat(name).state, state);
    }
}

static void
test_table_grows_with_its_blocks(void)
{
    make_blocks(0, 1);
    T_CHECK_EQ(table_size(), SHMKITI_TABLE_OFFSET(1));
    make_blocks(1, 500);
    T_CHECK(table_size() >= SHMKITI_TABLE_OFFSET(5));
    expect_blocks(0, 500, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(unit_sweep(), 0);
    expect_blocks(0, 500, SHMKIT_STATE_LIVE);
    unlink_blocks(0, 250);
    expect_blocks(250, 500, SHMKIT_STATE_LIVE);
    /* The rest goes with the family. */
}

static void
test_unlinked_blocks_leave_no_words(void)
{
    uint64_t size;

    make_blocks(0, 60);
    size = table_size();
    unlink_blocks(0, 60);
    for (int i = 0; i < 50; i++) {
        make_blocks(0, 20);
        unlink_blocks(0, 20);
    }
    T_CHECK(table_size() == size);
}

/* A plain rm leaves its word: a scrub takes such words before it grows. */
static void
test_plain_rm_is_scrubbed(void)
{
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];
    uint64_t size;

    make_blocks(0, 60);
    size = table_size();
    for (int i = 0; i < 60; i++) {
        block_name(name, i);
        T_SYS(unlink(t_scratch_path(path, name)));
    }
    for (int round = 0; round < 50; round++) {
        make_blocks(0, 20);
        for (int i = 0; i < 20; i++) {
            block_name(name, i);
            T_SYS(unlink(t_scratch_path(path, name)));
        }
    }
    /* 1060 stale words would have taken eight segments. */
    T_CHECK(table_size() <= size * 2);
    make_blocks(0, 60);
    expect_blocks(0, 60, SHMKIT_STATE_LIVE);
}

static int
make_some(struct unit_call *call)
{
    make_blocks((int)call->slot, (int)call->size);
    return 0;
}

static void
test_killed_family_with_many_segments(void)
{
    struct unit_puppet maker = unit_puppet_start();
    struct unit_puppet holder = unit_puppet_start();
    char name[T_NAME_SIZE];

    maker.call->slot = 0;
    maker.call->size = 300;
    T_CHECK_EQ(unit_puppet_run(&maker, make_some), 0);
    block_name(name, 123);
    T_CHECK_EQ(unit_puppet_attach(&holder, name), 0);
    unit_puppet_kill(&maker);
    expect_blocks(0, 300, SHMKIT_STATE_ORPHAN);
    T_CHECK_EQ(unit_sweep(), 0);
    for (int i = 0; i < 300; i++) {
        block_name(name, i);
        T_CHECK_EQ(unit_exists(name), i == 123);
    }
    T_CHECK_EQ(unit_puppet_close(&holder), 0);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_family_count(), 0);
    unit_puppet_end(&holder);
}

/* Several members add, grow and scrub at once. */
static int
churn(void *arg)
{
    int from = *(int *)arg * 1000;

    for (int i = 0; i < 10; i++) {
        make_blocks(from, from + 40);
        expect_blocks(from, from + 40, SHMKIT_STATE_LIVE);
        unlink_blocks(from, from + 30);
        for (int k = from + 30; k < from + 40; k++) {
            char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];

            block_name(name, k);
            T_SYS(unlink(t_scratch_path(path, name)));
        }
    }
    make_blocks(from, from + 40);
    return T_PASS;
}

static void
test_members_grow_the_table_together(void)
{
    int numbers[4];
    pid_t pids[4];

    T_CHECK_EQ(shmkit_family_form(), 0);
    for (int i = 0; i < 4; i++) {
        numbers[i] = i;
        pids[i] = t_fork(churn, &numbers[i]);
    }
    for (int i = 0; i < 4; i++)
        T_CHECK_EQ(t_wait(pids[i]), T_PASS);
    for (int i = 0; i < 4; i++)
        expect_blocks(i * 1000, i * 1000 + 40, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(unit_sweep(), 0);
    for (int i = 0; i < 4; i++)
        expect_blocks(i * 1000, i * 1000 + 40, SHMKIT_STATE_LIVE);
}

/* What a member knows of segments that others have added. */
static void
test_segments_grown_by_others_are_seen(void)
{
    struct unit_puppet child;
    char name[T_NAME_SIZE];

    T_CHECK_EQ(shmkit_family_form(), 0);
    child = unit_puppet_start();
    child.call->slot = 0;
    child.call->size = 200;
    T_CHECK_EQ(unit_puppet_run(&child, make_some), 0);
    for (int i = 0; i < 200; i++) {
        block_name(name, i);
        shmkit_block_close(unit_attach(name, 0));
    }
    unlink_blocks(0, 200); /* their words too, wherever they stand */
    T_CHECK_EQ(unit_puppet_run(&child, make_some), 0);
    T_CHECK(table_size() <= SHMKITI_TABLE_OFFSET(8));
    unlink_blocks(0, 200);
    unit_puppet_end(&child);
}

/* The file was deleted by hand and the table is full: it cannot grow, so a
 * new family takes over at once, not only after a second. */
static void
test_deleted_file_is_noticed_when_growing(void)
{
    char before[SHMKIT_FAMILY_ID_SIZE], after[SHMKIT_FAMILY_ID_SIZE];
    char path[128];

    make_blocks(0, 2);
    T_CHECK_EQ(shmkit_family_get_id(before), 0);
    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u/%s", geteuid(),
                   before);
    T_SYS(unlink(path));
    make_blocks(2, 100);
    T_CHECK_EQ(shmkit_family_get_id(after), 0);
    T_CHECK(strcmp(before, after) != 0);
    expect_blocks(90, 100, SHMKIT_STATE_LIVE);
    unlink_blocks(0, 100);
}

/* No room for another segment: an error, and the family lives on. */
static void
test_table_that_cannot_grow_is_enospc(void)
{
    shmkit_block *block = NULL;
    char name[T_NAME_SIZE];
    int i, r = 0;

    t_mount_shm("size=64k");
    T_CHECK_EQ(shmkit_family_form(), 0);
    for (i = 0; r == 0 && i < 5000; i++) {
        struct shmkit_block_options options =
            unit_options(SHMKIT_SPARSE, SHMKIT_LIFETIME_FAMILY);

        block_name(name, i);
        r = shmkit_block_create(name, 1, &options, &block);
        if (r == 0)
            block = shmkit_block_close(block);
    }
    T_CHECK_EQ(r, -ENOSPC);
    T_CHECK(!unit_exists(name));
    unlink_blocks(0, i - 1);
    make_blocks(0, 5);
    unlink_blocks(0, 5);
    shmkit_process_exit();
    T_CHECK_EQ(t_shm_left(), 0);
    t_unmount_shm();
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_words_are_found_settled_and_dropped),
        UNIT_CASE(test_full_windows_refuse_and_free_places_are_free_at_once),
        UNIT_CASE(test_collect_tells_every_word),
        UNIT_CASE(test_keys_tell_inodes_and_births_apart),
        UNIT_CASE(test_check_bounds_what_it_reads),
        UNIT_CASE(test_table_grows_with_its_blocks),
        UNIT_CASE(test_unlinked_blocks_leave_no_words),
        UNIT_CASE(test_plain_rm_is_scrubbed),
        UNIT_CASE(test_killed_family_with_many_segments),
        UNIT_CASE(test_members_grow_the_table_together),
        UNIT_CASE(test_segments_grown_by_others_are_seen),
        UNIT_CASE(test_deleted_file_is_noticed_when_growing),
        UNIT_CASE(test_table_that_cannot_grow_is_enospc),
    };

    return UNIT_MAIN("table", "size=64m", cases);
}
