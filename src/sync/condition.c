/* SPDX-License-Identifier: MIT */
/* condition.c - wait until somebody who holds the lock says so.
 *
 *     id      the number under which waiters are known, 0 = not yet drawn
 *     seq     counts notifications: what waiters sleep on
 *     next    the next ticket                          under the lock
 *     maybe   0 = certainly nobody waits               under the lock
 * and in the lane of each waiter its wait word:
 *     { id 32 | ticket 30 | WAITING or GRANTED }
 *
 * A wait that others must know about stands in the waiter's lane, not in the
 * object: one store, so nothing is ever half linked and nothing counts what a
 * kill could falsify.  The word is written before the lock is given back and
 * cleared after the lock is held again.  `maybe` may only be wrong upwards;
 * the next notify corrects it.
 *
 * Who writes a wait word: its thread, by a store before and by an exchange
 * after the wait; notify() by compare-exchange WAITING -> GRANTED; the repair
 * of a dead lane.  The exchange decides between a grant and a time-out: what
 * it takes out is what happened.
 *
 * notify() grants under the lock, oldest ticket first, so no later arrival can
 * take what was meant for an earlier one, and adds 1 to seq.  The wake-up
 * itself is left to this thread's release of the lock (`pending`): woken
 * earlier, they would only run into it.  Should the kernel wake fewer than
 * were granted, some are awake already, or dead: a grant of the dead is passed
 * on, to tickets that were there at the notification.  Passing on happens
 * without the lock; the compare-exchange is enough, since of two who pass on
 * the same grant the worst is one wake-up too many, after a death.
 *
 * A kill leaves, and who heals it:
 *   - a waiter before its release of the lock: a lock of a dead owner.
 *   - a waiter asleep: WAITING in a dead lane.  It is granted, the wake falls
 *     short, the grant is passed on at once.
 *   - a waiter that was granted: GRANTED in a dead lane.  The repair, by any
 *     other waiter's tick, counts an orphan before it clears the word, and
 *     whoever finds the count changed wakes and looks for itself.
 *   - a notifier between grants, before seq + 1, before the wake: who was
 *     granted finds out by its tick; for the rest the lock's count of deaths
 *     changes, and then everybody wakes.  So also when a holder changed what
 *     is waited for and died without a notification.
 *   - a notifier after its release, before the wake: their tick.
 * Without deaths nobody wakes without notification. */
#include <errno.h>

#include "sync/lock.h"
#include "sync/rlock.h"

void
shmkit_condition_init(shmkit_condition *condition)
{
    shmkiti_store_relaxed_u32(&condition->id, 0);
    shmkiti_store_relaxed_u32(&condition->seq, 0);
    shmkiti_store_relaxed_u32(&condition->next, 0);
    shmkiti_store_relaxed_u32(&condition->maybe, 0);
}

static bool
is_state(uint64_t word, uint32_t id, uint32_t state)
{
    return (uint32_t)(word >> 32) == id && (word & 3) == state;
}

static uint32_t
ticket_of(uint64_t word)
{
    return (uint32_t)(word >> 2) & SHMKITI_TOKEN_MASK;
}

/* How long before `limit` the ticket was drawn: bigger is older.  0 or more
 * than half a turn: not before it. */
static uint32_t
age(uint64_t word, uint32_t limit)
{
    return (limit - ticket_of(word)) & SHMKITI_TOKEN_MASK;
}

static bool
is_before(uint64_t word, uint32_t limit)
{
    uint32_t turns = age(word, limit);

    return turns != 0 && turns <= SHMKITI_TOKEN_MASK / 2;
}

/* Never all bits: that is a value of its own for the kernel. */
static uint32_t
bit_of(uint32_t lane)
{
    return UINT32_C(1) << lane % 31;
}

/* ---- waiting ---- */

struct waiter {
    shmkit_arena *arena;
    shmkit_condition *condition;
    shmkit_lock *lock;
    uint64_t *word;
    uint32_t id, lane;
    uint32_t deaths, orphans; /* as they were when the wait began */
};

static bool
is_granted(const struct waiter *me)
{
    return (shmkiti_load_acquire_u64(me->word) & 3) == SHMKITI_WAIT_GRANTED;
}

/* A notification may have died: with a holder of the lock, or with a waiter
 * that had it. */
static bool
may_be_lost(const struct waiter *me)
{
    return shmkiti_lock_deaths(me->lock) != me->deaths ||
           shmkiti_load_acquire_u32(shmkiti_arena_orphan(me->arena, me->id)) !=
               me->orphans;
}

