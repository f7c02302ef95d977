/* SPDX-License-Identifier: MIT */
/* root.c - names of objects, which stay until the name goes.
 *
 * Shared: the table of 64 names, all under heap.lock.  A name's offset is the
 * commit, both ways:
 *     add      chunk USED by us > init > type, size, name > offset (commit)
 *              > chunk KEPT
 *     remove   offset = 0 (commit) > chunk FREE
 * Killed before the commit of an add: a chunk of a dead creator, for collect.
 * After either commit the chunk's word may not agree yet: the repair of the
 * dead lane, which runs before anybody else gets the lock, makes what a name
 * names KEPT and what none names FREE.  Each step may be repeated. */
#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "heap/heap.h"
#include "heap/share.h"

static struct shmkiti_root *
roots(const shmkit_arena *arena)
{
    return shmkiti_arena_ptr(arena, SHMKITI_AT_ROOTS);
}

static int
check_name(const char *name)
{
    size_t len = strnlen(name, SHMKITI_ROOT_NAME);

    return len == 0 || len == SHMKITI_ROOT_NAME ? -EINVAL : 0;
}

static struct shmkiti_root *
find(const shmkit_arena *arena, const char *name)
{
    struct shmkiti_root *all = roots(arena);

    for (unsigned i = 0; i < SHMKITI_ROOTS; i++) {
        if (all[i].offset != 0 &&
            strncmp(all[i].name, name, SHMKITI_ROOT_NAME) == 0)
            return &all[i];
    }
    return NULL;
}

static struct shmkiti_root *
find_free(const shmkit_arena *arena)
{
    struct shmkiti_root *all = roots(arena);

    for (unsigned i = 0; i < SHMKITI_ROOTS; i++) {
        if (all[i].offset == 0)
            return &all[i];
    }
    return NULL;
}

/* What a name says, if it is true: -EBADMSG. */
static int
read_root(const shmkit_arena *arena, const struct shmkiti_root *root,
          uint64_t *ret_offset, uint64_t *ret_size)
{
    uint64_t offset = shmkiti_load_acquire_u64(&root->offset);
    uint64_t size = shmkiti_load_acquire_u64(&root->size);
    uint64_t chunk = shmkiti_heap_find(arena, offset), word, room;

    if (chunk == 0)
        return -EBADMSG;
    word = shmkiti_load_acquire_u64(&shmkiti_chunk_at(arena, chunk)->word);
    if (!shmkiti_word_is_valid(chunk, word))
        return -EBADMSG;
    room = shmkiti_class_size(shmkiti_word_class(word)) - (offset - chunk);
    if (size == 0 || size > room ||
        shmkiti_word_state(word) != SHMKITI_CHUNK_KEPT ||
        shmkit_arena_at(arena, offset, (size_t)size) == NULL)
        return -EBADMSG;
    *ret_offset = offset;
    *ret_size = size;
    return 0;
}

/* ---- adding ---- */

static int
make_object(shmkit_arena *arena, const struct shmkit_root *wish,
            uint64_t *ret_chunk, uint64_t *ret_offset)
{
    unsigned c = shmkiti_class_of(wish->size);
    void *object;
    bool fresh;
    int r;

    /* Cohort 0 is nobody's: only its creator's life keeps it for now. */
    r = shmkiti_heap_take(arena, c, 0, ret_chunk, &fresh);
    if (r < 0)
        return r;
    *ret_offset = *ret_chunk + shmkiti_class_header(c);
    object = shmkiti_arena_ptr(arena, *ret_offset);
    memset(object, 0, wish->size);
    if (wish->init != NULL)
        wish->init(object, wish->arg);
    SHMKITI_FAULT("root.add.made");
    return 0;
}

static int
add(shmkit_arena *arena, const struct shmkit_root *wish, uint64_t *ret_offset)
{
    struct shmkiti_root *root = find_free(arena);
    uint64_t chunk, offset;
    int r;

    if (root == NULL)
        return -ENFILE;
    r = make_object(arena, wish, &chunk, &offset);
    if (r < 0)
        return r;
    root->type = wish->type;
    root->size = wish->size;
    memset(root->name, 0, sizeof root->name);
    memcpy(root->name, wish->name, strlen(wish->name));
    SHMKITI_FAULT("root.add.filled");
    shmkiti_store_release_u64(&root->offset, offset);
    SHMKITI_FAULT("root.add.named");
    shmkiti_heap_set_state(arena, chunk, SHMKITI_CHUNK_KEPT);
    SHMKITI_FAULT("root.add.kept");
    *ret_offset = offset;
    return 0;
}

