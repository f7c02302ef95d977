/* SPDX-License-Identifier: MIT */
/* arena.h - a growable shared region in which objects live.
 *
 * An arena is one file in /dev/shm with a header.  Every process that uses it
 * is a participant with an owner token, a number that is never used again, so
 * that locks name their owner and the kernel tells whether he lives.
 * Objects are known by their offset, never by a pointer.
 *
 * Threads: every function from any thread at any time; a handle may be shared
 * by threads as long as none closes it while another uses it.  Processes:
 * after fork() the child uses the handle it inherited, and registers itself at
 * its first use.  Signals: nothing here may be called in a handler.
 * Kills: a process killed anywhere leaves the arena usable; what it held is
 * given back by the next who needs it. */
#ifndef SHMKIT_ARENA_H
#define SHMKIT_ARENA_H

#include <shmkit/api.h>
#include <shmkit/block.h>

SHMKIT_BEGIN

typedef struct shmkit_arena shmkit_arena;

struct shmkit_arena_options {
    size_t struct_size; /* sizeof(struct shmkit_arena_options) */
    uint32_t flags;     /* SHMKIT_EXIST_OK, SHMKIT_NO_HUGE, or 0 */
    uint32_t lifetime;  /* enum shmkit_lifetime; create only */
    uint32_t mode;      /* permission bits, 0600 or more; create only */
    uint32_t reserved;  /* 0 */
    uint64_t span;      /* address space, bytes; 0 = 64 GiB, less where
                         * RLIMIT_AS is smaller */
};
#define SHMKIT_ARENA_OPTIONS_INIT                                        \
    {                                                                    \
        sizeof(struct shmkit_arena_options), 0, SHMKIT_LIFETIME_HOLDERS, \
            0600, 0, 0                                                   \
    }

/* Make arena `name` with room for `size` bytes of objects at first (it grows
 * by itself), or draw a name for NULL.  Errors of shmkit_block_create().
 * With SHMKIT_EXIST_OK attaches one that is there: SHMKIT_EXISTED. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_create(
    const char *name, uint64_t size,
    const struct shmkit_arena_options *options, shmkit_arena **ret_arena);

/* -ENOENT no such block; -EBADMSG not an arena; -EPROTONOSUPPORT an arena of
 * another layout; -EACCES. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_attach(
    const char *name, const struct shmkit_arena_options *options,
    shmkit_arena **ret_arena);

/* Unmap.  Objects, handles and locks in it must not be used any more by this
 * process.  NULL is fine. */
SHMKIT_API void shmkit_arena_close(shmkit_arena *arena);

/* The arena of this process's family: home of unnamed objects, made at its
 * first use.  The library's own: never closed.  About 60 us the first time, a
 * few ns then.  Errors of shmkit_arena_create(). */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_of_family(shmkit_arena **ret_arena);

/* Good until close. */
SHMKIT_API const char *shmkit_arena_get_name(const shmkit_arena *arena);

/* ---- memory ---- */

/* `size` bytes (1 to 1 GiB), zero, aligned to 16 (64 from 256 bytes up); no
 * two allocations share a cache line.  -ENOMEM, -ENOSPC.
 *
 * Who owns it: the process that allocates, and every process that inherits it
 * by fork() or is given it by shmkit_arena_adopt().  Each gives it up by
 * shmkit_arena_free(), by exec, exit or being killed; the bytes are used again
 * when all have.  About 30 ns; grows the file now and then. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_alloc(shmkit_arena *arena,
                                               size_t size,
                                               uint64_t *ret_offset);

/* Give up this process's share.  -EINVAL: not an allocation of this arena. */
SHMKIT_API int shmkit_arena_free(shmkit_arena *arena, uint64_t offset);

/* An allocation as a value that another process of the family, or of any
 * other that attached the arena, can adopt.  The sender must keep its own
 * share until the receiver has adopted. */
struct shmkit_ref {
    uint64_t offset;
    uint64_t serial; /* tells an allocation from a later one at its place */
};
SHMKIT_API SHMKIT_CHECK int shmkit_arena_send(shmkit_arena *arena,
                                              uint64_t offset,
                                              struct shmkit_ref *ret_ref);
/* -ESTALE: all owners gave it up before. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_adopt(shmkit_arena *arena,
                                               struct shmkit_ref ref);

/* Address of `size` bytes at `offset`; NULL when they are not all inside the
 * arena's objects.  The address stays good until close: nothing moves. */
SHMKIT_API void *shmkit_arena_at(const shmkit_arena *arena, uint64_t offset,
                                 size_t size);

/* ---- names ---- */

/* What an object is called, and how to make it if it is not there. */
struct shmkit_root {
    const char *name; /* 1 to 39 bytes */
    uint32_t type;    /* a number of the caller's */
    size_t size;      /* bytes */
    /* Fills `size` zero bytes; NULL leaves them.  It may not call the library
     * on this arena. */
    void (*init)(void *object, void *arg);
    void *arg;
};

/* Find the object of that name or, if there is none, allocate, fill and name
 * it, for all at once.  SHMKIT_EXISTED when it was there.  -EEXIST there, but
 * of another type or size; -ENFILE 64 names already; -EINVAL.  Named
 * allocations stay until root_remove() or the arena's end. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_root(shmkit_arena *arena,
                                              const struct shmkit_root *root,
                                              uint64_t *ret_offset);
/* -ENOENT. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_root_find(shmkit_arena *arena,
                                                   const char *name,
                                                   uint32_t type,
                                                   uint64_t *ret_offset,
                                                   uint64_t *ret_size);
SHMKIT_API SHMKIT_CHECK int shmkit_arena_root_remove(shmkit_arena *arena,
                                                     const char *name);

/* ---- looking at it ---- */

struct shmkit_arena_stat {
    uint64_t size;         /* bytes of the file */
    uint64_t span;         /* bytes it may grow to in this process */
    uint64_t used, free;   /* bytes of objects: in use, free for reuse */
    uint64_t allocations;  /* objects alive */
    uint32_t participants; /* living processes that registered */
    uint32_t lanes;        /* threads that hold a lane */
    uint32_t deaths;       /* lanes repaired after their owner's death */
    uint32_t reserved;
};
SHMKIT_API SHMKIT_CHECK int shmkit_arena_get_stat(
    shmkit_arena *arena, struct shmkit_arena_stat *ret_stat);

/* Walk everything.  0 = sound; -EBADMSG = not, and *ret_what (may be NULL), a
 * static string, says what. */
SHMKIT_API SHMKIT_CHECK int shmkit_arena_check(shmkit_arena *arena,
                                               const char **ret_what);

/* Free what only the dead owned; done by itself when the arena would grow.
 * Bytes freed. */
SHMKIT_API uint64_t shmkit_arena_collect(shmkit_arena *arena);

SHMKIT_END

#endif
