/* SPDX-License-Identifier: MIT */
/* create.c - making a block that is whole before anybody can see it.
 *
 *     nameless file       nothing to leave behind
 *     SH                  (not for `family`) held before the name exists
 *     space, mapping      a full /dev/shm is an error here
 *     word in the table   (`family`) before the name: a kill from here on
 *                         leaves a pending word, perhaps with its name, and
 *                         both go with the family
 *     link                the block is there, whole
 *     settle the word     from now on a scrub may judge it
 * A failure after the word takes it back.
 *
 * A taken name is not always an error: it may be a dead block.  Sticky: reap
 * it.  In the table of a dead family: sweep.  A remover or a sweeper that is
 * at it right now is waited for, at most a second. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "block/block.h"
#include "block/family.h"
#include "block/name.h"
#include "block/nameless.h"
#include "block/pages.h"
#include "block/reap.h"
#include "block/space.h"
#include "block/sweep.h"
#include "block/table.h"

#define WAIT_US 500u
#define TRIES 3
#define LOOKS 3 /* at a holders block before it counts as held */

struct request {
    const char *name; /* NULL: draw one */
    size_t size;
    struct shmkit_block_options options;
    shmkiti_create_fn *init; /* fills it before it has a name; may be NULL */
    shmkiti_fill_fn *fill;   /* the same, and may fail */
    void *arg;
    uint64_t give_up; /* when */
};

/* ---- a taken name ---- */

enum taken {
    TAKEN,     /* by a living block */
    TRY_AGAIN, /* it was dead, and is gone or going */
    TRY_LATER  /* somebody is removing it */
};

/* A holders block is in the way.  EX refused need not mean a holder: who
 * lists takes EX for a moment, and whoever comes in vain takes SH for one.
 * They are gone at a second look; a remover shows by refusing SH. */
static enum taken
taken_by_holders(const char *name, int fd, uint64_t key)
{
    for (int i = 0; i < LOOKS; i++) {
        switch (shmkiti_reap(name, key)) {
            case SHMKITI_REAP_REMOVED:
            case SHMKITI_REAP_GONE:
                return TRY_AGAIN;
            case SHMKITI_REAP_LIVE:
                if (shmkiti_remover_inside(fd))
                    return TRY_LATER;
                break;
            case SHMKITI_REAP_NOT_MINE:
            case SHMKITI_REAP_DENIED:
                return TAKEN;
        }
    }
    return TAKEN;
}

static enum taken
taken_by(const char *name, int fd)
{
    struct shmkiti_sweep sweep = {0};
    struct shmkiti_os_stat st;

    if (shmkiti_os_stat(fd, &st) < 0 || !st.regular)
        return TAKEN;
    if (shmkiti_remover_inside(fd))
        return TRY_LATER;
    if (st.sticky)
        return taken_by_holders(name, fd, shmkiti_table_key(&st));
    sweep.watch = shmkiti_table_key(&st);
    if (shmkiti_family_owns(sweep.watch))
        return TAKEN;
    shmkiti_sweep_families(&sweep);
    if (sweep.removed > 0)
        return TRY_AGAIN;
    return sweep.busy_with_watch ? TRY_LATER : TAKEN;
}

static enum taken
look_at_taken(const char *name)
{
    char path[SHMKITI_PATH_SIZE];
    enum taken what;
    int fd, r;

    shmkiti_name_path(name, path);
    r = shmkiti_os_open(path, false, &fd);
    if (r < 0)
        return r == -ENOENT ? TRY_AGAIN : TAKEN;
    what = taken_by(name, fd);
    (void)shmkiti_os_close(fd);
    return what;
}

/* ---- linking ---- */

/* The name was taken: draw another, or find out by whom. */
static int
next_try(const struct request *request, shmkit_block *block)
{
    if (request->name == NULL)
        return shmkiti_name_draw(block->name);
    switch (look_at_taken(block->name)) {
        case TAKEN:
            return -EEXIST;
        case TRY_LATER:
            shmkiti_os_sleep_us(WAIT_US);
            break;
        case TRY_AGAIN:
            break;
    }
    return shmkiti_os_now_ns() > request->give_up ? -EEXIST : 0;
}

static int
link_name(const struct request *request, struct shmkiti_nameless *file,
          shmkit_block *block)
{
    char path[SHMKITI_PATH_SIZE];
    int r;

    for (;;) {
        shmkiti_name_path(block->name, path);
        r = shmkiti_nameless_link(file, path);
        if (r != -EEXIST)
            return r;
        r = next_try(request, block);
        if (r < 0)
            return r;
    }
}

