/* SPDX-License-Identifier: MIT */
/* test_kernel.c - the same life of blocks on kernels that lack something:
 * O_TMPFILE, linkat with AT_EMPTY_PATH, times of birth, labels on files of
 * /dev/shm, fallocate, MADV_POPULATE_*.
 *
 * Old kernels are played by the hook in front of every system call, and the
 * time of birth by a statx() of the test's own, which the linker prefers to
 * the C library's. */
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"
#include "exercise.h"
#include "unit.h"

/* ---- a kernel without times of birth ---- */

static bool no_birth;

int
statx(int fd, const char *path, int flags, unsigned mask, struct statx *x)
{
    int r = (int)syscall(SYS_statx, fd, path, flags, mask, x);

    if (r == 0 && no_birth) {
        x->stx_mask &= ~(unsigned)STATX_BTIME;
        memset(&x->stx_btime, 0, sizeof x->stx_btime);
    }
    return r;
}

/* ---- a kernel without some calls ---- */

struct lack {
    const char *call;
    int error;
};

static const struct lack *lacks; /* ends with a NULL call */

static int
fail_lacking(const char *call, void *arg)
{
    (void)arg;
    for (const struct lack *lack = lacks; lack->call != NULL; lack++) {
        if (strcmp(lack->call, call) == 0)
            return lack->error;
    }
    return 0;
}

static void
exercise_lacking(const struct lack *what)
{
    lacks = what;
    shmkiti_syscall_set_hook(fail_lacking, NULL);
    exercise_blocks();
}

static void
test_this_kernel(void)
{
    exercise_blocks();
}

static void
test_without_unnamed_files(void)
{
    static const struct lack lack[] = {{"open_unnamed", -EOPNOTSUPP},
                                       {NULL, 0}};

    exercise_lacking(lack);
}

static void
test_without_link_by_descriptor(void)
{
    static const struct lack lack[] = {{"link", -ENOENT}, {NULL, 0}};

    exercise_lacking(lack);
}

static void
test_without_times_of_birth(void)
{
    struct shmkit_block_stat stat;

    no_birth = true;
    exercise_blocks();
    unit_plant("nobirth", 1, 0600);
    stat = unit_stat("nobirth");
    T_CHECK_EQ(stat.birth, 0);
    T_CHECK_EQ(shmkit_block_unlink("nobirth", NULL), 0);
}

static void
test_without_labels(void)
{
    static const struct lack lack[] = {{"fsetxattr", -EOPNOTSUPP}, {NULL, 0}};

    exercise_lacking(lack);
}

static void
test_without_fallocate(void)
{
    static const struct lack lack[] = {{"fallocate", -EOPNOTSUPP}, {NULL, 0}};
    char name[T_NAME_SIZE];

    exercise_lacking(lack);
    /* Reserved none the less. */
    shmkit_block_close(
        unit_create(t_scratch_name(name, "zeros"), 100000, 0, 0));
    T_CHECK(unit_stat(name).resident >= 100000);
}

/* Asked to page in now, an old kernel pages in at the first touch. */
static void
test_without_populate(void)
{
    static const struct lack lack[] = {{"populate", -EINVAL}, {NULL, 0}};
    shmkit_block *block;

    lacks = lack;
    shmkiti_syscall_set_hook(fail_lacking, NULL);
    block = unit_create(NULL, 100000, SHMKIT_PREFAULT, 0);
    T_CHECK(unit_all_bytes(block, 0));
    shmkit_block_close(block);
}

static void
test_without_any_of_these(void)
{
    static const struct lack lack[] = {
        {"open_unnamed", -EOPNOTSUPP}, {"link", -ENOENT},
        {"fsetxattr", -EOPNOTSUPP},    {"fallocate", -EOPNOTSUPP},
        {"populate", -EINVAL},         {NULL, 0}};

    no_birth = true;
    exercise_lacking(lack);
}

/* No O_TMPFILE, and the taken name is only found at the end. */
static void
test_taken_name_leaves_no_temporary_one(void)
{
    static const struct lack lack[] = {{"open_unnamed", -EOPNOTSUPP},
                                       {NULL, 0}};
    shmkit_block *block = NULL;

    unit_plant("taken", 1, 0600);
    lacks = lack;
    shmkiti_syscall_set_hook(fail_lacking, NULL);
    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        struct shmkit_block_options options = unit_options(0, lifetime);

        T_CHECK_EQ(shmkit_block_create("taken", 1, &options, &block), -EEXIST);
    }
    T_CHECK_EQ(shmkit_block_unlink("taken", NULL), 0);
}

static void
test_no_space_leaves_no_temporary_name(void)
{
    static const struct lack lack[] = {
        {"open_unnamed", -EOPNOTSUPP}, {"fallocate", -ENOSPC}, {NULL, 0}};
    shmkit_block *block = NULL;

    T_CHECK_EQ(shmkit_family_form(), 0);
    lacks = lack;
    shmkiti_syscall_set_hook(fail_lacking, NULL);
    for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
        struct shmkit_block_options options = unit_options(0, lifetime);

        T_CHECK_EQ(shmkit_block_create("full", 1, &options, &block), -ENOSPC);
    }
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_this_kernel),
        UNIT_CASE(test_without_unnamed_files),
        UNIT_CASE(test_without_link_by_descriptor),
        UNIT_CASE(test_without_times_of_birth),
        UNIT_CASE(test_without_labels),
        UNIT_CASE(test_without_fallocate),
        UNIT_CASE(test_without_populate),
        UNIT_CASE(test_without_any_of_these),
        UNIT_CASE(test_taken_name_leaves_no_temporary_one),
        UNIT_CASE(test_no_space_leaves_no_temporary_name),
    };

    return UNIT_MAIN("kernel", "size=64m", cases);
}
