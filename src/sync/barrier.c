/* SPDX-License-Identifier: MIT */
/* barrier.c - n parties wait for each other, again and again.
 *
 *     word   low half, the futex:  W 1 | - 1 | generation 28 | state 2
 *            high half: bit i = generation - 1 - i passed
 *     parties, flags               fixed by init()
 *     run    who runs the action:  generation 28 | - 6 | token 30
 *     slot[] who has arrived:      generation 28 | cpu 6 | token 30
 * State is FILL, RUN (all here, the action is not done yet) or BROKEN.
 *
 * A party arrives by putting {generation, its token} over an *older* mark, one
 * of its own first.  The number of the slot is its index.  Marks of the same
 * or a later generation are never overwritten, by no party however late: a
 * slow one could otherwise take an arrival of the next generation away, which
 * would then wait for ever.  The same rule guards `run`.
 *
 * When all slots are of this generation, whoever sees it changes the word:
 * FILL -> the next generation, or FILL -> RUN when there is an action; then
 * one party claims `run`, and after the action it changes RUN -> the next
 * generation.  That one store decides for all: nobody passes while another is
 * told that it is broken.  Who comes late to see its generation's end reads
 * the history bit; older than 32 counts as broken.
 *
 * Who writes: everything by compare-exchange, by anybody.
 *
 * A time-out breaks the barrier from FILL only: during the action it would be
 * broken although the action ran.
 *
 * A kill leaves:
 *   - before the mark: nothing.  After: a mark of the dead.  If the others
 *     fill the rest it counts; else a waiter's tick finds the dead token and
 *     breaks the barrier.
 *   - between the last mark and the change of the word: all slots full.  A
 *     waiter's tick completes.
 *   - in RUN, unclaimed: the next waiter claims; if all are dead, whoever
 *     comes breaks.  Claimed: a waiter's tick finds the dead runner, and
 *     breaks ("it ran, nobody knows how far").
 *   - after the change, before the wake: their tick.
 * With REGULARS a slot keeps the token of its last party, and a dead one of an
 * earlier generation breaks the barrier as well; reset() clears those out.
 *
 * Spinning: long when every party that is still missing was last seen on
 * another CPU (the 6 bits in its mark, the number modulo 64). */
#include <errno.h>

#include "sync/lock.h"

#define FILL 0u
#define RUN 1u
#define BROKEN 2u

#define GENERATIONS (UINT32_C(1) << 28)
#define PARTIES_MAX 65536u
#define CPU_BITS 63u

static uint64_t *
slots(shmkit_barrier *barrier)
{
    return (uint64_t *)(barrier + 1);
}

size_t
shmkit_barrier_size(uint32_t parties)
{
    return sizeof(shmkit_barrier) + sizeof(uint64_t) * parties;
}

int
shmkit_barrier_init(shmkit_barrier *barrier, uint32_t parties, uint32_t flags)
{
    if (parties == 0 || parties > PARTIES_MAX ||
        (flags &
         ~(uint32_t)(SHMKIT_BARRIER_REGULARS | SHMKIT_BARRIER_ACTION)) != 0)
        return -EINVAL;
    shmkiti_store_relaxed_u64(&barrier->word, 0);
    shmkiti_store_relaxed_u64(&barrier->run, 0);
    shmkiti_store_relaxed_u32(&barrier->parties, parties);
    shmkiti_store_relaxed_u32(&barrier->flags, flags);
    for (uint32_t i = 0; i < parties; i++)
        shmkiti_store_relaxed_u64(&slots(barrier)[i], 0);
    return 0;
}

/* ---- words ---- */

static uint32_t
generation_of(uint64_t word)
{
    return (uint32_t)word >> 2 & (GENERATIONS - 1);
}

static uint32_t
state_of(uint64_t word)
{
    return (uint32_t)word & 3;
}

/* The same generation in another state, W off or kept. */
static uint64_t
with_state(uint64_t word, uint32_t state)
{
    return (word & ~UINT64_C(3)) | state;
}

/* The generation after `word`'s, W off. */
static uint64_t
next_generation(uint64_t word, bool passed)
{
    uint64_t history = (word >> 32) << 1 | passed;
    uint32_t low = ((generation_of(word) + 1) & (GENERATIONS - 1)) << 2;

    return history << 32 | low | FILL;
}

