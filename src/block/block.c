/* SPDX-License-Identifier: MIT */
/* block.c - handles: mapping, asking, growing, closing.
 *
 * A handle is process-local and never changes after it was made, so threads
 * share it without locks; only close() ends it.  It exists in two kinds:
 *     own      listed in a family of this process.  It carries no lock: the
 *              family's mapping keeps everything of the family alive.
 *     held     everything else (foreign, holders, persistent).  Its mapping
 *              carries SH, so closing it ends with a look for the sticky bit;
 *              it stands in the holder list for the exit of the process.
 * Where a mapping does not keep the locks of its description (overlayfs), the
 * descriptor stays open in the handle instead.
 *
 * Sizes come from the fstat of the descriptor that is mapped, never from
 * shared bytes; the library itself does not touch the mapped bytes, and pages
 * them in through madvise, which returns errors. */
#include "block/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "block/family.h"
#include "block/name.h"
#include "block/pages.h"
#include "block/reap.h"
#include "block/space.h"
#include "block/sweep.h"
#include "block/table.h"

#define ALL_FLAGS 0xffu

static bool
both(uint32_t flags, uint32_t pair)
{
    return (flags & pair) == pair;
}

static bool
contradict(const struct shmkit_block_options *options)
{
    uint32_t flags = options->flags;

    return both(flags, SHMKIT_HUGE | SHMKIT_NO_HUGE) ||
           both(flags, SHMKIT_HUGE | SHMKIT_SPARSE) ||
           both(flags, SHMKIT_PRIVATE | SHMKIT_READ_ONLY) ||
           (options->placement == 0) != (options->nodes == 0);
}

int
shmkiti_options_read(const struct shmkit_block_options *given,
                     struct shmkit_block_options *ret_options)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;

    if (given != NULL && given->struct_size < sizeof options)
        return -EINVAL;
    if (given != NULL)
        memcpy(&options, given, sizeof options);
    if ((options.flags & ~(uint32_t)ALL_FLAGS) != 0 ||
        options.lifetime > SHMKIT_LIFETIME_PERSISTENT ||
        options.placement > SHMKIT_PLACEMENT_INTERLEAVE ||
        contradict(&options))
        return -EINVAL;
    /* Its owner must be able to open it, or nobody could clean it up. */
    if ((options.mode & ~0777u) != 0 || (options.mode & 0400) == 0)
        return -EINVAL;
    *ret_options = options;
    return 0;
}

int
shmkiti_handle_new(const char *name, uint32_t flags, shmkit_block **ret_block)
{
    shmkit_block *block = malloc(sizeof *block);

    if (block == NULL)
        return -ENOMEM;
    memset(block, 0, sizeof *block);
    block->fd = -1;
    block->flags = flags;
    if (name != NULL)
        memcpy(block->name, name, strlen(name) + 1);
    *ret_block = block;
    return 0;
}

/* Asked once per file system, which nearly always is the same one. */
static bool
mapping_pins(int fd, uint64_t dev)
{
    static uint64_t pinning_dev; /* one that is known to pin; 0 none yet */

    if (shmkiti_load_relaxed_u64(&pinning_dev) == dev + 1)
        return true;
    if (!shmkiti_os_mapping_pins(fd))
        return false;
    shmkiti_store_relaxed_u64(&pinning_dev, dev + 1);
    return true;
}

/* The mapping itself: from a page on, which the user may not have asked for.
 */
static void *
mapping_start(const shmkit_block *block)
{
    return (unsigned char *)block->addr - block->delta;
}

void
shmkiti_handle_close_fd(shmkit_block *block)
{
    if (block->fd >= 0 &&
        shmkiti_os_is_file(block->fd, block->dev, block->ino))
        (void)shmkiti_os_close(block->fd);
    block->fd = -1;
}

static void
unmap(shmkit_block *block)
{
    shmkiti_handle_close_fd(block);
    if (block->addr != NULL)
        shmkiti_os_unmap(mapping_start(block), block->delta + block->size);
    block->addr = NULL;
}

int
shmkiti_handle_map_over(shmkit_block *block)
{
    return shmkiti_os_map_over(mapping_start(block),
                               block->delta + block->size);
}

