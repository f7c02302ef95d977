/* SPDX-License-Identifier: MIT */
/* test_names.c - every rule of a block's name, through every function that
 * takes one. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static int
visit_nothing(const char *name, int *ret_attach)
{
    struct shmkit_block_stat stat;
    shmkit_block *block = NULL;
    int r;

    *ret_attach = shmkit_block_attach(name, NULL, &block);
    T_CHECK(block == NULL);
    r = shmkit_block_stat(name, &stat, sizeof stat);
    T_CHECK_EQ(r, *ret_attach);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), r);
    T_CHECK_EQ(shmkit_block_reap(name), r);
    return r;
}

/* A bad name is told from an absent one by every function alike. */
static void
refuse(const char *name, int want)
{
    shmkit_block *block = NULL;
    int attach;

    if (name != NULL) {
        T_CHECK_EQ(shmkit_block_create(name, 1, NULL, &block), want);
        T_CHECK(block == NULL);
    }
    T_CHECK_EQ(visit_nothing(name, &attach), want);
}

static void
accept(const char *name)
{
    shmkit_block *block = unit_create(name, 1, 0, SHMKIT_LIFETIME_FAMILY);
    struct shmkit_block_stat stat = unit_stat(name);
    shmkit_block *second = unit_attach(name, 0);

    T_CHECK_STR(shmkit_block_name(block), name);
    T_CHECK_STR(shmkit_block_name(second), name);
    T_CHECK_STR(stat.name, name);
    T_CHECK(shmkit_block_close(second) == NULL);
    T_CHECK(shmkit_block_close(block) == NULL);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

static void
test_bad_names_are_refused(void)
{
    refuse(NULL, -EINVAL);
    refuse("", -EINVAL);
    refuse(".", -EINVAL);
    refuse("..", -EINVAL);
    refuse("/", -EINVAL);
    refuse("/leading", -EINVAL);
    refuse("in/side", -EINVAL);
    refuse("trailing/", -EINVAL);
    refuse("../escape", -EINVAL);
    refuse("shmkit-0", -EINVAL);
    refuse("shmkit-1000", -EINVAL);
    refuse("shmkit-4294967295", -EINVAL);
}

static void
test_long_names_are_refused(void)
{
    char name[4096];

    memset(name, 'n', sizeof name);
    name[256] = '\0';
    refuse(name, -ENAMETOOLONG);
    name[256] = 'n';
    name[sizeof name - 1] = '\0';
    refuse(name, -ENAMETOOLONG);
}

static void
test_good_names_are_taken(void)
{
    char name[SHMKIT_NAME_SIZE];

    memset(name, 'n', sizeof name);
    name[255] = '\0';
    accept(name);
    name[1] = '\0';
    accept(name);
    accept("...");
    accept(".hidden");
    accept("..x");
    accept("with space\tand\nnewline");
    accept("back\\slash");
    accept("\x80\xff not UTF-8");
    accept("\xc3\xa9t\xc3\xa9");
    accept("-rf");
    accept("shmkit");
    accept("shmkit-");
    accept("shmkit-x");
    accept("shmkit-1x");
    accept("Shmkit-1");
    accept("psm_given");
}

/* Absent, for each function that says so. */
static void
test_absent_names_are_enoent(void)
{
    char name[T_NAME_SIZE];
    int attach;

    T_CHECK_EQ(visit_nothing(t_scratch_name(name, "absent"), &attach),
               -ENOENT);
    T_CHECK_EQ(attach, -ENOENT);
}

static void
test_drawn_names_differ(void)
{
    enum { COUNT = 200 };
    char names[COUNT][SHMKIT_NAME_SIZE];
    shmkit_block *block;

    for (int i = 0; i < COUNT; i++) {
        block = unit_create(NULL, 1, 0, SHMKIT_LIFETIME_FAMILY);
        (void)snprintf(names[i], sizeof names[i], "%s",
                       shmkit_block_name(block));
        T_CHECK_EQ(strlen(names[i]), strlen("psm_") + 8);
        T_CHECK_EQ(strncmp(names[i], "psm_", 4), 0);
        T_CHECK_EQ(strspn(names[i] + 4, "0123456789abcdef"), 8);
        for (int j = 0; j < i; j++)
            T_CHECK(strcmp(names[i], names[j]) != 0);
        shmkit_block_close(block);
    }
    for (int i = 0; i < COUNT; i++)
        T_CHECK_EQ(shmkit_block_unlink(names[i], NULL), 0);
}

static int
draw_one(void *arg)
{
    shmkit_block *block = unit_create(NULL, 1, 0, SHMKIT_LIFETIME_PERSISTENT);

    memcpy(arg, shmkit_block_name(block), SHMKIT_NAME_SIZE);
    shmkit_block_close(block);
    return T_PASS;
}

/* Random bits fetched before a fork must not be used twice. */
static void
test_forked_children_draw_other_names(void)
{
    shmkit_block *block = unit_create(NULL, 1, 0, 0);
    char *names[3];

    for (int i = 0; i < 3; i++)
        names[i] = t_shared_page();
    T_CHECK_EQ(t_fork_wait(draw_one, names[0]), T_PASS);
    T_CHECK_EQ(t_fork_wait(draw_one, names[1]), T_PASS);
    T_CHECK_EQ(draw_one(names[2]), T_PASS);
    T_CHECK(strcmp(names[0], names[1]) != 0);
    T_CHECK(strcmp(names[0], names[2]) != 0);
    T_CHECK(strcmp(names[1], names[2]) != 0);
    for (int i = 0; i < 3; i++)
        T_CHECK_EQ(shmkit_block_unlink(names[i], NULL), 0);
    T_CHECK_EQ(shmkit_block_unlink(shmkit_block_name(block), NULL), 0);
    shmkit_block_close(block);
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_bad_names_are_refused),
        UNIT_CASE(test_long_names_are_refused),
        UNIT_CASE(test_good_names_are_taken),
        UNIT_CASE(test_absent_names_are_enoent),
        UNIT_CASE(test_drawn_names_differ),
        UNIT_CASE(test_forked_children_draw_other_names),
    };

    return UNIT_MAIN("names", NULL, cases);
}
