/* SPDX-License-Identifier: MIT */
/* test_arena.c - arenas: opening, growing, names, damage; and the heap with
 * its cohorts: who owns an object, and when its bytes are used again. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/layout.h"
#include "heap/chunk.h"
#include "manager/family_arena.h"
#include "unit.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

static shmkit_arena *
make_with(const char *name, uint64_t size, uint32_t flags, uint64_t span)
{
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    shmkit_arena *arena = NULL;

    options.flags = flags;
    options.span = span;
    T_CHECK_EQ(shmkit_arena_create(name, size, &options, &arena), 0);
    T_CHECK(arena != NULL);
    return arena;
}

static shmkit_arena *
make(const char *name)
{
    return make_with(name, 0, 0, 0);
}

static uint64_t
alloc(shmkit_arena *arena, size_t size)
{
    uint64_t offset = 0;

    T_CHECK_EQ(shmkit_arena_alloc(arena, size, &offset), 0);
    T_CHECK(shmkit_arena_at(arena, offset, size) != NULL);
    return offset;
}

static struct shmkit_arena_stat
stat_of(shmkit_arena *arena)
{
    struct shmkit_arena_stat stat;

    T_CHECK_EQ(shmkit_arena_get_stat(arena, &stat), 0);
    return stat;
}

static void
check_sound(shmkit_arena *arena)
{
    const char *what = "";

    if (shmkit_arena_check(arena, &what) != 0)
        t_fail(__FILE__, __LINE__, "not sound: %s", what);
}

/* ---- opening ---- */

static void
create_attach_close(void)
{
    shmkit_arena *arena, *again = NULL;
    char name[T_NAME_SIZE];
    uint64_t offset;

    t_scratch_name(name, "arena");
    T_CHECK_EQ(shmkit_arena_attach(name, NULL, &again), -ENOENT);
    arena = make(name);
    T_CHECK_STR(shmkit_arena_get_name(arena), name);
    T_CHECK_EQ(shmkit_arena_create(name, 0, NULL, &again), -EEXIST);
    T_CHECK_EQ(shmkit_arena_attach(name, NULL, &again), 0);
    T_CHECK(again == arena); /* one handle a process */
    shmkit_arena_close(again);
    offset = alloc(arena, 100);
    memset(shmkit_arena_at(arena, offset, 100), 7, 100);
    check_sound(arena);
    shmkit_arena_close(arena);
    T_CHECK(!unit_exists(name)); /* lifetime holders */
    shmkit_arena_close(NULL);
}

static void
exist_ok_attaches(void)
{
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    shmkit_arena *one, *two = NULL;
    char name[T_NAME_SIZE];

    t_scratch_name(name, "exist");
    one = make(name);
    options.flags = SHMKIT_EXIST_OK;
    T_CHECK_EQ(shmkit_arena_create(name, 0, &options, &two), SHMKIT_EXISTED);
    T_CHECK(one == two);
    shmkit_arena_close(two);
    shmkit_arena_close(one);
}

static void
bad_options(void)
{
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    shmkit_arena *arena = NULL;

    options.struct_size = 4;
    T_CHECK_EQ(shmkit_arena_create("a", 0, &options, &arena), -EINVAL);
    options.struct_size = sizeof options;
    options.mode = 0400;
    T_CHECK_EQ(shmkit_arena_create("a", 0, &options, &arena), -EINVAL);
    options.mode = 0600;
    options.flags = SHMKIT_READ_ONLY;
    T_CHECK_EQ(shmkit_arena_create("a", 0, &options, &arena), -EINVAL);
    options.flags = 0;
    options.reserved = 1;
    T_CHECK_EQ(shmkit_arena_create("a", 0, &options, &arena), -EINVAL);
    options.reserved = 0;
    T_CHECK_EQ(shmkit_arena_create("a/b", 0, &options, &arena), -EINVAL);
    T_CHECK_EQ(shmkit_arena_create("a", UINT64_MAX, NULL, &arena), -ENOMEM);
    T_CHECK(arena == NULL);
}

