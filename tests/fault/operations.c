/* SPDX-License-Identifier: MIT */
/* operations.c - every public operation, each in the situations that take it
 * down another path: own, held and foreign blocks; dead and living families;
 * names that are free, taken, or taken by the dead.
 *
 * The dead are made by children that leave by _exit(), which for the library
 * is the same as a kill. */
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define SIZE 20000
#define BIG ((size_t)4500000)

/* ---- situations ---- */

static int
create(const char *name, uint32_t flags, uint32_t lifetime,
       shmkit_block **ret_block)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    options.flags = flags;
    options.lifetime = lifetime;
    return shmkit_block_create(name, SIZE, &options, ret_block);
}

static int
attach(const char *name, uint32_t flags, shmkit_block **ret_block)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    options.flags = flags;
    return shmkit_block_attach(name, &options, ret_block);
}

struct dead {
    const char *name;
    uint32_t lifetime;
};

static int
create_and_die(void *arg)
{
    const struct dead *dead = arg;
    shmkit_block *block;

    T_CHECK_EQ(create(dead->name, 0, dead->lifetime, &block), 0);
    return T_PASS;
}

static void
leave_dead(const char *name, uint32_t lifetime)
{
    struct dead dead = {name, lifetime};

    shmkit_family_form_at_fork(0);
    T_CHECK_EQ(t_wait(t_fork_raw(create_and_die, &dead)), T_PASS);
    shmkit_family_form_at_fork(1);
}

/* A process of another family that has made `name` and stays. */
struct living {
    struct dead dead;
    struct t_flag *ready;
    char id[SHMKIT_FAMILY_ID_SIZE];
};

static int
create_and_stay(void *arg)
{
    struct living *living = arg;

    (void)create_and_die(&living->dead);
    T_CHECK_EQ(shmkit_family_form(), 0);
    T_CHECK_EQ(shmkit_family_get_id((char *)(living->ready + 1)), 0);
    t_flag_set(living->ready, 1);
    while (getppid() != 1)
        (void)pause();
    return T_FAIL;
}

static void
start_living_as(struct stage *stage, const char *name, uint32_t lifetime)
{
    struct living living = {.dead = {name, lifetime}, .ready = t_flag_new()};

    shmkit_family_form_at_fork(0);
    stage->helper = t_fork_raw(create_and_stay, &living);
    shmkit_family_form_at_fork(1);
    t_flag_wait(living.ready, 1);
    memcpy(stage->id, living.ready + 1, sizeof stage->id);
}

static void
start_living(struct stage *stage, uint32_t lifetime)
{
    start_living_as(stage, stage->name, lifetime);
}

static void
with_family(struct stage *stage)
{
    (void)stage;
    T_CHECK_EQ(shmkit_family_form(), 0);
}

static void
with_own(struct stage *stage)
{
    T_CHECK_EQ(create(stage->name, 0, SHMKIT_LIFETIME_FAMILY, &stage->block),
               0);
}

static void
with_drawn(struct stage *stage)
{
    T_CHECK_EQ(create(NULL, 0, SHMKIT_LIFETIME_FAMILY, &stage->block), 0);
    (void)snprintf(stage->name, sizeof stage->name, "%s",
                   shmkit_block_name(stage->block));
}

static void
with_holders(struct stage *stage)
{
    T_CHECK_EQ(create(stage->name, 0, SHMKIT_LIFETIME_HOLDERS, &stage->block),
               0);
}

static void
with_persistent(struct stage *stage)
{
    T_CHECK_EQ(
        create(stage->name, 0, SHMKIT_LIFETIME_PERSISTENT, &stage->block), 0);
}

static void
with_orphan(struct stage *stage)
{
    T_CHECK_EQ(shmkit_family_form(), 0);
    leave_dead(stage->name, SHMKIT_LIFETIME_HOLDERS);
}

