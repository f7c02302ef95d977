/* SPDX-License-Identifier: MIT */
/* test_lifetime.c - when each kind of block goes, over several processes,
 * and what reap, sweep and stat say meanwhile.
 *
 * "Foreign" is a process of another family: a puppet started before the test
 * is in one. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#define SIZE 4096

/* ---- holders ---- */

static void
test_holders_block_goes_with_its_last_handle(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *one, *two;

    one = unit_create(t_scratch_name(name, "holders"), SIZE, 0,
                      SHMKIT_LIFETIME_HOLDERS);
    two = unit_attach(name, 0);
    shmkit_block_close(one);
    T_CHECK(unit_exists(name));
    shmkit_block_close(two);
    T_CHECK(!unit_exists(name));
}

static void
test_holders_block_outlives_its_creator(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    t_scratch_name(name, "outlive");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_HOLDERS),
               0);
    block = unit_attach(name, 0);
    memset(shmkit_block_data(block), 6, SIZE);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK(unit_all_bytes(block, 6));
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
}

static void
test_exit_without_close_removes_a_holders_block(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];

    t_scratch_name(name, "exit");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_HOLDERS),
               0);
    unit_puppet_end(&maker);
    T_CHECK(!unit_exists(name));
}

static void
test_killed_holder_leaves_an_orphan(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block = NULL;
    struct shmkit_block_stat stat;

    t_scratch_name(name, "orphan");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_HOLDERS),
               0);
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_IN_USE);
    unit_puppet_kill(&maker);
    stat = unit_stat(name);
    T_CHECK_EQ(stat.state, SHMKIT_STATE_ORPHAN);
    T_CHECK_EQ(stat.lifetime, SHMKIT_LIFETIME_HOLDERS);
    /* Dead is dead: nobody attaches it any more. */
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &block), -ENOENT);
    T_CHECK(!unit_exists(name));
}

static void
test_orphan_is_reaped(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];

    t_scratch_name(name, "reap");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_HOLDERS),
               0);
    unit_puppet_kill(&maker);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_reap(name), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(shmkit_block_reap(name), -ENOENT);
}

static void
test_create_takes_an_orphans_name(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    t_scratch_name(name, "takeover");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_HOLDERS),
               0);
    unit_puppet_kill(&maker);
    block = unit_create(name, 2 * SIZE, 0, SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(shmkit_block_size(block), 2 * SIZE);
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
}

static void
test_forked_child_holds_too(void)
{
    char name[T_NAME_SIZE];
    struct unit_puppet child;
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "forked"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    child = unit_puppet_start(); /* inherits the mapping */
    shmkit_block_close(block);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_IN_USE);
    unit_puppet_end(&child); /* its exit handling lets go */
    T_CHECK(!unit_exists(name));
}

static void
test_explicit_unlink_of_a_held_block(void)
{
    struct unit_puppet other = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "heldrm"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    memset(shmkit_block_data(block), 4, SIZE);
    T_CHECK_EQ(unit_puppet_attach(&other, name), 0);
    T_CHECK_EQ(unit_puppet_unlink(&other, name), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK(unit_all_bytes(block, 4));
    T_CHECK_EQ(unit_puppet_reads(&other, 4), 1);
    unit_puppet_kill(&other);
    shmkit_block_close(block);
}

/* ---- family ---- */

static void
test_family_block_outlives_close_and_creator(void)
{
    char name[T_NAME_SIZE];
    struct unit_puppet child;
    shmkit_block *block;

    T_CHECK_EQ(shmkit_family_form(), 0);
    child = unit_puppet_start();
    t_scratch_name(name, "childmade");
    T_CHECK_EQ(unit_puppet_create(&child, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    unit_puppet_end(&child);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(unit_sweep(), 0);
    block = unit_attach(name, 0);
    shmkit_block_close(block);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_KEPT);
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
}

static int
fork_makes_a_family(void *arg)
{
    shmkit_block *block = unit_create(arg, SIZE, 0, SHMKIT_LIFETIME_FAMILY);

    shmkit_block_close(block);
    return T_PASS;
}

/* The parent has made nothing yet: its fork forms the family first. */
static void
test_child_creates_and_exits_parent_attaches(void)
{
    char name[T_NAME_SIZE];

    t_scratch_name(name, "beforefork");
    T_CHECK_EQ(t_fork_wait(fork_makes_a_family, name), T_PASS);
    T_CHECK(unit_exists(name));
    shmkit_block_close(unit_attach(name, 0));
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
}

static void
test_without_form_at_fork_the_child_is_alone(void)
{
    char name[T_NAME_SIZE];

    t_scratch_name(name, "alone");
    shmkit_family_form_at_fork(0);
    T_CHECK_EQ(t_fork_wait(fork_makes_a_family, name), T_PASS);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_family_count(), 0);
}

static void
test_family_goes_when_its_last_member_is_killed(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];

    t_scratch_name(name, "killed");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_ORPHAN);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_family_count(), 0);
}

