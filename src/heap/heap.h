/* SPDX-License-Identifier: MIT */
/* heap.h - allocation inside the heap layer, and what it shares. */
#ifndef SHMKITI_HEAP_HEAP_H
#define SHMKITI_HEAP_HEAP_H

#include "heap/chunk.h"

/* All below with the heap's lock held (and so the arena's mutex). */

/* A chunk of class `c`, its header USED by this process and `cohort`. -ENOMEM,
 * -ENOSPC, -EBADMSG.  *ret_fresh: its bytes were never used, so are zero. */
int shmkiti_heap_take(shmkit_arena *arena, unsigned c, uint32_t cohort,
                      uint64_t *ret_chunk, bool *ret_fresh);
/* The chunk, in any state, is free from now on. */
void shmkiti_heap_give(shmkit_arena *arena, uint64_t chunk);
/* The state of a chunk becomes another. */
void shmkiti_heap_set_state(shmkit_arena *arena, uint64_t chunk,
                            enum shmkiti_chunk_state state);
/* Free what nobody owns; bytes freed. */
uint64_t shmkiti_heap_collect(shmkit_arena *arena);
/* Header of the object at `offset`: 0 if none is there. */
uint64_t shmkiti_heap_find(const shmkit_arena *arena, uint64_t offset);

/* Walk all chunks below top, in order; a visit that returns non-zero ends it.
 * -EBADMSG: one is damaged. */
typedef int shmkiti_chunk_fn(shmkit_arena *arena, uint64_t chunk,
                             uint64_t word, void *arg);
int shmkiti_heap_walk(shmkit_arena *arena, shmkiti_chunk_fn *visit, void *arg);
/* All free lists anew from the chunks' words. */
void shmkiti_heap_rebuild(shmkit_arena *arena);

/* ---- lock.c: mutex of the process, lock of the arena ---- */

/* Registers, takes the lane, then both.  -EBADMSG and errors of the first
 * use: neither is held. */
int shmkiti_heap_lock(shmkit_arena *arena);
void shmkiti_heap_unlock(shmkit_arena *arena);

/* ---- share.c: what this process owns; mutex held ---- */

/* Number of the cohort that allocations belong to now, and one share more in
 * it.  -ENOMEM. */
int shmkiti_share_new(shmkit_arena *arena, uint32_t *ret_cohort);
/* One share less; false: this process has none. */
bool shmkiti_share_drop(shmkit_arena *arena, uint32_t cohort);
bool shmkiti_share_has(shmkit_arena *arena, uint32_t cohort);
/* Whether others may own a share too: the cohort was pinned. */
bool shmkiti_share_is_pinned(shmkit_arena *arena, uint32_t cohort);
/* Make others' shares possible: lock the cohort's byte, inherited by fork. */
int shmkiti_share_pin(shmkit_arena *arena, uint32_t cohort);
/* A share in a cohort that may be another's: pinned. */
int shmkiti_share_adopt(shmkit_arena *arena, uint32_t cohort);

/* ---- root.c ---- */

/* Repair: what a root names is kept, what none names is free. */
void shmkiti_root_repair(shmkit_arena *arena);
/* What is wrong with the names, NULL = nothing; `kept` chunks are KEPT. */
const char *shmkiti_root_check(const shmkit_arena *arena, uint64_t kept);

#endif