static void
with_dead_family(struct stage *stage)
{
    leave_dead(stage->name, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(shmkit_family_form(), 0);
}

static void
with_both_dead(struct stage *stage)
{
    leave_dead(stage->name, SHMKIT_LIFETIME_FAMILY);
    leave_dead(stage->other, SHMKIT_LIFETIME_HOLDERS);
}

static void
with_living(struct stage *stage)
{
    start_living(stage, SHMKIT_LIFETIME_FAMILY);
}

static void
with_foreign(struct stage *stage)
{
    start_living(stage, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(attach(stage->name, 0, &stage->block), 0);
}

/* Another family's block was the last one attached to. */
static void
with_bet(struct stage *stage)
{
    shmkit_block *block;

    start_living_as(stage, stage->other, SHMKIT_LIFETIME_FAMILY);
    T_CHECK_EQ(attach(stage->other, 0, &block), 0);
    (void)shmkit_block_close(block);
}

static void
with_own_and_bet(struct stage *stage)
{
    with_bet(stage);
    with_own(stage);
}

static void
with_orphan_and_bet(struct stage *stage)
{
    with_bet(stage);
    with_orphan(stage);
}

static void
with_held_by_others(struct stage *stage)
{
    start_living(stage, SHMKIT_LIFETIME_HOLDERS);
    T_CHECK_EQ(attach(stage->name, 0, &stage->block), 0);
}

/* Held by us, its family dead and swept: a zombie waits for our close. */
static void
with_zombie(struct stage *stage)
{
    with_foreign(stage);
    T_CHECK_EQ(t_kill_wait(stage->helper), -SIGKILL);
    stage->helper = 0;
    T_CHECK_EQ(shmkit_sweep(0, NULL, NULL), 0);
}

static void
with_descriptor(struct stage *stage)
{
    int fd;

    (void)stage;
    T_CHECK_EQ(shmkit_family_get_fd(&fd), 0);
}

static void
with_everything(struct stage *stage)
{
    with_own(stage);
    with_descriptor(stage);
    T_CHECK_EQ(create(stage->other, 0, SHMKIT_LIFETIME_HOLDERS, &stage->made),
               0);
}

/* ---- operations ---- */

static int
create_family(struct stage *stage)
{
    return create(stage->name, 0, SHMKIT_LIFETIME_FAMILY, &stage->made);
}

static int
create_drawn(struct stage *stage)
{
    int r = create(NULL, 0, SHMKIT_LIFETIME_FAMILY, &stage->made);

    if (r == 0)
        (void)snprintf(stage->name, sizeof stage->name, "%s",
                       shmkit_block_name(stage->made));
    return r;
}

static int
create_holders(struct stage *stage)
{
    return create(stage->name, 0, SHMKIT_LIFETIME_HOLDERS, &stage->made);
}

static int
create_persistent(struct stage *stage)
{
    return create(stage->name, 0, SHMKIT_LIFETIME_PERSISTENT, &stage->made);
}

static int
create_sparse(struct stage *stage)
{
    return create(stage->name, SHMKIT_SPARSE, SHMKIT_LIFETIME_FAMILY,
                  &stage->made);
}

static int
create_prefault(struct stage *stage)
{
    return create(stage->name, SHMKIT_PREFAULT, SHMKIT_LIFETIME_HOLDERS,
                  &stage->made);
}

static int
create_array_as(const char *name, uint32_t flags, shmkit_block **ret_block)
{
    static const double numbers[6] = {1, 2, 3, 4, 5, 6};
    static const uint64_t shape[] = {2, 3};
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;

    options.flags = flags;
    spec.dtype = "<f8";
    spec.shape = shape;
    spec.ndim = 2;
    spec.data = numbers;
    spec.data_size = sizeof numbers;
    return shmkit_ndarray_create(name, &spec, &options, ret_block);
}

static int
create_array(struct stage *stage)
{
    return create_array_as(stage->name, 0, &stage->made);
}

static int
create_array_sparse(struct stage *stage)
{
    return create_array_as(stage->name, SHMKIT_SPARSE, &stage->made);
}

static int
create_array_exist_ok(struct stage *stage)
{
    return create_array_as(stage->name, SHMKIT_EXIST_OK, &stage->made);
}

static void
with_array(struct stage *stage)
{
    T_CHECK_EQ(create_array_as(stage->name, 0, &stage->block), 0);
}

static int
attach_array(struct stage *stage)
{
    struct shmkit_ndarray_info info;
    int r;

    r = shmkit_ndarray_attach(stage->name, NULL, NULL, &stage->made, &info);
    if (r == 0)
        T_CHECK_EQ(info.count, 6);
    return r;
}

static int
stat_array(struct stage *stage)
{
    struct shmkit_ndarray_info info;

    return shmkit_ndarray_stat(stage->name, &info, sizeof info);
}

static int
create_exist_ok(struct stage *stage)
{
    return create(stage->name, SHMKIT_EXIST_OK, SHMKIT_LIFETIME_FAMILY,
                  &stage->made);
}

/* From 2 MiB up blocks take another way to their pages. */
static int
create_big_with(struct stage *stage, uint32_t flags)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    options.flags = flags;
    return shmkit_block_create(stage->name, BIG, &options, &stage->made);
}

static int
create_big(struct stage *stage)
{
    return create_big_with(stage, 0);
}

static int
create_huge(struct stage *stage)
{
    return create_big_with(stage, SHMKIT_HUGE);
}

static int
create_locked(struct stage *stage)
{
    return create_big_with(stage, SHMKIT_LOCKED | SHMKIT_NO_HUGE);
}

static int
grow_big(struct stage *stage)
{
    return shmkit_block_grow(stage->block, BIG, &stage->made);
}

static int
attach_part(struct stage *stage)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    options.flags = SHMKIT_PRIVATE;
    options.offset = 4096;
    options.length = 5000;
    return shmkit_block_attach(stage->name, &options, &stage->made);
}