static uint64_t
mark_of(uint32_t generation, uint32_t cpu, uint32_t token)
{
    return (uint64_t)generation << 36 | (uint64_t)(cpu & CPU_BITS) << 30 |
           token;
}

static uint32_t
mark_generation(uint64_t mark)
{
    return (uint32_t)(mark >> 36);
}

static uint32_t
mark_token(uint64_t mark)
{
    return (uint32_t)mark & SHMKITI_TOKEN_MASK;
}

static uint32_t
mark_cpu(uint64_t mark)
{
    return (uint32_t)(mark >> 30) & CPU_BITS;
}

static bool
is_of(uint64_t mark, uint32_t generation)
{
    return mark_token(mark) != 0 && mark_generation(mark) == generation;
}

static bool
is_older(uint64_t mark, uint32_t generation)
{
    uint32_t ago = (generation - mark_generation(mark)) & (GENERATIONS - 1);

    return mark_token(mark) == 0 || (ago != 0 && ago < GENERATIONS / 2);
}

static uint32_t *
futex_of(shmkit_barrier *barrier)
{
    bool big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

    return (uint32_t *)(void *)&barrier->word + big_endian;
}

/* One wait of one party. */
struct party {
    shmkit_arena *arena;
    shmkit_barrier *barrier;
    uint64_t *slot;
    uint32_t parties, flags;
    uint32_t token, generation;
};

/* `from` -> `to`, and wake who sleeps.  All changes of the word that let
 * somebody go come through here. */
static bool
change(shmkit_barrier *barrier, uint64_t from, uint64_t to)
{
    if (!shmkiti_cas_seq_cst_u64(&barrier->word, from, to))
        return false;
    SHMKITI_FAULT("bar.changed");
    if (((uint32_t)from & SHMKITI_WAITERS) != 0)
        (void)shmkiti_wake(futex_of(barrier), INT32_MAX, SHMKITI_ALL_BITS);
    return true;
}

static bool
break_it(shmkit_barrier *barrier, uint64_t word)
{
    SHMKITI_FAULT("bar.break");
    return change(barrier, word,
                  with_state(word, BROKEN) & ~(uint64_t)SHMKITI_WAITERS);
}

/* ---- arriving ---- */

static bool
is_full(const struct party *me)
{
    for (uint32_t i = 0; i < me->parties; i++) {
        if (!is_of(shmkiti_load_seq_cst_u64(&me->slot[i]), me->generation))
            return false;
    }
    return true;
}

/* A slot whose mark is older: one with `token`, or any when that is 0. */
static bool
take_slot(const struct party *me, uint32_t token, uint32_t *ret_index)
{
    uint64_t mine = mark_of(me->generation, shmkiti_cpu(), me->token);

    for (uint32_t i = 0; i < me->parties; i++) {
        uint64_t mark = shmkiti_load_seq_cst_u64(&me->slot[i]);

        if (!is_older(mark, me->generation) ||
            (token != 0 && mark_token(mark) != token))
            continue;
        SHMKITI_FAULT("bar.find");
        if (!shmkiti_cas_seq_cst_u64(&me->slot[i], mark, mine))
            continue;
        *ret_index = i;
        return true;
    }
    return false;
}

/* All are here: on to the next state, unless somebody was faster. */
static void
complete(const struct party *me)
{
    bool action = (me->flags & SHMKIT_BARRIER_ACTION) != 0, done;

    SHMKITI_FAULT("bar.full");
    do {
        uint64_t word = shmkiti_load_seq_cst_u64(&me->barrier->word);

        if (generation_of(word) != me->generation || state_of(word) != FILL)
            return;
        if (action)
            done = shmkiti_cas_seq_cst_u64(&me->barrier->word, word,
                                           with_state(word, RUN));
        else
            done = change(me->barrier, word, next_generation(word, true));
    } while (!done);
}

/* The action is this party's to run. */
static bool
claim(const struct party *me)
{
    uint64_t run = shmkiti_load_seq_cst_u64(&me->barrier->run);

    if (!is_older(run, me->generation))
        return false;
    SHMKITI_FAULT("bar.claim");
    if (!shmkiti_cas_seq_cst_u64(&me->barrier->run, run,
                                 mark_of(me->generation, 0, me->token)))
        return false;
    SHMKITI_FAULT("bar.claimed");
    shmkiti_sync_thread.barrier = me->barrier;
    shmkiti_sync_thread.running = me->generation + 1;
    return true;
}

