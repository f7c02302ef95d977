/* SPDX-License-Identifier: MIT */
/* test_list.c - what stat, list and holder_list tell, field by field, and
 * that they tell it while everything moves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#define SIZE 5000

static void
test_stat_tells_what_the_file_is(void)
{
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];
    char id[SHMKIT_FAMILY_ID_SIZE];
    struct shmkit_block_stat stat;
    shmkit_block *block;
    struct stat st;

    block = unit_create(t_scratch_name(name, "stat"), SIZE, 0, 0);
    T_SYS(lstat(t_scratch_path(path, name), &st));
    stat = unit_stat(name);
    T_CHECK_STR(stat.name, name);
    T_CHECK_EQ(stat.size, SIZE);
    T_CHECK_EQ(stat.resident, 8192);
    T_CHECK(stat.inode == st.st_ino);
    T_CHECK(stat.device == st.st_dev);
    T_CHECK_EQ(stat.mode, 0600);
    T_CHECK_EQ(stat.uid, geteuid());
    T_CHECK_EQ(stat.gid, getegid());
    T_CHECK_EQ(stat.lifetime, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(stat.state, SHMKIT_STATE_LIVE);
    T_CHECK_EQ(stat.reserved, 0);
    T_CHECK_EQ(shmkit_family_get_id(id), 0);
    T_CHECK(stat.family == strtoull(id, NULL, 16));
    /* Its own clock, so only roughly: within a day. */
    if (stat.birth != 0)
        T_CHECK(llabs(stat.birth - (int64_t)time(NULL)) < 86400);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

static void
test_stat_of_other_lifetimes(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "h"), SIZE, 0,
                        SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK(unit_stat(name).family == 0);
    shmkit_block_close(block);
    block = unit_create(t_scratch_name(name, "p"), SIZE, 0,
                        SHMKIT_LIFETIME_PERSISTENT);
    T_CHECK_EQ(unit_stat(name).lifetime, SHMKIT_LIFETIME_PERSISTENT);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_LIVE);
    T_CHECK(unit_stat(name).family == 0);
    shmkit_block_close(block);
    T_CHECK_EQ(unit_stat(name).state, SHMKIT_STATE_IDLE);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* An older program has a shorter struct; a newer one asks too much. */