static bool
is_owner_dead(const struct waiter *me)
{
    uint32_t owner = shmkiti_lock_token(me->lock);

    return owner != 0 && shmkiti_token_is_dead(me->arena, owner);
}

static void
repair_granted(const struct waiter *me)
{
    uint32_t lanes = shmkiti_lane_count(me->arena);

    for (uint32_t lane = 0; lane < lanes; lane++) {
        uint64_t word =
            shmkiti_load_acquire_u64(shmkiti_lane_wait(me->arena, lane));

        if (lane != me->lane && is_state(word, me->id, SHMKITI_WAIT_GRANTED))
            (void)shmkiti_lane_repair(me->arena, lane);
    }
}

static bool
look_for_dead(const struct waiter *me)
{
    repair_granted(me);
    return may_be_lost(me) || is_owner_dead(me);
}

static void
spin(const struct waiter *me)
{
    uint32_t n = shmkiti_spins();

    for (uint32_t i = 0; i < n && !is_granted(me); i++)
        shmkiti_pause();
}

/* 0: granted, or perhaps a notification was lost. */
static int
await_grant(const struct waiter *me, int64_t deadline)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);
    uint32_t seq;
    int r = 0;

    if (deadline > SHMKIT_TRY)
        spin(me);
    for (;;) {
        seq = shmkiti_load_acquire_u32(&me->condition->seq);
        if (is_granted(me) || may_be_lost(me))
            return 0;
        if (r < 0)
            return r;
        SHMKITI_FAULT("wait.sleep");
        r = shmkiti_wait_sleep(&wait, &me->condition->seq, seq,
                               bit_of(me->lane));
        SHMKITI_FAULT("wait.woke");
        if (r != 0 && look_for_dead(me))
            return 0;
    }
}

static int
prepare(struct waiter *me, shmkit_arena *arena, shmkit_condition *condition,
        shmkit_lock *lock)
{
    int r = shmkiti_lane(arena, &me->lane);

    if (r < 0)
        return r;
    me->arena = arena;
    me->condition = condition;
    me->lock = lock;
    me->word = shmkiti_lane_wait(arena, me->lane);
    me->id = shmkiti_object_id(arena, &condition->id);
    me->deaths = shmkiti_lock_deaths(lock);
    me->orphans =
        shmkiti_load_acquire_u32(shmkiti_arena_orphan(arena, me->id));
    return 0;
}

/* With the lock held: from here on a notify() finds this thread. */
static void
line_up(const struct waiter *me)
{
    uint32_t ticket = shmkiti_load_relaxed_u32(&me->condition->next);

    shmkiti_store_relaxed_u32(&me->condition->next, ticket + 1);
    SHMKITI_FAULT("wait.ticket");
    shmkiti_store_relaxed_u32(&me->condition->maybe, 1);
    shmkiti_store_release_u64(
        me->word, shmkiti_wait_word(me->id, ticket, SHMKITI_WAIT_WAITING));
    SHMKITI_FAULT("wait.record");
}

/* Wait outside of the lock, and come back with it. */
static int
wait_outside(const struct waiter *me, int64_t deadline)
{
    uint64_t word;
    int r, held;

    (void)shmkiti_lock_release(me->lock);
    SHMKITI_FAULT("wait.unlocked");
    r = await_grant(me, deadline);
    held = shmkiti_lock_reacquire(me->arena, me->lock);
    SHMKITI_FAULT("wait.locked");
    /* Commits: until here a death leaves the grant to be found. */
    word = shmkiti_exchange_seq_cst_u64(me->word, 0);
    SHMKITI_FAULT("wait.done");
    if (held != 0)
        return held;
    return (word & 3) == SHMKITI_WAIT_GRANTED ? 0 : r;
}

int
shmkit_condition_wait(shmkit_arena *arena, shmkit_condition *condition,
                      shmkit_lock *lock, int64_t deadline)
{
    struct waiter me;
    uint32_t token = shmkiti_load_relaxed_u32(arena->token);
    int r;

    if (token == 0 || shmkiti_lock_token(lock) != token)
        return -EPERM;
    r = prepare(&me, arena, condition, lock);
    if (r < 0)
        return r;
    line_up(&me);
    return wait_outside(&me, deadline);
}

