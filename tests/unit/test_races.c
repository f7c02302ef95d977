/* SPDX-License-Identifier: MIT */
/* test_races.c - somebody else's moment, placed exactly.
 *
 * The hook in front of every system call plays the other process: it takes or
 * drops a lock on the block, through a description of its own, just before a
 * chosen call of the library is made. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fault.h"
#include "unit.h"

static struct {
    char path[T_NAME_SIZE + 16];
    const char *from, *to; /* the calls before which it comes and goes */
    int kind;              /* LOCK_EX or LOCK_SH */
    int fd;                /* open while it is there */
    int came;
} other;

static void
come(void)
{
    other.fd = T_SYS(open(other.path, O_RDONLY | O_CLOEXEC));
    T_SYS(flock(other.fd, other.kind | LOCK_NB));
    other.came = 1;
}

static void
go(void)
{
    T_SYS(flock(other.fd, LOCK_UN));
    T_SYS(close(other.fd));
    other.fd = -1;
}

static int
pass(const char *call, void *arg)
{
    (void)arg;
    if (other.fd >= 0 && strcmp(call, other.to) == 0)
        go();
    else if (!other.came && strcmp(call, other.from) == 0)
        come();
    return 0;
}

/* Create `name`, which is a dead holders block, while the other is there. */
static void
create_over_dead(int kind, const char *to)
{
    struct unit_puppet puppet = unit_puppet_start();
    char name[T_NAME_SIZE];
    shmkit_block *block;
    int r;

    (void)t_scratch_path(other.path, t_scratch_name(name, "orphan"));
    T_CHECK_EQ(
        unit_puppet_create(&puppet, name, 4096, SHMKIT_LIFETIME_HOLDERS), 0);
    unit_puppet_kill(&puppet);
    other.from = "flock_exclusive";
    other.to = to;
    other.kind = kind;
    other.fd = -1;
    other.came = 0;
    shmkiti_syscall_set_hook(pass, NULL);
    r = shmkit_block_create(name, 4096, NULL, &block);
    shmkiti_syscall_set_hook(NULL, NULL);
    T_CHECK_EQ(r, 0);
    T_CHECK(other.came && other.fd < 0);
    (void)shmkit_block_close(block);
    T_CHECK_EQ(shmkit_block_unlink(name, NULL), 0);
}

/* list takes EX on an orphan for a moment, so the creator's is refused. */
static void
test_lister_is_seen_by_a_creator(void)
{
    create_over_dead(LOCK_EX, "link");
}

static void
test_lister_goes_while_a_creator_looks(void)
{
    create_over_dead(LOCK_EX, "flock_shared");
}

/* An attacher, or another creator, takes SH before it knows. */
static void
test_visitor_goes_while_a_creator_looks(void)
{
    create_over_dead(LOCK_SH, "open");
}

int
main(void)
{
    static const struct unit_case cases[] = {
        UNIT_CASE(test_lister_is_seen_by_a_creator),
        UNIT_CASE(test_lister_goes_while_a_creator_looks),
        UNIT_CASE(test_visitor_goes_while_a_creator_looks),
    };

    return UNIT_MAIN("races", NULL, cases);
}
