/* SPDX-License-Identifier: MIT */
/* exercise.c - the whole life of blocks in one call.
 *
 * Only what must hold on every kernel and file system that the library runs
 * on; what exactly is told about a block is left to the tests of their own. */
#include "exercise.h"

#include <string.h>

#include "unit.h"

#define SIZE 5000

static void
attach_and_grow(const char *name)
{
    shmkit_block *block = unit_attach(name, 0), *grown = NULL;

    T_CHECK(unit_all_bytes(block, 0x42));
    T_CHECK_EQ(shmkit_block_grow(block, 3 * SIZE, &grown), 0);
    T_CHECK_EQ(shmkit_block_size(grown), 3 * SIZE);
    T_CHECK_EQ(
        memcmp(shmkit_block_data(grown), shmkit_block_data(block), SIZE), 0);
    shmkit_block_close(grown);
    shmkit_block_close(block);
}

static void
exercise_alone(uint32_t lifetime)
{
    char name[T_NAME_SIZE];
    struct shmkit_block_ref ref;
    shmkit_block *block, *again = NULL;

    block = unit_create(t_scratch_name(name, "alone"), SIZE, 0, lifetime);
    T_CHECK(unit_all_bytes(block, 0));
    memset(shmkit_block_data(block), 0x42, SIZE);
    T_CHECK_EQ(shmkit_block_create(name, 1, NULL, &again), -EEXIST);
    attach_and_grow(name);
    T_CHECK(unit_exists(name));
    ref = shmkit_block_get_ref(block);
    T_CHECK_EQ(shmkit_block_unlink(name, &ref), 0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), -ENOENT);
    again = unit_create(name, SIZE, 0, lifetime);
    T_CHECK_EQ(shmkit_block_unlink(name, &ref), -ENOENT);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(again);
    shmkit_block_close(block);
}

/* A foreign process holds; the maker goes, gently or not. */
static void
exercise_with_others(struct unit_puppet *maker, struct unit_puppet *holder,
                     uint32_t lifetime, bool gently)
{
    char name[T_NAME_SIZE];

    t_scratch_name(name, "others");
    maker->call->slot = 0;
    T_CHECK_EQ(unit_puppet_create(maker, name, SIZE, lifetime), 0);
    T_CHECK_EQ(unit_puppet_attach(holder, name), 0);
    if (gently)
        unit_puppet_end(maker);
    else
        unit_puppet_kill(maker);
    T_CHECK_EQ(unit_puppet_sweep(holder), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_puppet_reads(holder, 0), 1);
    T_CHECK_EQ(unit_puppet_close(holder), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_puppet_sweep(holder), 0);
}

/* Nobody holds: one sweep takes all that a kill has left. */
static void
exercise_kill(struct unit_puppet *maker, struct unit_puppet *sweeper)
{
    char names[2][T_NAME_SIZE];

    for (uint32_t lifetime = 0; lifetime < 2; lifetime++) {
        t_scratch_name(names[lifetime], "killed");
        maker->call->slot = lifetime;
        T_CHECK_EQ(unit_puppet_create(maker, names[lifetime], SIZE, lifetime),
                   0);
    }
    T_CHECK_EQ(unit_puppet_sweep(sweeper), 0);
    T_CHECK(unit_exists(names[0]) && unit_exists(names[1]));
    unit_puppet_kill(maker);
    T_CHECK_EQ(unit_puppet_sweep(sweeper), 0);
    T_CHECK(!unit_exists(names[0]) && !unit_exists(names[1]));
}

static void
exercise_fork(void)
{
    struct unit_puppet child;
    char name[T_NAME_SIZE], family[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "child"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    shmkit_block_close(
        unit_create(t_scratch_name(family, "famchild"), SIZE, 0, 0));
    child = unit_puppet_start();
    shmkit_block_close(block);
    T_CHECK(unit_exists(name));
    shmkit_process_exit();
    T_CHECK(unit_exists(name) && unit_exists(family));
    unit_puppet_end(&child);
    T_CHECK(!unit_exists(name) && !unit_exists(family));
}

void
exercise_blocks(void)
{
    struct unit_puppet holder = unit_puppet_start();
    struct unit_puppet makers[5];

    for (int i = 0; i < 5; i++)
        makers[i] = unit_puppet_start();
    for (int i = 0; i < 4; i++)
        exercise_with_others(&makers[i], &holder, i % 2 ? 0 : 1, i < 2);
    exercise_kill(&makers[4], &holder);
    for (uint32_t lifetime = 0; lifetime < 3; lifetime++)
        exercise_alone(lifetime);
    exercise_fork();
    unit_puppet_end(&holder);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_family_count(), 0);
}
