/* SPDX-License-Identifier: MIT */
/* semaphore.c - n units, each of which knows whose it is.
 *
 *     queue   event count on which acquirers sleep: odd = somebody does
 *     words   how many unit words follow        fixed by init()
 *     max     bound on the value, 0 = none      fixed by init()
 *     died    units taken back from the dead, times 2
 *     extra   free units without a word
 *     hint    16 bits: CPU of the last releaser that had to wake somebody, + 1
 *             16 bits: the unit word that changed last; only a hint
 *     owned   1 = there may be units with an owner
 *     unit[]  0               free
 *             PROBE | number  free too, see below
 *             token           taken by an acquire_owned() of that process
 *             ANON            taken by acquire(): anybody may release it, so
 *                             it never comes back from the dead
 *
 * The first 1024 units of the initial value have a word.  Units beyond, and
 * units released beyond the initial value, are in extra.  The value is the
 * number of free words plus extra.  A release takes its own unit first, then
 * an anonymous one, then adds to extra up to the bound.
 *
 * Who writes: everything by compare-exchange or fetch-or, by anybody; hint by
 * plain stores.
 *
 * A failure must be true at some instant, though words are read one after the
 * other and units move meanwhile:
 *   - "nothing is free": make queue odd, scan, look whether queue is still
 *     the same.  Each release changes an odd queue before it returns, so one
 *     that the scan may have missed either shows, or has not returned yet and
 *     counts as later.
 *   - "nothing is out" (release over the bound): put PROBE | number into every
 *     free word, read extra, look whether every mark is still there.  A unit
 *     taken and released meanwhile is 0 again.  Marks may stay: they are free.
 *
 * Wake-ups: a release that finds queue odd makes it even and wakes one.  Who
 * has slept and got a unit makes it odd again, and hands the wake-up on when
 * there is more: a second release may have found queue even.
 *
 * A kill leaves:
 *   - the holder of an owned unit: its token.  An acquirer's tick, or its last
 *     look before it gives up, takes it over and is told.
 *   - the holder of an anonymous unit: a unit less, by nature.
 *   - a releaser before its wake, a woken one that never came: the tick. */
#include <errno.h>

#include "sync/lock.h"

#define ANON 0x40000000u
#define PROBE 0x80000000u
#define VALUE_MAX 0x7fffffffu
#define WAITED 1u /* bit of queue */
/* Words that an attempt that may not wait looks at for the dead. */
#define GLANCE 16u
/* Beyond these, a semaphore may reach past the line that it surely has. */
#define WORDS_NEAR 8u
#define PROBES_MAX 1000u

static uint32_t *
units(shmkit_semaphore *semaphore)
{
    return (uint32_t *)(semaphore + 1);
}

size_t
shmkit_semaphore_size(uint32_t value)
{
    uint32_t words = value < SHMKIT_UNIT_WORDS ? value : SHMKIT_UNIT_WORDS;

    return sizeof(shmkit_semaphore) + sizeof(uint32_t) * words;
}

int
shmkit_semaphore_init(shmkit_semaphore *semaphore, uint32_t value,
                      uint32_t max)
{
    uint32_t words = value < SHMKIT_UNIT_WORDS ? value : SHMKIT_UNIT_WORDS;

    if (value > VALUE_MAX || max > VALUE_MAX || (max != 0 && value > max))
        return -EINVAL;
    shmkiti_store_relaxed_u32(&semaphore->queue, 0);
    shmkiti_store_relaxed_u32(&semaphore->words, words);
    shmkiti_store_relaxed_u32(&semaphore->max, max);
    shmkiti_store_relaxed_u32(&semaphore->died, 0);
    shmkiti_store_relaxed_u64(&semaphore->extra, value - words);
    shmkiti_store_relaxed_u32(&semaphore->hint, 0);
    shmkiti_store_relaxed_u32(&semaphore->owned, 0);
    for (uint32_t i = 0; i < words; i++)
        shmkiti_store_relaxed_u32(&units(semaphore)[i], 0);
    return 0;
}

/* ---- one call ---- */

struct call {
    shmkit_arena *arena;
    shmkit_semaphore *semaphore;
    uint32_t *unit;
    uint32_t words;
    uint32_t mark; /* what a unit that is taken gets */
};

