/* SPDX-License-Identifier: MIT */
/* attach.c - finding a block by name and holding it.
 *
 * Own block (listed in a family of this process, not sticky): map it.  Nothing
 * can remove it under us but an explicit unlink, because only sweepers of dead
 * families remove, and ours lives.  It takes effect at the stat.
 *
 * Any other: its family may be dead (sweep first), it may be dead itself
 * (sticky, and EX is granted), or somebody may be removing it this very moment
 * (SH is refused).  Once SH is held and the inode still has a name, no
 * remover will take it: from then on it is held.  Every failure after SH ends
 * with a look for the sticky bit, as every drop of SH must.
 *
 * The stat that tells own from foreign comes before SH, so a foreign block
 * needs a second one after it, for its links.  Whoever attached to another
 * family's block last bets that the next is one too: sweep, open, SH, and one
 * stat tells all.  A lost bet costs a lock and an unlock.  An own block's SH
 * may be dropped without a look: nobody marks it sticky while its family
 * lives.  On a sticky one the EX probe that follows is the look.  The bet is
 * the only state here, process-local and a hint: any thread may set it.
 *
 * Never O_CREAT on a name that exists, never silently an inode without name,
 * never anything but a regular file. */
#include <errno.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "block/block.h"
#include "block/family.h"
#include "block/name.h"
#include "block/reap.h"
#include "block/sweep.h"
#include "block/table.h"

/* One attempt: what was asked, what is open. */
struct attempt {
    const char *name;
    const struct shmkit_block_options *options;
    int fd;
    bool held; /* `fd` carries SH */
    struct shmkiti_os_stat st;
};

/* 1: the last block was another family's. */
static uint64_t bet_on_foreign;

/* Results of an attempt that are not for the caller. */
#define AGAIN (-EAGAIN) /* the file lost its name: look anew */
#define LATER                                                     \
    (-EINPROGRESS) /* somebody is at it: wait a little, look anew \
                    */

static int
map_it(struct attempt *attempt, bool own, shmkit_block **ret_block)
{
    uint32_t flags = attempt->options->flags;
    shmkit_block *block;
    int r;

    r = shmkiti_handle_new(attempt->name, flags, &block);
    if (r < 0)
        return r;
    block->own = own;
    r = shmkiti_handle_map(block, attempt->fd, &attempt->st, attempt->options);
    if (r == 0)
        r = shmkiti_handle_page_in(block, flags);
    if (r < 0) {
        shmkiti_handle_drop(block);
        return r;
    }
    if (!own)
        shmkiti_holder_add(block);
    *ret_block = block;
    return 0;
}

/* EX on a sticky block: nobody holds it, it only waits to be removed. */
static int
bury_if_dead(struct attempt *attempt)
{
    enum shmkiti_reap verdict;
    int r;

    r = shmkiti_os_lock_exclusive(attempt->fd);
    if (r < 0)
        return r == -EWOULDBLOCK ? 0 : r;
    SHMKITI_FAULT("block.attach.dead");
    (void)shmkiti_os_unlock(attempt->fd);
    verdict = shmkiti_reap(attempt->name, shmkiti_table_key(&attempt->st));
    return verdict == SHMKITI_REAP_DENIED ? -ENOENT : AGAIN;
}

static int
take_hold(struct attempt *attempt)
{
    int r;

    r = shmkiti_os_lock_shared(attempt->fd);
    if (r < 0)
        return r == -EWOULDBLOCK ? LATER : r;
    attempt->held = true;
    SHMKITI_FAULT("block.attach.locked");
    return 0;
}

static void
let_go(struct attempt *attempt)
{
    if (attempt->held)
        (void)shmkiti_os_unlock(attempt->fd);
    attempt->held = false;
}

/* SH, and what the file is now that no remover can take it. */
static int
hold(struct attempt *attempt)
{
    int r;

    r = take_hold(attempt);
    if (r < 0)
        return r;
    r = shmkiti_os_stat(attempt->fd, &attempt->st);
    return r == 0 && attempt->st.nlink == 0 ? AGAIN : r;
}

static int
hold_and_map(struct attempt *attempt, shmkit_block **ret_block)
{
    int r = 0;

    if (!attempt->held)
        r = hold(attempt);
    if (r == 0)
        r = map_it(attempt, false, ret_block);
    SHMKITI_FAULT("block.attach.mapped");
    return r;
}

