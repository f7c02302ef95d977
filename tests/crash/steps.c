/* SPDX-License-Identifier: MIT */
/* steps.c - what actors of faults.c and pairs.c are told to do.
 *
 * One block matters, "nx" (never unlinked by name alone unless its inode was
 * entered into the oracle's set first).  Families: 1 is the subject's, 2 is
 * the owner's where the block is foreign, 3 that of a holder, 4 that of
 * whoever comes in. */
#include "steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define X "nx"
#define Y "ny" /* only there to be attached to before X */
#define MANY 14u
#define BIG ((size_t)(5u << 20) + 12345)

/* ---- steps: making and finding ---- */

static int
create_sized(const char *name, size_t size, uint32_t lifetime, uint32_t flags)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block;
    int r;

    options.lifetime = lifetime;
    options.flags = flags;
    r = shmkit_block_create(name, size, &options, &block);
    if (r >= 0)
        t_hold_begin(&t_holds[t_hold_count++], block, r != 0);
    return r;
}

static int
create_with(const char *name, uint32_t lifetime, uint32_t flags)
{
    return create_sized(name, 5000, lifetime, flags);
}

int
t_do_create_family(void)
{
    return create_with(X, SHMKIT_LIFETIME_FAMILY, 0);
}

int
t_do_create_y(void)
{
    return create_with(Y, SHMKIT_LIFETIME_FAMILY, 0);
}

int
t_do_create_drawn(void)
{
    return create_with(NULL, SHMKIT_LIFETIME_FAMILY, 0);
}

int
t_do_create_holders(void)
{
    return create_with(X, SHMKIT_LIFETIME_HOLDERS, 0);
}

int
t_do_create_persistent(void)
{
    return create_with("qx", SHMKIT_LIFETIME_PERSISTENT, 0);
}

int
t_do_create_exist_ok(void)
{
    return create_with(X, SHMKIT_LIFETIME_FAMILY, SHMKIT_EXIST_OK);
}

int
t_do_create_prefault(void)
{
    return create_with(X, SHMKIT_LIFETIME_FAMILY, SHMKIT_PREFAULT);
}

int
t_do_create_sparse(void)
{
    return create_with(X, SHMKIT_LIFETIME_FAMILY, SHMKIT_SPARSE);
}

/* Big enough for 2 MiB pages, and not whole ones. */
int
t_do_create_big(void)
{
    return create_sized(X, BIG, SHMKIT_LIFETIME_FAMILY, 0);
}

int
t_do_create_family_old(void)
{
    t_no_unnamed_files = true;
    return t_do_create_family();
}

int
t_do_create_holders_old(void)
{
    t_no_unnamed_files = true;
    return t_do_create_holders();
}

static int
create_one_of(unsigned i)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block;
    char name[16];
    int r;

    (void)snprintf(name, sizeof name, "m%d.%u", getpid(), i);
    r = shmkit_block_create(name, 100, &options, &block);
    if (r >= 0)
        (void)shmkit_block_close(block);
    return r;
}

/* Enough to make a small table scrub and grow. */
int
t_do_create_many(void)
{
    int r = 0;

    for (unsigned i = 0; i < MANY && r >= 0; i++)
        r = create_one_of(i);
    return r;
}

/* Names that go without the library's knowledge leave stale words: so the
 * next creates scrub. */
int
t_do_make_stale(void)
{
    char path[40];
    int r = t_do_create_many();

    for (unsigned i = 0; i < MANY && r >= 0; i++) {
        (void)snprintf(path, sizeof path, "/dev/shm/m%d.%u", getpid(), i);
        (void)unlink(path);
    }
    return r;
}

static int
attach_with(uint32_t flags)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block;
    int r;

    options.flags = flags;
    r = shmkit_block_attach(X, &options, &block);
    if (r >= 0)
        t_hold_begin(&t_holds[t_hold_count++], block, true);
    return r;
}

int
t_do_attach(void)
{
    return attach_with(0);
}

int
t_do_attach_read_only(void)
{
    return attach_with(SHMKIT_READ_ONLY);
}

/* Whoever met another family's block bets that the next is one too. */
int
t_do_visit_y(void)
{
    shmkit_block *block;
    int r = shmkit_block_attach(Y, NULL, &block);

    if (r == 0)
        (void)shmkit_block_close(block);
    return r;
}

