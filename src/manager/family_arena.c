/* SPDX-License-Identifier: MIT */
/* family_arena.c - the arena that a family's unnamed objects live in.
 *
 * A block "shmkit.<id of the family>" of lifetime `family`, made by the first
 * member that needs it; of all who race exactly one makes it, the others find
 * it whole.  It goes with the family, as any block of it.
 *
 * Process-local: the arenas of the families this process has been in, never
 * closed, because objects in them may be in use; which is current is told by
 * the family's id.  A process that joins another family gets that one's arena
 * from then on.  The list only grows, by CAS, so that it is read without a
 * lock. */
#include <errno.h>
#include <inttypes.h>
#include <shmkit/family.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena/local.h"
#include "block/family.h"
#include "manager/family_arena.h"

#define NAME_PREFIX "shmkit."
#define TRIES 3

/* Of one family. */
struct home {
    struct home *next;
    uint64_t id;
    shmkit_arena *arena;
};

static struct home *newest; /* published with release */

static struct home *
find_home(uint64_t id)
{
    struct home *home = __atomic_load_n(&newest, __ATOMIC_ACQUIRE);

    while (home != NULL && home->id != id)
        home = home->next;
    return id == 0 ? NULL : home;
}

static int
open_arena(uint64_t id, shmkit_arena **ret_arena)
{
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    char name[sizeof NAME_PREFIX + SHMKIT_FAMILY_ID_SIZE];
    int r;

    (void)snprintf(name, sizeof name, NAME_PREFIX "%016" PRIx64, id);
    options.flags = SHMKIT_EXIST_OK;
    options.lifetime = SHMKIT_LIFETIME_FAMILY;
    r = shmkit_arena_create(name, 0, &options, ret_arena);
    return r < 0 ? r : 0;
}

/* Two threads may both come here: the arena is opened once by each, which
 * counts twice, and one of the two entries is never found. */
static int
add_home(uint64_t id, struct home **ret_home)
{
    struct home *home = malloc(sizeof *home);
    int r;

    if (home == NULL)
        return -ENOMEM;
    home->id = id;
    r = open_arena(id, &home->arena);
    if (r < 0) {
        free(home);
        return r;
    }
    home->next = __atomic_load_n(&newest, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(&newest, &home->next, home, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
    *ret_home = home;
    return 0;
}

int
shmkit_arena_of_family(shmkit_arena **ret_arena)
{
    uint64_t id = shmkiti_family_current_id();
    struct home *home = find_home(id);
    int r = 0;

    for (int i = 0; home == NULL && i < TRIES; i++) {
        r = shmkit_family_form();
        id = shmkiti_family_current_id();
        if (r == 0 && id != 0)
            r = add_home(id, &home);
        if (r < 0 && r != -ESTALE)
            return r;
        /* Another thread joined a family meanwhile: once more. */
        if (home != NULL && shmkiti_family_current_id() != id)
            home = find_home(shmkiti_family_current_id());
    }
    if (home == NULL)
        return r < 0 ? r : -EAGAIN;
    *ret_arena = home->arena;
    return 0;
}

void
shmkiti_family_arenas_close(void)
{
    struct home *home = newest, *next;

    newest = NULL;
    for (; home != NULL; home = next) {
        next = home->next;
        shmkit_arena_close(home->arena);
        free(home);
    }
}
