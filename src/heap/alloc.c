/* SPDX-License-Identifier: MIT */
/* alloc.c - allocations and who owns them.
 *
 * An object is free for reuse when its creator gave it up or is dead, and
 * nobody holds a share of its cohort (share.c).  While a cohort was never
 * pinned nobody but the creator can have a share, so his free is at once.
 * After that his free only says RETIRED; collect does the rest.
 *
 * A process counts its shares, not its objects: sending an object to oneself
 * gives a second share of it.  Freeing more often than one owns is -EINVAL
 * where it can be seen: no share of the cohort is left, or the object is free.
 *
 * The bytes are cleared outside the locks: nobody else knows the object. */
#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "heap/heap.h"
#include "heap/share.h"

static int
alloc_locked(shmkit_arena *arena, size_t size, uint64_t *ret_chunk,
             bool *ret_fresh)
{
    uint32_t cohort;
    int r;

    r = shmkiti_share_new(arena, &cohort);
    if (r < 0)
        return r;
    r = shmkiti_heap_take(arena, shmkiti_class_of(size), cohort, ret_chunk,
                          ret_fresh);
    if (r < 0)
        (void)shmkiti_share_drop(arena, cohort);
    return r;
}

int
shmkit_arena_alloc(shmkit_arena *arena, size_t size, uint64_t *ret_offset)
{
    uint64_t chunk, header;
    bool fresh;
    int r;

    if (size == 0)
        return -EINVAL;
    if (size > SHMKITI_OBJECT_MAX)
        return -ENOMEM;
    r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    r = alloc_locked(arena, size, &chunk, &fresh);
    shmkiti_heap_unlock(arena);
    if (r < 0)
        return r;
    header = shmkiti_class_header(shmkiti_class_of(size));
    if (!fresh)
        memset(shmkiti_arena_ptr(arena, chunk + header), 0, size);
    *ret_offset = chunk + header;
    return 0;
}

/* Give up one share of what stands at `chunk`. */
static int
free_locked(shmkit_arena *arena, uint64_t chunk)
{
    const struct shmkiti_chunk *header = shmkiti_chunk_at(arena, chunk);
    unsigned state = shmkiti_word_state(header->word);
    uint32_t cohort = header->cohort;
    bool pinned, leaky, mine;

    if (state != SHMKITI_CHUNK_USED && state != SHMKITI_CHUNK_RETIRED)
        return -EINVAL;
    mine = header->token == __atomic_load_n(arena->token, __ATOMIC_RELAXED);
    pinned = shmkiti_share_is_pinned(arena, cohort);
    leaky = shmkiti_share_is_leaky(arena, cohort);
    if (!shmkiti_share_has(arena, cohort) || (!mine && !pinned))
        return -EINVAL;
    if (mine && !pinned) {
        shmkiti_heap_give(arena, chunk);
    } else if (mine && !leaky && state == SHMKITI_CHUNK_USED) {
        shmkiti_heap_set_state(arena, chunk, SHMKITI_CHUNK_RETIRED);
        arena->header->heap.retired++;
        SHMKITI_FAULT("heap.free.retired");
    }
    (void)shmkiti_share_drop(arena, cohort);
    return 0;
}

int
shmkit_arena_free(shmkit_arena *arena, uint64_t offset)
{
    uint64_t chunk;
    int r;

    r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    chunk = shmkiti_heap_find(arena, offset);
    r = chunk == 0 ? -EINVAL : free_locked(arena, chunk);
    shmkiti_heap_unlock(arena);
    return r;
}

/* ---- sending ---- */

static bool
is_owned(unsigned state)
{
    return state == SHMKITI_CHUNK_USED || state == SHMKITI_CHUNK_RETIRED;
}

static int
send_locked(shmkit_arena *arena, uint64_t offset, struct shmkit_ref *ret_ref)
{
    uint64_t chunk = shmkiti_heap_find(arena, offset), word;
    uint32_t cohort;
    int r;

    if (chunk == 0)
        return -EINVAL;
    word = shmkiti_chunk_at(arena, chunk)->word;
    cohort = shmkiti_chunk_at(arena, chunk)->cohort;
    if (!is_owned(shmkiti_word_state(word)) ||
        !shmkiti_share_has(arena, cohort))
        return -EINVAL;
    r = shmkiti_share_pin(arena, cohort);
    if (r < 0)
        return r;
    SHMKITI_FAULT("heap.send.pinned");
    ret_ref->offset = offset;
    ret_ref->serial = (uint64_t)cohort << 32 | shmkiti_word_serial(word);
    return 0;
}

int
shmkit_arena_send(shmkit_arena *arena, uint64_t offset,
                  struct shmkit_ref *ret_ref)
{
    int r;

    r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    r = send_locked(arena, offset, ret_ref);
    shmkiti_heap_unlock(arena);
    return r;
}

/* The byte is locked before the word is looked at, both under the lock under
 * which collect asks for the one and changes the other. */
static int
adopt_locked(shmkit_arena *arena, const struct shmkit_ref *ref)
{
    uint32_t cohort = (uint32_t)(ref->serial >> 32);
    uint64_t chunk = shmkiti_heap_find(arena, ref->offset), word;
    const struct shmkiti_chunk *header;
    int r;

    if (chunk == 0 || cohort == 0)
        return -ESTALE;
    header = shmkiti_chunk_at(arena, chunk);
    word = header->word;
    if (!is_owned(shmkiti_word_state(word)) || header->cohort != cohort ||
        shmkiti_word_serial(word) != (uint32_t)ref->serial)
        return -ESTALE;
    r = shmkiti_share_adopt(arena, cohort);
    SHMKITI_FAULT("heap.adopt.pinned");
    return r;
}

int
shmkit_arena_adopt(shmkit_arena *arena, struct shmkit_ref ref)
{
    int r;

    r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    r = adopt_locked(arena, &ref);
    shmkiti_heap_unlock(arena);
    return r;
}

uint64_t
shmkit_arena_collect(shmkit_arena *arena)
{
    uint32_t count = shmkiti_lane_count(arena);
    uint64_t freed;

    for (uint32_t lane = 0; lane < count; lane++)
        (void)shmkiti_lane_repair(arena, lane);
    if (shmkiti_heap_lock(arena) < 0)
        return 0;
    freed = shmkiti_heap_collect(arena);
    shmkiti_heap_unlock(arena);
    return freed;
}