/* Which bytes the options ask for: fills size, delta and `part`. */
static int
choose_part(shmkit_block *block, const struct shmkiti_os_stat *st,
            const struct shmkit_block_options *options,
            struct shmkiti_os_part *part)
{
    uint64_t length = options->length, end;
    size_t page = shmkiti_os_page_size();

    if (options->offset >= st->size)
        return options->offset == 0 ? -ENODATA : -ERANGE;
    if (length == 0)
        length = st->size - options->offset;
    if (__builtin_add_overflow(options->offset, length, &end) ||
        end > st->size)
        return -ERANGE;
    block->delta = (size_t)(options->offset & (page - 1));
    if (length > SIZE_MAX - block->delta)
        return -ENOMEM;
    block->size = (size_t)length;
    block->part = length != st->size;
    part->offset = options->offset - block->delta;
    part->len = block->delta + block->size;
    return 0;
}

static int
map_part(shmkit_block *block, int fd, const struct shmkiti_os_stat *st,
         const struct shmkit_block_options *options)
{
    struct shmkiti_os_part part = {0};
    void *start;
    int r;

    r = choose_part(block, st, options, &part);
    if (r < 0)
        return r;
    part.writable = (block->flags & SHMKIT_READ_ONLY) == 0;
    part.private_copy = (block->flags & SHMKIT_PRIVATE) != 0;
    if (part.len >= SHMKITI_HUGE_SIZE)
        part.align = (size_t)SHMKITI_HUGE_SIZE;
    r = shmkiti_os_map_part(fd, &part, &start);
    if (r == 0)
        block->addr = (unsigned char *)start + block->delta;
    return r;
}

int
shmkiti_handle_map(shmkit_block *block, int fd,
                   const struct shmkiti_os_stat *st,
                   const struct shmkit_block_options *options)
{
    int r;

    r = map_part(block, fd, st, options);
    if (r < 0)
        return r;
    block->dev = st->dev;
    block->ino = st->ino;
    block->key = shmkiti_table_key(st);
    block->mode = st->mode & 0777u;
    block->sticky = st->sticky;
    if (!mapping_pins(fd, st->dev))
        r = shmkiti_os_duplicate(fd, &block->fd);
    if (r < 0)
        unmap(block);
    return r;
}

int
shmkiti_handle_page_in(shmkit_block *block, uint32_t flags)
{
    void *start = mapping_start(block);
    size_t len = block->delta + block->size;
    bool writable = (flags & (SHMKIT_READ_ONLY | SHMKIT_PRIVATE)) == 0;
    int r = 0;

    if ((flags & SHMKIT_PREFAULT) != 0)
        r = shmkiti_os_populate(start, len, writable);
    /* EFAULT: somebody shortened the file; EINVAL: a kernel without it. */
    if (r == -EFAULT)
        r = -ENOSPC;
    if (r == -EINVAL)
        r = 0;
    if (r == 0 && (flags & SHMKIT_LOCKED) != 0)
        r = shmkiti_os_lock_memory(start, len);
    return r;
}

void
shmkiti_handle_drop(shmkit_block *block)
{
    unmap(block);
    free(block);
}

void
shmkiti_after_drop(const char *name, uint64_t key, bool was_sticky)
{
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;

    shmkiti_name_path(name, path);
    if (shmkiti_os_stat_path(path, &st) < 0 || !st.sticky ||
        shmkiti_table_key(&st) != key)
        return;
    switch (shmkiti_reap(name, key)) {
        case SHMKITI_REAP_REMOVED:
            /* It may have been what a dead family waited for, and was if a
             * sweeper made it sticky under us. */
            if (was_sticky)
                shmkiti_sweep_limited();
            else
                shmkiti_sweep_families(NULL);
            break;
        case SHMKITI_REAP_LIVE:
            shmkiti_late_add(name, key);
            break;
        case SHMKITI_REAP_GONE:
        case SHMKITI_REAP_NOT_MINE:
        case SHMKITI_REAP_DENIED:
            break;
    }
}