static inline int
begin(struct call *call, shmkit_arena *arena, shmkit_semaphore *semaphore)
{
    uint32_t words = shmkiti_load_relaxed_u32(&semaphore->words);

    if (__builtin_expect(words > WORDS_NEAR, 0) &&
        (words > SHMKIT_UNIT_WORDS ||
         !shmkiti_fits(arena, semaphore, sizeof *semaphore,
                       sizeof *semaphore + sizeof(uint32_t) * words)))
        return -EBADMSG;
    call->arena = arena;
    call->semaphore = semaphore;
    call->unit = units(semaphore);
    call->words = words;
    call->mark = ANON;
    return 0;
}

static inline bool
is_free(uint32_t unit)
{
    return unit == 0 || (unit & PROBE) != 0;
}

/* Where to look first; 0 when there are no words. */
static inline uint32_t
first_word(const struct call *call)
{
    uint32_t at = shmkiti_load_relaxed_u32(&call->semaphore->hint) & 0xffff;

    return at < call->words ? at : 0;
}

static inline void
remember_word(const struct call *call, uint32_t at)
{
    uint32_t hint = shmkiti_load_relaxed_u32(&call->semaphore->hint);

    if ((hint & 0xffff) != at)
        shmkiti_store_relaxed_u32(&call->semaphore->hint,
                                  (hint & 0xffff0000u) | at);
}

/* ---- acquiring ---- */

static bool
take_extra(const struct call *call)
{
    uint64_t *extra = &call->semaphore->extra, v;

    do {
        v = shmkiti_load_seq_cst_u64(extra);
        if (v == 0)
            return false;
    } while (!shmkiti_cas_seq_cst_u64(extra, v, v - 1));
    return true;
}

static inline bool
take_word(const struct call *call, uint32_t at)
{
    uint32_t v = shmkiti_load_seq_cst_u32(&call->unit[at]);

    while (is_free(v)) {
        if (shmkiti_cas_seq_cst_u32(&call->unit[at], v, call->mark)) {
            remember_word(call, at);
            return true;
        }
        v = shmkiti_load_seq_cst_u32(&call->unit[at]);
    }
    return false;
}

static bool
take_any_word(const struct call *call)
{
    uint32_t at = first_word(call);

    for (uint32_t i = 0; i < call->words; i++) {
        if (take_word(call, at))
            return true;
        at = at + 1 < call->words ? at + 1 : 0;
    }
    return false;
}

/* Units without a word are for those who need none. */
static inline bool
take(const struct call *call)
{
    if (call->mark == ANON)
        return take_extra(call) || take_any_word(call);
    return take_any_word(call) || take_extra(call);
}

/* Announce, and look again.  False: at some instant nothing was free, and
 * *ret_queue is what to sleep on. */
static bool
take_announced(const struct call *call, uint32_t *ret_queue)
{
    uint32_t *queue = &call->semaphore->queue, q;

    do {
        q = shmkiti_fetch_or_seq_cst_u32(queue, WAITED) | WAITED;
        if (take(call))
            return true;
    } while (shmkiti_load_seq_cst_u32(queue) != q);
    *ret_queue = q;
    return false;
}

/* Look at `count` unit words for a dead owner, and be the next. */
static bool
take_dead(const struct call *call, uint32_t count)
{
    static _Thread_local uint32_t next;
    uint32_t alive = 0;

    for (uint32_t i = 0; i < count && i < call->words; i++) {
        uint32_t at = next++ % call->words;
        uint32_t v = shmkiti_load_seq_cst_u32(&call->unit[at]);

        if (is_free(v) || v == alive || (v & ~SHMKITI_TOKEN_MASK) != 0)
            continue;
        if (!shmkiti_token_is_dead(call->arena, v)) {
            alive = v;
        } else if (shmkiti_cas_seq_cst_u32(&call->unit[at], v, call->mark)) {
            SHMKITI_FAULT("sem.inherit.taken");
            (void)shmkiti_fetch_add_seq_cst_u32(&call->semaphore->died, 2);
            return true;
        }
    }
    return false;
}

static bool
has_free(const struct call *call)
{
    if (shmkiti_load_seq_cst_u64(&call->semaphore->extra) != 0)
        return true;
    for (uint32_t i = 0; i < call->words; i++) {
        if (is_free(shmkiti_load_seq_cst_u32(&call->unit[i])))
            return true;
    }
    return false;
}

