/* SPDX-License-Identifier: MIT */
/* unlink.c - removing a name because somebody said so.
 *
 * Danger: between looking at a name and unlinking it, another unlinker may
 * have removed the block and a creator made a new one of the same name, which
 * would then go instead.  So all unlinkers exclude each other and all reapers:
 *     EX on the inode     when nobody holds it
 *     SH and a byte lock  when it is held: SH keeps reapers out, the write
 *                         lock on byte 2^62 + 1 keeps other unlinkers out
 * Under either, the inode still has a name (nlink), and only we remove it.
 * What a plain rm does in between is beyond any protocol.
 *
 * A block of our own whose name was drawn at random needs no lock at all:
 * nobody makes that name anew.
 *
 * A file its owner may not write (mode 0400) takes no byte lock; its unlinkers
 * take EX on /dev/shm itself instead.
 *
 * Killed between the unlink and the end of its word: a stale word, dropped by
 * the next scrub or with the family. */
#include <errno.h>

#include "base/fault.h"
#include "block/block.h"
#include "block/family.h"
#include "block/name.h"
#include "block/table.h"

#define UNLINK_BYTE ((UINT64_C(1) << 62) + 1)
#define WAIT_US 200u
#define LATER (-EINPROGRESS)
#define REF_DRAWN UINT64_C(1)

/* What is open while a name is being removed. */
struct removal {
    const char *name;
    char path[SHMKITI_PATH_SIZE];
    uint64_t key; /* wanted, 0 = any; then found */
    int fd, dir_fd;
    bool writable;
};

static int
open_name(struct removal *removal)
{
    int r;

    removal->dir_fd = -1;
    removal->writable = true;
    r = shmkiti_os_open(removal->path, true, &removal->fd);
    if (r == -EACCES) {
        removal->writable = false;
        r = shmkiti_os_open(removal->path, false, &removal->fd);
    }
    return r == -ENXIO ? -ENODEV : r;
}

static int
exclude_unlinkers(struct removal *removal)
{
    int r;

    if (removal->writable)
        return shmkiti_os_lock_byte(removal->fd, UNLINK_BYTE);
    r = shmkiti_os_open_directory(SHMKITI_DIR, &removal->dir_fd);
    if (r == 0)
        r = shmkiti_os_lock_exclusive(removal->dir_fd);
    return r;
}

/* Be the only one who may remove this inode's name. */
static int
exclude_others(struct removal *removal)
{
    int r;

    r = shmkiti_os_lock_exclusive(removal->fd);
    if (r != -EWOULDBLOCK)
        return r;
    r = shmkiti_os_lock_shared(removal->fd);
    if (r == 0)
        r = exclude_unlinkers(removal);
    return r == -EWOULDBLOCK ? LATER : r;
}

static int
remove_name(struct removal *removal, const struct shmkiti_os_stat *st)
{
    if (!st->regular)
        return -ENODEV;
    if (st->nlink == 0)
        return LATER;
    if (removal->key != 0 && removal->key != shmkiti_table_key(st))
        return -ENOENT;
    return shmkiti_os_unlink(removal->path);
}

static void
close_removal(struct removal *removal)
{
    (void)shmkiti_os_unlock(removal->fd);
    (void)shmkiti_os_close(removal->fd);
    if (removal->dir_fd >= 0) {
        (void)shmkiti_os_unlock(removal->dir_fd);
        (void)shmkiti_os_close(removal->dir_fd);
    }
}

static int
unlink_once(struct removal *removal)
{
    struct shmkiti_os_stat st = {0};
    int r, seen;

    r = open_name(removal);
    if (r < 0)
        return r;
    r = exclude_others(removal);
    SHMKITI_FAULT("block.unlink.locked");
    seen = shmkiti_os_stat(removal->fd, &st);
    if (r == 0)
        r = seen;
    if (r == 0)
        r = remove_name(removal, &st);
    SHMKITI_FAULT("block.unlink.unlinked");
    close_removal(removal);
    if (r == 0)
        removal->key = shmkiti_table_key(&st);
    else if (st.sticky)
        /* Our lock may have been in the way of its last holder's close. */
        shmkiti_after_drop(removal->name, shmkiti_table_key(&st), true);
    return r;
}

static int
unlink_locked(struct removal *removal)
{
    uint64_t give_up = shmkiti_os_now_ns() + SHMKITI_PATIENCE_NS;
    int r;

    while ((r = unlink_once(removal)) == LATER) {
        if (shmkiti_os_now_ns() > give_up)
            return -EBUSY;
        shmkiti_os_sleep_us(WAIT_US);
    }
    if (r == 0)
        shmkiti_family_replace(removal->key, 0);
    return r;
}

/* A drawn name of our own, still listed: nobody makes that name anew. */
static int
unlink_drawn(struct removal *removal)
{
    int r;

    r = shmkiti_os_unlink(removal->path);
    SHMKITI_FAULT("block.unlink.drawn");
    if (r == 0)
        shmkiti_family_replace(removal->key, 0);
    return r;
}

int
shmkit_block_unlink(const char *name, const struct shmkit_block_ref *ref)
{
    struct removal removal = {.name = name};
    int r;

    r = shmkiti_name_check(name);
    if (r < 0)
        return r;
    shmkiti_name_path(name, removal.path);
    if (ref != NULL)
        removal.key = ref->opaque[1];
    shmkiti_guard_enter();
    /* Not listed any more: unlinked, or made persistent since. */
    if (ref != NULL && (ref->opaque[2] & REF_DRAWN) != 0 &&
        shmkiti_family_owns(removal.key))
        r = unlink_drawn(&removal);
    else
        r = unlink_locked(&removal);
    shmkiti_guard_leave();
    return r;
}
