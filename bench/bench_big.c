/* SPDX-License-Identifier: MIT */
/* bench_big.c - what the size of pages, copies and recycling are worth.
 *
 * bench_big SIZE ROUNDS
 *
 * Each case has some sides that do the same work in different ways.  All sides
 * take one turn a round, in one process, so that a busy moment of the machine
 * hits all.  Their order is drawn anew each round: pages that the last side
 * gave back are still in the cache for the next one, and that must be the luck
 * of all alike.  The first round is not counted: it touches memory that the
 * machine may not have touched before.
 *
 *     fill    create and fill: as the standard library does (ftruncate, touch
 *             later), on 4 KiB pages, and as the library decides; beside them
 *             the floor, the bare calls that make 2 MiB pages and nothing
 *             else, whose time is that of zeroing the memory once and filling
 *             it once; and the floor with the zeroing split over two threads
 *     loop    create, fill, unlink and close, and the floor of that; beside
 *             them a block that was kept with its pages, attached, cleared,
 *             filled and closed, and the same without clearing: the least
 *             that recycling could cost, as finding the block and proving it
 *             free are not in it
 *     copy    bytes between a block and private memory, all pages touched,
 *             by memcpy, by the library, and by two threads, a half each
 *
 * To fill is to write one value everywhere, the least that filling costs.  The
 * private memory lies on 2 MiB pages.  Blocks are of lifetime family: a kill
 * leaves them to the next sweep; the bare side unlinks its file before it maps
 * it.
 *
 * Output: a line of JSON a round and case, {"case", "ns": {side: time}}, in
 * nanoseconds; big.py turns them into medians and ratios. */
#include <shmkit/shmkit.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE_SIZE ((size_t)2 << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#define MAX_SIDES 6

static size_t size;
static unsigned char *memory; /* private, `size` bytes */
static shmkit_block *block;   /* what the side at work has made */
static void *bare;            /* the bare side's mapping */
static void *span;            /* what surrounds it, or NULL */
static char kept[SHMKIT_NAME_SIZE];

static void
die(const char *what, int error)
{
    fprintf(stderr, "bench_big: %s: %s\n", what, strerror(error));
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

/* ---- making blocks ---- */

static void
make_block(uint32_t flags)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    options.flags = flags;
    check("shmkit_block_create",
          shmkit_block_create(NULL, size, &options, &block));
}

static void
drop_block(void)
{
    struct shmkit_block_ref ref = shmkit_block_get_ref(block);

    check("shmkit_block_unlink",
          shmkit_block_unlink(shmkit_block_name(block), &ref));
    block = shmkit_block_close(block);
}

static void
fill_block(void)
{
    memset(shmkit_block_data(block), 1, size);
}

static void
fill_default(void)
{
    make_block(0);
    fill_block();
}

static void
fill_small(void)
{
    make_block(SHMKIT_NO_HUGE);
    fill_block();
}

static int
make_bare_file(void)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/dev/shm/shmkit-bench.%ld", (long)getpid());
    fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || unlink(path) < 0 || ftruncate(fd, (off_t)size) < 0)
        die("open, unlink, ftruncate", errno);
    return fd;
}

static void
map_bare(int fd, void *where)
{
    bare = mmap(where, size, PROT_READ | PROT_WRITE,
                MAP_SHARED | (where != NULL ? MAP_FIXED : 0), fd, 0);
    if (bare == MAP_FAILED)
        die("mmap", errno);
    close(fd);
}

static void
fill_bare(void)
{
    map_bare(make_bare_file(), NULL);
    memset(bare, 1, size);
}

static void
drop_bare(void)
{
    munmap(bare, size);
}

/* ---- the floor ---- */

