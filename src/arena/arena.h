/* SPDX-License-Identifier: MIT */
/* arena.h - what the layers above see of an arena: tokens, lanes, ids.
 *
 * A token is a process image's number in one arena; a lane is a thread's place
 * in it.  Both are had lazily, and a forked child gets new ones. */
#ifndef SHMKITI_ARENA_ARENA_H
#define SHMKITI_ARENA_ARENA_H

#include <shmkit/arena.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define SHMKITI_TOKEN_MASK 0x3fffffffu /* tokens are 1 .. 2^30 - 1 */
#define SHMKITI_LANE_MAX 1024u
#define SHMKITI_LANE_MARKS 8u /* read marks a lane, one cache line */
#define SHMKITI_ORPHANS 64u

/* The hot part comes first: one line. */
struct shmkit_arena {
    const uint32_t *token; /* in a page that fork wipes: 0 = not registered */
    uint32_t slow; /* not 0: no short cuts in <shmkit/sync.h>; see src/sync */
    uint32_t reserved;
    char *base;
    struct shmkiti_arena_header *header;
    struct shmkiti_arena_local *local; /* src/arena/local.h */
};

/* ---- participants ---- */

/* Register this process; idempotent.  -ENOMEM, -EMFILE, ... */
int shmkiti_token_register(shmkit_arena *arena);

/* This process's token.  0: registration failed, *ret_error says why. */
static inline uint32_t
shmkiti_token(shmkit_arena *arena, int *ret_error)
{
    uint32_t token = __atomic_load_n(arena->token, __ATOMIC_RELAXED);

    if (__builtin_expect(token == 0, 0)) {
        int r = shmkiti_token_register(arena);

        if (r < 0) {
            *ret_error = r;
            return 0;
        }
        token = __atomic_load_n(arena->token, __ATOMIC_RELAXED);
    }
    return token;
}

enum shmkiti_verdict {
    SHMKITI_ALIVE,
    SHMKITI_DEAD,   /* proved by the kernel */
    SHMKITI_UNKNOWN /* cannot be told: treat as alive */
};
/* About 0.3 us alive, 0.8 us dead, 7 us for one that is just dying.  Own
 * token: ALIVE. */
enum shmkiti_verdict shmkiti_token_verdict(shmkit_arena *arena,
                                           uint32_t token);
static inline bool
shmkiti_token_is_dead(shmkit_arena *arena, uint32_t token)
{
    return shmkiti_token_verdict(arena, token) == SHMKITI_DEAD;
}
/* For people: 0 and "" where unknown. */
int64_t shmkiti_token_get_pid(shmkit_arena *arena, uint32_t token,
                              char ret_name[16]);

/* A number no other thread of this process has or had, never 0.  A forked
 * child's thread keeps its own; the token tells them apart. */
uint32_t shmkiti_thread_number(void);

/* ---- lanes ---- */

/* This thread's lane, taken at the first call and given back when the thread
 * ends.  A few ns later on.  -EAGAIN: all are taken by the living. */
int shmkiti_lane(shmkit_arena *arena, uint32_t *ret_lane);
/* Lanes 0 .. count-1 have been used at some time; never falls. */
uint32_t shmkiti_lane_count(const shmkit_arena *arena);

/* Words of lane `lane` < shmkiti_lane_count(), each kind an array over all
 * lanes.  owner: 0 or a token, with SHMKITI_LANE_ADOPTED when that token
 * repairs it.  wait and marks: only the owner writes, but for the grant and
 * the repair (src/sync). */
#define SHMKITI_LANE_ADOPTED 0x80000000u
uint32_t *shmkiti_lane_owner(const shmkit_arena *arena, uint32_t lane);
uint64_t *shmkiti_lane_wait(const shmkit_arena *arena, uint32_t lane);
uint64_t *shmkiti_lane_marks(const shmkit_arena *arena, uint32_t lane);

/* wait: { id : 32 | ticket : 30 | state : 2 } */
#define SHMKITI_WAIT_NONE 0u
#define SHMKITI_WAIT_WAITING 1u
#define SHMKITI_WAIT_GRANTED 2u
static inline uint64_t
shmkiti_wait_word(uint32_t id, uint32_t ticket, uint32_t state)
{
    return (uint64_t)id << 32 | (uint64_t)(ticket & SHMKITI_TOKEN_MASK) << 2 |
           state;
}

/* If the lane's owner (or its adopter) is dead: adopt, repair as that lane
 * (a GRANTED wait adds 1 to its orphan word first; wait, marks cleared; every
 * registered step run), free it.  True: repaired by this call. */
bool shmkiti_lane_repair(shmkit_arena *arena, uint32_t lane);

/* What a layer above must put right in a dead lane; called with the lane
 * adopted, must be idempotent.  Registered once, before any arena is used. */
typedef void shmkiti_repair_fn(shmkit_arena *arena, uint32_t lane);
void shmkiti_lane_on_repair(shmkiti_repair_fn *step);

/* ---- ids and orphans ---- */

/* A fresh id, never 0. */
uint32_t shmkiti_arena_new_id(shmkit_arena *arena);
/* Counts grants that died with their waiter, by id modulo SHMKITI_ORPHANS. */
uint32_t *shmkiti_arena_orphan(const shmkit_arena *arena, uint32_t id);

#endif