static void
test_stat_size_bounds_what_is_written(void)
{
    union {
        struct shmkit_block_stat stat;
        unsigned char bytes[sizeof(struct shmkit_block_stat) + 64];
    } buffer;
    char name[T_NAME_SIZE];
    size_t cut = offsetof(struct shmkit_block_stat, resident);

    unit_plant(t_scratch_name(name, "cut"), SIZE, 0600);
    memset(&buffer, 0xcc, sizeof buffer);
    T_CHECK_EQ(shmkit_block_stat(name, &buffer.stat, cut), 0);
    T_CHECK_EQ(buffer.stat.size, SIZE);
    for (size_t i = cut; i < sizeof buffer; i++)
        T_CHECK_EQ(buffer.bytes[i], 0xcc);
    memset(&buffer, 0xcc, sizeof buffer);
    T_CHECK_EQ(shmkit_block_stat(name, &buffer.stat, sizeof buffer.stat + 8),
               -EINVAL);
    T_CHECK_EQ(buffer.bytes[0], 0xcc);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
test_stat_error_leaves_the_result_alone(void)
{
    struct shmkit_block_stat stat;
    char name[T_NAME_SIZE];

    memset(&stat, 0xcc, sizeof stat);
    T_CHECK_EQ(
        shmkit_block_stat(t_scratch_name(name, "none"), &stat, sizeof stat),
        -ENOENT);
    T_CHECK_EQ((unsigned char)stat.name[0], 0xcc);
}

/* ---- list ---- */

struct seen {
    int count, ours[64];
};

/* Names end in a number: how often each came. */
static int
count_visit(const struct shmkit_block_stat *stat, void *arg)
{
    struct seen *seen = arg;
    const char *number = strstr(stat->name, "-n");

    seen->count++;
    if (number != NULL)
        seen->ours[atoi(number + 2)]++;
    return 0;
}

static void
numbered(char name[T_NAME_SIZE], int i)
{
    (void)snprintf(name, T_NAME_SIZE, "%s-n%d", t_run_prefix(), i);
}

static void
test_list_tells_each_block_once(void)
{
    struct seen seen = {0};
    char name[T_NAME_SIZE];

    for (int i = 0; i < 60; i++) {
        numbered(name, i);
        if (i % 4 == 3)
            unit_plant(name, SIZE, 0600);
        else
            unit_slot[0] = unit_create(name, SIZE, 0, (uint32_t)i % 4);
        if (i % 4 == SHMKIT_LIFETIME_HOLDERS)
            unit_keep(unit_slot[0]);
        else if (i % 4 != 3)
            shmkit_block_close(unit_slot[0]);
    }
    T_CHECK_EQ(shmkit_block_list(count_visit, &seen), 0);
    T_CHECK_EQ(seen.count, 60);
    for (int i = 0; i < 60; i++) {
        T_CHECK_EQ(seen.ours[i], 1);
        numbered(name, i);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
    /* Handles of the holders blocks are left to exit. */
}

static int
compare_visit(const struct shmkit_block_stat *stat, void *arg)
{
    struct shmkit_block_stat again = unit_stat(stat->name);

    (void)arg;
    /* The library may be called from a visit. */
    T_CHECK_EQ(memcmp(stat, &again, sizeof again), 0);
    return 0;
}

static void
test_list_agrees_with_stat(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *blocks[3];

    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        numbered(name, (int)lifetime);
        blocks[lifetime] = unit_create(name, SIZE, 0, lifetime);
    }
    unit_plant(t_scratch_name(name, "foreign"), 1, 0644);
    T_CHECK_EQ(shmkit_block_list(compare_visit, NULL), 0);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        numbered(name, (int)lifetime);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
        shmkit_block_close(blocks[lifetime]);
    }
}

static int
stop_at_third(const struct shmkit_block_stat *stat, void *arg)
{
    int *count = arg;

    (void)stat;
    return ++*count == 3 ? 42 : 0;
}

static void
test_list_ends_when_a_visit_says_so(void)
{
    char name[T_NAME_SIZE];
    int count = 0;

    for (int i = 0; i < 5; i++) {
        numbered(name, i);
        unit_plant(name, 1, 0600);
    }
    T_CHECK_EQ(shmkit_block_list(stop_at_third, &count), 42);
    T_CHECK_EQ(count, 3);
    for (int i = 0; i < 5; i++) {
        numbered(name, i);
        T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    }
}

static int
make_and_remove(void *arg)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    struct t_flag *stop = arg, *done = stop + 1;
    char name[T_NAME_SIZE];
    shmkit_block *block;

    for (unsigned i = 0; t_flag_get(stop) == 0; i++) {
        t_flag_set(done, i);
        numbered(name, (int)(i % 20));
        options.lifetime = i % 3;
        block = NULL;
        T_CHECK_EQ(shmkit_block_create(name, SIZE, &options, &block), 0);
        if (i % 3 != SHMKIT_LIFETIME_HOLDERS || i % 2 == 0)
            T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
        shmkit_block_close(block);
    }
    return T_PASS;
}