/* The word, the name, the word again.  A family whose file was deleted by
 * hand is replaced by a new one. */
static int
link_in_family(const struct request *request, struct shmkiti_nameless *file,
               shmkit_block *block)
{
    uint64_t pending = block->key | SHMKITI_PEND;
    struct shmkiti_family *family;
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < TRIES; i++) {
        r = shmkiti_family_current(&family);
        if (r < 0)
            return r;
        /* Another device: /dev/shm was mounted anew under us. */
        r = family->dev == block->dev ? shmkiti_family_add(family, pending)
                                      : -ESTALE;
        if (r == -ESTALE)
            shmkiti_family_doubt(family);
    }
    if (r < 0)
        return r;
    SHMKITI_FAULT("block.create.listed");
    r = link_name(request, file, block);
    SHMKITI_FAULT("block.create.linked");
    shmkiti_family_replace(pending, r < 0 ? 0 : block->key);
    SHMKITI_FAULT("block.create.settled");
    return r;
}

static int
give_name(const struct request *request, struct shmkiti_nameless *file,
          shmkit_block *block)
{
    int r;

    if (request->options.lifetime == SHMKIT_LIFETIME_FAMILY) {
        block->own = true;
        return link_in_family(request, file, block);
    }
    if (request->options.lifetime == SHMKIT_LIFETIME_PERSISTENT)
        (void)shmkiti_os_set_label(file->fd, "persistent");
    SHMKITI_FAULT("block.create.prepared");
    r = link_name(request, file, block);
    SHMKITI_FAULT("block.create.named");
    return r;
}

/* ---- the file ---- */

static uint32_t
file_mode(const struct request *request)
{
    uint32_t mode = request->options.mode;

    if (request->options.lifetime == SHMKIT_LIFETIME_HOLDERS)
        mode |= SHMKITI_OS_STICKY;
    return mode;
}

/* Length and pages, as far as they can be had before there is a mapping. */
static int
begin_space(const struct request *request, int fd, bool huge)
{
    uint32_t flags = request->options.flags;

    if ((flags & SHMKIT_SPARSE) != 0)
        return shmkiti_space_extend(fd, request->size);
    if (request->options.placement != SHMKIT_PLACEMENT_DEFAULT) {
        /* Pages must come after the policy, which needs the mapping. */
        int r = shmkiti_space_check(fd, 0, request->size);

        return r < 0 ? r : shmkiti_space_extend(fd, request->size);
    }
    return huge ? shmkiti_pages_seed(fd, request->size)
                : shmkiti_space_reserve(fd, 0, request->size);
}

/* Where the pages come from, then those that are still to be had. */
static int
end_space(const struct request *request, int fd, bool huge,
          shmkit_block *block)
{
    const struct shmkit_block_options *options = &request->options;
    int r = 0;

    if (options->placement != SHMKIT_PLACEMENT_DEFAULT) {
        r = shmkiti_os_place(block->addr, block->size,
                             options->placement == SHMKIT_PLACEMENT_INTERLEAVE,
                             options->nodes);
        if (r == 0 && huge)
            r = shmkiti_pages_seed(fd, request->size);
        else if (r == 0 && (options->flags & SHMKIT_SPARSE) == 0)
            r = shmkiti_space_reserve(fd, 0, request->size);
    }
    if (r == 0 && huge)
        r = shmkiti_pages_settle(fd, block->addr, request->size,
                                 options->flags);
    return r;
}

static int
fill(const struct request *request, const struct shmkiti_nameless *file,
     shmkit_block *block)
{
    const struct shmkit_block_options *options = &request->options;
    bool huge = shmkiti_pages_wanted(request->size, options->flags);
    struct shmkiti_os_stat st;
    int r = 0;

    if (!huge && (options->flags & SHMKIT_HUGE) != 0)
        return -EOPNOTSUPP;
    if (options->lifetime == SHMKIT_LIFETIME_PERSISTENT)
        r = shmkiti_os_lock_shared(file->fd); /* so that others see it held */
    if (r == 0)
        r = begin_space(request, file->fd, huge);
    if (r == 0)
        r = shmkiti_os_stat(file->fd, &st);
    if (r == 0)
        r = shmkiti_nameless_fix_mode(file, &st);
    if (r == 0)
        r = shmkiti_handle_map(block, file->fd, &st, options);
    if (r == 0)
        r = end_space(request, file->fd, huge, block);
    if (r == 0)
        r = shmkiti_handle_page_in(block, options->flags);
    return r;
}

