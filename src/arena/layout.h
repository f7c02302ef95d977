/* SPDX-License-Identifier: MIT */
/* layout.h - the bytes of an arena's file.
 *
 *     0        header          4 KiB
 *     4 KiB    names           64 of 64 bytes
 *     8 KiB    lane owners     u32 x 1024
 *     12 KiB   lane waits      u64 x 1024
 *     20 KiB   lane marks      64 bytes x 1024
 *     84 KiB   participants    32 bytes x 1024
 *     128 KiB  objects
 * Everything here is untrusted: whoever may write the file may write anything
 * into it at any time.  So numbers are read once, bounded, then used. */
#ifndef SHMKITI_ARENA_LAYOUT_H
#define SHMKITI_ARENA_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "arena/arena.h"

#define SHMKITI_ARENA_MAGIC UINT64_C(0x00616e657261736b) /* "ksarena" */
#define SHMKITI_ARENA_LAYOUT UINT64_C(0x0000000100000001)
#define SHMKITI_ROOTS 64u
#define SHMKITI_ROOT_NAME 40u /* with its NUL */
#define SHMKITI_CLASSES 104u
#define SHMKITI_PARTICIPANTS 1024u
#define SHMKITI_ARENA_PAGE UINT64_C(4096)

#define SHMKITI_AT_ROOTS UINT64_C(4096)
#define SHMKITI_AT_OWNERS UINT64_C(8192)
#define SHMKITI_AT_WAITS UINT64_C(12288)
#define SHMKITI_AT_MARKS UINT64_C(20480)
#define SHMKITI_AT_PARTICIPANTS UINT64_C(86016)
#define SHMKITI_AT_OBJECTS UINT64_C(131072)

/* Far bytes of the file: a lock on one says that somebody lives. */
#define SHMKITI_BYTE_COHORT (UINT64_C(1) << 60)
#define SHMKITI_BYTE_TOKEN (UINT64_C(1) << 61)

/* What the heap keeps; only the holder of `lock` writes it. */
struct shmkiti_heap_header {
    uint32_t lock;                  /* lane lock */
    uint32_t cohorts;               /* numbers given out */
    uint64_t top;                   /* offset of the first byte never used */
    uint64_t retired;               /* chunks in that state, a hint */
    uint64_t chunks;                /* chunks below top, a hint */
    uint64_t list[SHMKITI_CLASSES]; /* first free chunk of a class, or 0 */
};

struct shmkiti_arena_header {
    uint64_t magic, layout;
    uint64_t size; /* bytes of the file that may be used; only grows, by CAS */
    uint32_t next_token, next_id, lanes, deaths; /* atomic counters */
    uint64_t reserved[3];
    uint32_t orphan[SHMKITI_ORPHANS]; /* atomic counters */
    struct shmkiti_heap_header heap;
};

/* Only the holder of the heap's lock writes it; `offset` != 0 is valid. */
struct shmkiti_root {
    uint64_t offset, size;
    uint32_t type, reserved;
    char name[SHMKITI_ROOT_NAME];
};

/* Written by the process whose token it is.  Claimed by CAS of `token` to the
 * own one with SHMKITI_LANE_ADOPTED, complete when that bit is off. */
struct shmkiti_participant {
    uint32_t token, reserved;
    uint64_t pid, ns;
    uint64_t reserved2;
};

static_assert(sizeof(struct shmkiti_arena_header) <= SHMKITI_ARENA_PAGE,
              "the header is one page");
static_assert(sizeof(struct shmkiti_root) == 64, "a name is one line");
static_assert(sizeof(struct shmkiti_participant) == 32, "layout");
static_assert(SHMKITI_AT_PARTICIPANTS +
                      SHMKITI_PARTICIPANTS *
                          sizeof(struct shmkiti_participant) <=
                  SHMKITI_AT_OBJECTS,
              "participants end before the objects");

#endif
