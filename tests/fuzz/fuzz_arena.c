/* SPDX-License-Identifier: MIT */
/* fuzz_arena.c - arenas with bytes changed at will.
 *
 * An arena with objects, names and free chunks is made, its file is damaged as
 * the input says, and then used in every way.  Each change is four bytes of
 * input: where (mostly places that mean something), and what.  Claim: no
 * crash, no endless wait; errors are fine. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena/layout.h"
#include "fuzz.h"

#define NAME "fuzzed"
#define PATH "/dev/shm/" NAME
#define CHANGES 24

static void
fill(shmkit_arena *arena)
{
    uint64_t offset, kept;

    for (unsigned i = 0; i < 30; i++) {
        FUZZ_CLAIM(shmkit_arena_alloc(arena, 20 + i * 30, &offset) == 0);
        if (i % 3 == 0)
            FUZZ_CLAIM(shmkit_arena_free(arena, offset) == 0);
    }
    FUZZ_CLAIM(shmkit_arena_root(arena,
                                 &(struct shmkit_root){"a", 1, 50, NULL, NULL},
                                 &kept) == 0);
    FUZZ_CLAIM(shmkit_arena_root(
                   arena, &(struct shmkit_root){"b", 2, 500, NULL, NULL},
                   &kept) == 0);
}

static off_t
choose_place(struct fuzz_input *input)
{
    uint32_t at = fuzz_u32(input);

    switch (fuzz_byte(input) % 6) {
        case 0: /* counters and size */
            return at % 72;
        case 1:
            return (off_t)offsetof(struct shmkiti_arena_header, heap) +
                   (off_t)(at % sizeof(struct shmkiti_heap_header));
        case 2:
            return (off_t)SHMKITI_AT_ROOTS + at % 256;
        case 3: /* owners and waits */
            return (off_t)SHMKITI_AT_OWNERS + at % 64;
        case 4: /* headers of chunks */
            return (off_t)SHMKITI_AT_OBJECTS + at % 4096 * 8;
        default:
            return at % 400000;
    }
}

static void
damage(struct fuzz_input *input)
{
    int fd = open(PATH, O_RDWR | O_CLOEXEC);
    uint64_t value;

    FUZZ_CLAIM(fd >= 0);
    for (unsigned i = 0; i < CHANGES && input->size > 0; i++) {
        off_t at = choose_place(input);
        unsigned len = fuzz_byte(input) % 8 + 1;

        value = (uint64_t)fuzz_u32(input) << 32 | fuzz_u32(input);
        if (len == 8 && (value & 3) == 0)
            value &= 0xffffff; /* a likely offset */
        FUZZ_CLAIM(pwrite(fd, &value, len, at) == (ssize_t)len);
    }
    /* Only longer: shortening a mapped file is the end of any program. */
    (void)close(fd);
}

static void
use(shmkit_arena *arena, struct fuzz_input *input)
{
    struct shmkit_ref ref = {SHMKITI_AT_OBJECTS + fuzz_byte(input) * 16u,
                             (uint64_t)1 << 32 | 1};
    struct shmkit_arena_stat stat;
    uint64_t offset, size;
    const char *what;

    (void)!shmkit_arena_check(arena, &what);
    (void)!shmkit_arena_get_stat(arena, &stat);
    if (shmkit_arena_root_find(arena, "a", 1, &offset, &size) == 0) {
        void *at = shmkit_arena_at(arena, offset, (size_t)size);

        FUZZ_CLAIM(at != NULL);
        memset(at, 1, (size_t)size);
    }
    for (unsigned i = 0; i < 10; i++) {
        size_t len = (size_t)20 + i * 60;

        if (shmkit_arena_alloc(arena, len, &offset) == 0) {
            memset(shmkit_arena_at(arena, offset, len), 2, len);
            if (i % 2 == 0)
                (void)shmkit_arena_free(arena, offset);
        }
    }
    (void)!shmkit_arena_adopt(arena, ref);
    (void)shmkit_arena_free(arena, SHMKITI_AT_OBJECTS + fuzz_byte(input));
    (void)shmkit_arena_collect(arena);
    (void)!shmkit_arena_root(
        arena, &(struct shmkit_root){"c", 3, 70, NULL, NULL}, &offset);
    (void)!shmkit_arena_root_remove(arena, "b");
    (void)!shmkit_arena_alloc(arena, 300000, &offset);
    (void)!shmkit_arena_check(arena, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    bool open_first = fuzz_byte(&input) & 1;
    shmkit_arena *arena, *again;

    fuzz_begin_round();
    options.lifetime = SHMKIT_LIFETIME_PERSISTENT;
    options.span = 4 << 20;
    FUZZ_CLAIM(shmkit_arena_create(NAME, 0, &options, &arena) == 0);
    fill(arena);
    if (open_first) /* damaged under our hands */
        damage(&input);
    else
        shmkit_arena_close(arena);
    if (!open_first)
        damage(&input);
    if (shmkit_arena_attach(NAME, &options, &again) == 0) {
        use(again, &input);
        shmkit_arena_close(again);
    }
    if (open_first)
        shmkit_arena_close(arena);
    FUZZ_CLAIM(shmkit_block_unlink(NAME, NULL) == 0);
    fuzz_end_round();
    return 0;
}