int
t_do_close_last(void)
{
    if (t_hold_count > 0)
        t_act_close(t_hold_count - 1);
    return 0;
}

/* Nobody else holds X, so with the close its name goes, without a sweep. */
int
t_do_close_for_good(void)
{
    (void)t_do_close_last();
    return t_inode_named(X) == 0 ? 0 : -EEXIST;
}

/* The file of family 2 waits for X alone, and goes with it; that there was a
 * sweep a moment ago is no excuse. */
int
t_do_close_zombie(void)
{
    char file[60];
    int r;

    (void)t_do_visit_y();
    r = t_do_close_for_good();
    (void)snprintf(file, sizeof file, "shmkit-%u/%s", geteuid(),
                   t_family_id(2));
    return r != 0 || t_inode_named(file) == 0 ? r : -EEXIST;
}

/* ---- steps: removing ---- */

int
t_do_unlink_mine(void)
{
    struct shmkit_block_ref ref;
    struct t_hold *hold;

    if (t_hold_count == 0)
        return -ENOENT;
    hold = &t_holds[t_hold_count - 1];
    ref = shmkit_block_get_ref(hold->block);
    t_mark_unlinked(hold->ino);
    return shmkit_block_unlink(hold->name, &ref);
}

int
t_do_make_anew(void)
{
    int r = t_do_unlink_mine();

    return r == 0 || r == -ENOENT ? t_do_create_family() : r;
}

/* By name alone: whatever bears it now is excused, and what is made meanwhile
 * is as well, since nobody can say which of them the caller meant. */
int
t_do_unlink_by_name(void)
{
    t_mark_unlinked(t_inode_named(X));
    return shmkit_block_unlink(X, NULL);
}

static int
grow_to(size_t size)
{
    struct t_hold *hold = &t_holds[t_hold_count - 1];
    shmkit_block *block;
    int r;

    if (t_hold_count == 0)
        return -ENOENT;
    r = shmkit_block_grow(hold->block, size, &block);
    if (r >= 0)
        t_hold_begin(&t_holds[t_hold_count++], block, true);
    return r;
}

int
t_do_grow(void)
{
    return grow_to(20000);
}

int
t_do_grow_big(void)
{
    return grow_to(BIG);
}

/* X stays when this was begun, so the oracle is told first. */
int
t_do_persist(void)
{
    struct t_hold *hold = &t_holds[t_hold_count - 1];
    int r;

    if (t_hold_count == 0)
        return -ENOENT;
    t_mark_persist_begun(hold->ino);
    r = shmkit_block_persist(hold->block);
    if (r == 0)
        t_mark_persist_done(hold->ino, hold->name);
    return r;
}

int
t_do_reap(void)
{
    return shmkit_block_reap(X);
}

int
t_do_sweep(void)
{
    return shmkit_sweep(0, NULL, NULL);
}

int
t_do_sweep_dry(void)
{
    return shmkit_sweep(SHMKIT_DRY_RUN, NULL, NULL);
}

/* ---- steps: asking ---- */

int
t_do_stat_x(void)
{
    struct shmkit_block_stat stat;

    return shmkit_block_stat(X, &stat, sizeof stat);
}

static int
visit_nothing(const struct shmkit_block_stat *stat, void *arg)
{
    (void)stat;
    (void)arg;
    return 0;
}

int
t_do_list(void)
{
    return shmkit_block_list(visit_nothing, NULL);
}

/* An item of another kind: under a mark. */
int
t_do_set_list_item(void)
{
    const struct shmkit_shareable_item text = {
        .type = SHMKIT_SHAREABLE_STR, .data = "text", .len = 4};
    const struct shmkit_shareable_item number = {.type = SHMKIT_SHAREABLE_INT,
                                                 .integer = 1};
    static uint64_t bytes[8];
    shmkit_shareable_list list;
    int r;

    r = shmkit_shareable_list_init(bytes, sizeof bytes, &number, 1, &list);
    return r < 0 ? r : shmkit_shareable_list_set(&list, 0, &text);
}

int
t_do_open_fd(void)
{
    int fd, r;

    if (t_hold_count == 0)
        return -ENOENT;
    r = shmkit_block_open_fd(t_holds[t_hold_count - 1].block, &fd);
    if (r == 0)
        (void)close(fd);
    return r;
}

/* ---- steps: families ---- */

int
t_do_form(void)
{
    return shmkit_family_form();
}

