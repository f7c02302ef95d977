/* SPDX-License-Identifier: MIT */
/* oracle.h - what the crash tests know for certain, kept where no process
 * that dies can take it along, and outside the library under test. */
#ifndef SHMKIT_TESTS_ORACLE_H
#define SHMKIT_TESTS_ORACLE_H

#include <shmkit/shmkit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What must never happen. */
enum t_bad {
    T_BAD_LOST,       /* a held block's name is gone or another's */
    T_BAD_NAMELESS,   /* attach gave an inode that has no name */
    T_BAD_BYTES,      /* bytes that nobody wrote */
    T_BAD_FAMILY,     /* a block of a living family is gone */
    T_BAD_JOIN,       /* a descriptor led to no family, or to another */
    T_BAD_PERSISTENT, /* a persistent block went without an unlink */
    T_BAD_LEFT,       /* a name stands after the one sweep */
    T_BAD_SLOW,       /* a call longer than three seconds */
    T_BAD_RESULT,     /* a result its contract does not name */
    T_BAD_CRASH,      /* a process died of something but SIGKILL */
    T_BAD_COUNT
};

/* What was done, for the summary. */
enum t_did {
    T_DID_KILL,
    T_DID_STOP,
    T_DID_GROUP,
    T_DID_FORK,
    T_DID_SPAWN,
    T_DID_CREATE,
    T_DID_ATTACH,
    T_DID_FOREIGN,
    T_DID_CLOSE,
    T_DID_UNLINK,
    T_DID_GROW,
    T_DID_PERSIST,
    T_DID_SWEEP,
    T_DID_JOIN_FD,
    T_DID_JOIN_ID,
    T_DID_JOIN_GAP,
    T_DID_CHECK,
    T_DID_BUSY,
    T_DID_BEFORE,
    T_DID_COUNT
};

#define T_SET_SIZE (1u << 19)
#define T_PERSISTENT_MAX 4096u

struct t_persistent {
    uint64_t ino;
    char name[24];
};

/* Shared by every process of a storm.  All fields change by single atomic
 * operations, so a kill leaves each either way and nothing in between. */
struct t_oracle {
    uint64_t bad[T_BAD_COUNT];
    uint64_t did[T_DID_COUNT];
    uint64_t longest_ns;
    /* Inodes that somebody has begun to unlink: open addressing, 0 is free.
     * Entered before the act, so whoever misses a name looks here after. */
    uint64_t unlinked[T_SET_SIZE];
    /* Inodes on which persist was begun, and those on which it is done. */
    uint64_t begun[T_PERSISTENT_MAX];
    struct t_persistent done[T_PERSISTENT_MAX];
    uint32_t done_count;
    uint32_t loose; /* names may go to anybody: do not look for any */
    uint32_t big;   /* sizes about 2 MiB; every word is filled and looked at */
};

extern struct t_oracle *t_oracle;

/* A new one of `extra` more bytes (returned through ret_extra), in a memfd
 * whose descriptor, not close-on-exec, exec'ed programs are given.  Maps it
 * here. */
int t_oracle_make(size_t extra, void **ret_extra);
void t_oracle_map(int fd, size_t extra, void **ret_extra);
/* Forget unlinked and persistent inodes: only when everybody is dead. */
void t_oracle_reset(void);
void t_oracle_forget_persistent(void);

void t_did(enum t_did what);
/* Count a violation and say on stderr what was seen. */
void t_bad(enum t_bad what, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t t_bad_total(void);
/* One line on a terminal, rewritten; a full table at the end. */
void t_progress(const char *test, uint64_t kills, uint64_t wanted);
void t_summary(const char *test, uint64_t seed);

/* Names of violations, for tests that expect one. */
const char *t_bad_name(enum t_bad what);

void t_mark_unlinked(uint64_t ino);
bool t_is_unlinked(uint64_t ino);
void t_mark_persist_begun(uint64_t ino);
void t_mark_persist_done(uint64_t ino, const char *name);
/* At the end, everybody dead and one sweep made: entries of /dev/shm that
 * nothing excuses are T_BAD_LEFT; persistent ones are removed.  With letters
 * in `but` it is a first look: names that begin with one of them may be there
 * still, and nothing is removed. */
void t_check_left(const char *when, const char *but);
unsigned t_count_left(void);

/* ---- chance, per thread ---- */

void t_seed(uint64_t seed);
uint64_t t_random(void);
/* 0 .. n-1 */
unsigned t_pick(unsigned n);
/* true once in n */
bool t_one_in(unsigned n);

/* ---- delays and clocks ---- */

/* Set both hooks of the library to a random delay: nothing, a yield, or a
 * sleep of up to half a millisecond, now and then of some more. */
void t_delays_on(void);
void t_delays_off(void);
uint64_t t_now_ns(void);
/* Around one call of the library: what it took, the injected sleeps left out,
 * must stay under 3 s (times T_TIMEOUT_FACTOR).  `stopped` points to
 * nanoseconds this process has been stopped by the test, or is NULL. */
void t_call_begin(const uint64_t *stopped);
void t_call_end(const char *what);

/* ---- holding a block ---- */

struct t_hold {
    shmkit_block *block;
    uint64_t ino;
    bool loose;   /* its name may be unlinked by name: do not look for it */
    bool partial; /* not a shared view of the whole block */
    char name[32];
};

/* Inode behind the mapping at `addr`, from /proc/self/maps. */
uint64_t t_inode_of(const void *addr);
/* Inode that `name` has in /dev/shm, 0 if none. */
uint64_t t_inode_named(const char *name);
/* Fill `hold` for a fresh handle and check it; `attached` chooses which
 * violation a missing name is.  Writes the pattern if it may. */
void t_hold_begin(struct t_hold *hold, shmkit_block *block, bool attached);
void t_hold_check(const struct t_hold *hold);
/* A new block, from end to end: only zeros or its pattern; then all pattern.
 */
void t_hold_fill(const struct t_hold *hold);
/* Every word of a block is 0 or this. */
uint64_t t_pattern(uint64_t ino);

/* Wait for children that have ended, without waiting for others; a death by
 * anything but SIGKILL, or a non-zero exit, is T_BAD_CRASH.  Returns how
 * many. */
unsigned t_reap_children(void);
/* One sweep by a fresh process of no family: of everything, or of dead
 * families only, as every foreign attach makes it. */
void t_sweep_once(void);
void t_sweep_families_once(void);

#endif