static void
what_is_no_arena_is_refused(void)
{
    shmkit_arena *arena = NULL;
    char name[T_NAME_SIZE], path[T_NAME_SIZE + 16];
    uint64_t other = SHMKITI_ARENA_LAYOUT + 1;
    int fd;

    t_scratch_name(name, "plain");
    unit_plant(name, 10, 0600);
    T_CHECK_EQ(shmkit_arena_attach(name, NULL, &arena), -EBADMSG);
    T_SYS(unlink(t_scratch_path(path, name)));
    unit_plant(name, 4 * MIB, 0600);
    T_CHECK_EQ(shmkit_arena_attach(name, NULL, &arena), -EBADMSG);
    T_SYS(unlink(path));
    arena = make(name);
    fd = T_SYS(open(path, O_RDWR));
    T_CHECK_EQ(pwrite(fd, &other, 8, 8), 8);
    T_SYS(close(fd));
    shmkit_arena *two = NULL;
    T_CHECK_EQ(shmkit_arena_attach(name, NULL, &two), 0); /* open already */
    shmkit_arena_close(two);
    shmkit_arena_close(arena);
}

static void
grows_by_itself(void)
{
    shmkit_arena *arena = make(NULL);
    uint64_t before = stat_of(arena).size, last = 0;
    unsigned char *first = NULL;

    for (unsigned i = 0; i < 300; i++) {
        uint64_t offset = alloc(arena, 10000);
        unsigned char *at = shmkit_arena_at(arena, offset, 10000);

        T_CHECK(offset > last);
        last = offset;
        if (first == NULL)
            first = at;
        for (unsigned k = 0; k < 10000; k++)
            T_CHECK_EQ(at[k], 0);
        memset(at, (int)(i % 251) + 1, 10000);
    }
    T_CHECK(stat_of(arena).size > before);
    T_CHECK_EQ(first[9999], 1);
    check_sound(arena);
    shmkit_arena_close(arena);
}

static void
span_is_a_limit(void)
{
    shmkit_arena *arena = make_with(NULL, 0, 0, 1 * MIB);
    uint64_t offset;
    int r = 0;

    T_CHECK_EQ(stat_of(arena).span, 1 * MIB);
    while (r == 0)
        r = shmkit_arena_alloc(arena, 50000, &offset);
    T_CHECK_EQ(r, -ENOMEM);
    check_sound(arena);
    shmkit_arena_close(arena);
}

static void
full_shm_is_an_error(void)
{
    shmkit_arena *arena = make(NULL);
    uint64_t offset[64];
    unsigned n = 0;
    int r = 0;

    while (n < 64 && (r = shmkit_arena_alloc(arena, 2 * MIB, &offset[n])) == 0)
        n++;
    T_CHECK_EQ(r, -ENOSPC);
    check_sound(arena);
    T_CHECK(n > 0);
    T_CHECK_EQ(shmkit_arena_free(arena, offset[0]), 0);
    T_CHECK_EQ(shmkit_arena_alloc(arena, 2 * MIB, &offset[0]), 0);
    shmkit_arena_close(arena);
}

static int
attach_and_write(void *name)
{
    shmkit_arena *arena = NULL;
    uint64_t offset, size;
    char *at;

    T_CHECK_EQ(shmkit_arena_attach(name, NULL, &arena), 0);
    T_CHECK_EQ(shmkit_arena_root_find(arena, "box", 3, &offset, &size), 0);
    T_CHECK_EQ(size, 64);
    at = shmkit_arena_at(arena, offset, 64);
    T_CHECK_STR(at, "hello");
    strcpy(at, "world");
    offset = alloc(arena, 3 * MIB); /* grows: the other must follow */
    memset(shmkit_arena_at(arena, offset, 3 * MIB), 9, 3 * MIB);
    T_CHECK_EQ(shmkit_arena_root(
                   arena, &(struct shmkit_root){"far", 4, 5 * MIB, NULL, NULL},
                   &offset),
               0);
    memset(shmkit_arena_at(arena, offset, 5 * MIB), 8, 5 * MIB);
    return T_PASS;
}

static void
say_hello(void *object, void *arg)
{
    strcpy(object, arg);
}