shmkit_block *
shmkit_block_close(shmkit_block *block)
{
    bool held;

    if (block == NULL)
        return NULL;
    shmkiti_guard_enter();
    held = shmkiti_holder_remove(block);
    unmap(block);
    SHMKITI_FAULT("block.close.unmapped");
    if (held)
        shmkiti_after_drop(block->name, block->key, block->sticky);
    shmkiti_late_retry();
    shmkiti_guard_leave();
    free(block);
    return NULL;
}

/* ---- by the handle's name ---- */

int
shmkiti_handle_reopen(const shmkit_block *block, bool writable, int *ret_fd,
                      struct shmkiti_os_stat *ret_st)
{
    char path[SHMKITI_PATH_SIZE];
    int fd, r;

    shmkiti_name_path(block->name, path);
    r = shmkiti_os_open(path, writable, &fd);
    if (r < 0)
        return r == -ENOENT || r == -ELOOP || r == -EISDIR ? -ESTALE : r;
    r = shmkiti_os_stat(fd, ret_st);
    if (r == 0 && (ret_st->nlink == 0 || ret_st->dev != block->dev ||
                   shmkiti_table_key(ret_st) != block->key))
        r = -ESTALE;
    if (r < 0) {
        (void)shmkiti_os_close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int
shmkit_block_open_fd(const shmkit_block *block, int *ret_fd)
{
    struct shmkiti_os_stat st;
    int r;

    shmkiti_guard_enter();
    r = shmkiti_handle_reopen(block, (block->flags & SHMKIT_READ_ONLY) == 0,
                              ret_fd, &st);
    shmkiti_guard_leave();
    return r;
}

/* ---- 2 MiB pages ---- */

int
shmkit_block_get_huge(const shmkit_block *block, uint64_t *ret_bytes)
{
    unsigned char *start = mapping_start(block);
    size_t len = block->delta + block->size;
    int r = 0;

    /* One page of each piece: a big page is mapped whole by it.  Holes are
     * left alone, or the look would fill them. */
    for (size_t at = 0; r == 0 && at < len; at += (size_t)SHMKITI_HUGE_SIZE) {
        if (shmkiti_os_is_resident(start + at))
            r = shmkiti_os_populate(start + at, 1, false);
    }
    return r < 0 ? r : shmkiti_os_count_huge(start, ret_bytes);
}

/* ---- grow ---- */

static int
lengthen(int fd, size_t size, uint32_t flags, struct shmkiti_os_stat *st)
{
    int r;

    if (size <= st->size)
        return 0;
    /* Sparse: the last byte alone.  Setting the length might shorten what
     * another grower has just made longer. */
    r = shmkiti_space_reserve(
        fd, (flags & SHMKIT_SPARSE) != 0 ? size - 1 : st->size, size);
    SHMKITI_FAULT("block.grow.reserved");
    if (r < 0)
        return r;
    return shmkiti_os_stat(fd, st);
}

/* A second mapping of the same kind as the first.  The old handle still holds
 * what has to be held, so SH on the new description is not refused: no
 * remover can be inside. */
static int
map_again(const shmkit_block *block, int fd, const struct shmkiti_os_stat *st,
          shmkit_block **ret_block)
{
    struct shmkit_block_options whole = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *grown = NULL;
    int r = 0;

    if (!block->own)
        r = shmkiti_os_lock_shared(fd);
    if (r == 0)
        r = shmkiti_handle_new(block->name, block->flags, &grown);
    if (r < 0)
        return r == -EWOULDBLOCK ? -EBUSY : r;
    grown->own = block->own;
    grown->drawn = block->drawn;
    r = shmkiti_handle_map(grown, fd, st, &whole);
    if (r < 0) {
        shmkiti_handle_drop(grown);
        return r;
    }
    if (!grown->own)
        shmkiti_holder_add(grown);
    *ret_block = grown;
    return 0;
}

static int
grow(shmkit_block *block, size_t size, shmkit_block **ret_block)
{
    bool writable = (block->flags & SHMKIT_READ_ONLY) == 0;
    struct shmkiti_os_stat st;
    int fd, r;

    r = shmkiti_handle_reopen(block, writable, &fd, &st);
    if (r < 0)
        return r;
    if (size > st.size && !writable)
        r = -EACCES;
    else
        r = lengthen(fd, size, block->flags, &st);
    if (r == 0)
        r = map_again(block, fd, &st, ret_block);
    if (r == 0 && shmkiti_pages_wanted(st.size, block->flags))
        shmkiti_pages_collapse((*ret_block)->addr, block->size, st.size);
    (void)shmkiti_os_close(fd);
    return r;
}

int
shmkit_block_grow(shmkit_block *block, size_t size, shmkit_block **ret_block)
{
    int r;

    if (block->part || (block->flags & SHMKIT_PRIVATE) != 0)
        return -EINVAL;
    shmkiti_guard_enter();
    r = grow(block, size, ret_block);
    if (r == -ENOSPC) {
        struct shmkiti_sweep sweep = {0};

        (void)shmkiti_sweep_all(&sweep);
        r = grow(block, size, ret_block);
    }
    shmkiti_guard_leave();
    return r;
}

/* ---- persist ---- */

static int
words_list(const struct shmkiti_words *words, uint64_t key)
{
    for (size_t i = 0; i < words->count; i++) {
        if ((words->word[i] & ~SHMKITI_PEND) == key)
            return 1;
    }
    return 0;
}

/* Some family, dead or alive, lists the key.  What went meanwhile or is no
 * table lists nothing. */
static int
lists_key(const char *path, uint64_t ino, void *arg)
{
    struct shmkiti_words words;
    int fd, r;

    (void)ino;
    r = shmkiti_os_open(path, false, &fd);
    if (r < 0)
        return r == -ENOENT || r == -ELOOP ? 0 : r;
    r = shmkiti_words_read(fd, &words);
    (void)shmkiti_os_close(fd);
    if (r < 0)
        return r == -EBADMSG || r == -EPROTONOSUPPORT ? 0 : r;
    r = words_list(&words, *(const uint64_t *)arg);
    free(words.word);
    return r;
}

/* Whose is it to say?  Not ours while another family lists the block, alive
 * (its members decide) or dead (what it is to become is settled). */
static int
may_persist(const struct shmkiti_os_stat *st, uint64_t key)
{
    int r;

    if (st->uid != shmkiti_os_uid() && shmkiti_os_uid() != 0)
        return -EPERM;
    if (shmkiti_family_owns(key))
        return 0;
    r = shmkiti_sweep_each_file(true, lists_key, &key);
    return r > 0 ? -EPERM : r;
}

static int
persist_open(int fd, const struct shmkiti_os_stat *st, uint64_t key)
{
    int r;

    r = may_persist(st, key);
    if (r < 0)
        return r;
    (void)shmkiti_os_set_label(fd, "persistent");
    SHMKITI_FAULT("block.persist.labelled");
    /* We hold SH, so no remover is inside, and it looks again under EX. */
    if (st->sticky)
        r = shmkiti_os_set_mode(fd, st->mode & ~SHMKITI_OS_STICKY);
    if (r == 0)
        shmkiti_family_replace(key, 0);
    return r;
}

static int
persist(const shmkit_block *block)
{
    struct shmkiti_os_stat st;
    int fd, r;

    r = shmkiti_handle_reopen(block, false, &fd, &st);
    if (r < 0)
        return r;
    r = persist_open(fd, &st, block->key);
    (void)shmkiti_os_close(fd);
    return r;
}

int
shmkit_block_persist(shmkit_block *block)
{
    int r;

    shmkiti_guard_enter();
    r = persist(block);
    shmkiti_guard_leave();
    return r;
}

/* ---- asking a handle ---- */

void *
shmkit_block_data(const shmkit_block *block)
{
    return block->addr;
}

size_t
shmkit_block_size(const shmkit_block *block)
{
    return block->size;
}

const char *
shmkit_block_name(const shmkit_block *block)
{
    return block->name;
}

uint32_t
shmkit_block_mode(const shmkit_block *block)
{
    return block->mode;
}

int
shmkit_block_is_read_only(const shmkit_block *block)
{
    return (block->flags & SHMKIT_READ_ONLY) != 0;
}

#define REF_DRAWN UINT64_C(1)

struct shmkit_block_ref
shmkit_block_get_ref(const shmkit_block *block)
{
    struct shmkit_block_ref ref = {{block->dev, block->key, 0, 0}};

    if (block->own && block->drawn)
        ref.opaque[2] |= REF_DRAWN;
    return ref;
}
