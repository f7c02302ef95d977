/* SPDX-License-Identifier: MIT */
/* open.c - making, finding and leaving an arena.
 *
 * The file is a block like any other, made whole before it has a name, and
 * removed as its lifetime says: the block's handle keeps it.  Beside the
 * handle's mapping the arena maps the same file once more, over a span of
 * address space into which the file grows, so that no object ever moves.
 * That mapping carries no lock: it keeps bytes, not names.
 *
 * One handle a process and file: opening an arena twice counts, because the
 * token and the shares of allocations belong to the process.  All open arenas
 * stand in a list, for fork and for threads that end.
 *
 * Locks: `list`, then an arena's mutex, then the guard of the block layer.
 * fork() takes the list and all mutexes, so that a child finds nothing half
 * done.  The child keeps the handles; its token page reads 0, and the pin was
 * not inherited.
 *
 * Kills: before the name there is no file; after it the header is whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena/local.h"
#include "base/fault.h"
#include "base/trace.h"
#include "block/block.h"
#include "os/os.h"

#define SPAN (UINT64_C(64) << 30)
#define SPAN_EMULATED (UINT64_C(64) << 20)
#define SPAN_SHARE 4 /* of RLIMIT_AS, at most one in so many */
#define OBJECTS_MIN (UINT64_C(64) << 10)
#define OBJECTS_MAX (UINT64_C(1) << 40)
#define TRIES 100

/* Handle and what belongs to it, one allocation. */
struct opened {
    _Alignas(64) shmkit_arena arena;
    _Alignas(64) struct shmkiti_arena_local local;
};

static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;
static struct shmkiti_arena_local *first;
static uint64_t last_serial;
static struct shmkiti_arena_hooks hooks;

void
shmkiti_arenas_lock(void)
{
    (void)pthread_mutex_lock(&list);
}

void
shmkiti_arenas_unlock(void)
{
    (void)pthread_mutex_unlock(&list);
}

struct shmkiti_arena_local *
shmkiti_arenas_first(void)
{
    return first;
}

void
shmkiti_arena_set_hooks(const struct shmkiti_arena_hooks *given)
{
    hooks = *given;
}

/* ---- fork ---- */

static void
before_fork(void)
{
    struct shmkiti_arena_local *local;

    shmkiti_arenas_lock();
    for (local = first; local != NULL; local = local->next) {
        (void)pthread_mutex_lock(&local->mutex);
        if (hooks.before_fork != NULL)
            hooks.before_fork(local->arena);
    }
}

static void
in_parent(void)
{
    struct shmkiti_arena_local *local;

    for (local = first; local != NULL; local = local->next)
        (void)pthread_mutex_unlock(&local->mutex);
    shmkiti_arenas_unlock();
}

static void
in_child(void)
{
    struct shmkiti_arena_local *local;

    for (local = first; local != NULL; local = local->next) {
        local->pin = NULL;
        local->pin_token = 0;
        if (hooks.in_child != NULL)
            hooks.in_child(local->arena);
    }
    in_parent();
}

__attribute__((constructor)) static void
set_up(void)
{
    const struct shmkiti_fork_hooks at_fork = {before_fork, in_parent,
                                               in_child};

    shmkiti_fork_set_hooks(&at_fork);
}

/* ---- the header ---- */

static void
fill_header(void *data, size_t size, void *arg)
{
    struct shmkiti_arena_header *header = data;

    (void)arg;
    header->layout = SHMKITI_ARENA_LAYOUT;
    header->size = size;
    header->heap.top = SHMKITI_AT_OBJECTS;
    header->magic = SHMKITI_ARENA_MAGIC;
}

/* `limit` bytes are there. */
static int
check_header(const struct shmkiti_arena_header *header, uint64_t limit)
{
    if (limit < SHMKITI_AT_OBJECTS)
        return -EBADMSG;
    if (shmkiti_load_acquire_u64(&header->magic) != SHMKITI_ARENA_MAGIC)
        return -EBADMSG;
    if (header->layout != SHMKITI_ARENA_LAYOUT)
        return -EPROTONOSUPPORT;
    if (shmkiti_load_acquire_u64(&header->size) < SHMKITI_AT_OBJECTS)
        return -EBADMSG;
    return 0;
}

/* ---- mapping ---- */