static void
test_list_while_blocks_come_and_go(void)
{
    struct t_flag *stop = t_flag_new();
    char name[T_NAME_SIZE];
    struct seen seen;
    pid_t pid;

    unit_plant(t_scratch_name(name, "stays"), 1, 0600);
    pid = t_fork(make_and_remove, stop);
    while (t_flag_get(stop + 1) < 2000) {
        seen = (struct seen){0};
        T_CHECK_EQ(shmkit_block_list(count_visit, &seen), 0);
        T_CHECK(seen.count >= 1);
    }
    t_flag_set(stop, 1);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* ---- holders ---- */

struct wanted {
    uint64_t inode, device;
    int64_t pids[8];
    int count;
    char command[64];
};

static int
holder_visit(const struct shmkit_holder *holder, void *arg)
{
    struct wanted *wanted = arg;

    if (holder->inode != wanted->inode || holder->device != wanted->device)
        return 0;
    T_CHECK(wanted->count < 8);
    wanted->pids[wanted->count++] = holder->pid;
    memcpy(wanted->command, holder->command, sizeof wanted->command);
    return 0;
}

static struct wanted
holders_of(const char *name)
{
    struct shmkit_block_stat stat = unit_stat(name);
    struct wanted wanted = {.inode = stat.inode, .device = stat.device};

    T_CHECK_EQ(shmkit_holder_list(holder_visit, &wanted), 0);
    return wanted;
}

static bool
has_pid(const struct wanted *wanted, int64_t pid)
{
    int n = 0;

    for (int i = 0; i < wanted->count; i++)
        n += wanted->pids[i] == pid;
    T_CHECK(n < 2);
    return n == 1;
}

static void
own_command(char command[64])
{
    FILE *file = fopen("/proc/self/comm", "re");

    T_CHECK(file != NULL && fgets(command, 64, file) != NULL);
    command[strcspn(command, "\n")] = '\0';
    (void)fclose(file);
}

static void
test_holder_list_tells_who_maps_what(void)
{
    struct unit_puppet one = unit_puppet_start();
    struct unit_puppet two = unit_puppet_start();
    char name[T_NAME_SIZE], command[64];
    shmkit_block *block, *twice;
    struct wanted wanted;

    block = unit_create(t_scratch_name(name, "held"), SIZE, 0, 0);
    twice = unit_attach(name, SHMKIT_READ_ONLY);
    T_CHECK_EQ(unit_puppet_attach(&one, name), 0);
    T_CHECK_EQ(unit_puppet_attach(&two, name), 0);
    wanted = holders_of(name);
    T_CHECK_EQ(wanted.count, 3);
    T_CHECK(has_pid(&wanted, getpid()));
    T_CHECK(has_pid(&wanted, one.pid) && has_pid(&wanted, two.pid));
    own_command(command);
    T_CHECK_STR(wanted.command, command);
    T_CHECK_EQ(unit_puppet_close(&one), 0);
    unit_puppet_kill(&two);
    wanted = holders_of(name);
    T_CHECK_EQ(wanted.count, 1);
    shmkit_block_close(twice);
    shmkit_block_close(block);
    T_CHECK_EQ(holders_of(name).count, 0);
    unit_puppet_end(&one);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static int
stop_at_once(const struct shmkit_holder *holder, void *arg)
{
    (void)holder;
    (void)arg;
    return -77;
}

static void
test_holder_list_ends_when_a_visit_says_so(void)
{
    char name[T_NAME_SIZE];
    shmkit_block *block;

    block = unit_create(t_scratch_name(name, "stop"), SIZE, 0, 0);
    T_CHECK_EQ(shmkit_holder_list(stop_at_once, NULL), -77);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

/* A name with blanks and a new line in it breaks no line of /proc. */
static void
test_holder_list_with_strange_names(void)
{
    static const char name[] = "a b\n00-01 rw-s 0 00:01 9 x";
    shmkit_block *block;

    block = unit_create(name, SIZE, 0, 0);
    T_CHECK_EQ(holders_of(name).count, 1);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
    shmkit_block_close(block);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_stat_tells_what_the_file_is),
        UNIT_CASE(test_stat_of_other_lifetimes),
        UNIT_CASE(test_stat_size_bounds_what_is_written),
        UNIT_CASE(test_stat_error_leaves_the_result_alone),
        UNIT_CASE(test_list_tells_each_block_once),
        UNIT_CASE(test_list_agrees_with_stat),
        UNIT_CASE(test_list_ends_when_a_visit_says_so),
        UNIT_CASE(test_list_while_blocks_come_and_go),
        UNIT_CASE(test_holder_list_tells_who_maps_what),
        UNIT_CASE(test_holder_list_ends_when_a_visit_says_so),
        UNIT_CASE(test_holder_list_with_strange_names),
    };

    return UNIT_MAIN("list", "size=64m", cases);
}