static void
strangers_share_it(void)
{
    char name[T_NAME_SIZE];
    shmkit_arena *arena;
    uint64_t offset, size;
    unsigned char *at;

    t_scratch_name(name, "shared");
    arena = make(name);
    T_CHECK_EQ(
        shmkit_arena_root(
            arena, &(struct shmkit_root){"box", 3, 64, say_hello, "hello"},
            &offset),
        0);
    T_CHECK_EQ(t_fork_wait(attach_and_write, name), T_PASS);
    T_CHECK_STR(shmkit_arena_at(arena, offset, 64), "world");
    T_CHECK_EQ(shmkit_arena_root_find(arena, "far", 4, &offset, &size), 0);
    T_CHECK_EQ(size, 5 * MIB);
    at = shmkit_arena_at(arena, offset, 5 * MIB);
    T_CHECK(at != NULL);
    T_CHECK_EQ(at[5 * MIB - 1], 8);
    T_CHECK(shmkit_arena_at(arena, offset, UINT64_MAX) == NULL);
    T_CHECK(shmkit_arena_at(arena, 0, 8) == NULL);
    T_CHECK(shmkit_arena_at(arena, UINT64_MAX - 3, 8) == NULL);
    check_sound(arena);
    shmkit_arena_close(arena);
}

/* ---- the family's arena ---- */

static int
same_family(void *expected)
{
    shmkit_arena *arena = NULL;

    T_CHECK_EQ(shmkit_arena_of_family(&arena), 0);
    T_CHECK(arena == *(shmkit_arena **)expected);
    (void)alloc(arena, 100);
    check_sound(arena);
    return T_PASS;
}

static void
family_arena_is_one(void)
{
    shmkit_arena *arena = NULL, *again = NULL;
    char name[64] = "shmkit.";

    T_CHECK_EQ(shmkit_arena_of_family(&arena), 0);
    T_CHECK_EQ(shmkit_arena_of_family(&again), 0);
    T_CHECK(arena == again);
    T_CHECK_EQ(shmkit_family_get_id(name + 7), 0);
    T_CHECK_STR(shmkit_arena_get_name(arena), name);
    T_CHECK(unit_exists(name));
    T_CHECK_EQ(t_fork_wait(same_family, &arena), T_PASS);
    shmkiti_family_arenas_close();
    T_CHECK(unit_exists(name)); /* until the family ends */
    shmkit_process_exit();
    T_CHECK(!unit_exists(name));
}

struct race {
    pthread_t thread;
    pthread_barrier_t *start;
    shmkit_arena *arena;
};

static void *
race_for_family(void *arg)
{
    struct race *race = arg;

    (void)pthread_barrier_wait(race->start);
    T_CHECK_EQ(shmkit_arena_of_family(&race->arena), 0);
    return NULL;
}

static void
family_arena_is_one_in_a_race(void)
{
    pthread_barrier_t start;
    struct race race[4];

    (void)pthread_barrier_init(&start, NULL, 4);
    for (unsigned i = 0; i < 4; i++) {
        race[i].start = &start;
        T_CHECK_EQ(
            pthread_create(&race[i].thread, NULL, race_for_family, &race[i]),
            0);
    }
    for (unsigned i = 0; i < 4; i++)
        T_CHECK_EQ(pthread_join(race[i].thread, NULL), 0);
    for (unsigned i = 1; i < 4; i++)
        T_CHECK(race[i].arena == race[0].arena);
    (void)pthread_barrier_destroy(&start);
    shmkiti_family_arenas_close();
}

static int
die_with_family_arena(void *name)
{
    shmkit_arena *arena = NULL;

    shmkit_process_exit(); /* out of the test's family, into an own one */
    T_CHECK_EQ(shmkit_arena_of_family(&arena), 0);
    (void)alloc(arena, 100);
    strcpy(name, shmkit_arena_get_name(arena));
    T_CHECK(unit_exists(name));
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
family_arena_dies_with_a_killed_family(void)
{
    char *name = t_shared_page();

    T_CHECK_EQ(t_fork_wait(die_with_family_arena, name), -SIGKILL);
    T_CHECK(unit_exists(name));
    T_CHECK(unit_sweep() >= 0);
    T_CHECK(!unit_exists(name));
}

/* ---- allocations ---- */

static void
sizes_and_alignment(void)
{
    static const size_t sizes[] = {1,    15,    16,      48,     49,   240,
                                   241,  255,   256,     257,    1000, 4096,
                                   5000, 65536, 1 * MIB, 5 * MIB};
    shmkit_arena *arena = make(NULL);

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t offset = alloc(arena, sizes[i]);
        unsigned c = shmkiti_class_of(sizes[i]);

        T_CHECK_EQ(offset % (sizes[i] < 256 ? 16 : 64), 0);
        T_CHECK(shmkiti_class_size(c) - shmkiti_class_header(c) >= sizes[i]);
        memset(shmkit_arena_at(arena, offset, sizes[i]), 0xee, sizes[i]);
        check_sound(arena);
        T_CHECK_EQ(shmkit_arena_free(arena, offset), 0);
        check_sound(arena);
        T_CHECK_EQ(alloc(arena, sizes[i]), offset); /* at once, and zero */
        T_CHECK_EQ(*(char *)shmkit_arena_at(arena, offset, 1), 0);
        T_CHECK_EQ(
            ((char *)shmkit_arena_at(arena, offset, sizes[i]))[sizes[i] - 1],
            0);
    }
    shmkit_arena_close(arena);
}