static void
wake_one(shmkit_semaphore *semaphore, uint32_t q)
{
    if (!shmkiti_cas_seq_cst_u32(&semaphore->queue, q, q + 1))
        return; /* somebody else did */
    SHMKITI_FAULT("sem.release.counted");
    (void)shmkiti_wake(&semaphore->queue, 1, SHMKITI_ALL_BITS);
}

/* After a sleep: there may be more sleepers, and more units. */
static void
hand_on(const struct call *call)
{
    uint32_t q =
        shmkiti_fetch_or_seq_cst_u32(&call->semaphore->queue, WAITED) | WAITED;

    if (has_free(call))
        wake_one(call->semaphore, q);
}

static bool
spin(const struct call *call)
{
    uint32_t seen = shmkiti_load_relaxed_u32(&call->semaphore->hint) >> 16;
    uint32_t n = call->words > WORDS_NEAR ? 0 : shmkiti_spins_for(seen);

    for (uint32_t i = 0; i < n; i++) {
        if (has_free(call) && take(call))
            return true;
        shmkiti_pause();
    }
    return false;
}

static int
sleep_for_it(const struct call *call, struct shmkiti_wait *wait)
{
    uint32_t q;
    int r;

    for (r = 0; !take_announced(call, &q);) {
        if (r < 0)
            return r;
        SHMKITI_FAULT("sem.acquire.sleep");
        r = shmkiti_wait_sleep(wait, &call->semaphore->queue, q,
                               SHMKITI_ALL_BITS);
        SHMKITI_FAULT("sem.acquire.woke");
        if (r != 0 && take_dead(call, call->words)) {
            hand_on(call);
            return SHMKIT_OWNER_DIED;
        }
    }
    hand_on(call);
    return 0;
}

static int
try_once(const struct call *call)
{
    uint32_t q;

    if (take_announced(call, &q))
        return 0;
    return take_dead(call, GLANCE) ? SHMKIT_OWNER_DIED : -ETIMEDOUT;
}

__attribute__((noinline, cold)) static int
acquire_slow(const struct call *call, int64_t deadline)
{
    struct shmkiti_wait wait = shmkiti_wait_until(deadline);
    int r = 0;

    /* The dead are told from the living only by a participant. */
    if (shmkiti_token(call->arena, &r) == 0)
        return r;
    if (deadline <= SHMKIT_TRY) {
        r = try_once(call);
    } else {
        shmkiti_condition_flush();
        r = spin(call) ? 0 : sleep_for_it(call, &wait);
    }
    SHMKITI_TRACE_ACQUIRE(call->semaphore);
    return r;
}

static inline int
acquire(const struct call *call, int64_t deadline)
{
    if (__builtin_expect(!take(call), 0))
        return acquire_slow(call, deadline);
    SHMKITI_FAULT("sem.acquire.got");
    SHMKITI_TRACE_ACQUIRE(call->semaphore);
    return 0;
}

int
shmkit_semaphore_acquire(shmkit_arena *arena, shmkit_semaphore *semaphore,
                         int64_t deadline)
{
    struct call call;
    int r = begin(&call, arena, semaphore);

    return r < 0 ? r : acquire(&call, deadline);
}

int
shmkit_semaphore_acquire_owned(shmkit_arena *arena,
                               shmkit_semaphore *semaphore, int64_t deadline)
{
    struct call call;
    int r = begin(&call, arena, semaphore);

    if (r < 0)
        return r;
    call.mark = shmkiti_token(arena, &r);
    if (call.mark == 0)
        return r;
    if (shmkiti_load_relaxed_u32(&semaphore->owned) == 0)
        (void)shmkiti_fetch_or_seq_cst_u32(&semaphore->owned, 1);
    return acquire(&call, deadline);
}

/* ---- releasing ---- */

/* A word that says `mark` becomes free.  From the hint down: units are given
 * back in the reverse of the order in which they were taken. */
static bool
free_word(const struct call *call, uint32_t mark)
{
    uint32_t at = first_word(call);

    for (uint32_t i = 0; i < call->words; i++) {
        if (shmkiti_load_seq_cst_u32(&call->unit[at]) == mark &&
            shmkiti_cas_seq_cst_u32(&call->unit[at], mark, 0)) {
            remember_word(call, at);
            return true;
        }
        at = at > 0 ? at - 1 : call->words - 1;
    }
    return false;
}

