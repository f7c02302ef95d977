/* SPDX-License-Identifier: MIT */
/* bench_block.c - what protection costs: the library's calls beside the bare
 * system calls that do the same work without it.
 *
 * bench_block ROUNDS BATCH
 *
 * One process does both in turn: a batch of bare calls, a batch of the
 * library's, and so on for ROUNDS rounds, so that a busy moment of the machine
 * hits both.  Only the named call is timed; what has to be done before and
 * after a batch stands outside the clock.  Block by block the order of bare
 * and library is exchanged, since the second of two finds warmer caches.
 *
 * "Bare" is the least that gives the same bytes: a create is open(O_CREAT |
 * O_EXCL), posix_fallocate, mmap, close; an attach is open, fstat, mmap,
 * close.  Both map 4 KiB and touch nothing.
 *
 * A foreign attach needs blocks of a family this process is not in.  A child
 * makes them before this process forms a family, and lives as long as the pipe
 * to it is open, however this process ends.  What a batch creates is unlinked
 * in the same batch; a kill leaves at most one batch of bare files, all named
 * "shmkit-bench.PID.N".
 *
 * Output: one line of JSON a round and case, {"case", "bare", "shmkit"} in
 * nanoseconds a call; small.py turns them into medians and ratios. */
#include <shmkit/shmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE 4096
#define MAX_BATCH 256
#define PATH_SIZE (SHMKIT_NAME_SIZE + 16)

struct item {
    char path[PATH_SIZE];
    const char *name;    /* the end of the path */
    void *addr;          /* the bare side's */
    shmkit_block *block; /* the library's side's */
};

/* FRESH: names nobody has.  OWN, FOREIGN: blocks that stand there for the
 * whole run, of this process's family and of the child's. */
enum where { FRESH, OWN, FOREIGN, WHERES };

static struct item items[WHERES][MAX_BATCH];
static unsigned batch;

