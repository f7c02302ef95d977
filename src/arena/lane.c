/* SPDX-License-Identifier: MIT */
/* lane.c - a thread's place in an arena, and what its death leaves there.
 *
 * A lane is what a thread of a participant shows to others: owner word, wait
 * word, eight read marks.  owner: 0, or the token of the process, or that of
 * a process that repairs it, with a bit.  A free lane is taken by CAS; its own
 * thread writes wait and marks, but for grants and repairs (src/sync).
 * header.lanes is the number of lanes ever used, raised before a lane is
 * taken, so that whoever looks at all lanes sees each taken one.
 *
 * A thread finds its lane in a list of its own, keyed by (handle, token): the
 * first entry nearly always.  A forked child has another token, so the entry
 * it inherited does not fit, and is used for the new lane.  A thread that ends
 * gives its lanes back.
 *
 * Repair.  Whoever finds a lane of the dead adopts it by CAS and puts right
 * what that thread was doing, as that lane: words that name the lane stay
 * valid meanwhile.  First a grant that the dead never used is counted as an
 * orphan, so that the waiters behind it look again; then the words are
 * cleared, then the steps of the layers above run, at last the owner word
 * becomes 0.  A repairer that is killed is found like any owner, and all is
 * repeated; an orphan counted twice makes waiters look twice. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena/local.h"
#include "base/fault.h"
#include "os/os.h"

#define STEPS_MAX 8
#define LOOK_AFTER 4u

/* One lane of this thread. */
struct place {
    struct place *next;
    shmkit_arena *arena;
    uint64_t serial; /* of the handle: addresses come back */
    uint32_t token, lane;
};

static _Thread_local struct place *mine
    __attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t number
    __attribute__((tls_model("initial-exec")));
static pthread_key_t at_thread_end;
static shmkiti_repair_fn *steps[STEPS_MAX];
static unsigned step_count;

uint32_t
shmkiti_thread_number(void)
{
    static uint32_t last;

    while (number == 0)
        number = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    return number;
}

/* ---- the words ---- */

uint32_t
shmkiti_lane_count(const shmkit_arena *arena)
{
    uint32_t count = shmkiti_load_acquire_u32(&arena->header->lanes);

    return count < SHMKITI_LANE_MAX ? count : SHMKITI_LANE_MAX;
}

uint32_t *
shmkiti_lane_owner(const shmkit_arena *arena, uint32_t lane)
{
    return (uint32_t *)shmkiti_arena_ptr(arena, SHMKITI_AT_OWNERS) + lane;
}

uint64_t *
shmkiti_lane_wait(const shmkit_arena *arena, uint32_t lane)
{
    return (uint64_t *)shmkiti_arena_ptr(arena, SHMKITI_AT_WAITS) + lane;
}

uint64_t *
shmkiti_lane_marks(const shmkit_arena *arena, uint32_t lane)
{
    return (uint64_t *)shmkiti_arena_ptr(arena, SHMKITI_AT_MARKS) +
           (size_t)lane * SHMKITI_LANE_MARKS;
}

uint32_t
shmkiti_arena_new_id(shmkit_arena *arena)
{
    uint32_t id;

    do {
        id = __atomic_add_fetch(&arena->header->next_id, 1, __ATOMIC_RELAXED);
    } while (id == 0);
    return id;
}

uint32_t *
shmkiti_arena_orphan(const shmkit_arena *arena, uint32_t id)
{
    return &arena->header->orphan[id % SHMKITI_ORPHANS];
}

static void
clear(shmkit_arena *arena, uint32_t lane)
{
    uint64_t *marks = shmkiti_lane_marks(arena, lane);

    __atomic_store_n(shmkiti_lane_wait(arena, lane), 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < SHMKITI_LANE_MARKS; i++)
        __atomic_store_n(&marks[i], 0, __ATOMIC_SEQ_CST);
}

/* ---- repair ---- */

void
shmkiti_lane_on_repair(shmkiti_repair_fn *step)
{
    if (step_count < STEPS_MAX)
        steps[step_count++] = step;
}

/* A grant may come between the look and the clearing: look again then. */
static void
clear_wait(shmkit_arena *arena, uint32_t lane)
{
    uint64_t *word = shmkiti_lane_wait(arena, lane);
    uint64_t wait;

    do {
        wait = shmkiti_load_acquire_u64(word);
        if ((wait & 3) == SHMKITI_WAIT_GRANTED)
            (void)__atomic_fetch_add(
                shmkiti_arena_orphan(arena, (uint32_t)(wait >> 32)), 1,
                __ATOMIC_SEQ_CST);
        SHMKITI_FAULT("lane.repair.counted");
    } while (!shmkiti_cas_acq_rel_u64(word, wait, 0));
}

static void
repair_adopted(shmkit_arena *arena, uint32_t lane)
{
    clear_wait(arena, lane);
    clear(arena, lane);
    SHMKITI_FAULT("lane.repair.cleared");
    for (unsigned i = 0; i < step_count; i++)
        steps[i](arena, lane);
    SHMKITI_FAULT("lane.repair.stepped");
    (void)__atomic_fetch_add(&arena->header->deaths, 1, __ATOMIC_RELAXED);
    shmkiti_store_release_u32(shmkiti_lane_owner(arena, lane), 0);
}

bool
shmkiti_lane_repair(shmkit_arena *arena, uint32_t lane)
{
    uint32_t owner, own;
    int error;

    if (lane >= SHMKITI_LANE_MAX)
        return false;
    owner = shmkiti_load_acquire_u32(shmkiti_lane_owner(arena, lane));
    own = shmkiti_token(arena, &error);
    if (owner == 0 || own == 0 || !shmkiti_token_is_dead(arena, owner))
        return false;
    if (!shmkiti_cas_acq_rel_u32(shmkiti_lane_owner(arena, lane), owner,
                                 own | SHMKITI_LANE_ADOPTED))
        return false;
    SHMKITI_FAULT("lane.repair.adopted");
    repair_adopted(arena, lane);
    SHMKITI_FAULT("lane.repair.freed");
    return true;
}

