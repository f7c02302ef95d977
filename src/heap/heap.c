/* SPDX-License-Identifier: MIT */
/* heap.c - chunks: taken, given back, collected, rebuilt.
 *
 * Shared: heap.lock (a lane lock) guards heap.top, heap.list[] and the words
 * and links of all chunks.  The lists say what is free only for speed; the
 * truth is the chunk's word, changed by one store.  So a holder that is killed
 * anywhere leaves true words and perhaps false lists, and whoever repairs its
 * lane rebuilds the lists by a walk over the chunks, then releases the lock as
 * the dead lane.  The walk may be killed too: the next one starts it again.
 *
 *     take from a list   unlink, creator, word = USED (commit)
 *     take a new one     creator, word = USED, top += size (commit)
 *     give               word = FREE (commit), link
 * | killed between        | leaves                        | mended by       |
 * | unlink, USED          | a free chunk in no list       | rebuild         |
 * | word, top             | bytes behind top              | the next take   |
 * | USED, the caller      | a chunk of a dead creator     | collect         |
 * | FREE, link            | a free chunk in no list       | rebuild         |
 *
 * Collect frees what nobody owns any more: USED by a creator who is dead, or
 * RETIRED, and nobody holds the byte of its cohort.  It runs under the lock,
 * and who adopts a share looks at the word under the lock too, after it has
 * locked the byte: so either collect sees the byte, or the adopter sees that
 * the object is gone.  It runs when the file would have to grow, and when a
 * quarter of all chunks has been retired since the last time, so its walk is
 * paid by what it finds.
 *
 * Everything read here may be garbage: offsets are bounded by top, top by the
 * file, and a chunk whose word does not fit its place is not touched. */
#include "heap/heap.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"

#define GROW_MIN (UINT64_C(256) << 10)
#define GROW_MAX (UINT64_C(64) << 20)
#define RETIRED_MIN 64u
#define CACHE 64u

static struct shmkiti_heap_header *
heap(const shmkit_arena *arena)
{
    return &arena->header->heap;
}

static uint64_t
object_of(uint64_t chunk, unsigned c)
{
    return chunk + shmkiti_class_header(c);
}

static uint64_t *
link_of(const shmkit_arena *arena, uint64_t chunk, unsigned c)
{
    struct shmkiti_free_chunk *free_chunk =
        shmkiti_arena_ptr(arena, object_of(chunk, c));

    return &free_chunk->next;
}

/* First byte never used, in bounds whatever the header says. */
static uint64_t
top_of(const shmkit_arena *arena)
{
    uint64_t top = shmkiti_load_acquire_u64(&heap(arena)->top);
    uint64_t size = shmkiti_arena_size(arena);

    if (top > size)
        top = size;
    return top & ~(SHMKITI_CHUNK_UNIT - 1);
}

/* The word of the chunk at `chunk`, 0 if there is none. */
static uint64_t
word_at(const shmkit_arena *arena, uint64_t chunk, uint64_t top)
{
    uint64_t word;

    if (chunk < SHMKITI_AT_OBJECTS || chunk >= top ||
        chunk % SHMKITI_CHUNK_UNIT != 0)
        return 0;
    word = shmkiti_load_acquire_u64(&shmkiti_chunk_at(arena, chunk)->word);
    if (!shmkiti_word_is_valid(chunk, word) ||
        shmkiti_class_size(shmkiti_word_class(word)) > top - chunk)
        return 0;
    return word;
}

int
shmkiti_heap_walk(shmkit_arena *arena, shmkiti_chunk_fn *visit, void *arg)
{
    uint64_t top = top_of(arena), chunk = SHMKITI_AT_OBJECTS;
    int r = 0;

    while (r == 0 && chunk < top) {
        uint64_t word = word_at(arena, chunk, top);

        if (word == 0)
            return -EBADMSG;
        r = visit(arena, chunk, word, arg);
        chunk += shmkiti_class_size(shmkiti_word_class(word));
    }
    return r;
}