/* ---- waiting ---- */

static int
outcome(const struct party *me, uint64_t word)
{
    uint32_t ago = (generation_of(word) - me->generation) & (GENERATIONS - 1);

    if (ago > 32)
        return SHMKIT_BROKEN;
    return (word >> (31 + ago) & 1) != 0 ? 0 : SHMKIT_BROKEN;
}

/* A dead party of this generation, or with REGULARS of any. */
static bool
is_party_dead(const struct party *me)
{
    for (uint32_t i = 0; i < me->parties; i++) {
        uint64_t mark = shmkiti_load_seq_cst_u64(&me->slot[i]);
        uint32_t token = mark_token(mark);

        if (token == 0 || token == me->token)
            continue;
        if (!is_of(mark, me->generation) &&
            (me->flags & SHMKIT_BARRIER_REGULARS) == 0)
            continue;
        if (shmkiti_token_is_dead(me->arena, token))
            return true;
    }
    return false;
}

/* Nobody is left who could run the action. */
static bool
are_all_dead(const struct party *me)
{
    for (uint32_t i = 0; i < me->parties; i++) {
        uint64_t mark = shmkiti_load_seq_cst_u64(&me->slot[i]);

        if (is_of(mark, me->generation) &&
            !shmkiti_token_is_dead(me->arena, mark_token(mark)))
            return false;
    }
    return true;
}

/* RUN: the one who should end it cannot. */
static bool
is_runner_dead(const struct party *me)
{
    uint64_t run = shmkiti_load_seq_cst_u64(&me->barrier->run);

    if (is_older(run, me->generation))
        return are_all_dead(me);
    return is_of(run, me->generation) &&
           shmkiti_token_is_dead(me->arena, mark_token(run));
}

static void
look_for_dead(const struct party *me)
{
    uint64_t word = shmkiti_load_seq_cst_u64(&me->barrier->word);

    if (generation_of(word) != me->generation)
        return;
    if (state_of(word) == FILL && is_full(me))
        complete(me);
    else if (state_of(word) == FILL && is_party_dead(me))
        (void)break_it(me->barrier, word);
    else if (state_of(word) == RUN && is_runner_dead(me))
        (void)break_it(me->barrier, word);
}

/* How long it is worth while to spin for those who are missing. */
static uint32_t
spins(const struct party *me)
{
    uint32_t cpu = shmkiti_cpu() & CPU_BITS;

    for (uint32_t i = 0; i < me->parties; i++) {
        uint64_t mark = shmkiti_load_relaxed_u64(&me->slot[i]);

        if (is_of(mark, me->generation))
            continue;
        if (mark_token(mark) == 0)
            return shmkiti_spins();
        if (mark_cpu(mark) == cpu)
            return 0;
    }
    return SHMKITI_SPIN_FAR;
}

static void
spin(const struct party *me)
{
    uint32_t n = spins(me);

    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = shmkiti_load_relaxed_u64(&me->barrier->word);

        if (generation_of(word) != me->generation || state_of(word) != FILL)
            return;
        shmkiti_pause();
    }
}

/* Until the word is no longer `word`, or a tick has passed. */
static int
sleep_on(const struct party *me, struct shmkiti_wait *wait, uint64_t word)
{
    uint64_t marked = word | SHMKITI_WAITERS;

    if (word != marked &&
        !shmkiti_cas_seq_cst_u64(&me->barrier->word, word, marked))
        return 0;
    SHMKITI_FAULT("bar.sleep");
    return shmkiti_wait_sleep(wait, futex_of(me->barrier), (uint32_t)marked,
                              SHMKITI_ALL_BITS);
}

/* The wait is given up: break the barrier.  False when there is nothing to
 * break: a verdict is there already, or an action runs. */
static bool
give_up(const struct party *me)
{
    uint64_t word = shmkiti_load_seq_cst_u64(&me->barrier->word);

    while (generation_of(word) == me->generation && state_of(word) == FILL &&
           !is_full(me)) {
        if (break_it(me->barrier, word))
            return true;
        word = shmkiti_load_seq_cst_u64(&me->barrier->word);
    }
    return false;
}