static int
find_or_add(shmkit_arena *arena, const struct shmkit_root *wish,
            uint64_t *ret_offset)
{
    struct shmkiti_root *root = find(arena, wish->name);
    uint64_t offset, size;
    int r;

    if (root == NULL)
        return add(arena, wish, ret_offset);
    r = read_root(arena, root, &offset, &size);
    if (r < 0)
        return r;
    if (root->type != wish->type || size != wish->size)
        return -EEXIST;
    *ret_offset = offset;
    return SHMKIT_EXISTED;
}

int
shmkit_arena_root(shmkit_arena *arena, const struct shmkit_root *root,
                  uint64_t *ret_offset)
{
    int r;

    r = check_name(root->name);
    if (r < 0 || root->size == 0)
        return -EINVAL;
    if (root->size > SHMKITI_OBJECT_MAX)
        return -ENOMEM;
    r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    r = find_or_add(arena, root, ret_offset);
    shmkiti_heap_unlock(arena);
    return r;
}

/* ---- finding and removing ---- */

int
shmkit_arena_root_find(shmkit_arena *arena, const char *name, uint32_t type,
                       uint64_t *ret_offset, uint64_t *ret_size)
{
    uint64_t offset = 0, size = 0;
    struct shmkiti_root *root;
    int r;

    r = check_name(name);
    if (r == 0)
        r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    root = find(arena, name);
    if (root == NULL)
        r = -ENOENT;
    else if (root->type != type)
        r = -EEXIST;
    else
        r = read_root(arena, root, &offset, &size);
    shmkiti_heap_unlock(arena);
    if (r < 0)
        return r;
    *ret_offset = offset;
    *ret_size = size;
    return 0;
}

static int
remove_root(shmkit_arena *arena, struct shmkiti_root *root)
{
    uint64_t offset, size;
    int r;

    r = read_root(arena, root, &offset, &size);
    shmkiti_store_release_u64(&root->offset, 0);
    SHMKITI_FAULT("root.remove.unnamed");
    if (r == 0)
        shmkiti_heap_give(arena, shmkiti_heap_find(arena, offset));
    return r;
}

int
shmkit_arena_root_remove(shmkit_arena *arena, const char *name)
{
    struct shmkiti_root *root;
    int r;

    r = check_name(name);
    if (r == 0)
        r = shmkiti_heap_lock(arena);
    if (r < 0)
        return r;
    root = find(arena, name);
    r = root == NULL ? -ENOENT : remove_root(arena, root);
    shmkiti_heap_unlock(arena);
    return r;
}

const char *
shmkiti_root_check(const shmkit_arena *arena, uint64_t kept)
{
    const struct shmkiti_root *all = roots(arena);
    uint64_t offset, size;

    for (unsigned i = 0; i < SHMKITI_ROOTS; i++) {
        if (all[i].offset == 0)
            continue;
        if (read_root(arena, &all[i], &offset, &size) < 0)
            return "a name names nothing";
        if (kept-- == 0)
            return "two names name one object";
    }
    return kept == 0 ? NULL : "an object is kept without a name";
}

/* ---- repair ---- */

static bool
is_named(const shmkit_arena *arena, uint64_t chunk, uint64_t word)
{
    uint64_t offset = chunk + shmkiti_class_header(shmkiti_word_class(word));
    const struct shmkiti_root *all = roots(arena);

    for (unsigned i = 0; i < SHMKITI_ROOTS; i++) {
        if (all[i].offset == offset)
            return true;
    }
    return false;
}

static int
agree(shmkit_arena *arena, uint64_t chunk, uint64_t word, void *arg)
{
    unsigned state = shmkiti_word_state(word);
    bool named;

    (void)arg;
    if (state == SHMKITI_CHUNK_FREE)
        return 0;
    named = is_named(arena, chunk, word);
    if (named && state != SHMKITI_CHUNK_KEPT)
        shmkiti_heap_set_state(arena, chunk, SHMKITI_CHUNK_KEPT);
    if (!named && state == SHMKITI_CHUNK_KEPT)
        shmkiti_heap_set_state(arena, chunk, SHMKITI_CHUNK_FREE);
    return 0;
}

void
shmkiti_root_repair(shmkit_arena *arena)
{
    (void)shmkiti_heap_walk(arena, agree, NULL);
}