uint64_t
shmkiti_heap_find(const shmkit_arena *arena, uint64_t offset)
{
    bool small = offset % SHMKITI_CHUNK_UNIT == SHMKITI_HEADER_SMALL;
    uint64_t header = small ? SHMKITI_HEADER_SMALL : SHMKITI_HEADER_BIG;
    uint64_t word, chunk = offset - header;

    if (offset < header)
        return 0;
    word = word_at(arena, chunk, top_of(arena));
    if (word == 0 || shmkiti_class_header(shmkiti_word_class(word)) != header)
        return 0;
    return chunk;
}

/* ---- states and lists ---- */

static void
set_word(const shmkit_arena *arena, uint64_t chunk, uint64_t word)
{
    shmkiti_store_release_u64(&shmkiti_chunk_at(arena, chunk)->word, word);
}

void
shmkiti_heap_set_state(shmkit_arena *arena, uint64_t chunk,
                       enum shmkiti_chunk_state state)
{
    uint64_t word = shmkiti_chunk_at(arena, chunk)->word;

    set_word(arena, chunk, (word & ~UINT64_C(0xff)) | (uint64_t)state);
}

static void
link_chunk(shmkit_arena *arena, uint64_t chunk, unsigned c)
{
    *link_of(arena, chunk, c) = heap(arena)->list[c];
    heap(arena)->list[c] = chunk;
}

void
shmkiti_heap_give(shmkit_arena *arena, uint64_t chunk)
{
    uint64_t word = word_at(arena, chunk, top_of(arena));

    if (word == 0)
        return; /* damaged between the look and now */
    set_word(arena, chunk, (word & ~UINT64_C(0xff)) | SHMKITI_CHUNK_FREE);
    SHMKITI_FAULT("heap.give.freed");
    link_chunk(arena, chunk, shmkiti_word_class(word));
    SHMKITI_FAULT("heap.give.linked");
}

static int
relink(shmkit_arena *arena, uint64_t chunk, uint64_t word, void *arg)
{
    (void)arg;
    if (shmkiti_word_state(word) == SHMKITI_CHUNK_FREE)
        link_chunk(arena, chunk, shmkiti_word_class(word));
    return 0;
}

void
shmkiti_heap_rebuild(shmkit_arena *arena)
{
    memset(heap(arena)->list, 0, sizeof heap(arena)->list);
    SHMKITI_FAULT("heap.rebuild.cleared");
    /* What lies behind a damaged chunk is out of reach, not in two hands. */
    (void)shmkiti_heap_walk(arena, relink, NULL);
    SHMKITI_FAULT("heap.rebuild.linked");
}

/* ---- taking ---- */

static void
sign(shmkit_arena *arena, uint64_t chunk, uint32_t cohort)
{
    struct shmkiti_chunk *header = shmkiti_chunk_at(arena, chunk);

    header->token = __atomic_load_n(arena->token, __ATOMIC_RELAXED);
    header->cohort = cohort;
}

/* 0 in *ret_chunk: the list is empty. */
static int
pop(shmkit_arena *arena, unsigned c, uint32_t cohort, uint64_t *ret_chunk)
{
    uint64_t chunk = heap(arena)->list[c], word;

    *ret_chunk = 0;
    if (chunk == 0)
        return 0;
    word = word_at(arena, chunk, top_of(arena));
    if (shmkiti_word_state(word) != SHMKITI_CHUNK_FREE ||
        shmkiti_word_class(word) != c)
        return -EBADMSG;
    heap(arena)->list[c] = *link_of(arena, chunk, c);
    SHMKITI_FAULT("heap.take.unlinked");
    sign(arena, chunk, cohort);
    set_word(arena, chunk,
             shmkiti_word_make(chunk, shmkiti_word_serial(word) + 1, c,
                               SHMKITI_CHUNK_USED));
    SHMKITI_FAULT("heap.take.used");
    *ret_chunk = chunk;
    return 0;
}

/* Behind the last one, if the file is long enough. */
static bool
bump(shmkit_arena *arena, unsigned c, uint32_t cohort, uint64_t *ret_chunk)
{
    uint64_t chunk = top_of(arena), size = shmkiti_class_size(c);

    if (chunk < SHMKITI_AT_OBJECTS || shmkiti_arena_size(arena) < chunk ||
        shmkiti_arena_size(arena) - chunk < size)
        return false;
    sign(arena, chunk, cohort);
    set_word(arena, chunk, shmkiti_word_make(chunk, 1, c, SHMKITI_CHUNK_USED));
    SHMKITI_FAULT("heap.take.formed");
    shmkiti_store_release_u64(&heap(arena)->top, chunk + size);
    heap(arena)->chunks++;
    SHMKITI_FAULT("heap.take.topped");
    *ret_chunk = chunk;
    return true;
}

