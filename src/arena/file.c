/* SPDX-License-Identifier: MIT */
/* file.c - an arena's file as this process reaches it.
 *
 * Descriptors: each process keeps one, the probe, whose description carries no
 * lock, so that it may be asked who has one, and be inherited by fork without
 * harm.  User code may close it (daemons close everything) and its number may
 * then be another file's; so before an answer that matters, and before growth,
 * it is compared with what the arena is, and opened anew by name if need be.
 * A fresh description for a lock is had by name, or through the probe where
 * the name is gone.
 *
 * Size: header.size only grows, by CAS, and never before the file has that
 * many bytes reserved; a kill in between leaves a longer file, which the next
 * grower reserves again at no cost.  The header may lie, so no process touches
 * a byte beyond what the system told it the file has (local.limit). */
#include <errno.h>

#include "arena/local.h"
#include "base/fault.h"
#include "block/block.h"
#include "block/name.h"
#include "block/space.h"
#include "block/sweep.h"
#include "os/os.h"

bool
shmkiti_arena_is_file(const shmkit_arena *arena, int fd)
{
    struct shmkiti_os_stat st;

    return fd >= 0 && shmkiti_os_stat(fd, &st) == 0 &&
           st.dev == arena->local->dev && st.ino == arena->local->ino;
}

/* By name, if that still names our file. */
static int
open_by_name(shmkit_arena *arena, int *ret_fd)
{
    char path[SHMKITI_PATH_SIZE];
    int fd, r;

    shmkiti_name_path(shmkit_block_name(arena->local->block), path);
    r = shmkiti_os_open(path, true, &fd);
    if (r < 0)
        return r;
    if (!shmkiti_arena_is_file(arena, fd)) {
        (void)shmkiti_os_close(fd);
        return -ESTALE;
    }
    *ret_fd = fd;
    return 0;
}

int
shmkiti_arena_open_fresh(shmkit_arena *arena, int *ret_fd)
{
    int probe = __atomic_load_n(&arena->local->probe, __ATOMIC_RELAXED);
    int r;

    r = open_by_name(arena, ret_fd);
    if (r == 0 || (r != -ENOENT && r != -ESTALE))
        return r;
    if (!shmkiti_arena_is_file(arena, probe))
        return -ESTALE;
    r = shmkiti_os_reopen(probe, ret_fd);
    return r == -ENOENT ? -ESTALE : r;
}

int
shmkiti_arena_probe(shmkit_arena *arena, int *ret_fd)
{
    int *probe = &arena->local->probe;
    int old = __atomic_load_n(probe, __ATOMIC_RELAXED), fd, r;

    if (shmkiti_arena_is_file(arena, old)) {
        *ret_fd = old;
        return 0;
    }
    r = open_by_name(arena, &fd);
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r;
    /* Another thread was quicker: use its.  The old number is not closed, it
     * is somebody else's by now. */
    if (!__atomic_compare_exchange_n(probe, &old, fd, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED)) {
        (void)shmkiti_os_close(fd);
        fd = old;
    }
    *ret_fd = fd;
    return 0;
}

/* The file's length now, remembered as what may be touched. */
static uint64_t
learn_limit(const shmkit_arena *arena)
{
    struct shmkiti_arena_local *local = arena->local;
    uint64_t limit = shmkiti_load_relaxed_u64(&local->limit);
    struct shmkiti_os_stat st;
    int fd;

    if (shmkiti_arena_probe(local->arena, &fd) == 0 &&
        shmkiti_os_stat(fd, &st) == 0 && st.ino == local->ino &&
        st.size > limit) {
        limit = st.size < local->span ? st.size : local->span;
        shmkiti_store_relaxed_u64(&local->limit, limit);
    }
    return limit;
}

uint64_t
shmkiti_arena_size(const shmkit_arena *arena)
{
    uint64_t size = shmkiti_load_acquire_u64(&arena->header->size);
    uint64_t limit = shmkiti_load_relaxed_u64(&arena->local->limit);

    if (size > limit && limit < arena->local->span)
        limit = learn_limit(arena);
    return size < limit ? size : limit;
}

/* What dead families have left may be all the space there is. */
static int
reserve(int fd, uint64_t from, uint64_t to)
{
    struct shmkiti_sweep sweep = {0};
    int r = shmkiti_space_reserve(fd, from, to);

    if (r != -ENOSPC)
        return r;
    shmkiti_guard_enter();
    (void)shmkiti_sweep_all(&sweep);
    shmkiti_guard_leave();
    return shmkiti_space_reserve(fd, from, to);
}

int
shmkiti_arena_grow(shmkit_arena *arena, uint64_t size)
{
    uint64_t now = shmkiti_load_acquire_u64(&arena->header->size);
    int fd, r;

    size = (size + SHMKITI_ARENA_PAGE - 1) & ~(SHMKITI_ARENA_PAGE - 1);
    if (now < SHMKITI_AT_OBJECTS)
        return -EBADMSG;
    if (size > arena->local->span)
        return -ENOMEM;
    if (size <= now)
        return 0;
    r = shmkiti_arena_probe(arena, &fd);
    if (r == 0)
        r = reserve(fd, now, size);
    if (r < 0)
        return r;
    SHMKITI_FAULT("arena.grow.reserved");
    while (now < size &&
           !shmkiti_cas_acq_rel_u64(&arena->header->size, now, size))
        now = shmkiti_load_acquire_u64(&arena->header->size);
    SHMKITI_FAULT("arena.grow.published");
    (void)learn_limit(arena);
    return 0;
}
