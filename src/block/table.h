/* SPDX-License-Identifier: MIT */
/* table.h - the words of a family's file: one for each of its blocks. */
#ifndef SHMKITI_BLOCK_TABLE_H
#define SHMKITI_BLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/os.h"

#ifndef SHMKITI_TABLE_FIRST
#define SHMKITI_TABLE_FIRST 512u /* words of segment 0; a power of two */
#endif
#ifndef SHMKITI_TABLE_WINDOW
#define SHMKITI_TABLE_WINDOW 64u /* places after the hash; <= FIRST */
#endif
#define SHMKITI_TABLE_SEGMENTS 13u

#define SHMKITI_TABLE_PAGE 4096u
#define SHMKITI_TABLE_KEPT_AT 256u /* kept names: to the end of page 0 */
#define SHMKITI_TABLE_KEPT_SIZE (SHMKITI_TABLE_PAGE - SHMKITI_TABLE_KEPT_AT)

/* Offset of segment k, and so the length of a file of k segments. */
#define SHMKITI_TABLE_OFFSET(k)                                              \
    (SHMKITI_TABLE_PAGE + (uint64_t)SHMKITI_TABLE_FIRST * sizeof(uint64_t) * \
                              ((UINT64_C(1) << (k)) - 1))
#define SHMKITI_TABLE_SPAN SHMKITI_TABLE_OFFSET(SHMKITI_TABLE_SEGMENTS)

/* A word that stands for a block whose name may not be linked yet. */
#define SHMKITI_PEND (UINT64_C(1) << 63)

/* Page 0, shared by all members of a family and by who sweeps it. */
struct shmkiti_table_shared {
    uint64_t magic;
    uint32_t layout;   /* signature of sizes and constants; see table.c */
    uint32_t segments; /* 1 to SEGMENTS; only grows, by CAS */
    uint32_t dead;     /* 1 once a sweeper has begun; for ever */
    uint32_t kept;     /* names of a zombie at KEPT_AT, 0 = not known */
    uint32_t kept_len; /* their bytes, NULs included */
    uint32_t reserved;
    uint64_t id;
};

_Static_assert(sizeof(struct shmkiti_table_shared) == 40, "shared layout");
_Static_assert(SHMKITI_TABLE_WINDOW <= SHMKITI_TABLE_FIRST, "window");

/* A table mapped here.  `known` is how many segments this process has proved
 * to lie within the file; an atomic that any thread may raise. */
struct shmkiti_table {
    struct shmkiti_table_shared *shared;
    uint32_t known;
};

/* Fill page 0 of a new table, not yet visible to others. */
void shmkiti_table_init(struct shmkiti_table_shared *shared, uint64_t id);

/* Is this the page 0 of a table we understand, `size` bytes long in all?
 * 0, -EBADMSG or -EPROTONOSUPPORT.  `size` must be asked for after `shared`
 * was read, since a table may grow in between. */
int shmkiti_table_check(const struct shmkiti_table_shared *shared,
                        uint64_t size);

/* What a block is known by: 31 bits of its time of birth, 32 of its inode
 * number.  Never 0; PEND is clear. */
uint64_t shmkiti_table_key(const struct shmkiti_os_stat *st);

/* A word for `key` stands, pending or settled. */
bool shmkiti_table_has(const struct shmkiti_table *table, uint64_t key);
/* Put a word in a free place; false when its windows are full. */
bool shmkiti_table_add(struct shmkiti_table *table, uint64_t word);
/* Turn a word that stands into another, 0 to drop it; false if absent. */
bool shmkiti_table_replace(struct shmkiti_table *table, uint64_t from,
                           uint64_t to);

/* Every word that stands in known segments, in no order: for scrubbing.
 * Returns how many there are and stores at most `room` of them. */
size_t shmkiti_table_collect(const struct shmkiti_table *table,
                             uint64_t *words, size_t room);

#endif
