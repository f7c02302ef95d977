/* SPDX-License-Identifier: MIT */
/* local.c - this process's own memory: nothing here is shared.
 *
 * The guard is a lock that every function of the layer holds, shared, from its
 * first open to its last close, and that fork() takes alone.  So a child never
 * inherits a descriptor that was meant to live a microsecond: such a copy
 * would keep a lock for as long as the child lives.  Sleeping waits inside the
 * guard are bounded by SHMKITI_PATIENCE_NS.
 *
 * The holder list has every handle whose mapping carries a lock (blocks of
 * lifetime holders, and all foreign ones).  At exit each is mapped over by
 * private zeros, which drops the lock without making a late access by another
 * thread fault, and then probed like any close.  A killed process does none of
 * this: the kernel drops its locks, and the next sweep finds the rest.
 *
 * The late list has (name, key) of closes that found the block held.  It is a
 * hint: an entry that is lost costs memory until the next sweep, no more.
 *
 * Locks: `guard`, then `state` (both lists).  fork() takes both, in that
 * order, and the child makes them anew; it keeps the holder list, since it has
 * the mappings too, and forgets the late list, which is its parent's work. */
#include "block/local.h"

#include <pthread.h>
#include <shmkit/family.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "block/block.h"
#include "block/family.h"
#include "block/name.h"
#include "block/reap.h"
#include "block/sweep.h"
#include "os/os.h"

#define LATE_MAX 256
#define LATE_EVERY_NS UINT64_C(1000000)
#define EXIT_PATIENCE_S 3

static pthread_rwlock_t guard;
static pthread_mutex_t state = PTHREAD_MUTEX_INITIALIZER;
static struct shmkit_block *holders;
static int form_at_fork = 1;
static struct shmkiti_fork_hooks fork_hooks; /* set before main() */

struct late {
    uint64_t key;
    char name[SHMKIT_NAME_SIZE];
};
static struct late late[LATE_MAX];
static unsigned late_count; /* written under state, read bare as a hint */
static uint64_t late_next;  /* when to look again */