static int
attach_it(struct stage *stage)
{
    return attach(stage->name, 0, &stage->made);
}

static int
attach_read_only(struct stage *stage)
{
    return attach(stage->name, SHMKIT_READ_ONLY | SHMKIT_PREFAULT,
                  &stage->made);
}

static int
grow_it(struct stage *stage)
{
    return shmkit_block_grow(stage->block, 3 * SIZE, &stage->made);
}

static int
close_it(struct stage *stage)
{
    stage->block = shmkit_block_close(stage->block);
    return 0;
}

static int
unlink_it(struct stage *stage)
{
    return shmkit_block_unlink(stage->name, NULL);
}

static int
unlink_by_ref(struct stage *stage)
{
    struct shmkit_block_ref ref = shmkit_block_get_ref(stage->block);

    return shmkit_block_unlink(stage->name, &ref);
}

static int
persist_it(struct stage *stage)
{
    return shmkit_block_persist(stage->block);
}

static int
open_fd(struct stage *stage)
{
    int r = shmkit_block_open_fd(stage->block, &stage->fd);

    if (r == 0) {
        T_SYS(close(stage->fd));
        stage->fd = -1;
    }
    return r;
}

static int
stat_it(struct stage *stage)
{
    struct shmkit_block_stat stat;

    return shmkit_block_stat(stage->name, &stat, sizeof stat);
}

static int
visit_stat(const struct shmkit_block_stat *stat, void *arg)
{
    (void)stat;
    (void)arg;
    return 0;
}

static int
list_all(struct stage *stage)
{
    (void)stage;
    return shmkit_block_list(visit_stat, NULL);
}

static int
visit_holder(const struct shmkit_holder *holder, void *arg)
{
    (void)holder;
    (void)arg;
    return 0;
}

static int
list_holders(struct stage *stage)
{
    (void)stage;
    return shmkit_holder_list(visit_holder, NULL);
}

static int
reap_it(struct stage *stage)
{
    return shmkit_block_reap(stage->name);
}

static int
sweep_all(struct stage *stage)
{
    (void)stage;
    return shmkit_sweep(0, NULL, NULL);
}

static int
sweep_dry(struct stage *stage)
{
    (void)stage;
    return shmkit_sweep(SHMKIT_DRY_RUN, NULL, NULL);
}

static int
form_it(struct stage *stage)
{
    (void)stage;
    return shmkit_family_form();
}

static int
join_it(struct stage *stage)
{
    return shmkit_family_join(stage->id);
}

static int
join_fd(struct stage *stage)
{
    char path[128];
    int fd, r;

    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u/%s", geteuid(),
                   stage->id);
    fd = T_SYS(open(path, O_RDWR | O_CLOEXEC));
    r = shmkit_family_join_fd(fd);
    T_SYS(close(fd));
    return r;
}

static int
get_fd(struct stage *stage)
{
    int fd;

    (void)stage;
    return shmkit_family_get_fd(&fd);
}

static int
leave(struct stage *stage)
{
    (void)stage;
    shmkit_process_exit();
    return 0;
}

static const int taken[] = {-EEXIST, LAST};
/* Whether it is dead could not be found out: then it is held from now on. */
static const int dead_or_busy[] = {0, -ENOENT, -EBUSY, LAST};
static const int kept_or_used[] = {SHMKIT_KEPT, SHMKIT_IN_USE, -ENOENT,
                                   -EACCES, LAST};
static const int busy[] = {-EBUSY, LAST};
/* What is not known to be ours is somebody else's. */
static const int not_ours[] = {-EPERM, LAST};
/* What can not be paged in or read counts as not there. */
static const int cut_short[] = {-EBADMSG, LAST};
static const int no_huge[] = {-EOPNOTSUPP, LAST};
static const int no_family[] = {-ENOENT, -EOWNERDEAD, LAST};