/* A byte in each 2 MiB piece, and a mapping that can be collapsed. */
static void
seed_floor(void)
{
    int fd = make_bare_file();

    for (size_t at = 0; at + HUGE_SIZE <= size; at += HUGE_SIZE) {
        if (pwrite(fd, "", 1, (off_t)at) != 1)
            die("pwrite", errno);
    }
    span = mmap(NULL, size + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (span == MAP_FAILED)
        die("mmap", errno);
    map_bare(fd, (void *)(((uintptr_t)span + HUGE_SIZE - 1) &
                          ~(uintptr_t)(HUGE_SIZE - 1)));
}

/* Half `which` of the 2 MiB pieces; both for 2.  A kernel that cannot leaves
 * it to the touch, as for the bare side. */
static void
collapse_floor(size_t which)
{
    size_t pieces = size / HUGE_SIZE;
    size_t from = which == 1 ? pieces / 2 : 0;
    size_t to = which == 0 ? pieces / 2 : pieces;

    (void)madvise((char *)bare + from * HUGE_SIZE, (to - from) * HUGE_SIZE,
                  MADV_COLLAPSE);
}

static void
fill_floor(void)
{
    seed_floor();
    collapse_floor(2);
    memset(bare, 1, size);
}

static void *
collapse_upper_half(void *unused)
{
    collapse_floor(1);
    return unused;
}

static void
fill_floor_twofold(void)
{
    pthread_t helper;

    seed_floor();
    check("pthread_create",
          -pthread_create(&helper, NULL, collapse_upper_half, NULL));
    collapse_floor(0);
    check("pthread_join", -pthread_join(helper, NULL));
    memset(bare, 1, size);
}

static void
drop_floor(void)
{
    munmap(span, size + HUGE_SIZE);
}

/* ---- the loop ---- */

static void
loop_bare(void)
{
    fill_bare();
    drop_bare();
}

static void
loop_floor(void)
{
    fill_floor();
    drop_floor();
}

static void
loop_default(void)
{
    fill_default();
    drop_block();
}

static void
attach_kept(void)
{
    check("shmkit_block_attach", shmkit_block_attach(kept, NULL, &block));
}

static void
loop_kept_cleared(void)
{
    attach_kept();
    memset(shmkit_block_data(block), 0, size);
    fill_block();
    block = shmkit_block_close(block);
}

static void
loop_kept(void)
{
    attach_kept();
    fill_block();
    block = shmkit_block_close(block);
}

static void
keep_block(void)
{
    fill_default();
    snprintf(kept, sizeof kept, "%s", shmkit_block_name(block));
    block = shmkit_block_close(block);
}

static void
drop_kept(void)
{
    check("shmkit_block_unlink", shmkit_block_unlink(kept, NULL));
}

/* ---- copies ---- */

static void
copy_memcpy_in(void)
{
    memcpy(shmkit_block_data(block), memory, size);
}

static void
copy_memcpy_out(void)
{
    memcpy(memory, shmkit_block_data(block), size);
}

static void
copy_in(void)
{
    check("shmkit_copy_in", shmkit_copy_in(block, 0, memory, size));
}

static void
copy_out(void)
{
    check("shmkit_copy_out", shmkit_copy_out(block, 0, memory, size));
}

static void *
copy_upper_half(void *unused)
{
    size_t half = size / 2;

    check("shmkit_copy_in",
          shmkit_copy_in(block, half, memory + half, size - half));
    return unused;
}

static void
copy_in_twofold(void)
{
    pthread_t helper;

    check("pthread_create",
          -pthread_create(&helper, NULL, copy_upper_half, NULL));
    check("shmkit_copy_in", shmkit_copy_in(block, 0, memory, size / 2));
    check("pthread_join", -pthread_join(helper, NULL));
}

/* ---- cases ---- */

struct side {
    const char *name;
    void (*timed)(void);
    void (*after)(void); /* not timed; may be NULL */
};

struct bench_case {
    const char *name;
    void (*begin)(void); /* may be NULL, as `end` */
    void (*end)(void);
    struct side sides[MAX_SIDES];
};

static const struct bench_case cases[] = {
    {"fill",
     NULL,
     NULL,
     {{"bare", fill_bare, drop_bare},
      {"small", fill_small, drop_block},
      {"default", fill_default, drop_block},
      {"floor", fill_floor, drop_floor},
      {"floor, two threads", fill_floor_twofold, drop_floor}}},
    {"loop",
     keep_block,
     drop_kept,
     {{"bare", loop_bare, NULL},
      {"default", loop_default, NULL},
      {"floor", loop_floor, NULL},
      {"kept, cleared", loop_kept_cleared, NULL},
      {"kept", loop_kept, NULL}}},
    {"copy",
     fill_default,
     drop_block,
     {{"memcpy in", copy_memcpy_in, NULL},
      {"in", copy_in, NULL},
      {"in, two threads", copy_in_twofold, NULL},
      {"memcpy out", copy_memcpy_out, NULL},
      {"out", copy_out, NULL}}},
};

#define CASES (sizeof cases / sizeof cases[0])

static unsigned
count_sides(const struct bench_case *c)
{
    unsigned n = 0;

    while (n < MAX_SIDES && c->sides[n].name != NULL)
        n++;
    return n;
}

static uint64_t
run_side(const struct side *side)
{
    uint64_t start, end;

    start = now_ns();
    side->timed();
    end = now_ns();
    if (side->after != NULL)
        side->after();
    return end - start;
}

static void
print_round(const struct bench_case *c, const uint64_t *times, unsigned n)
{
    printf("{\"case\": \"%s\", \"ns\": {", c->name);
    for (unsigned i = 0; i < n; i++)
        printf("%s\"%s\": %llu", i == 0 ? "" : ", ", c->sides[i].name,
               (unsigned long long)times[i]);
    printf("}}\n");
}

/* The same order each time the program is run. */
static void
shuffle(unsigned *order, unsigned n)
{
    static uint32_t state = 1;

    for (unsigned i = n - 1; i > 0; i--) {
        unsigned other, held = order[i];

        state = state * 1664525u + 1013904223u;
        other = (unsigned)(((uint64_t)state * (i + 1)) >> 32);
        order[i] = order[other];
        order[other] = held;
    }
}

static void
run_case(const struct bench_case *c, unsigned long rounds)
{
    unsigned n = count_sides(c), order[MAX_SIDES];
    uint64_t times[MAX_SIDES];

    for (unsigned i = 0; i < n; i++)
        order[i] = i;
    if (c->begin != NULL)
        c->begin();
    for (unsigned long round = 0; round <= rounds; round++) {
        shuffle(order, n);
        for (unsigned i = 0; i < n; i++)
            times[order[i]] = run_side(&c->sides[order[i]]);
        if (round > 0)
            print_round(c, times, n);
    }
    if (c->end != NULL)
        c->end();
}

static void
make_memory(void)
{
    size_t whole = (size + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE;

    memory = aligned_alloc(HUGE_SIZE, whole);
    if (memory == NULL)
        die("memory", errno);
    /* Where it cannot be had, small pages do; the sides are alike. */
    (void)madvise(memory, whole, MADV_HUGEPAGE);
    memset(memory, 1, whole);
}

int
main(int argc, char **argv)
{
    unsigned long rounds;

    if (argc != 3) {
        fprintf(stderr, "usage: bench_big SIZE ROUNDS\n");
        return 2;
    }
    size = strtoul(argv[1], NULL, 10);
    rounds = strtoul(argv[2], NULL, 10);
    if (size < 2 || rounds == 0) {
        fprintf(stderr, "bench_big: 2 bytes and 1 round at least\n");
        return 2;
    }

    make_memory();
    for (size_t c = 0; c < CASES; c++)
        run_case(&cases[c], rounds);
    free(memory);
    return EXIT_SUCCESS;
}