static void
classes_are_tight(void)
{
    for (uint64_t size = 1; size < 100000; size++) {
        unsigned c = shmkiti_class_of(size);
        uint64_t room = shmkiti_class_size(c) - shmkiti_class_header(c);

        T_CHECK(room >= size);
        T_CHECK(c == 0 || shmkiti_class_size(c - 1) < shmkiti_class_size(c));
        if (c > 0)
            T_CHECK(shmkiti_class_size(c - 1) -
                        shmkiti_class_header(shmkiti_class_of(size)) <
                    size);
    }
    T_CHECK(shmkiti_class_of(SHMKITI_OBJECT_MAX) < SHMKITI_CLASSES);
}

static void
bad_allocations(void)
{
    shmkit_arena *arena = make(NULL);
    uint64_t offset = 1, big = alloc(arena, 4096), small = alloc(arena, 40);

    T_CHECK_EQ(shmkit_arena_alloc(arena, 0, &offset), -EINVAL);
    T_CHECK_EQ(shmkit_arena_alloc(arena, SIZE_MAX, &offset), -ENOMEM);
    T_CHECK_EQ(offset, 1);
    T_CHECK_EQ(shmkit_arena_free(arena, 0), -EINVAL);
    T_CHECK_EQ(shmkit_arena_free(arena, big + 64), -EINVAL);
    T_CHECK_EQ(shmkit_arena_free(arena, big + 16), -EINVAL);
    T_CHECK_EQ(shmkit_arena_free(arena, UINT64_MAX), -EINVAL);
    T_CHECK_EQ(shmkit_arena_free(arena, small), 0);
    T_CHECK_EQ(shmkit_arena_free(arena, small), -EINVAL);
    shmkit_arena_close(arena);
}

/* ---- cohorts ---- */

struct keeper {
    shmkit_arena *arena;
    uint64_t offset;
    struct shmkit_ref ref;
    struct t_flag *step;
    bool give_up;
    char name[T_NAME_SIZE];
};

static int
keep(void *arg)
{
    struct keeper *keeper = arg;
    char *at = shmkit_arena_at(keeper->arena, keeper->offset, 100);

    t_flag_set(keeper->step, 1);
    t_flag_wait(keeper->step, 2);
    T_CHECK_STR(at, "mine");
    if (keeper->give_up)
        T_CHECK_EQ(shmkit_arena_free(keeper->arena, keeper->offset), 0);
    t_flag_set(keeper->step, 3);
    t_flag_wait(keeper->step, 4);
    return T_PASS;
}

/* Whether `count` allocations of its size come to lie somewhere else. */
static bool
is_kept(shmkit_arena *arena, uint64_t offset)
{
    bool kept = true;

    (void)shmkit_arena_collect(arena);
    for (unsigned i = 0; i < 10; i++)
        kept &= alloc(arena, 100) != offset;
    return kept;
}

static void
start_keeper(struct keeper *keeper, pid_t *ret_pid)
{
    keeper->arena = make(NULL);
    keeper->offset = alloc(keeper->arena, 100);
    keeper->step = t_flag_new();
    strcpy(shmkit_arena_at(keeper->arena, keeper->offset, 100), "mine");
    *ret_pid = t_fork(keep, keeper);
    t_flag_wait(keeper->step, 1);
    T_CHECK_EQ(shmkit_arena_free(keeper->arena, keeper->offset), 0);
    T_CHECK(is_kept(keeper->arena, keeper->offset));
    t_flag_set(keeper->step, 2);
    t_flag_wait(keeper->step, 3);
}