/* A fork must not starve behind threads that create all the time. */
static void
guard_init(void)
{
    pthread_rwlockattr_t attr;

    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(
        &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&guard, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
}

void
shmkiti_guard_enter(void)
{
    (void)pthread_rwlock_rdlock(&guard);
}

void
shmkiti_guard_leave(void)
{
    (void)pthread_rwlock_unlock(&guard);
}

/* For the exit of the process, when nobody may be inside: between its word and
 * its name a create needs its family.  A thread that stays inside for longer
 * than it ever should (stopped, or the very one that calls exit) is not waited
 * for: what is left then is the next sweep's, as after a kill. */
static bool
guard_enter_alone(void)
{
    struct timespec end;

    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += EXIT_PATIENCE_S;
    return pthread_rwlock_timedwrlock(&guard, &end) == 0;
}

bool
shmkiti_fork_forms_family(void)
{
    return __atomic_load_n(&form_at_fork, __ATOMIC_RELAXED) != 0;
}

void
shmkit_family_form_at_fork(int on)
{
    __atomic_store_n(&form_at_fork, on != 0, __ATOMIC_RELAXED);
}

void
shmkiti_fork_set_hooks(const struct shmkiti_fork_hooks *hooks)
{
    fork_hooks = *hooks;
}

static void
before_fork(void)
{
    /* A failure is the first create's to report. */
    if (shmkiti_fork_forms_family())
        (void)!shmkit_family_form();
    if (fork_hooks.before != NULL)
        fork_hooks.before();
    (void)pthread_rwlock_wrlock(&guard);
    (void)pthread_mutex_lock(&state);
    shmkiti_family_lock();
}

static void
after_fork_parent(void)
{
    shmkiti_family_unlock();
    (void)pthread_mutex_unlock(&state);
    (void)pthread_rwlock_unlock(&guard);
    if (fork_hooks.in_parent != NULL)
        fork_hooks.in_parent();
}

static void
after_fork_child(void)
{
    shmkiti_family_unlock();
    (void)pthread_mutex_unlock(&state);
    guard_init();
    late_count = 0;
    shmkiti_name_forget_drawn();
    if (fork_hooks.in_child != NULL)
        fork_hooks.in_child();
}

__attribute__((constructor)) static void
set_up(void)
{
    guard_init();
    (void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void
shmkiti_holder_add(struct shmkit_block *block)
{
    (void)pthread_mutex_lock(&state);
    block->tracked = true;
    block->prev = NULL;
    block->next = holders;
    if (holders != NULL)
        holders->prev = block;
    holders = block;
    (void)pthread_mutex_unlock(&state);
}

static void
unlink_holder(struct shmkit_block *block)
{
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        holders = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    block->tracked = false;
}

bool
shmkiti_holder_remove(struct shmkit_block *block)
{
    bool was;

    (void)pthread_mutex_lock(&state);
    was = block->tracked;
    if (was)
        unlink_holder(block);
    (void)pthread_mutex_unlock(&state);
    return was;
}

void
shmkiti_late_add(const char *name, uint64_t key)
{
    struct late *entry;

    (void)pthread_mutex_lock(&state);
    if (late_count == LATE_MAX)
        memmove(&late[0], &late[1], --late_count * sizeof late[0]);
    entry = &late[late_count];
    entry->key = key;
    memcpy(entry->name, name, strlen(name) + 1);
    __atomic_store_n(&late_count, late_count + 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&state);
}

/* Look at each entry once; keep those that are still held. */
static void
retry_all(void)
{
    enum shmkiti_reap verdict;
    bool removed = false;
    unsigned kept = 0;

    (void)pthread_mutex_lock(&state);
    for (unsigned i = 0; i < late_count; i++) {
        verdict = shmkiti_reap(late[i].name, late[i].key);
        removed |= verdict == SHMKITI_REAP_REMOVED;
        if (verdict == SHMKITI_REAP_LIVE)
            late[kept++] = late[i];
    }
    __atomic_store_n(&late_count, kept, __ATOMIC_RELAXED);
    late_next = shmkiti_os_now_ns() + LATE_EVERY_NS * (kept + 1);
    (void)pthread_mutex_unlock(&state);
    /* A dead family may have waited for them. */
    if (removed)
        shmkiti_sweep_families(NULL);
}

void
shmkiti_late_retry(void)
{
    uint64_t next;

    if (__atomic_load_n(&late_count, __ATOMIC_RELAXED) == 0)
        return;
    (void)pthread_mutex_lock(&state);
    next = late_next;
    (void)pthread_mutex_unlock(&state);
    if (shmkiti_os_now_ns() >= next)
        retry_all();
}

/* Drop every lock that a mapping of ours carries. */
static void
let_go_of_holders(void)
{
    struct shmkit_block *block;

    (void)pthread_mutex_lock(&state);
    while ((block = holders) != NULL) {
        unlink_holder(block);
        shmkiti_handle_close_fd(block);
        if (shmkiti_handle_map_over(block) < 0)
            continue;
        SHMKITI_FAULT("process.exit.dropped");
        if (shmkiti_reap(block->name, block->key) == SHMKITI_REAP_REMOVED)
            (void)shmkiti_sweep_families(NULL);
    }
    (void)pthread_mutex_unlock(&state);
}

void
shmkit_process_exit(void)
{
    if (!guard_enter_alone())
        return;
    let_go_of_holders();
    if (__atomic_load_n(&late_count, __ATOMIC_RELAXED) != 0)
        retry_all();
    SHMKITI_FAULT("process.exit.let_go");
    shmkiti_family_leave_all();
    shmkiti_guard_leave();
}

__attribute__((destructor)) static void
tear_down(void)
{
    shmkit_process_exit();
}
