/* SPDX-License-Identifier: MIT */
/* table.c - the words of a family's file: one for each of its blocks.
 *
 * In shared memory: page 0 (struct shmkiti_table_shared), then segments of
 * FIRST << k words.  A word is 0 (free) or PEND | tag:31 | inode:32.  A word
 * may stand only in the WINDOW places after its hash, in any segment; so a
 * lookup scans windows, newest segment first, and a free place is free at
 * once: no tombstones.
 *
 * Who writes.  Any member, without a lock, and every change is one CAS of one
 * word: a kill leaves the word there or not, nothing else.
 *     add      0 -> key|PEND       before the name is linked
 *     settle   key|PEND -> key     after it
 *     drop     key -> 0            after the name is gone
 * `segments` goes up by CAS, after the file was made long enough (family.c).
 * Nobody touches a segment before `segments` says so.  `dead`, `kept` and the
 * words of a dead family are a sweeper's alone, under EX on the file, which
 * reads and writes them through its descriptor (sweep.c).
 *
 * Untrusted: `segments` is bounded here, and believed only after the caller
 * has seen the length of the file (`known`).  Words need no trust: a wrong one
 * names an inode that the sweeper compares whole before it acts. */
#include "block/table.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/hash.h"

#define MAGIC UINT64_C(0x79626d6674696b73) /* "skitfmby" */
#define VERSION 1u

/* Builds that disagree about any of this refuse each other. */
static uint32_t
layout(void)
{
    uint64_t x = VERSION;

    x = shmkiti_mix_u64(x ^ sizeof(struct shmkiti_table_shared));
    x = shmkiti_mix_u64(x ^ SHMKITI_TABLE_FIRST);
    x = shmkiti_mix_u64(x ^ SHMKITI_TABLE_WINDOW);
    x = shmkiti_mix_u64(x ^ SHMKITI_TABLE_SEGMENTS);
    x = shmkiti_mix_u64(x ^ SHMKITI_TABLE_KEPT_AT);
    return (uint32_t)x;
}

void
shmkiti_table_init(struct shmkiti_table_shared *shared, uint64_t id)
{
    memset(shared, 0, sizeof *shared);
    shared->magic = MAGIC;
    shared->layout = layout();
    shared->segments = 1;
    shared->id = id;
}

int
shmkiti_table_check(const struct shmkiti_table_shared *shared, uint64_t size)
{
    uint32_t n = shared->segments;

    if (size < SHMKITI_TABLE_OFFSET(1) || shared->magic != MAGIC)
        return -EBADMSG;
    if (shared->layout != layout())
        return -EPROTONOSUPPORT;
    if (n < 1 || n > SHMKITI_TABLE_SEGMENTS || size < SHMKITI_TABLE_OFFSET(n))
        return -EBADMSG;
    if (shared->kept_len > SHMKITI_TABLE_KEPT_SIZE)
        return -EBADMSG;
    return 0;
}

uint64_t
shmkiti_table_key(const struct shmkiti_os_stat *st)
{
    uint64_t tag = st->ino >> 32, key;

    /* tmpfs numbers inodes with 32 bits on many kernels, and wraps. */
    if (st->birth != 0)
        tag = shmkiti_mix_u64((uint64_t)st->birth * UINT64_C(1000000007) ^
                              st->birth_ns);
    key = (tag & UINT64_C(0x7fffffff)) << 32 | (uint32_t)st->ino;
    return key != 0 ? key : UINT64_C(1) << 32;
}

static uint64_t *
segment_words(const struct shmkiti_table *table, uint32_t k)
{
    unsigned char *base = (unsigned char *)table->shared;

    return (uint64_t *)(void *)(base + SHMKITI_TABLE_OFFSET(k));
}

/* The place of `word` number i of its window in segment k. */
static uint64_t *
place(const struct shmkiti_table *table, uint32_t k, uint64_t word, uint32_t i)
{
    uint32_t mask = (SHMKITI_TABLE_FIRST << k) - 1;
    uint32_t at = (uint32_t)shmkiti_mix_u64((uint32_t)word);

    return segment_words(table, k) + ((at + i) & mask);
}

static uint32_t
known(const struct shmkiti_table *table)
{
    return shmkiti_load_acquire_u32(&table->known);
}

/* `n` words from `p` on. */
static uint64_t *
scan(uint64_t *p, uint32_t n, uint64_t word, uint64_t mask)
{
    for (uint32_t i = 0; i < n; i++) {
        if ((shmkiti_load_relaxed_u64(p + i) & mask) == word)
            return p + i;
    }
    return NULL;
}

/* Where `word` stands, comparing only the bits of `mask`; NULL if nowhere.
 * A miss looks at every place, so the window goes in one or two runs. */
static uint64_t *
find(const struct shmkiti_table *table, uint64_t word, uint64_t mask)
{
    for (uint32_t k = known(table); k-- > 0;) {
        uint64_t *first = segment_words(table, k);
        uint64_t *start = place(table, k, word, 0), *p;
        uint32_t left = (SHMKITI_TABLE_FIRST << k) - (uint32_t)(start - first);
        uint32_t n = left < SHMKITI_TABLE_WINDOW ? left : SHMKITI_TABLE_WINDOW;

        p = scan(start, n, word, mask);
        if (p == NULL && n < SHMKITI_TABLE_WINDOW)
            p = scan(first, SHMKITI_TABLE_WINDOW - n, word, mask);
        if (p != NULL)
            return p;
    }
    return NULL;
}

bool
shmkiti_table_has(const struct shmkiti_table *table, uint64_t key)
{
    return find(table, key, ~SHMKITI_PEND) != NULL;
}

bool
shmkiti_table_add(struct shmkiti_table *table, uint64_t word)
{
    for (uint32_t k = known(table); k-- > 0;) {
        for (uint32_t i = 0; i < SHMKITI_TABLE_WINDOW; i++) {
            uint64_t *p = place(table, k, word, i);

            if (shmkiti_load_relaxed_u64(p) == 0 &&
                shmkiti_cas_acq_rel_u64(p, 0, word))
                return true;
        }
    }
    return false;
}

bool
shmkiti_table_replace(struct shmkiti_table *table, uint64_t from, uint64_t to)
{
    uint64_t *p = find(table, from, UINT64_MAX);

    return p != NULL && shmkiti_cas_acq_rel_u64(p, from, to);
}

size_t
shmkiti_table_collect(const struct shmkiti_table *table, uint64_t *words,
                      size_t room)
{
    size_t count = 0;

    for (uint32_t k = known(table); k-- > 0;) {
        const uint64_t *p = segment_words(table, k);

        for (size_t i = 0; i < (size_t)SHMKITI_TABLE_FIRST << k; i++) {
            uint64_t word = shmkiti_load_relaxed_u64(&p[i]);

            if (word == 0)
                continue;
            if (count < room)
                words[count] = word;
            count++;
        }
    }
    return count;
}