static void
die(const char *what, int error)
{
    fprintf(stderr, "bench_block: %s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

static void
check(const char *what, int r)
{
    if (r < 0)
        die(what, -r);
}

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void
name_items(void)
{
    for (unsigned w = 0; w < WHERES; w++) {
        for (unsigned i = 0; i < batch; i++) {
            struct item *item = &items[w][i];

            snprintf(item->path, sizeof item->path,
                     "/dev/shm/shmkit-bench.%ld.%u", (long)getpid(),
                     w * MAX_BATCH + i);
            item->name = item->path + strlen("/dev/shm/");
        }
    }
}

/* ---- the bare side ---- */

static void
bare_map(struct item *item, int fd, size_t size)
{
    item->addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (item->addr == MAP_FAILED)
        die("mmap", errno);
    close(fd);
}

static void
bare_create(struct item *item)
{
    int fd;

    fd = open(item->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
              0600);
    if (fd < 0)
        die("open", errno);

    check("posix_fallocate", -posix_fallocate(fd, 0, SIZE));
    bare_map(item, fd, SIZE);
}

static void
bare_attach(struct item *item)
{
    struct stat st;
    int fd;

    fd = open(item->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        die("open", errno);
    bare_map(item, fd, (size_t)st.st_size);
}

static void
bare_close(struct item *item)
{
    munmap(item->addr, SIZE);
}

static void
bare_unlink(struct item *item)
{
    if (unlink(item->path) < 0)
        die("unlink", errno);
}

static void
bare_create_close(struct item *item)
{
    bare_create(item);
    bare_close(item);
}

static void
bare_close_unlink(struct item *item)
{
    bare_close(item);
    bare_unlink(item);
}

/* ---- the library's side ---- */

static void
kit_create(struct item *item)
{
    check("shmkit_block_create",
          shmkit_block_create(item->name, SIZE, NULL, &item->block));
}

static void
kit_create_drawn(struct item *item)
{
    check("shmkit_block_create",
          shmkit_block_create(NULL, SIZE, NULL, &item->block));
}

static void
kit_attach(struct item *item)
{
    check("shmkit_block_attach",
          shmkit_block_attach(item->name, NULL, &item->block));
}

static void
kit_close(struct item *item)
{
    item->block = shmkit_block_close(item->block);
}

static void
kit_unlink(struct item *item)
{
    check("shmkit_block_unlink", shmkit_block_unlink(item->name, NULL));
}

static void
kit_create_close(struct item *item)
{
    kit_create(item);
    kit_close(item);
}

/* As the Python class does it: close, then unlink what it had. */
static void
kit_close_unlink(struct item *item)
{
    struct shmkit_block_ref ref = shmkit_block_get_ref(item->block);
    char name[SHMKIT_NAME_SIZE];

    snprintf(name, sizeof name, "%s", shmkit_block_name(item->block));
    kit_close(item);
    check("shmkit_block_unlink", shmkit_block_unlink(name, &ref));
}

/* ---- cases ---- */

typedef void step_fn(struct item *item);

struct side {
    step_fn *before;   /* not timed; may be NULL */
    step_fn *timed[2]; /* the second may be NULL */
    step_fn *after;    /* not timed; may be NULL */
};

struct bench_case {
    const char *name;
    enum where where;
    struct side bare, kit;
};

static const struct bench_case cases[] = {
    {"create",
     FRESH,
     {NULL, {bare_create, NULL}, bare_close_unlink},
     {NULL, {kit_create, NULL}, kit_close_unlink}},
    {"attach, own",
     OWN,
     {NULL, {bare_attach, NULL}, bare_close},
     {NULL, {kit_attach, NULL}, kit_close}},
    {"attach, foreign",
     FOREIGN,
     {NULL, {bare_attach, NULL}, bare_close},
     {NULL, {kit_attach, NULL}, kit_close}},
    {"attach + close, own",
     OWN,
     {NULL, {bare_attach, bare_close}, NULL},
     {NULL, {kit_attach, kit_close}, NULL}},
    {"attach + close, foreign",
     FOREIGN,
     {NULL, {bare_attach, bare_close}, NULL},
     {NULL, {kit_attach, kit_close}, NULL}},
    {"close, own",
     OWN,
     {bare_attach, {bare_close, NULL}, NULL},
     {kit_attach, {kit_close, NULL}, NULL}},
    {"unlink, given name",
     FRESH,
     {bare_create_close, {bare_unlink, NULL}, NULL},
     {kit_create_close, {kit_unlink, NULL}, NULL}},
    {"create + close + unlink, given name",
     FRESH,
     {NULL, {bare_create, bare_close_unlink}, NULL},
     {NULL, {kit_create, kit_close_unlink}, NULL}},
    {"create + close + unlink, drawn name",
     FRESH,
     {NULL, {bare_create, bare_close_unlink}, NULL},
     {NULL, {kit_create_drawn, kit_close_unlink}, NULL}},
};

#define CASES (sizeof cases / sizeof cases[0])

static void
for_each(enum where where, step_fn *step)
{
    for (unsigned i = 0; step != NULL && i < batch; i++)
        step(&items[where][i]);
}

/* Nanoseconds a call. */
static double
run_side(const struct side *side, enum where where)
{
    uint64_t start, end;

    for_each(where, side->before);
    start = now_ns();
    for (unsigned i = 0; i < batch; i++) {
        side->timed[0](&items[where][i]);
        if (side->timed[1] != NULL)
            side->timed[1](&items[where][i]);
    }
    end = now_ns();
    for_each(where, side->after);
    return (double)(end - start) / batch;
}

static void
run_case(const struct bench_case *c, int bare_first)
{
    double bare = 0, kit;

    if (bare_first)
        bare = run_side(&c->bare, c->where);
    kit = run_side(&c->kit, c->where);
    if (!bare_first)
        bare = run_side(&c->bare, c->where);
    printf("{\"case\": \"%s\", \"bare\": %.0f, \"shmkit\": %.0f}\n", c->name,
           bare, kit);
}

/* ---- the other family ---- */

static void
owner_main(int ready, int leave)
{
    char byte = 0;

    for_each(FOREIGN, kit_create);
    if (write(ready, &byte, 1) != 1)
        die("write", errno);
    /* Returns 0 when the last write end, the parent's, is closed. */
    while (read(leave, &byte, 1) < 0 && errno == EINTR)
        ;
    exit(EXIT_SUCCESS);
}

/* The write end to close when the owner shall go. */
static int
start_owner(pid_t *ret_pid)
{
    int ready[2], leave[2];
    char byte;

    if (pipe(ready) < 0 || pipe(leave) < 0)
        die("pipe", errno);
    shmkit_family_form_at_fork(0);
    *ret_pid = fork();
    if (*ret_pid < 0)
        die("fork", errno);
    if (*ret_pid == 0) {
        close(leave[1]);
        owner_main(ready[1], leave[0]);
    }

    close(ready[1]);
    close(leave[0]);
    if (read(ready[0], &byte, 1) != 1)
        die("the owner of the foreign blocks", ECHILD);
    close(ready[0]);
    return leave[1];
}

int
main(int argc, char **argv)
{
    unsigned long rounds;
    pid_t owner;
    int leave;

    if (argc != 3) {
        fprintf(stderr, "usage: bench_block ROUNDS BATCH\n");
        return 2;
    }
    rounds = strtoul(argv[1], NULL, 10);
    batch = (unsigned)strtoul(argv[2], NULL, 10);
    if (rounds == 0 || batch == 0 || batch > MAX_BATCH) {
        fprintf(stderr, "bench_block: 1 to %d calls a batch\n", MAX_BATCH);
        return 2;
    }

    name_items();
    leave = start_owner(&owner);
    for_each(OWN, kit_create);
    for_each(OWN, kit_close); /* the family keeps them */
    for (unsigned long round = 0; round < rounds; round++)
        for (size_t c = 0; c < CASES; c++)
            run_case(&cases[c], round % 2 == 0);

    for_each(OWN, kit_unlink);
    close(leave);
    return waitpid(owner, NULL, 0) == owner ? EXIT_SUCCESS : EXIT_FAILURE;
}