int
t_do_join_id(void)
{
    return shmkit_family_join(t_family_id(2));
}

static int received_fd = -1;

int
t_do_receive_fd(void)
{
    received_fd = t_receive_family_fd(2);
    return 0;
}

int
t_do_join_fd(void)
{
    int r = shmkit_family_join_fd(received_fd);

    (void)close(received_fd);
    return r;
}

int
t_do_get_fd(void)
{
    int fd;

    return shmkit_family_get_fd(&fd);
}

/* The library's exit; handles are worthless afterwards. */
int
t_do_leave(void)
{
    t_act_check();
    shmkit_process_exit();
    t_hold_count = 0;
    return 0;
}

int
t_do_fork_child(void)
{
    pid_t pid;

    shmkit_family_form_at_fork(1);
    pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -errno : waitpid(pid, NULL, 0) == pid ? 0 : -errno;
}

/* A child makes the block and goes; the parent finds it later. */
int
t_do_child_creates(void)
{
    pid_t pid;

    shmkit_family_form_at_fork(1);
    pid = fork();
    if (pid == 0) {
        int r = t_do_create_family();

        shmkit_process_exit();
        _exit(r == 0 ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        return -errno;
    return t_do_attach();
}

/* ---- worlds ---- */

static void
make_x(unsigned family, t_step *step)
{
    t_actor_start(T_OWNER, family);
    if (t_actor_do(T_OWNER, step) != 0)
        t_bad(T_BAD_RESULT, "the world was not made");
}

void
t_world_empty(void)
{
}

void
t_world_x_own(void)
{
    make_x(1, t_do_create_family);
}

void
t_world_x_foreign(void)
{
    make_x(2, t_do_create_family);
}

void
t_world_x_holders(void)
{
    make_x(0, t_do_create_holders);
}

void
t_world_x_dead_holders(void)
{
    t_world_x_holders();
    t_actor_kill(T_OWNER);
}

void
t_world_x_dead_family(void)
{
    t_world_x_foreign();
    (void)t_actor_do(T_OWNER, t_do_create_many);
    t_family_kill(2);
}

void
t_world_holder_attaches(void)
{
    t_actor_start(T_HOLDER, 3);
    if (t_actor_do(T_HOLDER, t_do_attach) != 0)
        t_bad(T_BAD_RESULT, "the holder did not attach");
}

void
t_world_y(void)
{
    t_actor_start(T_OTHER, 4);
    if (t_actor_do(T_OTHER, t_do_create_y) != 0)
        t_bad(T_BAD_RESULT, "the other block was not made");
}

void
t_world_x_foreign_and_y(void)
{
    t_world_x_foreign();
    t_world_y();
}

void
t_world_x_foreign_held(void)
{
    t_world_x_foreign();
    t_world_holder_attaches();
}

/* Its family is dead and swept, X is held by another. */
void
t_world_x_zombie(void)
{
    t_world_x_foreign_held();
    t_family_kill(2);
    t_sweep_once();
}

/* The same, and then the holder dies too. */
void
t_world_x_zombie_free(void)
{
    t_world_x_zombie();
    t_actor_kill(T_HOLDER);
}

void
t_world_dead_family_held(void)
{
    t_world_x_foreign_held();
    t_family_kill(2);
}

void
t_world_x_persistent(void)
{
    t_world_x_own();
    (void)t_actor_do(T_OWNER, t_do_persist);
}

void
t_world_owner_dies(void)
{
    t_family_kill(2);
    t_actor_kill(T_OWNER);
}

void
t_world_family_dies(void)
{
    t_world_owner_dies();
    t_sweep_once();
}

void
t_world_offer_family(void)
{
    t_world_x_foreign();
    t_family_offer_fd(2);
}

/* Family 2 has an actor SECOND, which is its last when this is done. */
void
t_world_owner_dies_but_second(void)
{
    t_actor_kill(T_OWNER);
    t_actor_kill((enum t_who)(T_KEEPER + 1));
}

void
t_world_owner_closes(void)
{
    (void)t_actor_do(T_OWNER, t_do_close_last);
}

bool
t_result_is_known(int r)
{
    return (r >= 0 && r <= SHMKIT_KEPT) || r == -ENOENT || r == -EEXIST ||
           r == -EBUSY || r == -ESTALE || r == -EOWNERDEAD || r == -EPERM ||
           r == -ESRCH;
}