/* This party has arrived; until there is a verdict on its generation. */
static int
await_verdict(const struct party *me, struct shmkiti_wait *wait)
{
    int r = 0;

    for (;;) {
        uint64_t word = shmkiti_load_seq_cst_u64(&me->barrier->word);

        if (generation_of(word) != me->generation)
            return outcome(me, word);
        if (state_of(word) == BROKEN)
            return SHMKIT_BROKEN;
        if (state_of(word) == RUN && claim(me))
            return SHMKIT_RUN_ACTION;
        if (r < 0) {
            if (give_up(me))
                return r;
            /* The end of an action has no deadline. */
            *wait = shmkiti_wait_until(SHMKIT_FOREVER);
            wait->no_hook = true;
        }
        r = sleep_on(me, wait, word);
        if (r != 0)
            look_for_dead(me);
    }
}

/* The generation is full without this party: until it is over.  An action has
 * no deadline, and is not this party's to run. */
static void
await_room(const struct party *me, struct shmkiti_wait *wait, uint64_t word)
{
    if (state_of(word) == FILL) {
        if (is_full(me))
            complete(me);
    } else if (sleep_on(me, wait, word) != 0) {
        look_for_dead(me);
    }
}

/* Put this party's mark. */
static int
arrive(struct party *me, uint32_t *ret_index)
{
    struct shmkiti_wait room = shmkiti_wait_until(SHMKIT_FOREVER);

    room.no_hook = true;
    for (;;) {
        uint64_t word = shmkiti_load_seq_cst_u64(&me->barrier->word);

        me->generation = generation_of(word);
        if (state_of(word) == BROKEN)
            return SHMKIT_BROKEN;
        if (state_of(word) == FILL && (take_slot(me, me->token, ret_index) ||
                                       take_slot(me, 0, ret_index)))
            return 0;
        await_room(me, &room, word);
    }
}

static int
check_sizes(const shmkit_arena *arena, const shmkit_barrier *barrier)
{
    uint32_t parties = shmkiti_load_relaxed_u32(&barrier->parties);

    if (parties == 0 || parties > PARTIES_MAX ||
        !shmkiti_fits(arena, barrier, sizeof *barrier,
                      shmkit_barrier_size(parties)))
        return -EBADMSG;
    return 0;
}

static int
become_party(struct party *me, shmkit_arena *arena, shmkit_barrier *barrier)
{
    int r = check_sizes(arena, barrier);

    if (r < 0)
        return r;
    me->token = shmkiti_token(arena, &r);
    if (me->token == 0)
        return r;
    me->arena = arena;
    me->barrier = barrier;
    me->slot = slots(barrier);
    me->parties = shmkiti_load_relaxed_u32(&barrier->parties);
    me->flags = shmkiti_load_relaxed_u32(&barrier->flags);
    return 0;
}

int
shmkit_barrier_wait(shmkit_arena *arena, shmkit_barrier *barrier,
                    int64_t deadline, uint32_t *ret_index)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);
    uint32_t index = 0;
    struct party me;
    uint64_t word;
    int r = become_party(&me, arena, barrier);

    if (r < 0)
        return r;
    shmkiti_condition_flush();
    SHMKITI_TRACE_RELEASE(barrier);
    r = arrive(&me, &index);
    if (r != 0)
        return r;
    SHMKITI_FAULT("bar.slot");
    word = shmkiti_load_seq_cst_u64(&barrier->word);
    if (generation_of(word) == me.generation && state_of(word) == FILL &&
        is_full(&me))
        complete(&me);
    else if (deadline > SHMKIT_TRY)
        spin(&me);
    r = await_verdict(&me, &wait);
    if (r < 0)
        return r;
    SHMKITI_TRACE_ACQUIRE(barrier);
    *ret_index = index;
    return r;
}

/* ---- the action, reset, abort ---- */