/* As much as there is, down to `least`. */
static int
map_span(struct shmkiti_arena_local *local, int fd, uint64_t least)
{
    uint64_t most = shmkiti_os_address_limit();
    void *base;
    int r;

    if (most != UINT64_MAX && local->span > most / SPAN_SHARE)
        local->span = most / SPAN_SHARE & ~(SHMKITI_ARENA_PAGE - 1);
    if (local->span < least)
        local->span = least;
    for (;;) {
        r = shmkiti_os_map(fd, (size_t)local->span, true, &base);
        if ((r != -ENOMEM && r != -EINVAL) || local->span / 2 < least)
            break;
        /* An emulated address space (valgrind) is smaller, and slow. */
        if (r == -EINVAL && local->span > SPAN_EMULATED)
            local->span = SPAN_EMULATED * 2;
        local->span = local->span / 2 & ~(SHMKITI_ARENA_PAGE - 1);
    }
    if (r == 0)
        local->arena->base = base;
    return r;
}

static int
map_arena(struct shmkiti_arena_local *local)
{
    struct shmkit_block *block = local->block;
    struct shmkiti_os_stat st;
    void *page;
    int r;

    r = shmkiti_handle_reopen(block, true, &local->probe, &st);
    if (r < 0)
        return r;
    SHMKITI_FAULT("arena.open.probed");
    r = map_span(local, local->probe, st.size);
    if (r < 0)
        return r;
    local->limit = st.size < local->span ? st.size : local->span;
    local->arena->header = (void *)local->arena->base;
    r = check_header(local->arena->header, local->limit);
    if (r == 0)
        r = shmkiti_os_map_wiped(&page);
    if (r == 0) {
        local->arena->token = page;
        local->arena->slow = SHMKITI_TRACED(); /* see src/sync/lock.c */
    }
    return r;
}

static void
free_opened(struct shmkiti_arena_local *local)
{
    shmkit_arena *arena = local->arena;

    if (arena->token != NULL)
        shmkiti_os_unpin((void *)(uintptr_t)arena->token);
    if (arena->base != NULL)
        shmkiti_os_unmap(arena->base, (size_t)local->span);
    if (local->probe >= 0 && shmkiti_arena_is_file(arena, local->probe))
        (void)shmkiti_os_close(local->probe);
    (void)pthread_mutex_destroy(&local->mutex);
    free(arena); /* the first member of what was allocated */
}

static int
new_opened(shmkit_block *block, uint64_t span,
           struct shmkiti_arena_local **ret_local)
{
    struct opened *opened = aligned_alloc(64, sizeof *opened);

    if (opened == NULL)
        return -ENOMEM;
    memset(opened, 0, sizeof *opened);
    opened->arena.local = &opened->local;
    opened->local.arena = &opened->arena;
    opened->local.block = block;
    opened->local.dev = block->dev;
    opened->local.ino = block->ino;
    opened->local.span = span == 0 ? SPAN : span;
    opened->local.probe = -1;
    opened->local.refs = 1;
    opened->local.serial = ++last_serial;
    (void)pthread_mutex_init(&opened->local.mutex, NULL);
    *ret_local = &opened->local;
    return 0;
}

/* Make a handle of `block`, whose it becomes.  List locked. */
static int
open_block(shmkit_block *block, uint64_t span, shmkit_arena **ret_arena)
{
    struct shmkiti_arena_local *local;
    int r;

    r = new_opened(block, span, &local);
    if (r < 0)
        return r;
    if (block->fd >= 0)
        r = -EOPNOTSUPP; /* a mapping does not keep a lock here */
    shmkiti_guard_enter();
    if (r == 0)
        r = map_arena(local);
    shmkiti_guard_leave();
    if (r < 0) {
        free_opened(local);
        return r;
    }
    local->next = first;
    first = local;
    *ret_arena = local->arena;
    return 0;
}

/* The same, unless this process has it open: then that. */
static int
open_or_share(shmkit_block *block, uint64_t span, shmkit_arena **ret_arena)
{
    struct shmkiti_arena_local *local = first;
    int r;

    while (local != NULL &&
           (local->dev != block->dev || local->ino != block->ino))
        local = local->next;
    if (local == NULL) {
        r = open_block(block, span, ret_arena);
        if (r < 0)
            (void)shmkit_block_close(block);
        return r;
    }
    local->refs++;
    *ret_arena = local->arena;
    (void)shmkit_block_close(block);
    return 0;
}

/* ---- public ---- */

static int
read_options(const struct shmkit_arena_options *given,
             struct shmkit_arena_options *options,
             struct shmkit_block_options *block)
{
    const struct shmkit_arena_options defaults = SHMKIT_ARENA_OPTIONS_INIT;
    const struct shmkit_block_options plain = SHMKIT_BLOCK_OPTIONS_INIT;