/* ---- taking and giving back ---- */

static void
count_lane(shmkit_arena *arena, uint32_t lane)
{
    uint32_t *lanes = &arena->header->lanes;
    uint32_t seen = shmkiti_load_acquire_u32(lanes);

    while (seen < lane + 1 && !shmkiti_cas_acq_rel_u32(lanes, seen, lane + 1))
        seen = shmkiti_load_acquire_u32(lanes);
}

static bool
take_free(shmkit_arena *arena, uint32_t token, uint32_t *ret_lane)
{
    for (uint32_t lane = 0; lane < SHMKITI_LANE_MAX; lane++) {
        uint32_t *owner = shmkiti_lane_owner(arena, lane);

        if (shmkiti_load_acquire_u32(owner) != 0)
            continue;
        count_lane(arena, lane);
        SHMKITI_FAULT("lane.take.counted");
        if (shmkiti_cas_acq_rel_u32(owner, 0, token)) {
            SHMKITI_FAULT("lane.take.taken");
            *ret_lane = lane;
            return true;
        }
    }
    return false;
}

/* Every newcomer looks after a few, so that the dead stay few. */
static void
repair_some(shmkit_arena *arena, uint32_t token)
{
    uint32_t count = shmkiti_lane_count(arena);

    for (uint32_t i = 0; count != 0 && i < LOOK_AFTER; i++)
        (void)shmkiti_lane_repair(arena, (token * LOOK_AFTER + i) % count);
}

static int
take_lane(shmkit_arena *arena, uint32_t token, uint32_t *ret_lane)
{
    bool any = true;

    repair_some(arena, token);
    while (any) {
        if (take_free(arena, token, ret_lane))
            return 0;
        any = false;
        for (uint32_t lane = 0; lane < SHMKITI_LANE_MAX; lane++)
            any |= shmkiti_lane_repair(arena, lane);
    }
    return -EAGAIN;
}

static void
give_back(shmkit_arena *arena, uint32_t lane)
{
    clear(arena, lane);
    shmkiti_store_release_u32(shmkiti_lane_owner(arena, lane), 0);
}

void
shmkiti_lanes_drop(shmkit_arena *arena, uint32_t token)
{
    uint32_t count = shmkiti_lane_count(arena);

    for (uint32_t lane = 0; lane < count; lane++) {
        if (shmkiti_load_acquire_u32(shmkiti_lane_owner(arena, lane)) == token)
            give_back(arena, lane);
    }
}

/* ---- this thread's lanes ---- */

static bool
is_open(const struct place *place)
{
    struct shmkiti_arena_local *local = shmkiti_arenas_first();

    while (local != NULL && local->serial != place->serial)
        local = local->next;
    return local != NULL;
}

/* The handle may be closed, and after fork the lane is the parent's. */
static void
leave(struct place *place)
{
    if (is_open(place) &&
        __atomic_load_n(place->arena->token, __ATOMIC_RELAXED) == place->token)
        give_back(place->arena, place->lane);
}

static void
leave_all(void)
{
    struct place *next;

    shmkiti_arenas_lock();
    for (struct place *place = mine; place != NULL; place = next) {
        next = place->next;
        leave(place);
        free(place);
    }
    mine = NULL;
    shmkiti_arenas_unlock();
}

static void
end_thread(void *arg)
{
    (void)arg;
    leave_all();
}

__attribute__((constructor)) static void
set_up(void)
{
    (void)pthread_key_create(&at_thread_end, end_thread);
}

/* Of the thread that exits; what others have goes with the process. */
__attribute__((destructor)) static void
tear_down(void)
{
    leave_all();
}

/* This thread's entry for the handle, moved to the front. */
static struct place *
find_place(shmkit_arena *arena)
{
    struct place **link = &mine, *place;

    while ((place = *link) != NULL &&
           (place->arena != arena || place->serial != arena->local->serial))
        link = &place->next;
    if (place != NULL) {
        *link = place->next;
        place->next = mine;
        mine = place;
    }
    return place;
}

static struct place *
new_place(shmkit_arena *arena)
{
    struct place *place = calloc(1, sizeof *place);

    if (place == NULL)
        return NULL;
    /* Any value but NULL makes the key's function run. */
    (void)pthread_setspecific(at_thread_end, place);
    place->arena = arena;
    place->serial = arena->local->serial;
    place->next = mine;
    mine = place;
    return place;
}

static int
find_lane(shmkit_arena *arena, uint32_t token, uint32_t *ret_lane)
{
    struct place *place = find_place(arena);
    uint32_t lane;
    int r;

    if (place == NULL)
        place = new_place(arena);
    if (place == NULL)
        return -ENOMEM;
    if (place->token != token) {
        r = take_lane(arena, token, &lane);
        if (r < 0)
            return r;
        place->token = token;
        place->lane = lane;
    }
    *ret_lane = place->lane;
    return 0;
}

int
shmkiti_lane(shmkit_arena *arena, uint32_t *ret_lane)
{
    struct place *place = mine;
    uint32_t token;
    int r = 0;

    token = shmkiti_token(arena, &r);
    if (__builtin_expect(token == 0, 0))
        return r;
    if (__builtin_expect(place != NULL && place->arena == arena &&
                             place->token == token &&
                             place->serial == arena->local->serial,
                         1)) {
        *ret_lane = place->lane;
        return 0;
    }
    return find_lane(arena, token, ret_lane);
}