static void
child_keeps_what_parent_frees(void)
{
    struct keeper keeper = {0};
    pid_t pid;

    start_keeper(&keeper, &pid);
    T_CHECK(is_kept(keeper.arena, keeper.offset));
    T_CHECK_EQ(t_kill_wait(pid), -SIGKILL);
    T_CHECK(!is_kept(keeper.arena, keeper.offset));
    check_sound(keeper.arena);
    shmkit_arena_close(keeper.arena);
}

static void
child_gives_up_its_share(void)
{
    struct keeper keeper = {.give_up = true};
    pid_t pid;

    start_keeper(&keeper, &pid);
    T_CHECK(!is_kept(keeper.arena, keeper.offset)); /* though it lives */
    t_flag_set(keeper.step, 4);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    shmkit_arena_close(keeper.arena);
}

static int
make_and_leave_to_child(void *arg)
{
    struct keeper *keeper = arg;

    keeper->offset = alloc(keeper->arena, 100);
    strcpy(shmkit_arena_at(keeper->arena, keeper->offset, 100), "mine");
    *(uint64_t *)((char *)keeper->step + 8) = keeper->offset;
    (void)t_fork(keep, keeper);
    t_flag_wait(keeper->step, 1);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
grandchild_keeps_what_a_killed_one_made(void)
{
    struct keeper keeper = {.arena = make(NULL), .step = t_flag_new()};
    uint64_t offset;

    (void)alloc(keeper.arena, 100);
    T_CHECK_EQ(t_fork_wait(make_and_leave_to_child, &keeper), -SIGKILL);
    offset = *(uint64_t *)((char *)keeper.step + 8);
    T_CHECK(is_kept(keeper.arena, offset));
    t_flag_set(keeper.step, 2);
    t_flag_wait(keeper.step, 3);
    T_CHECK(is_kept(keeper.arena, offset));
    t_flag_set(keeper.step, 4);
    while (is_kept(keeper.arena, offset)) /* the watchdog's, if it stays */
        t_sleep_ms(1);
    check_sound(keeper.arena);
    shmkit_arena_close(keeper.arena);
}

static int
alloc_and_die(void *arg)
{
    struct keeper *keeper = arg;

    for (unsigned i = 0; i < 100; i++)
        (void)alloc(keeper->arena, 1000);
    (void)raise(SIGKILL);
    return T_FAIL;
}

static void
what_the_killed_made_is_free(void)
{
    struct keeper keeper = {.arena = make(NULL)};

    (void)alloc(keeper.arena, 10);
    T_CHECK_EQ(t_fork_wait(alloc_and_die, &keeper), -SIGKILL);
    T_CHECK_EQ(stat_of(keeper.arena).allocations, 101);
    T_CHECK(shmkit_arena_collect(keeper.arena) >= 100 * 1000);
    T_CHECK_EQ(stat_of(keeper.arena).allocations, 1);
    T_CHECK(stat_of(keeper.arena).deaths >= 1);
    T_CHECK_EQ(stat_of(keeper.arena).participants, 1);
    check_sound(keeper.arena);
    shmkit_arena_close(keeper.arena);
}

static int
adopt_it(void *arg)
{
    struct keeper *keeper = arg;
    shmkit_arena *arena = NULL;
    char *at;

    t_flag_wait(keeper->step, 1);
    T_CHECK_EQ(shmkit_arena_attach(keeper->name, NULL, &arena), 0);
    T_CHECK_EQ(shmkit_arena_adopt(arena, keeper->ref), 0);
    t_flag_set(keeper->step, 2);
    t_flag_wait(keeper->step, 3);
    at = shmkit_arena_at(arena, keeper->ref.offset, 100);
    T_CHECK_STR(at, "mine");
    T_CHECK_EQ(shmkit_arena_free(arena, keeper->ref.offset), 0);
    T_CHECK_EQ(shmkit_arena_free(arena, keeper->ref.offset), -EINVAL);
    t_flag_set(keeper->step, 4);
    t_flag_wait(keeper->step, 5);
    T_CHECK_EQ(shmkit_arena_adopt(arena, keeper->ref), -ESTALE);
    return T_PASS;
}

static void
sent_and_adopted(void)
{
    struct keeper keeper = {.step = t_flag_new()};
    struct shmkit_ref wrong;
    pid_t pid;

    t_scratch_name(keeper.name, "send");
    /* A child from before the arena, so that it inherits nothing. */
    struct keeper *shared = t_shared_page();
    *shared = keeper;
    pid = t_fork(adopt_it, shared);
    keeper.arena = make(keeper.name);
    keeper.offset = alloc(keeper.arena, 100);
    strcpy(shmkit_arena_at(keeper.arena, keeper.offset, 100), "mine");
    T_CHECK_EQ(shmkit_arena_send(keeper.arena, keeper.offset, &shared->ref),
               0);
    wrong = shared->ref;
    wrong.serial++;
    T_CHECK_EQ(shmkit_arena_adopt(keeper.arena, wrong), -ESTALE);
    T_CHECK_EQ(shmkit_arena_send(keeper.arena, 12, &wrong), -EINVAL);
    t_flag_set(keeper.step, 1);
    t_flag_wait(keeper.step, 2);
    T_CHECK_EQ(shmkit_arena_free(keeper.arena, keeper.offset), 0);
    T_CHECK(is_kept(keeper.arena, keeper.offset));
    t_flag_set(keeper.step, 3);
    t_flag_wait(keeper.step, 4);
    T_CHECK(!is_kept(keeper.arena, keeper.offset)); /* though it lives */
    t_flag_set(keeper.step, 5);
    T_CHECK_EQ(t_wait(pid), T_PASS);
    check_sound(keeper.arena);
    shmkit_arena_close(keeper.arena);
}

static void
two_shares_in_one_process(void)
{
    shmkit_arena *arena = make(NULL);
    uint64_t offset = alloc(arena, 100);
    struct shmkit_ref ref;

    T_CHECK_EQ(shmkit_arena_send(arena, offset, &ref), 0);
    T_CHECK_EQ(shmkit_arena_adopt(arena, ref), 0);
    T_CHECK_EQ(shmkit_arena_free(arena, offset), 0);
    T_CHECK(is_kept(arena, offset));
    T_CHECK_EQ(shmkit_arena_adopt(arena, ref), 0); /* there still */
    T_CHECK_EQ(shmkit_arena_free(arena, offset), 0);
    T_CHECK_EQ(shmkit_arena_free(arena, offset), 0);
    T_CHECK(!is_kept(arena, offset));
    T_CHECK_EQ(shmkit_arena_adopt(arena, ref), -ESTALE);
    check_sound(arena);
    shmkit_arena_close(arena);
}

/* ---- names ---- */

static void
roots(void)
{
    shmkit_arena *arena = make(NULL);
    uint64_t one, two, size;
    char name[48];

    T_CHECK_EQ(
        shmkit_arena_root(
            arena, &(struct shmkit_root){"a", 1, 100, NULL, NULL}, &one),
        0);
    T_CHECK_EQ(
        shmkit_arena_root(
            arena, &(struct shmkit_root){"a", 1, 100, NULL, NULL}, &two),
        SHMKIT_EXISTED);
    T_CHECK_EQ(one, two);
    T_CHECK_EQ(
        shmkit_arena_root(
            arena, &(struct shmkit_root){"a", 2, 100, NULL, NULL}, &two),
        -EEXIST);
    T_CHECK_EQ(
        shmkit_arena_root(
            arena, &(struct shmkit_root){"a", 1, 101, NULL, NULL}, &two),
        -EEXIST);
    T_CHECK_EQ(shmkit_arena_root(
                   arena, &(struct shmkit_root){"", 1, 1, NULL, NULL}, &two),
               -EINVAL);
    memset(name, 'x', sizeof name);
    name[40] = '\0';
    T_CHECK_EQ(shmkit_arena_root(
                   arena, &(struct shmkit_root){name, 1, 1, NULL, NULL}, &two),
               -EINVAL);
    name[39] = '\0';
    T_CHECK_EQ(shmkit_arena_root(
                   arena, &(struct shmkit_root){name, 1, 1, NULL, NULL}, &two),
               0);
    T_CHECK_EQ(shmkit_arena_root_find(arena, name, 1, &two, &size), 0);
    T_CHECK_EQ(size, 1);
    T_CHECK_EQ(shmkit_arena_free(arena, one), -EINVAL); /* the name's */
    T_CHECK_EQ(shmkit_arena_collect(arena), 0);
    T_CHECK_EQ(shmkit_arena_root_remove(arena, "a"), 0);
    T_CHECK_EQ(shmkit_arena_root_remove(arena, "a"), -ENOENT);
    T_CHECK_EQ(shmkit_arena_root_find(arena, "a", 1, &two, &size), -ENOENT);
    check_sound(arena);
    for (unsigned i = 1; i < 64; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        T_CHECK_EQ(
            shmkit_arena_root(
                arena, &(struct shmkit_root){name, 1, 8, NULL, NULL}, &two),
            0);
    }
    T_CHECK_EQ(
        shmkit_arena_root(
            arena, &(struct shmkit_root){"more", 1, 8, NULL, NULL}, &two),
        -ENFILE);
    check_sound(arena);
    shmkit_arena_close(arena);
}

/* ---- threads ---- */

struct worker {
    pthread_t thread;
    shmkit_arena *arena;
    unsigned seed;
};

static void *
churn(void *arg)
{
    struct worker *worker = arg;
    uint64_t held[32] = {0};

    for (unsigned i = 0; i < 20000; i++) {
        unsigned slot = (unsigned)rand_r(&worker->seed) % 32;
        size_t size = (size_t)rand_r(&worker->seed) % 600 + 8;
        uint32_t *at;

        if (held[slot] != 0) {
            at = shmkit_arena_at(worker->arena, held[slot], 8);
            T_CHECK_EQ(at[0], worker->seed == 0 ? 0 : at[1]);
            T_CHECK_EQ(shmkit_arena_free(worker->arena, held[slot]), 0);
        }
        held[slot] = alloc(worker->arena, size);
        at = shmkit_arena_at(worker->arena, held[slot], size);
        T_CHECK_EQ(at[0], 0);
        at[0] = at[1] = worker->seed;
    }
    for (unsigned i = 0; i < 32; i++) {
        if (held[i] != 0)
            T_CHECK_EQ(shmkit_arena_free(worker->arena, held[i]), 0);
    }
    return NULL;
}

static void
threads_share_it(void)
{
    shmkit_arena *arena = make(NULL);
    struct worker worker[4];

    for (unsigned i = 0; i < 4; i++) {
        worker[i] = (struct worker){.arena = arena, .seed = i + 1};
        T_CHECK_EQ(pthread_create(&worker[i].thread, NULL, churn, &worker[i]),
                   0);
    }
    for (unsigned i = 0; i < 4; i++)
        T_CHECK_EQ(pthread_join(worker[i].thread, NULL), 0);
    T_CHECK_EQ(stat_of(arena).allocations, 0);
    T_CHECK_EQ(stat_of(arena).lanes, 1); /* theirs came back */
    check_sound(arena);
    shmkit_arena_close(arena);
}

int
main(void)
{
    const struct unit_case cases[] = {
        UNIT_CASE(create_attach_close),
        UNIT_CASE(exist_ok_attaches),
        UNIT_CASE(bad_options),
        UNIT_CASE(what_is_no_arena_is_refused),
        UNIT_CASE(grows_by_itself),
        UNIT_CASE(span_is_a_limit),
        UNIT_CASE(full_shm_is_an_error),
        UNIT_CASE(strangers_share_it),
        UNIT_CASE(family_arena_is_one),
        UNIT_CASE(family_arena_is_one_in_a_race),
        UNIT_CASE(family_arena_dies_with_a_killed_family),
        UNIT_CASE(sizes_and_alignment),
        UNIT_CASE(classes_are_tight),
        UNIT_CASE(bad_allocations),
        UNIT_CASE(child_keeps_what_parent_frees),
        UNIT_CASE(child_gives_up_its_share),
        UNIT_CASE(grandchild_keeps_what_a_killed_one_made),
        UNIT_CASE(what_the_killed_made_is_free),
        UNIT_CASE(sent_and_adopted),
        UNIT_CASE(two_shares_in_one_process),
        UNIT_CASE(roots),
        UNIT_CASE(threads_share_it),
    };

    return UNIT_MAIN("arena", "size=64m", cases);
}