    *options = defaults;
    if (given != NULL && given->struct_size < sizeof *options)
        return -EINVAL;
    if (given != NULL)
        memcpy(options, given, sizeof *options);
    if ((options->flags & ~(uint32_t)(SHMKIT_EXIST_OK | SHMKIT_NO_HUGE)) !=
            0 ||
        options->reserved != 0 || (options->mode & 0600) != 0600 ||
        options->span > SPAN * 1024)
        return -EINVAL;
    options->span &= ~(SHMKITI_ARENA_PAGE - 1);
    *block = plain;
    block->flags = options->flags;
    block->lifetime = options->lifetime;
    block->mode = options->mode;
    return 0;
}

/* Room for the objects and their headers. */
static uint64_t
file_size(uint64_t size)
{
    if (size < OBJECTS_MIN)
        size = OBJECTS_MIN;
    size += size / 8 + SHMKITI_AT_OBJECTS;
    return (size + SHMKITI_ARENA_PAGE - 1) & ~(SHMKITI_ARENA_PAGE - 1);
}

static int
create(const char *name, uint64_t size,
       const struct shmkit_block_options *options, uint64_t span,
       shmkit_arena **ret_arena)
{
    const struct shmkiti_create_hook hook = {fill_header, NULL};
    shmkit_block *block;
    int how, r;

    how =
        shmkiti_create(name, (size_t)file_size(size), options, &hook, &block);
    if (how < 0)
        return how;
    SHMKITI_FAULT("arena.create.named");
    r = open_or_share(block, span, ret_arena);
    return r < 0 ? r : how;
}

int
shmkit_arena_create(const char *name, uint64_t size,
                    const struct shmkit_arena_options *options,
                    shmkit_arena **ret_arena)
{
    struct shmkit_arena_options filled;
    struct shmkit_block_options block;
    int r;

    r = read_options(options, &filled, &block);
    if (r < 0)
        return r;
    if (size > OBJECTS_MAX ||
        (filled.span != 0 && file_size(size) > filled.span))
        return -ENOMEM;
    shmkiti_arenas_lock();
    for (int i = 0; i < TRIES; i++) {
        r = create(name, size, &block, filled.span, ret_arena);
        /* It lost its name in between: a new one may be made. */
        if (r != -ESTALE || name == NULL)
            break;
    }
    shmkiti_arenas_unlock();
    return r;
}

int
shmkit_arena_attach(const char *name,
                    const struct shmkit_arena_options *options,
                    shmkit_arena **ret_arena)
{
    struct shmkit_arena_options filled;
    struct shmkit_block_options plain;
    shmkit_block *block;
    int r;

    r = read_options(options, &filled, &plain);
    if (r < 0)
        return r;
    shmkiti_arenas_lock();
    r = shmkit_block_attach(name, NULL, &block);
    if (r == 0)
        r = open_or_share(block, filled.span, ret_arena);
    shmkiti_arenas_unlock();
    if (r == -ESTALE)
        return -ENOENT;
    return r == -ENODATA ? -EBADMSG : r;
}

static void
close_last(struct shmkiti_arena_local *local)
{
    struct shmkiti_arena_local **link = &first;
    shmkit_block *block = local->block;

    while (*link != local)
        link = &(*link)->next;
    *link = local->next;
    (void)pthread_mutex_lock(&local->mutex);
    if (hooks.close != NULL)
        hooks.close(local->arena);
    shmkiti_token_drop(local->arena);
    (void)pthread_mutex_unlock(&local->mutex);
    SHMKITI_FAULT("arena.close.dropped");
    free_opened(local);
    (void)shmkit_block_close(block);
}

void
shmkit_arena_close(shmkit_arena *arena)
{
    if (arena == NULL)
        return;
    shmkiti_arenas_lock();
    if (--arena->local->refs == 0)
        close_last(arena->local);
    shmkiti_arenas_unlock();
}

const char *
shmkit_arena_get_name(const shmkit_arena *arena)
{
    return shmkit_block_name(arena->local->block);
}

void *
shmkit_arena_at(const shmkit_arena *arena, uint64_t offset, size_t size)
{
    uint64_t end;

    if (offset < SHMKITI_AT_OBJECTS ||
        __builtin_add_overflow(offset, (uint64_t)size, &end) ||
        end > shmkiti_arena_size(arena))
        return NULL;
    return shmkiti_arena_ptr(arena, offset);
}
