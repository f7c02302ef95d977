/* SPDX-License-Identifier: MIT */
/* lock.c - the heap's two locks, and its step when a lane is repaired.
 *
 * First the arena's mutex, which guards what this process owns and which
 * fork() holds; then heap.lock of the arena.  A thread has its lane before it
 * takes either, because taking one may need the mutex.
 *
 * Repair, as the dead lane: lists anew, names and chunks agree again, then
 * release.  It takes no mutex: only shared bytes are touched. */
#include "base/fault.h"
#include "heap/heap.h"
#include "heap/share.h"

int
shmkiti_heap_lock(shmkit_arena *arena)
{
    uint32_t lane;
    int r;

    r = shmkiti_lane(arena, &lane);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&arena->local->mutex);
    r = shmkiti_lane_lock(arena, &arena->header->heap.lock, lane);
    if (r < 0)
        (void)pthread_mutex_unlock(&arena->local->mutex);
    return r;
}

void
shmkiti_heap_unlock(shmkit_arena *arena)
{
    shmkiti_lane_unlock(&arena->header->heap.lock);
    (void)pthread_mutex_unlock(&arena->local->mutex);
}

static void
repair(shmkit_arena *arena, uint32_t lane)
{
    uint32_t *lock = &arena->header->heap.lock;

    if (!shmkiti_lane_holds(lock, lane))
        return;
    shmkiti_root_repair(arena);
    SHMKITI_FAULT("heap.repair.roots");
    shmkiti_heap_rebuild(arena);
    shmkiti_lane_unlock(lock);
    SHMKITI_FAULT("heap.repair.released");
}

__attribute__((constructor)) static void
set_up(void)
{
    const struct shmkiti_arena_hooks hooks = {shmkiti_share_close,
                                              shmkiti_share_before_fork,
                                              shmkiti_share_in_child};

    shmkiti_arena_set_hooks(&hooks);
    shmkiti_lane_on_repair(repair);
}