int
shmkit_barrier_pass(shmkit_arena *arena, shmkit_barrier *barrier)
{
    uint32_t token = shmkiti_load_relaxed_u32(arena->token);
    uint64_t run = shmkiti_load_seq_cst_u64(&barrier->run), word;
    uint32_t generation = mark_generation(run);

    if (token == 0 || mark_token(run) != token)
        return -EPERM;
    shmkiti_sync_thread.barrier = NULL;
    SHMKITI_FAULT("bar.acted");
    SHMKITI_TRACE_RELEASE(barrier);
    do {
        word = shmkiti_load_seq_cst_u64(&barrier->word);
        if (state_of(word) != RUN || generation_of(word) != generation)
            return SHMKIT_BROKEN;
        SHMKITI_FAULT("bar.pass");
    } while (!change(barrier, word, next_generation(word, true)));
    return 0;
}

/* This thread is in the middle of the action of `word`'s generation. */
static bool
is_running_here(const shmkit_barrier *barrier, uint64_t word)
{
    return shmkiti_sync_thread.barrier == barrier &&
           shmkiti_sync_thread.running == generation_of(word) + 1;
}

/* An action is due: until it has been done, or its runner is dead.  If nobody
 * has claimed it, nobody shall. */
static void
await_action(struct party *me, struct shmkiti_wait *wait, uint64_t word)
{
    me->generation = generation_of(word);
    if (is_running_here(me->barrier, word) || claim(me)) {
        (void)break_it(me->barrier, word);
        return;
    }
    if (sleep_on(me, wait, word) != 0)
        look_for_dead(me);
}

static bool
has_waiters(const struct party *me, uint32_t generation)
{
    for (uint32_t i = 0; i < me->parties; i++) {
        if (is_of(shmkiti_load_seq_cst_u64(&me->slot[i]), generation))
            return true;
    }
    return false;
}

/* Regulars that died: nobody waits for them any more. */
static void
forget_dead(const struct party *me)
{
    uint32_t generation =
        generation_of(shmkiti_load_seq_cst_u64(&me->barrier->word));

    for (uint32_t i = 0; i < me->parties; i++) {
        uint64_t mark = shmkiti_load_seq_cst_u64(&me->slot[i]);
        uint32_t token = mark_token(mark);

        if (token != 0 && token != me->token && is_older(mark, generation) &&
            shmkiti_token_is_dead(me->arena, token))
            (void)shmkiti_cas_seq_cst_u64(&me->slot[i], mark, 0);
    }
}

void
shmkit_barrier_reset(shmkit_arena *arena, shmkit_barrier *barrier)
{
    struct shmkiti_wait wait = shmkiti_wait_until(SHMKIT_FOREVER);
    struct party me;
    uint64_t word;

    if (become_party(&me, arena, barrier) < 0)
        return;
    wait.no_hook = true;
    for (;;) {
        word = shmkiti_load_seq_cst_u64(&barrier->word);
        if (state_of(word) == RUN)
            await_action(&me, &wait, word);
        else if (state_of(word) == FILL &&
                 !has_waiters(&me, generation_of(word)))
            break;
        else if (change(barrier, word, next_generation(word, false)))
            break;
    }
    SHMKITI_FAULT("bar.reset");
    shmkiti_sync_thread.barrier = NULL;
    if ((me.flags & SHMKIT_BARRIER_REGULARS) != 0)
        forget_dead(&me);
}

void
shmkit_barrier_abort(shmkit_barrier *barrier)
{
    uint64_t word;

    do {
        word = shmkiti_load_seq_cst_u64(&barrier->word);
    } while (state_of(word) != BROKEN && !break_it(barrier, word));
}

int
shmkit_barrier_is_broken(const shmkit_barrier *barrier)
{
    return state_of(shmkiti_load_seq_cst_u64(&barrier->word)) == BROKEN;
}

uint32_t
shmkit_barrier_count_waiting(const shmkit_barrier *barrier)
{
    uint64_t word = shmkiti_load_seq_cst_u64(&barrier->word);
    uint32_t parties = shmkiti_load_relaxed_u32(&barrier->parties);
    const uint64_t *slot = (const uint64_t *)(barrier + 1);
    uint32_t waiting = 0;

    if (state_of(word) != FILL || parties > PARTIES_MAX)
        return 0;
    for (uint32_t i = 0; i < parties; i++)
        waiting +=
            is_of(shmkiti_load_seq_cst_u64(&slot[i]), generation_of(word));
    return waiting;
}
