/* SPDX-License-Identifier: MIT */
/* reap.c - removing one block that nobody holds.
 *
 * The rules that make it safe (Protocol R):
 *     SH on the mapped description = "I hold this block"; the kernel drops it
 *     with the last mapping, however the process ends.
 *     EX is taken only without waiting, only on a description opened for this
 *     one purpose, only on an inode whose sticky bit says "remove me when
 *     nobody holds me"; it is released by an explicit unlock, because a fork
 *     may have copied the descriptor.
 *     The name of a sticky inode is unlinked only under EX on that inode.
 *     Every drop of SH is followed by a reap().
 * Two last holders that leave at once: whoever drops SH second gets EX, or
 * meets the other's EX, and then that one removes.  A holder that arrives
 * takes SH, then looks whether the inode still has a name.
 *
 * What a kill leaves: nothing but the sticky bit, which a later reap, by
 * anybody, acts upon.
 *
 * adopt() makes a block of a dead family a `holders` block.  Sticky first, EX
 * second: if a foreign holder is in the way, its own close will find the bit.
 *
 * All of it runs inside the guard. */
#include "block/reap.h"

#include <errno.h>
#include <stddef.h>

#include "base/fault.h"
#include "block/local.h"
#include "block/name.h"
#include "block/table.h"

/* What failing to open a name says about it. */
static enum shmkiti_reap
why_not_opened(int r)
{
    if (r == -ENOENT)
        return SHMKITI_REAP_GONE;
    return r == -EACCES || r == -EPERM ? SHMKITI_REAP_DENIED
                                       : SHMKITI_REAP_NOT_MINE;
}

bool
shmkiti_remover_inside(int fd)
{
    if (shmkiti_os_lock_shared(fd) == -EWOULDBLOCK)
        return true;
    (void)shmkiti_os_unlock(fd);
    return false;
}

/* Under EX: the inode is still what was judged, and `path` still names it. */
static enum shmkiti_reap
judge_again(int fd, const char *path)
{
    struct shmkiti_os_stat st, named;

    if (shmkiti_os_stat(fd, &st) < 0)
        return SHMKITI_REAP_DENIED;
    if (st.nlink == 0)
        return SHMKITI_REAP_GONE;
    if (!st.sticky)
        return SHMKITI_REAP_NOT_MINE;
    if (shmkiti_os_stat_path(path, &named) < 0 || named.ino != st.ino ||
        named.dev != st.dev)
        return SHMKITI_REAP_GONE;
    return SHMKITI_REAP_REMOVED;
}

/* `fd` is fresh and its inode was seen sticky. */
static enum shmkiti_reap
remove_if_free(int fd, const char *path, bool really)
{
    enum shmkiti_reap verdict;
    int r = shmkiti_os_lock_exclusive(fd);

    if (r < 0)
        return r == -EWOULDBLOCK ? SHMKITI_REAP_LIVE : SHMKITI_REAP_DENIED;
    SHMKITI_FAULT("block.reap.locked");
    verdict = judge_again(fd, path);
    if (verdict == SHMKITI_REAP_REMOVED && really) {
        r = shmkiti_os_unlink(path);
        if (r < 0)
            verdict = r == -ENOENT ? SHMKITI_REAP_GONE : SHMKITI_REAP_DENIED;
        SHMKITI_FAULT("block.reap.unlinked");
    }
    (void)shmkiti_os_unlock(fd);
    return verdict;
}

static enum shmkiti_reap
reap(const char *name, uint64_t key, bool really)
{
    enum shmkiti_reap verdict = SHMKITI_REAP_NOT_MINE;
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;
    int fd, r;

    shmkiti_name_path(name, path);
    r = shmkiti_os_open(path, false, &fd);
    if (r < 0)
        return why_not_opened(r);
    SHMKITI_FAULT("block.reap.opened");
    r = shmkiti_os_stat(fd, &st);
    if (r == 0 && st.regular && st.sticky &&
        (key == 0 || shmkiti_table_key(&st) == key))
        verdict = remove_if_free(fd, path, really);
    (void)shmkiti_os_close(fd);
    return verdict;
}

enum shmkiti_reap
shmkiti_reap(const char *name, uint64_t key)
{
    return reap(name, key, true);
}

enum shmkiti_reap
shmkiti_reap_probe(const char *name, uint64_t key)
{
    return reap(name, key, false);
}

/* A family may list only its own user's blocks: without this, a table could
 * make root's sweep remove anybody's.  Root's may list those of children that
 * gave their rights up. */
static bool
may_list(uint32_t family_uid, const struct shmkiti_os_stat *st)
{
    return family_uid == 0 || st->uid == family_uid;
}

static enum shmkiti_reap
adopt_open(int fd, const char *path, const struct shmkiti_os_stat *st)
{
    if (!st->sticky) {
        if (shmkiti_os_set_mode(fd, st->mode | SHMKITI_OS_STICKY) < 0)
            return SHMKITI_REAP_DENIED;
    }
    SHMKITI_FAULT("block.adopt.marked");
    return remove_if_free(fd, path, true);
}

enum shmkiti_reap
shmkiti_adopt(const char *name, uint32_t family_uid,
              bool (*wanted)(uint64_t key, void *arg), void *arg,
              uint64_t *ret_key)
{
    enum shmkiti_reap verdict = SHMKITI_REAP_NOT_MINE;
    char path[SHMKITI_PATH_SIZE];
    struct shmkiti_os_stat st;
    int fd, r;

    shmkiti_name_path(name, path);
    r = shmkiti_os_open(path, false, &fd);
    if (r < 0)
        return why_not_opened(r);
    r = shmkiti_os_stat(fd, &st);
    if (r == 0 && st.regular && may_list(family_uid, &st) &&
        wanted(shmkiti_table_key(&st), arg)) {
        *ret_key = shmkiti_table_key(&st);
        verdict = adopt_open(fd, path, &st);
    }
    (void)shmkiti_os_close(fd);
    return verdict;
}
