/* SPDX-License-Identifier: MIT */
/* chunk.h - the pieces an arena's objects are made of.
 *
 *     chunk = header (16 bytes) | object          up to 255 bytes of object
 *     chunk = header (16 of 64 bytes) | object    from 256 bytes
 * Chunks are multiples of 64 bytes, in classes of four per doubling, and lie
 * one behind the other from SHMKITI_AT_OBJECTS to heap.top; so a walk finds
 * every one.  They are never split or joined. */
#ifndef SHMKITI_HEAP_CHUNK_H
#define SHMKITI_HEAP_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "arena/local.h"

#define SHMKITI_CHUNK_UNIT UINT64_C(64)
#define SHMKITI_HEADER_SMALL UINT64_C(16)
#define SHMKITI_HEADER_BIG UINT64_C(64)
#define SHMKITI_BIG_OBJECT UINT64_C(256)
#define SHMKITI_OBJECT_MAX (UINT64_C(1) << 30)

/* What `word` says, its low byte. */
enum shmkiti_chunk_state {
    SHMKITI_CHUNK_NONE = 0,
    SHMKITI_CHUNK_FREE = 1,
    SHMKITI_CHUNK_USED = 2,    /* its creator has not given it up */
    SHMKITI_CHUNK_RETIRED = 3, /* he has; others of its cohort may not have */
    SHMKITI_CHUNK_KEPT = 4     /* a named object: until the name goes */
};

/* word: { serial : 32 | check : 16 | class : 8 | state : 8 }, the truth about
 * the chunk; one store changes its meaning.  serial counts the times this
 * chunk was handed out.  check depends on where it is, so that the inside of
 * an object is not taken for a header. */
struct shmkiti_chunk {
    uint64_t word;
    uint32_t token, cohort; /* of its creator; valid in USED and RETIRED */
};

/* In the first bytes of a free chunk's object. */
struct shmkiti_free_chunk {
    uint64_t next;
};

/* Smallest class whose chunk holds an object of `size` bytes. */
unsigned shmkiti_class_of(uint64_t size);
/* Bytes of a chunk of class `c`. */
uint64_t shmkiti_class_size(unsigned c);
/* Bytes of header: the same for all objects of a class. */
uint64_t shmkiti_class_header(unsigned c);

static inline struct shmkiti_chunk *
shmkiti_chunk_at(const shmkit_arena *arena, uint64_t chunk)
{
    return shmkiti_arena_ptr(arena, chunk);
}

static inline unsigned
shmkiti_word_state(uint64_t word)
{
    return (unsigned)(word & 0xff);
}

static inline unsigned
shmkiti_word_class(uint64_t word)
{
    return (unsigned)(word >> 8 & 0xff);
}

static inline uint32_t
shmkiti_word_serial(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

uint64_t shmkiti_word_make(uint64_t chunk, uint32_t serial, unsigned c,
                           enum shmkiti_chunk_state state);
/* Whether `word` may stand in the header at `chunk`. */
bool shmkiti_word_is_valid(uint64_t chunk, uint64_t word);

#endif
