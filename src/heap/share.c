/* SPDX-License-Identifier: MIT */
/* share.c - what this process owns of an arena's objects, by cohort.
 *
 * Nothing here is shared memory.  Why cohorts: docs/decisions/0005.
 *
 * A cohort is what one process allocates between two forks.  Its objects are
 * inherited together, so one lock can stand for all: a shared lock on byte
 * 2^60 + cohort of the file, through a description that lives in one page, the
 * pin, which fork does copy.  It is taken only when somebody else may come to
 * own a share: before a fork, if the cohort has living objects, and when one
 * is sent.  From then on the cohort is closed: the next allocation starts a
 * new one.
 *
 * Each process counts its living shares of each cohort; fork copies the counts
 * with the process's memory.  At zero it unmaps its pin; the last process to
 * do so, or to die, ends the lock.
 *
 * If the pin cannot be had before a fork (no descriptor, no memory), the child
 * still inherits its shares but nothing proves it: then the creator keeps the
 * objects of that cohort until it dies (`leaky`).
 *
 * All under the arena's mutex, which fork() holds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena/local.h"
#include "base/fault.h"
#include "block/local.h"
#include "heap/heap.h"
#include "heap/share.h"
#include "os/os.h"

#define ROOM_MIN 16u

static struct shmkiti_shares *
shares(const shmkit_arena *arena)
{
    return arena->local->heap;
}

/* ---- the table: open addressing, never more than half full ---- */

static uint32_t
slot_of(const struct shmkiti_shares *s, uint32_t cohort)
{
    uint32_t i = cohort * 2654435761u & (s->room - 1);

    while (s->at[i].cohort != 0 && s->at[i].cohort != cohort)
        i = (i + 1) & (s->room - 1);
    return i;
}

static struct shmkiti_share *
find(const shmkit_arena *arena, uint32_t cohort)
{
    struct shmkiti_shares *s = shares(arena);
    uint32_t i;

    if (s == NULL || cohort == 0)
        return NULL;
    if (s->last != NULL && s->last->cohort == cohort)
        return s->last;
    i = slot_of(s, cohort);
    if (s->at[i].cohort != cohort)
        return NULL;
    s->last = &s->at[i];
    return s->last;
}

static int
resize(struct shmkiti_shares *s, uint32_t room)
{
    struct shmkiti_share *old = s->at;
    uint32_t old_room = s->room;

    s->at = calloc(room, sizeof *s->at);
    if (s->at == NULL) {
        s->at = old;
        return -ENOMEM;
    }
    s->room = room;
    s->last = NULL;
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i].cohort != 0)
            s->at[slot_of(s, old[i].cohort)] = old[i];
    }
    free(old);
    return 0;
}

static int
make_table(shmkit_arena *arena)
{
    struct shmkiti_shares *s = calloc(1, sizeof *s);
    int r;

    if (s == NULL)
        return -ENOMEM;
    r = resize(s, ROOM_MIN);
    if (r < 0) {
        free(s);
        return r;
    }
    arena->local->heap = s;
    return 0;
}

static int
add(shmkit_arena *arena, uint32_t cohort, struct shmkiti_share **ret_share)
{
    struct shmkiti_shares *s = shares(arena);
    int r = 0;

    if (s == NULL)
        r = make_table(arena);
    s = shares(arena);
    if (r == 0 && (s->count + 1) * 2 > s->room)
        r = resize(s, s->room * 2);
    if (r < 0)
        return r;
    *ret_share = &s->at[slot_of(s, cohort)];
    **ret_share = (struct shmkiti_share){.cohort = cohort};
    s->count++;
    return 0;
}

/* Close the gap, so that no search ends too early. */
static void
erase(struct shmkiti_shares *s, struct shmkiti_share *share)
{
    uint32_t mask = s->room - 1, hole = (uint32_t)(share - s->at);

    s->last = NULL;
    s->count--;
    for (uint32_t i = (hole + 1) & mask; s->at[i].cohort != 0;
         i = (i + 1) & mask) {
        uint32_t home = s->at[i].cohort * 2654435761u & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            s->at[hole] = s->at[i];
            hole = i;
        }
    }
    s->at[hole].cohort = 0;
}

/* ---- pins ---- */