int
shmkit_condition_wait_rlock(shmkit_arena *arena, shmkit_condition *condition,
                            shmkit_rlock *lock, int64_t deadline)
{
    uint32_t self = shmkiti_rlock_self(arena), depth;
    struct waiter me;
    int r;

    if (!shmkiti_rlock_is_mine(arena, lock, self))
        return -EPERM;
    r = prepare(&me, arena, condition, &lock->lock);
    if (r < 0)
        return r;
    depth = shmkiti_load_relaxed_u32(&lock->depth);
    line_up(&me);
    shmkiti_rlock_disown(lock);
    r = wait_outside(&me, deadline);
    shmkiti_rlock_own(lock, self, depth);
    return r;
}

/* ---- notifying ---- */

/* WAITING records of a condition drawn before `limit`, and how many: ages
 * stand for tickets. */
struct waiting {
    uint32_t id, limit, count;
    struct {
        uint32_t age, lane;
    } at[SHMKITI_LANE_MAX];
};

static void
collect(const shmkit_arena *arena, uint32_t id, uint32_t limit,
        struct waiting *waiting)
{
    uint32_t lanes = shmkiti_lane_count(arena);

    waiting->id = id;
    waiting->limit = limit;
    waiting->count = 0;
    for (uint32_t lane = 0; lane < lanes && lane < SHMKITI_LANE_MAX; lane++) {
        uint64_t word =
            shmkiti_load_acquire_u64(shmkiti_lane_wait(arena, lane));

        if (!is_state(word, id, SHMKITI_WAIT_WAITING) ||
            !is_before(word, limit))
            continue;
        waiting->at[waiting->count].age = age(word, limit);
        waiting->at[waiting->count++].lane = lane;
    }
}

static void
move_oldest_to_end(struct waiting *waiting)
{
    uint32_t last = waiting->count - 1, oldest = last;

    for (uint32_t i = 0; i < last; i++) {
        if (waiting->at[i].age > waiting->at[oldest].age)
            oldest = i;
    }
    uint32_t old_age = waiting->at[oldest].age;
    uint32_t old_lane = waiting->at[oldest].lane;

    waiting->at[oldest] = waiting->at[last];
    waiting->at[last].age = old_age;
    waiting->at[last].lane = old_lane;
}

/* The last one's; false: it went, or is being repaired. */
static bool
grant_last(const shmkit_arena *arena, struct waiting *waiting,
           uint32_t *ret_lane)
{
    uint32_t last = --waiting->count, lane = waiting->at[last].lane;
    uint32_t ticket = waiting->limit - waiting->at[last].age;

    *ret_lane = lane;
    return shmkiti_cas_seq_cst_u64(
        shmkiti_lane_wait(arena, lane),
        shmkiti_wait_word(waiting->id, ticket, SHMKITI_WAIT_WAITING),
        shmkiti_wait_word(waiting->id, ticket, SHMKITI_WAIT_GRANTED));
}

/* Grant the `n` oldest; their bits are added to *bits. */
static uint32_t
grant_oldest(const shmkit_arena *arena, struct waiting *waiting, uint32_t n,
             uint32_t *bits)
{
    bool all = n >= waiting->count; /* the order does not matter then */
    uint32_t granted = 0, lane;

    while (granted < n && waiting->count > 0) {
        if (!all)
            move_oldest_to_end(waiting);
        if (!grant_last(arena, waiting, &lane))
            continue;
        SHMKITI_FAULT("notify.granted");
        *bits |= bit_of(lane);
        granted++;
    }
    return granted;
}

static void
remember(shmkit_arena *arena, shmkit_condition *condition, uint32_t bits,
         uint32_t granted, uint32_t limit)
{
    struct shmkiti_pending *pending = &shmkiti_sync_thread.pending;

    if (pending->condition != condition) {
        shmkiti_condition_flush();
        (void)shmkiti_fetch_add_seq_cst_u32(&arena->slow,
                                            SHMKITI_SLOW_PENDING);
    }
    pending->arena = arena;
    pending->id = shmkiti_load_relaxed_u32(&condition->id);
    pending->bits |= bits;
    pending->granted += granted;
    pending->limit = limit;
    pending->condition = condition;
}