/* The descriptor carried SH and did not become a mapping: drop, then look. */
static void
give_up(struct attempt *attempt)
{
    (void)shmkiti_os_close(attempt->fd);
    attempt->fd = -1;
    shmkiti_after_drop(attempt->name, shmkiti_table_key(&attempt->st),
                       attempt->st.sticky);
}

/* The same where not even the key is known. */
static void
give_up_unseen(struct attempt *attempt)
{
    if (!attempt->held)
        return;
    (void)shmkiti_os_close(attempt->fd);
    attempt->fd = -1;
    (void)shmkiti_reap(attempt->name, 0);
}

static int
attach_foreign(struct attempt *attempt, shmkit_block **ret_block)
{
    int r = 0;

    if (attempt->st.sticky) {
        let_go(attempt);
        r = bury_if_dead(attempt);
    } else if (!attempt->held) {
        shmkiti_sweep_limited();
    }
    if (r == 0)
        r = hold_and_map(attempt, ret_block);
    if (r < 0 && r != LATER && r != AGAIN)
        give_up(attempt);
    return r;
}

static void
bet_on(bool foreign)
{
    if (shmkiti_load_relaxed_u64(&bet_on_foreign) != foreign)
        shmkiti_store_relaxed_u64(&bet_on_foreign, foreign);
}

static int
attach_open(struct attempt *attempt, shmkit_block **ret_block)
{
    uint64_t key;
    bool own;
    int r;

    r = shmkiti_os_stat(attempt->fd, &attempt->st);
    if (r < 0) {
        give_up_unseen(attempt);
        return r;
    }
    if (!attempt->st.regular)
        return -ENODEV;
    if (attempt->st.nlink == 0)
        return AGAIN;
    key = shmkiti_table_key(&attempt->st);
    own = !attempt->st.sticky && shmkiti_family_owns(key);
    bet_on(!own && !attempt->st.sticky);
    if (!own)
        return attach_foreign(attempt, ret_block);
    let_go(attempt);
    return map_it(attempt, true, ret_block);
}

/* The bet: SH before the first stat.  If it is refused the other order finds
 * out why. */
static int
open_file(struct attempt *attempt, const char *path)
{
    uint32_t shielded = SHMKIT_READ_ONLY | SHMKIT_PRIVATE;
    bool writable = (attempt->options->flags & shielded) == 0;
    bool bet = shmkiti_load_relaxed_u64(&bet_on_foreign) != 0;
    int r;

    if (bet)
        shmkiti_sweep_limited();
    r = shmkiti_os_open(path, writable, &attempt->fd);
    if (r < 0)
        return r == -ENXIO ? -ENODEV : r; /* ENXIO: a socket */
    SHMKITI_FAULT("block.attach.opened");
    attempt->held = false;
    if (bet)
        (void)take_hold(attempt);
    return 0;
}

static int
attach_once(struct attempt *attempt, const char *path,
            shmkit_block **ret_block)
{
    int r;

    r = open_file(attempt, path);
    if (r < 0)
        return r;
    r = attach_open(attempt, ret_block);
    if (attempt->fd >= 0)
        (void)shmkiti_os_close(attempt->fd);
    return r;
}

int
shmkiti_attach(const char *name, const struct shmkit_block_options *options,
               shmkit_block **ret_block)
{
    struct attempt attempt = {.name = name, .options = options};
    char path[SHMKITI_PATH_SIZE];
    uint64_t give_up_at = 0;
    int r;

    shmkiti_name_path(name, path);
    for (;;) {
        r = attach_once(&attempt, path, ret_block);
        if (r != AGAIN && r != LATER)
            return r;
        if (give_up_at == 0)
            give_up_at = shmkiti_os_now_ns() + SHMKITI_PATIENCE_NS;
        if (shmkiti_os_now_ns() > give_up_at)
            return -EBUSY;
        if (r == LATER)
            shmkiti_os_sleep_us(SHMKITI_PAUSE_US);
    }
}

int
shmkit_block_attach(const char *name,
                    const struct shmkit_block_options *options,
                    shmkit_block **ret_block)
{
    struct shmkit_block_options filled;
    int r;

    r = shmkiti_options_read(options, &filled);
    if (r == 0)
        r = shmkiti_name_check(name);
    if (r < 0)
        return r;
    shmkiti_guard_enter();
    shmkiti_late_retry();
    r = shmkiti_attach(name, &filled, ret_block);
    shmkiti_guard_leave();
    return r;
}