static void
test_attach_to_a_dead_familys_block(void)
{
    struct unit_puppet maker = unit_puppet_start();
    shmkit_block *block = NULL;
    char name[T_NAME_SIZE];

    t_scratch_name(name, "deadfam");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(shmkit_block_attach(name, NULL, &block), -ENOENT);
    T_CHECK(!unit_exists(name));
}

static void
test_create_takes_a_dead_familys_name(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];

    t_scratch_name(name, "restart");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    unit_puppet_kill(&maker);
    shmkit_block_close(unit_create(name, SIZE, 0, 0));
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
test_foreign_holder_keeps_a_dead_familys_block(void)
{
    struct unit_puppet maker = unit_puppet_start();
    struct shmkit_block_stat stat;
    char name[T_NAME_SIZE];
    shmkit_block *block;

    t_scratch_name(name, "zombie");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    block = unit_attach(name, 0);
    memset(shmkit_block_data(block), 2, SIZE);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_sweep(), 0);
    stat = unit_stat(name);
    T_CHECK_EQ(stat.state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(stat.lifetime, SHMKIT_LIFETIME_HOLDERS); /* what it became */
    T_CHECK(unit_all_bytes(block, 2));
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_sweep(), 0); /* perhaps the close has swept already */
    T_CHECK_EQ(unit_family_count(), 0);
}

/* gh-82300 in C: whoever attaches and leaves, by whatever way, takes nothing
 * with it. */
static void
test_leaving_attachers_remove_nothing(void)
{
    struct unit_puppet one = unit_puppet_start();
    struct unit_puppet two = unit_puppet_start();
    struct unit_puppet three = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "gh82300"), SIZE, 0, 0);
    T_CHECK_EQ(unit_puppet_attach(&one, name), 0);
    T_CHECK_EQ(unit_puppet_attach(&two, name), 0);
    T_CHECK_EQ(unit_puppet_attach(&three, name), 0);
    unit_puppet_end(&one);
    unit_puppet_kill(&two);
    T_CHECK_EQ(unit_puppet_close(&three), 0);
    unit_puppet_end(&three);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    shmkit_block_close(block);
    T_CHECK(unit_exists(name));
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
}

/* A block unlinked and made anew by another family is not the first one's. */
static void
test_dead_family_leaves_a_remade_name_alone(void)
{
    struct unit_puppet first = unit_puppet_start();
    char name[T_NAME_SIZE];

    t_scratch_name(name, "remade");
    T_CHECK_EQ(unit_puppet_create(&first, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(unit_create(name, SIZE, 0, 0));
    unit_puppet_kill(&first);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
test_renamed_block_goes_with_its_family(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE], moved[T_NAME_SIZE];
    char from[T_NAME_SIZE + 16], to[T_NAME_SIZE + 16];

    t_scratch_name(name, "before");
    t_scratch_name(moved, "after");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    T_SYS(rename(t_scratch_path(from, name), t_scratch_path(to, moved)));
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(moved));
}

static void
test_family_child_killed_leaves_blocks_to_parent(void)
{
    char name[T_NAME_SIZE];
    struct unit_puppet child;

    T_CHECK_EQ(shmkit_family_form(), 0);
    child = unit_puppet_start();
    t_scratch_name(name, "kidkilled");
    T_CHECK_EQ(unit_puppet_create(&child, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    unit_puppet_kill(&child);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* ---- persistent and foreign ---- */

static void
test_persistent_block_outlives_everybody(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    t_scratch_name(name, "stays");
    T_CHECK_EQ(
        unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_PERSISTENT), 0);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    unit_puppet_end(&maker);
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_IDLE);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_PERSISTENT);
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_KEPT);
    block = unit_attach(name, 0);
    shmkit_block_close(block);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* Alive or dead, another family's block is not ours to keep: and a refusal
 * changes nothing. */
static void
test_persist_of_a_foreign_familys_block(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;

    t_scratch_name(name, "notours");
    T_CHECK_EQ(unit_puppet_create(&maker, name, SIZE, SHMKIT_LIFETIME_FAMILY),
               0);
    block = unit_attach(name, 0);
    T_CHECK_EQ(shmkit_block_persist(block), -EPERM);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_FAMILY);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(unit_sweep(), 0); /* sticky now, held by us */
    T_CHECK_EQ(shmkit_block_persist(block), -EPERM);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_HOLDERS);
    shmkit_block_close(block);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(unit_sweep(), 0);
}