const struct operation operations[] = {
    {"first create", NULL, create_family, 0, NULL, 1, 0},
    {"create", with_family, create_family, 0, NULL, 1, 0},
    {"create drawn", with_family, create_drawn, 0, NULL, 1, 0},
    {"create holders", NULL, create_holders, 0, NULL, 0, 0},
    {"create persistent", NULL, create_persistent, 0, NULL, 0, 0},
    {"create sparse", with_family, create_sparse, 0, NULL, 1, 0},
    {"create prefault", NULL, create_prefault, 0, NULL, 0, 0},
    {"create big", with_family, create_big, 0, NULL, 1, 0},
    {"create huge", with_family, create_huge, 0, no_huge, 1, 0},
    {"create locked", with_family, create_locked, 0, NULL, 1, 0},
    {"create taken", with_own, create_family, -EEXIST, NULL, 0, 0},
    {"create over orphan", with_orphan, create_family, 0, taken, 1, 0},
    {"create over dead", with_dead_family, create_holders, 0, taken, 0, 0},
    {"create exist_ok", with_family, create_exist_ok, 0, NULL, 1, 0},
    {"create existing", with_own, create_exist_ok, SHMKIT_EXISTED, NULL, 0, 0},
    {"create array", with_family, create_array, 0, NULL, 1, 0},
    {"create array sparse", with_family, create_array_sparse, 0, NULL, 1, 0},
    {"create array existing", with_array, create_array_exist_ok,
     SHMKIT_EXISTED, NULL, 0, 0},
    {"create array over a block", with_own, create_array_exist_ok, -EBADMSG,
     NULL, 0, 0},
    {"attach array", with_array, attach_array, 0, cut_short, 0, 0},
    {"attach array of a block", with_own, attach_array, -EBADMSG, NULL, 0, 0},
    {"stat array", with_array, stat_array, 0, cut_short, 0, 0},
    {"attach own", with_own, attach_it, 0, NULL, 0, 0},
    {"attach holders", with_holders, attach_it, 0, busy, 0, 0},
    {"attach persistent", with_persistent, attach_it, 0, busy, 0, 0},
    {"attach foreign", with_living, attach_it, 0, busy, 0, 0},
    {"attach foreign again", with_foreign, attach_it, 0, busy, 0, 0},
    {"attach own, bet lost", with_own_and_bet, attach_it, 0, NULL, 0, 0},
    {"attach orphan, bet lost", with_orphan_and_bet, attach_it, -ENOENT,
     dead_or_busy, 0, 0},
    {"attach read-only", with_living, attach_read_only, 0, busy, 0, 0},
    {"attach part", with_living, attach_part, 0, busy, 0, 0},
    {"attach orphan", with_orphan, attach_it, -ENOENT, dead_or_busy, 0, 0},
    {"attach dead", with_dead_family, attach_it, -ENOENT, dead_or_busy, 0, 0},
    {"grow own", with_own, grow_it, 0, NULL, 0, 0},
    {"grow big", with_own, grow_big, 0, NULL, 0, 0},
    {"grow holders", with_holders, grow_it, 0, busy, 0, 0},
    {"grow foreign", with_foreign, grow_it, 0, busy, 0, 0},
    {"close own", with_own, close_it, 0, NULL, 0, 0},
    {"close last holder", with_holders, close_it, 0, NULL, 0, 0},
    {"close held by others", with_held_by_others, close_it, 0, NULL, 0, 0},
    {"close foreign", with_foreign, close_it, 0, NULL, 0, 0},
    {"close zombie's", with_zombie, close_it, 0, NULL, 0, 0},
    {"unlink own", with_own, unlink_it, 0, busy, -1, 0},
    {"unlink drawn", with_drawn, unlink_by_ref, 0, busy, -1, 0},
    {"unlink by ref", with_own, unlink_by_ref, 0, busy, -1, 0},
    {"unlink held", with_held_by_others, unlink_it, 0, busy, 0, 0},
    {"unlink orphan", with_orphan, unlink_it, 0, busy, 0, 0},
    {"persist own", with_own, persist_it, 0, not_ours, -1, 0},
    {"persist holders", with_holders, persist_it, 0, not_ours, 0, 0},
    {"persist foreign", with_foreign, persist_it, -EPERM, NULL, 0, 0},
    {"open_fd", with_own, open_fd, 0, NULL, 0, 0},
    {"stat own", with_own, stat_it, 0, NULL, 0, 0},
    {"stat dead", with_both_dead, stat_it, 0, NULL, 0, 0},
    {"list", with_both_dead, list_all, 0, NULL, 0, 0},
    {"holder_list", with_own, list_holders, 0, NULL, 0, 0},
    {"reap orphan", with_orphan, reap_it, 0, kept_or_used, 0, 0},
    {"reap held", with_holders, reap_it, SHMKIT_IN_USE, kept_or_used, 0, 0},
    {"sweep", with_both_dead, sweep_all, 0, NULL, 0, 0},
    {"sweep zombie", with_zombie, sweep_all, 0, NULL, 0, 0},
    {"sweep dry", with_both_dead, sweep_dry, 0, NULL, 0, 0},
    {"form", NULL, form_it, 0, NULL, 0, 0},
    {"join", with_living, join_it, 0, no_family, 0, 0},
    {"join_fd", with_living, join_fd, 0, no_family, 0, 0},
    {"get_fd", with_family, get_fd, 0, NULL, 0, 1},
    {"process_exit", with_everything, leave, 0, NULL, 0, 0},
};

const unsigned operation_count = sizeof operations / sizeof operations[0];