static int
grow_for(shmkit_arena *arena, uint64_t need)
{
    uint64_t size = shmkiti_arena_size(arena), step = size / 4;
    int r;

    if (step < GROW_MIN)
        step = GROW_MIN;
    if (step > GROW_MAX)
        step = GROW_MAX;
    need += top_of(arena);
    r = shmkiti_arena_grow(arena, need > size + step ? need : size + step);
    /* A step ahead is a luxury. */
    if (r < 0 && need < size + step)
        r = shmkiti_arena_grow(arena, need);
    return r;
}

static bool
worth_collecting(const shmkit_arena *arena)
{
    uint64_t retired = heap(arena)->retired, chunks = heap(arena)->chunks;

    return retired >= RETIRED_MIN && retired >= chunks / 4;
}

int
shmkiti_heap_take(shmkit_arena *arena, unsigned c, uint32_t cohort,
                  uint64_t *ret_chunk, bool *ret_fresh)
{
    uint64_t chunk, top = top_of(arena);
    int r;

    if (heap(arena)->list[c] == 0 && worth_collecting(arena))
        (void)shmkiti_heap_collect(arena);
    r = pop(arena, c, cohort, &chunk);
    if (r == 0 && chunk == 0 && !bump(arena, c, cohort, &chunk)) {
        (void)shmkiti_heap_collect(arena);
        r = pop(arena, c, cohort, &chunk);
        if (r == 0 && chunk == 0)
            r = grow_for(arena, shmkiti_class_size(c));
        if (r == 0 && chunk == 0)
            r = bump(arena, c, cohort, &chunk) ? 0 : -EBADMSG;
    }
    if (r < 0)
        return r;
    *ret_fresh = chunk >= top;
    *ret_chunk = chunk;
    return 0;
}

/* ---- collecting ---- */

/* Answers of the system, remembered while one walk lasts. */
struct collector {
    uint64_t freed;
    uint32_t token[CACHE], cohort[CACHE];
    bool token_dead[CACHE], cohort_dead[CACHE];
};

static bool
creator_is_dead(shmkit_arena *arena, struct collector *all, uint32_t token)
{
    uint32_t i = token % CACHE;

    if (all->token[i] != token || token == 0) {
        all->token_dead[i] = shmkiti_token_is_dead(arena, token);
        all->token[i] = token;
    }
    return all->token_dead[i];
}

static bool
cohort_is_dead(shmkit_arena *arena, struct collector *all, uint32_t cohort)
{
    uint32_t i = cohort % CACHE;

    if (all->cohort[i] != cohort || cohort == 0) {
        all->cohort_dead[i] =
            shmkiti_cohort_verdict(arena, cohort) == SHMKITI_DEAD;
        all->cohort[i] = cohort;
    }
    return all->cohort_dead[i];
}

static int
collect_chunk(shmkit_arena *arena, uint64_t chunk, uint64_t word, void *arg)
{
    const struct shmkiti_chunk *header = shmkiti_chunk_at(arena, chunk);
    unsigned state = shmkiti_word_state(word);
    struct collector *all = arg;

    if (state == SHMKITI_CHUNK_USED) {
        if (!creator_is_dead(arena, all, header->token))
            return 0;
    } else if (state != SHMKITI_CHUNK_RETIRED) {
        return 0;
    }
    if (!cohort_is_dead(arena, all, header->cohort))
        return 0;
    all->freed += shmkiti_class_size(shmkiti_word_class(word));
    shmkiti_heap_give(arena, chunk);
    return 0;
}

uint64_t
shmkiti_heap_collect(shmkit_arena *arena)
{
    struct collector all;

    memset(&all, 0, sizeof all);
    (void)shmkiti_heap_walk(arena, collect_chunk, &all);
    heap(arena)->retired = 0;
    SHMKITI_FAULT("heap.collect.done");
    return all.freed;
}