static void
test_plain_files_are_never_swept(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    unit_plant(t_scratch_name(name, "plainfile"), SIZE, 0600);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_FOREIGN);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_PERSISTENT);
    block = unit_attach(name, 0);
    T_CHECK_EQ(shmkit_block_size(block), SIZE);
    shmkit_block_close(block);
    shmkit_process_exit();
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK_EQ(shmkit_block_reap(name), SHMKIT_KEPT);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* ---- sweep's report ---- */

struct swept {
    char names[8][SHMKIT_NAME_SIZE];
    int count;
};

static void
note(const char *name, void *arg)
{
    struct swept *swept = arg;

    T_CHECK(swept->count < 8);
    (void)snprintf(swept->names[swept->count++], SHMKIT_NAME_SIZE, "%s", name);
}

static bool
was_swept(const struct swept *swept, const char *name)
{
    for (int i = 0; i < swept->count; i++) {
        if (strcmp(swept->names[i], name) == 0)
            return true;
    }
    return false;
}

static void
test_sweep_tells_what_went_and_dry_run_what_would(void)
{
    struct unit_puppet maker = unit_puppet_start();
    char family[T_NAME_SIZE], holders[T_NAME_SIZE], stays[T_NAME_SIZE];
    struct swept dry = {.count = 0}, wet = {.count = 0};

    t_scratch_name(family, "family");
    t_scratch_name(holders, "holders");
    t_scratch_name(stays, "stays");
    T_CHECK_EQ(unit_puppet_create(&maker, family, SIZE, 0), 0);
    maker.call->slot = 1;
    T_CHECK_EQ(
        unit_puppet_create(&maker, holders, SIZE, SHMKIT_LIFETIME_HOLDERS), 0);
    maker.call->slot = 2;
    T_CHECK_EQ(
        unit_puppet_create(&maker, stays, SIZE, SHMKIT_LIFETIME_PERSISTENT),
        0);
    unit_puppet_kill(&maker);
    T_CHECK_EQ(shmkit_sweep(SHMKIT_DRY_RUN, note, &dry), 0);
    T_CHECK_EQ(dry.count, 2);
    T_CHECK(was_swept(&dry, family) && was_swept(&dry, holders));
    T_CHECK(unit_exists(family) && unit_exists(holders));
    T_CHECK_EQ(shmkit_sweep(0, note, &wet), 0);
    T_CHECK_EQ(wet.count, 2);
    T_CHECK(was_swept(&wet, family) && was_swept(&wet, holders));
    T_CHECK(!unit_exists(family) && !unit_exists(holders));
    T_CHECK_EQ(unit_family_count(), 0);
    T_CHECK_EQ(shmkit_block_unlink(stays, NULL), 0);
}

static void
test_sweep_refuses_unknown_flags(void)
{
    T_CHECK_EQ(shmkit_sweep(2, NULL, NULL), -EINVAL);
    T_CHECK_EQ(shmkit_sweep(1u << 31, NULL, NULL), -EINVAL);
}

/* ---- the process's own exit ---- */