static int
create_on(const struct request *request, struct shmkiti_nameless *file,
          shmkit_block *block)
{
    int r;

    r = fill(request, file, block);
    if (r == 0 && request->init != NULL)
        request->init(block->addr, block->size, request->arg);
    if (r == 0 && request->fill != NULL)
        r = request->fill(block->addr, block->size, request->arg);
    SHMKITI_FAULT("block.create.filled");
    if (r == 0)
        r = give_name(request, file, block);
    return r;
}

static int
create_once(const struct request *request, shmkit_block **ret_block)
{
    struct shmkiti_nameless file;
    shmkit_block *block;
    int r;

    r = shmkiti_handle_new(request->name, request->options.flags, &block);
    if (r < 0)
        return r;
    block->drawn = request->name == NULL;
    if (block->drawn)
        r = shmkiti_name_draw(block->name);
    if (r == 0)
        r = shmkiti_nameless_open(file_mode(request), &file);
    if (r < 0) {
        free(block);
        return r;
    }
    r = create_on(request, &file, block);
    shmkiti_nameless_close(&file);
    if (r < 0) {
        shmkiti_handle_drop(block);
        return r;
    }
    if (!block->own)
        shmkiti_holder_add(block);
    *ret_block = block;
    return 0;
}

/* What the dead have left may be all the space there is. */
static int
create(const struct request *request, shmkit_block **ret_block)
{
    struct shmkiti_sweep sweep = {0};
    int r;

    r = create_once(request, ret_block);
    if (r != -ENOSPC)
        return r;
    (void)shmkiti_sweep_all(&sweep);
    return create_once(request, ret_block);
}

/* Attach, or make it; whoever is quicker in between is attached to. */
static int
create_or_attach(const struct request *request, shmkit_block **ret_block)
{
    int r;

    do {
        r = shmkiti_attach(request->name, &request->options, ret_block);
        if (r == 0)
            return SHMKIT_EXISTED;
        if (r == -ENOENT)
            r = create(request, ret_block);
        if (r == -ENODATA) /* a plain creator has not given it a size yet */
            shmkiti_os_sleep_us(WAIT_US);
    } while ((r == -EEXIST || r == -ENODATA) &&
             shmkiti_os_now_ns() < request->give_up);
    return r;
}

static int
run(struct request *request, const struct shmkit_block_options *options,
    shmkit_block **ret_block)
{
    const char *name = request->name;
    int r;

    r = shmkiti_options_read(options, &request->options);
    if (r == 0 && name != NULL)
        r = shmkiti_name_check(name);
    if (r < 0)
        return r;
    if (request->size == 0 || (request->options.flags & SHMKIT_PRIVATE) != 0 ||
        request->options.offset != 0 || request->options.length != 0)
        return -EINVAL;
    request->give_up = shmkiti_os_now_ns() + SHMKITI_PATIENCE_NS;
    shmkiti_guard_enter();
    shmkiti_late_retry();
    if (name != NULL && (request->options.flags & SHMKIT_EXIST_OK) != 0)
        r = create_or_attach(request, ret_block);
    else
        r = create(request, ret_block);
    shmkiti_guard_leave();
    return r;
}

int
shmkiti_create(const char *name, size_t size,
               const struct shmkit_block_options *options,
               const struct shmkiti_create_hook *hook,
               shmkit_block **ret_block)
{
    struct request request = {.name = name, .size = size};

    if (hook != NULL) {
        request.init = hook->init;
        request.arg = hook->arg;
    }
    return run(&request, options, ret_block);
}

int
shmkiti_create_filled(const char *name, size_t size,
                      const struct shmkit_block_options *options,
                      shmkiti_fill_fn *filler, void *arg,
                      shmkit_block **ret_block)
{
    struct request request = {
        .name = name, .size = size, .fill = filler, .arg = arg};

    return run(&request, options, ret_block);
}

int
shmkit_block_create(const char *name, size_t size,
                    const struct shmkit_block_options *options,
                    shmkit_block **ret_block)
{
    return shmkiti_create(name, size, options, NULL, ret_block);
}
