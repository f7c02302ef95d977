/* SPDX-License-Identifier: MIT */
/* check.c - counting an arena's chunks, and proving that they are sound.
 *
 * Both walk under heap.lock and change nothing.  Sound: the chunks fill the
 * space up to top without a gap; each free one is in the list of its class,
 * and nothing else is; each name names a KEPT chunk that is long enough, and
 * each KEPT chunk has a name. */
#include <errno.h>
#include <string.h>

#include "heap/heap.h"
#include "heap/share.h"

static int
count_chunk(shmkit_arena *arena, uint64_t chunk, uint64_t word, void *arg)
{
    struct shmkit_arena_stat *stat = arg;
    uint64_t size = shmkiti_class_size(shmkiti_word_class(word));

    (void)arena;
    (void)chunk;
    if (shmkiti_word_state(word) == SHMKITI_CHUNK_FREE) {
        stat->free += size;
    } else {
        stat->used += size;
        stat->allocations++;
    }
    return 0;
}

static uint32_t
count_lanes(const shmkit_arena *arena)
{
    uint32_t count = shmkiti_lane_count(arena), taken = 0;

    for (uint32_t lane = 0; lane < count; lane++)
        taken +=
            shmkiti_load_acquire_u32(shmkiti_lane_owner(arena, lane)) != 0;
    return taken;
}

int
shmkit_arena_get_stat(shmkit_arena *arena, struct shmkit_arena_stat *ret_stat)
{
    struct shmkit_arena_stat stat;
    int r;

    memset(&stat, 0, sizeof stat);
    r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    r = shmkiti_heap_walk(arena, count_chunk, &stat);
    stat.size = shmkiti_arena_size(arena);
    shmkiti_heap_unlock(arena);
    if (r < 0)
        return r;
    stat.span = arena->local->span;
    stat.participants = shmkiti_token_count(arena);
    stat.lanes = count_lanes(arena);
    stat.deaths = shmkiti_load_acquire_u32(&arena->header->deaths);
    *ret_stat = stat;
    return 0;
}

/* ---- soundness ---- */

struct checker {
    uint64_t free[SHMKITI_CLASSES]; /* chunks met by the walk */
    uint64_t kept, end;
};

static int
check_chunk(shmkit_arena *arena, uint64_t chunk, uint64_t word, void *arg)
{
    struct checker *checker = arg;
    unsigned state = shmkiti_word_state(word);

    (void)arena;
    if (state == SHMKITI_CHUNK_FREE)
        checker->free[shmkiti_word_class(word)]++;
    checker->kept += state == SHMKITI_CHUNK_KEPT;
    checker->end = chunk + shmkiti_class_size(shmkiti_word_class(word));
    return 0;
}

/* Of class `c`: as many, and each one free and of it. */
static const char *
check_list(const shmkit_arena *arena, unsigned c, uint64_t count)
{
    uint64_t chunk = arena->header->heap.list[c];
    uint64_t header = shmkiti_class_header(c);

    for (; chunk != 0; count--) {
        uint64_t word;

        if (count == 0)
            return "a free list is longer than its free chunks";
        if (chunk % SHMKITI_CHUNK_UNIT != 0 ||
            shmkiti_heap_find(arena, chunk + header) != chunk)
            return "a free list leads out of the heap";
        word = shmkiti_chunk_at(arena, chunk)->word;
        if (shmkiti_word_state(word) != SHMKITI_CHUNK_FREE ||
            shmkiti_word_class(word) != c)
            return "a free list has a chunk that is not free";
        chunk = *(uint64_t *)shmkiti_arena_ptr(arena, chunk + header);
    }
    return count == 0 ? NULL : "a free chunk is in no list";
}

static const char *
check_all(shmkit_arena *arena)
{
    uint64_t size = shmkiti_arena_size(arena);
    uint64_t top = arena->header->heap.top;
    struct checker checker;
    const char *what = NULL;

    memset(&checker, 0, sizeof checker);
    checker.end = SHMKITI_AT_OBJECTS;
    if (top > size || top < SHMKITI_AT_OBJECTS ||
        top % SHMKITI_CHUNK_UNIT != 0)
        return "the end of the chunks is out of the file";
    if (shmkiti_heap_walk(arena, check_chunk, &checker) < 0)
        return "a chunk's header is damaged";
    if (checker.end != top)
        return "the last chunk does not end where chunks end";
    for (unsigned c = 0; what == NULL && c < SHMKITI_CLASSES; c++)
        what = check_list(arena, c, checker.free[c]);
    if (what == NULL)
        what = shmkiti_root_check(arena, checker.kept);
    return what;
}

int
shmkit_arena_check(shmkit_arena *arena, const char **ret_what)
{
    const char *what;
    int r;

    r = shmkiti_heap_lock(arena);
    if (r < 0) {
        if (r == -EBADMSG && ret_what != NULL)
            *ret_what = "the lock of the heap names nobody";
        return r;
    }
    what = check_all(arena);
    shmkiti_heap_unlock(arena);
    if (what == NULL)
        return 0;
    if (ret_what != NULL)
        *ret_what = what;
    return -EBADMSG;
}