static void
test_process_exit_lets_go_and_can_start_afresh(void)
{
    char name[T_NAME_SIZE], other[T_NAME_SIZE];
    volatile unsigned char *seen;
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "letgo"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    seen = shmkit_block_data(block);
    memset(shmkit_block_data(block), 1, SIZE);
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(seen[0], 0); /* views read zeros from then on */
    seen[0] = 1;            /* and may be written */
    shmkit_process_exit();
    T_CHECK(shmkit_block_close(block) == NULL);
    block = unit_create(t_scratch_name(other, "afresh"), SIZE, 0, 0);
    T_CHECK_EQ(unit_stat(other).state, SHMKIT_STATE_LIVE);
    shmkit_block_close(block);
    T_CHECK_EQ(shmkit_block_unlink(other, NULL), 0);
}

/* Views of family blocks carry no lock: whether they read the old bytes or
 * zeros, they are still there. */
static void
test_family_views_do_not_fault_after_process_exit(void)
{
    char name[T_NAME_SIZE];
    volatile unsigned char *seen;
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "views"), SIZE, 0, 0);
    seen = shmkit_block_data(block);
    memset(shmkit_block_data(block), 1, SIZE);
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
    T_CHECK(seen[0] == 1 || seen[0] == 0);
    seen[SIZE - 1] = 2;
    T_CHECK_EQ(seen[SIZE - 1], 2);
    T_CHECK(shmkit_block_close(block) == NULL);
}

static int
leave_by_exit(void *arg)
{
    unit_keep(unit_create(arg, SIZE, 0, SHMKIT_LIFETIME_FAMILY));
    return T_PASS;
}

static void
test_normal_exit_removes_the_family(void)
{
    char name[T_NAME_SIZE];

    shmkit_family_form_at_fork(0);
    t_scratch_name(name, "bye");
    T_CHECK_EQ(t_fork_wait(leave_by_exit, name), T_PASS);
    T_CHECK(!unit_exists(name));
    T_CHECK_EQ(t_wait(t_fork_raw(leave_by_exit, name)), T_PASS);
    T_CHECK(unit_exists(name)); /* _exit() runs nothing */
    T_CHECK_EQ(unit_sweep(), 0);
    T_CHECK(!unit_exists(name));
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_holders_block_goes_with_its_last_handle),
        UNIT_CASE(test_holders_block_outlives_its_creator),
        UNIT_CASE(test_exit_without_close_removes_a_holders_block),
        UNIT_CASE(test_killed_holder_leaves_an_orphan),
        UNIT_CASE(test_orphan_is_reaped),
        UNIT_CASE(test_create_takes_an_orphans_name),
        UNIT_CASE(test_forked_child_holds_too),
        UNIT_CASE(test_explicit_unlink_of_a_held_block),
        UNIT_CASE(test_family_block_outlives_close_and_creator),
        UNIT_CASE(test_child_creates_and_exits_parent_attaches),
        UNIT_CASE(test_without_form_at_fork_the_child_is_alone),
        UNIT_CASE(test_family_goes_when_its_last_member_is_killed),
        UNIT_CASE(test_attach_to_a_dead_familys_block),
        UNIT_CASE(test_create_takes_a_dead_familys_name),
        UNIT_CASE(test_foreign_holder_keeps_a_dead_familys_block),
        UNIT_CASE(test_leaving_attachers_remove_nothing),
        UNIT_CASE(test_dead_family_leaves_a_remade_name_alone),
        UNIT_CASE(test_renamed_block_goes_with_its_family),
        UNIT_CASE(test_family_child_killed_leaves_blocks_to_parent),
        UNIT_CASE(test_persistent_block_outlives_everybody),
        UNIT_CASE(test_persist_of_a_foreign_familys_block),
        UNIT_CASE(test_plain_files_are_never_swept),
        UNIT_CASE(test_sweep_tells_what_went_and_dry_run_what_would),
        UNIT_CASE(test_sweep_refuses_unknown_flags),
        UNIT_CASE(test_process_exit_lets_go_and_can_start_afresh),
        UNIT_CASE(test_family_views_do_not_fault_after_process_exit),
        UNIT_CASE(test_normal_exit_removes_the_family),
    };

    return UNIT_MAIN("lifetime", "size=64m", cases);
}
