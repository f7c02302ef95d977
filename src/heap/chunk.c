/* SPDX-License-Identifier: MIT */
/* chunk.c - sizes of chunks and what their headers say.  No state.
 *
 * Classes: 64, 128, 192, 256, then four per doubling: 320, 384, 448, 512,
 * 640, ... so a chunk is less than a quarter larger than asked.  A chunk of
 * at most 256 bytes has a 16-byte header, so its object is at most 240; an
 * object of 241 to 255 bytes takes the next class with the big header. */
#include "heap/chunk.h"

#include "base/hash.h"

#define LINEAR 4u /* classes of 64, 128, 192, 256 bytes */

uint64_t
shmkiti_class_size(unsigned c)
{
    uint64_t base;

    if (c < LINEAR)
        return (c + 1) * SHMKITI_CHUNK_UNIT;
    base = UINT64_C(256) << ((c - LINEAR) / 4);
    return base + base / 4 * ((c - LINEAR) % 4 + 1);
}

uint64_t
shmkiti_class_header(unsigned c)
{
    return c < LINEAR ? SHMKITI_HEADER_SMALL : SHMKITI_HEADER_BIG;
}

unsigned
shmkiti_class_of(uint64_t size)
{
    uint64_t need = size + SHMKITI_HEADER_SMALL;
    unsigned doubling, quarter;

    if (need <= 256)
        return (unsigned)((need - 1) / SHMKITI_CHUNK_UNIT);
    need = size + SHMKITI_HEADER_BIG;
    doubling = 63u - (unsigned)__builtin_clzll(need - 1);
    quarter = (unsigned)((need - 1) >> (doubling - 2) & 3);
    return LINEAR + (doubling - 8) * 4 + quarter;
}

static uint64_t
check_of(uint64_t chunk, unsigned c)
{
    return shmkiti_mix_u64(chunk ^ (uint64_t)c << 56) >> 48;
}

uint64_t
shmkiti_word_make(uint64_t chunk, uint32_t serial, unsigned c,
                  enum shmkiti_chunk_state state)
{
    return (uint64_t)serial << 32 | check_of(chunk, c) << 16 |
           (uint64_t)c << 8 | (uint64_t)state;
}

bool
shmkiti_word_is_valid(uint64_t chunk, uint64_t word)
{
    unsigned c = shmkiti_word_class(word), state = shmkiti_word_state(word);

    return c < SHMKITI_CLASSES && state >= SHMKITI_CHUNK_FREE &&
           state <= SHMKITI_CHUNK_KEPT &&
           (word >> 16 & 0xffff) == check_of(chunk, c);
}