static int
pin_share(shmkit_arena *arena, struct shmkiti_share *share)
{
    int fd, r;

    shmkiti_guard_enter();
    r = shmkiti_arena_open_fresh(arena, &fd);
    if (r == 0) {
        r = shmkiti_os_lock_byte_shared(fd,
                                        SHMKITI_BYTE_COHORT + share->cohort);
        SHMKITI_FAULT("share.pin.locked");
        if (r == 0)
            r = shmkiti_os_pin(fd, true, &share->pin);
        (void)shmkiti_os_close(fd);
    }
    shmkiti_guard_leave();
    if (r < 0)
        share->pin = NULL;
    return r;
}

static void
close_current(struct shmkiti_shares *s, uint32_t cohort)
{
    if (s->current == cohort)
        s->current = 0;
}

int
shmkiti_share_pin(shmkit_arena *arena, uint32_t cohort)
{
    struct shmkiti_share *share = find(arena, cohort);
    int r = 0;

    if (share == NULL)
        return -EINVAL;
    if (share->pin == NULL)
        r = pin_share(arena, share);
    if (r == 0)
        close_current(shares(arena), cohort);
    return r;
}

int
shmkiti_share_adopt(shmkit_arena *arena, uint32_t cohort)
{
    struct shmkiti_share *share = find(arena, cohort);
    int r = 0;

    if (share == NULL)
        r = add(arena, cohort, &share);
    if (r < 0)
        return r;
    share->count++;
    r = share->pin == NULL ? pin_share(arena, share) : 0;
    if (r < 0) {
        (void)shmkiti_share_drop(arena, cohort);
        return r;
    }
    close_current(shares(arena), cohort);
    return 0;
}

/* ---- counting ---- */

int
shmkiti_share_new(shmkit_arena *arena, uint32_t *ret_cohort)
{
    struct shmkiti_shares *s = shares(arena);
    uint32_t cohort = s == NULL ? 0 : s->current;
    struct shmkiti_share *share;
    int r = 0;

    while (cohort == 0)
        cohort = __atomic_add_fetch(&arena->header->heap.cohorts, 1,
                                    __ATOMIC_RELAXED);
    share = find(arena, cohort);
    if (share == NULL)
        r = add(arena, cohort, &share);
    if (r < 0)
        return r;
    share->count++;
    shares(arena)->current = cohort;
    shares(arena)->last = share;
    *ret_cohort = cohort;
    return 0;
}

bool
shmkiti_share_drop(shmkit_arena *arena, uint32_t cohort)
{
    struct shmkiti_share *share = find(arena, cohort);

    if (share == NULL || share->count == 0)
        return false;
    if (--share->count != 0)
        return true;
    if (cohort == shares(arena)->current)
        return true; /* it goes on */
    if (share->pin != NULL)
        shmkiti_os_unpin(share->pin);
    erase(shares(arena), share);
    return true;
}

bool
shmkiti_share_has(shmkit_arena *arena, uint32_t cohort)
{
    const struct shmkiti_share *share = find(arena, cohort);

    return share != NULL && share->count != 0;
}

bool
shmkiti_share_is_pinned(shmkit_arena *arena, uint32_t cohort)
{
    const struct shmkiti_share *share = find(arena, cohort);

    return share != NULL && (share->pin != NULL || share->leaky);
}

bool
shmkiti_share_is_leaky(shmkit_arena *arena, uint32_t cohort)
{
    const struct shmkiti_share *share = find(arena, cohort);

    return share != NULL && share->leaky;
}

/* ---- fork and close ---- */

void
shmkiti_share_before_fork(shmkit_arena *arena)
{
    struct shmkiti_shares *s = shares(arena);
    struct shmkiti_share *share;

    if (s == NULL)
        return;
    share = find(arena, s->current);
    if (share == NULL || share->count == 0)
        return;
    if (share->pin == NULL && pin_share(arena, share) < 0)
        share->leaky = true;
    SHMKITI_FAULT("share.fork.pinned");
    s->current = 0;
}

/* A cohort without living objects stays its creator's. */
void
shmkiti_share_in_child(shmkit_arena *arena)
{
    struct shmkiti_shares *s = shares(arena);
    struct shmkiti_share *share;

    if (s == NULL || s->current == 0)
        return;
    share = find(arena, s->current);
    s->current = 0;
    if (share != NULL)
        erase(s, share);
}

void
shmkiti_share_close(shmkit_arena *arena)
{
    struct shmkiti_shares *s = shares(arena);

    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->room; i++) {
        if (s->at[i].cohort != 0 && s->at[i].pin != NULL)
            shmkiti_os_unpin(s->at[i].pin);
    }
    free(s->at);
    free(s);
    arena->local->heap = NULL;
}
