/* SPDX-License-Identifier: MIT */
/* local.h - what this process remembers of an open arena. */
#ifndef SHMKITI_ARENA_LOCAL_H
#define SHMKITI_ARENA_LOCAL_H

#include <pthread.h>
#include <shmkit/block.h>

#include "arena/arena.h"
#include "arena/layout.h"

struct shmkiti_arena_local {
    struct shmkiti_arena_local *next; /* in the list of open arenas */
    shmkit_arena *arena;
    shmkit_block *block; /* keeps the file alive as its lifetime says */
    uint64_t serial;     /* no other handle of this process has it */
    uint64_t span;       /* bytes mapped */
    uint64_t limit;      /* bytes of the file, as the system told; atomic */
    uint64_t dev, ino, ns;
    void *pin;          /* keeps the lock that proves us alive */
    uint32_t pin_token; /* whose it is */
    unsigned refs;      /* opens without a close */
    int probe;          /* a descriptor without locks, to ask with; atomic */
    pthread_mutex_t mutex; /* registration and `heap`; held across fork */
    void *heap;            /* the heap layer's */
};

/* ---- open.c ---- */

/* The open arenas of this process, and the lock of the list.  Order: list,
 * then an arena's mutex, then the guard of the block layer. */
void shmkiti_arenas_lock(void);
void shmkiti_arenas_unlock(void);
struct shmkiti_arena_local *shmkiti_arenas_first(void);

/* What the heap does when an arena is closed and when the process forks; all
 * run with the list and the arena's mutex locked.  Set before any use. */
struct shmkiti_arena_hooks {
    void (*close)(shmkit_arena *arena);
    void (*before_fork)(shmkit_arena *arena);
    void (*in_child)(shmkit_arena *arena);
};
void shmkiti_arena_set_hooks(const struct shmkiti_arena_hooks *hooks);

/* ---- file.c ---- */

/* A fresh description of the arena's file; inside the guard.  -ESTALE: it has
 * no name any more, and user code closed the descriptor we kept. */
int shmkiti_arena_open_fresh(shmkit_arena *arena, int *ret_fd);
/* A descriptor to ask and to grow with, looked after; -ESTALE. */
int shmkiti_arena_probe(shmkit_arena *arena, int *ret_fd);
/* Is the descriptor number still our file? */
bool shmkiti_arena_is_file(const shmkit_arena *arena, int fd);
/* Bytes that may be touched: what the header says, bounded by the file. */
uint64_t shmkiti_arena_size(const shmkit_arena *arena);
/* Reserve the file up to `size` bytes (rounded up) and publish.  -ENOSPC,
 * -ENOMEM: more than the span. */
int shmkiti_arena_grow(shmkit_arena *arena, uint64_t size);

/* ---- token.c, lane.c ---- */

/* Of the byte that all who own a share of a cohort lock. */
enum shmkiti_verdict shmkiti_cohort_verdict(shmkit_arena *arena,
                                            uint32_t cohort);

/* Give the token and all lanes of this process back; mutex locked. */
void shmkiti_token_drop(shmkit_arena *arena);
void shmkiti_lanes_drop(shmkit_arena *arena, uint32_t token);
/* How many participants live. */
uint32_t shmkiti_token_count(shmkit_arena *arena);

/* ---- lock.c: a lock whose word names a lane ---- */

/* Never stolen: a dead holder's lane is repaired, and the repair releases.
 * -EBADMSG: the word names nobody. */
int shmkiti_lane_lock(shmkit_arena *arena, uint32_t *word, uint32_t lane);
void shmkiti_lane_unlock(uint32_t *word);
bool shmkiti_lane_holds(const uint32_t *word, uint32_t lane);

static inline void *
shmkiti_arena_ptr(const shmkit_arena *arena, uint64_t offset)
{
    return arena->base + offset;
}

#endif