static uint64_t
extra_max(const struct call *call)
{
    uint32_t max = shmkiti_load_relaxed_u32(&call->semaphore->max);

    if (max == 0)
        max = VALUE_MAX;
    return max > call->words ? max - call->words : 0;
}

static bool
add_extra(const struct call *call)
{
    uint64_t *extra = &call->semaphore->extra, v;

    do {
        v = shmkiti_load_seq_cst_u64(extra);
        if (v >= extra_max(call))
            return false;
    } while (!shmkiti_cas_seq_cst_u64(extra, v, v + 1));
    return true;
}

/* A number that no other prober uses at the same time. */
static uint32_t
probe_number(uint32_t token)
{
    if (shmkiti_sync_thread.number == 0)
        shmkiti_sync_thread.number = shmkiti_thread_number();
    return PROBE | ((token * 0x9e3779b1u + shmkiti_sync_thread.number) >> 1);
}

/* Every word is free, marked with `number`, or another process's. */
static bool
is_marked(const struct call *call, uint32_t number, uint32_t token, bool mark)
{
    for (uint32_t i = 0; i < call->words; i++) {
        uint32_t v = shmkiti_load_seq_cst_u32(&call->unit[i]);

        while (mark && is_free(v) && v != number) {
            (void)shmkiti_cas_seq_cst_u32(&call->unit[i], v, number);
            v = shmkiti_load_seq_cst_u32(&call->unit[i]);
        }
        if (v == ANON || (token != 0 && v == token) ||
            (is_free(v) && v != number))
            return false;
    }
    return true;
}

/* At some instant nothing was out that this release could give back. */
static bool
is_over(const struct call *call, uint32_t token)
{
    uint32_t number = probe_number(token);

    return is_marked(call, number, token, true) &&
           shmkiti_load_seq_cst_u64(&call->semaphore->extra) >=
               extra_max(call) &&
           is_marked(call, number, token, false);
}

static bool
give_back(const struct call *call, uint32_t token)
{
    bool owned = shmkiti_load_relaxed_u32(&call->semaphore->owned) != 0;

    return (owned && token != 0 && free_word(call, token)) ||
           free_word(call, ANON) || add_extra(call);
}

__attribute__((noinline, cold)) static int
insist(const struct call *call, uint32_t token)
{
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        if (is_over(call, token))
            return -EOVERFLOW;
        if (give_back(call, token))
            return 0;
    }
    return -EOVERFLOW;
}

__attribute__((noinline, cold)) static void
wake_a_waiter(shmkit_semaphore *semaphore, uint32_t q)
{
    uint32_t hint = shmkiti_load_relaxed_u32(&semaphore->hint);

    shmkiti_store_relaxed_u32(&semaphore->hint, (hint & 0xffff) | shmkiti_cpu()
                                                                      << 16);
    wake_one(semaphore, q);
}

int
shmkit_semaphore_release(shmkit_arena *arena, shmkit_semaphore *semaphore)
{
    uint32_t token = shmkiti_load_relaxed_u32(arena->token), q;
    struct call call;
    int r = begin(&call, arena, semaphore);

    if (r < 0)
        return r;
    SHMKITI_TRACE_RELEASE(semaphore);
    if (__builtin_expect(!give_back(&call, token), 0)) {
        r = insist(&call, token);
        if (r < 0)
            return r;
    }
    SHMKITI_FAULT("sem.release.freed");
    q = shmkiti_load_seq_cst_u32(&semaphore->queue);
    if (__builtin_expect((q & WAITED) != 0, 0))
        wake_a_waiter(semaphore, q);
    return 0;
}

uint32_t
shmkit_semaphore_get_value(const shmkit_semaphore *semaphore)
{
    const uint32_t *unit = (const uint32_t *)(semaphore + 1);
    uint32_t words = shmkiti_load_relaxed_u32(&semaphore->words);
    uint64_t value = shmkiti_load_seq_cst_u64(&semaphore->extra);

    if (words > SHMKIT_UNIT_WORDS)
        words = 0;
    for (uint32_t i = 0; i < words; i++)
        value += is_free(shmkiti_load_seq_cst_u32(&unit[i]));
    return value < VALUE_MAX ? (uint32_t)value : VALUE_MAX;
}

uint32_t
shmkit_semaphore_get_deaths(const shmkit_semaphore *semaphore)
{
    return shmkiti_load_relaxed_u32(&semaphore->died) / 2;
}