__attribute__((noinline)) static int
notify_some(shmkit_arena *arena, shmkit_condition *condition, uint32_t n)
{
    uint32_t id = shmkiti_load_relaxed_u32(&condition->id);
    uint32_t limit = shmkiti_load_relaxed_u32(&condition->next);
    uint32_t bits = 0, granted;
    struct waiting waiting;

    collect(arena, id, limit, &waiting);
    granted = grant_oldest(arena, &waiting, n, &bits);
    if (waiting.count == 0)
        shmkiti_store_relaxed_u32(&condition->maybe, 0);
    if (granted == 0)
        return 0;
    (void)shmkiti_fetch_add_seq_cst_u32(&condition->seq, 1);
    SHMKITI_FAULT("notify.seq");
    remember(arena, condition, bits, granted, limit);
    return (int)granted;
}

int
shmkit_condition_notify(shmkit_arena *arena, shmkit_condition *condition,
                        uint32_t n)
{
    if (n == 0 || shmkiti_load_relaxed_u32(&condition->maybe) == 0)
        return 0;
    return notify_some(arena, condition, n);
}

/* ---- the wake-up that was left for later ---- */

/* Whether the thread of a lane that was granted is dead; one whose lane is
 * being repaired counts as dead for its repairer only. */
static bool
is_lane_dead(shmkit_arena *arena, uint32_t lane)
{
    uint32_t owner = shmkiti_load_acquire_u32(shmkiti_lane_owner(arena, lane));

    return owner != 0 && (owner & SHMKITI_LANE_ADOPTED) == 0 &&
           shmkiti_token_is_dead(arena, owner);
}

/* The grant in lane `lane` is a dead one's: to the next in line.  Granted
 * first, cleared after: killed in between, both stand, and one wake-up too
 * many comes of it.  The grant may be a later notifier's, with nobody left
 * before this one's limit: then it leaves the trace that a repair would. */
static uint32_t
pass_on(const struct shmkiti_pending *pending, uint32_t lane, uint64_t word)
{
    struct waiting waiting;
    uint32_t bits = 0;

    collect(pending->arena, pending->id, pending->limit, &waiting);
    if (grant_oldest(pending->arena, &waiting, 1, &bits) == 0)
        (void)shmkiti_fetch_add_seq_cst_u32(
            shmkiti_arena_orphan(pending->arena, pending->id), 1);
    SHMKITI_FAULT("notify.pass");
    (void)shmkiti_cas_seq_cst_u64(shmkiti_lane_wait(pending->arena, lane),
                                  word, 0);
    return bits;
}

/* Bits of those who got what dead ones had been granted. */
static uint32_t
pass_on_dead(const struct shmkiti_pending *pending)
{
    uint32_t lanes = shmkiti_lane_count(pending->arena), bits = 0;

    for (uint32_t lane = 0; lane < lanes; lane++) {
        uint64_t word =
            shmkiti_load_acquire_u64(shmkiti_lane_wait(pending->arena, lane));

        if (is_state(word, pending->id, SHMKITI_WAIT_GRANTED) &&
            is_lane_dead(pending->arena, lane))
            bits |= pass_on(pending, lane, word);
    }
    return bits;
}

static void
wake_pending(const struct shmkiti_pending *pending)
{
    uint32_t *seq = &pending->condition->seq, bits = pending->bits;
    uint32_t woken = shmkiti_wake(seq, INT32_MAX, bits);

    SHMKITI_FAULT("notify.woken");
    if (woken >= pending->granted)
        return;
    while ((bits = pass_on_dead(pending)) != 0) {
        (void)shmkiti_fetch_add_seq_cst_u32(seq, 1);
        (void)shmkiti_wake(seq, INT32_MAX, bits);
    }
}

void
shmkiti_condition_flush(void)
{
    struct shmkiti_pending *pending = &shmkiti_sync_thread.pending;
    struct shmkiti_pending now = *pending;

    if (now.condition == NULL)
        return;
    *pending = (struct shmkiti_pending){0};
    (void)shmkiti_fetch_add_seq_cst_u32(&now.arena->slow,
                                        0 - SHMKITI_SLOW_PENDING);
    SHMKITI_FAULT("notify.wake");
    wake_pending(&now);
}

uint32_t
shmkit_condition_count_waiting(shmkit_arena *arena,
                               const shmkit_condition *condition)
{
    uint32_t id = shmkiti_load_relaxed_u32(&condition->id), waiting = 0;
    uint32_t lanes = shmkiti_lane_count(arena);

    for (uint32_t lane = 0; lane < lanes && id != 0; lane++) {
        uint64_t word =
            shmkiti_load_acquire_u64(shmkiti_lane_wait(arena, lane));

        if (is_state(word, id, SHMKITI_WAIT_WAITING) &&
            !is_lane_dead(arena, lane))
            waiting++;
    }
    return waiting;
}
