/* SPDX-License-Identifier: MIT */
/* limit_access.c - five processes, of which at most two are inside at once.
 *
 * An owned acquire promises to release by itself: should the process be killed
 * inside, its unit comes back to the others. */
#include <shmkit/shmkit.h>
#include <shmkit/sync.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct room {
    atomic_int inside, most;
    shmkit_semaphore door; /* last: its units follow */
};

static void
visit(shmkit_arena *arena, struct room *room)
{
    if (shmkit_semaphore_acquire_owned(arena, &room->door, SHMKIT_FOREVER) < 0)
        return;
    int now = atomic_fetch_add(&room->inside, 1) + 1;
    int most = atomic_load(&room->most);
    while (now > most &&
           !atomic_compare_exchange_weak(&room->most, &most, now))
        ;
    usleep(20000);
    atomic_fetch_sub(&room->inside, 1);
    (void)shmkit_semaphore_release(arena, &room->door);
}

int
main(void)
{
    size_t size = sizeof(struct room) - sizeof(shmkit_semaphore) +
                  shmkit_semaphore_size(2);
    shmkit_arena *arena = NULL;
    uint64_t offset = 0;

    if (shmkit_arena_of_family(&arena) < 0 ||
        shmkit_arena_alloc(arena, size, &offset) < 0)
        return 1;
    struct room *room = shmkit_arena_at(arena, offset, size);
    if (shmkit_semaphore_init(&room->door, 2, 2) < 0)
        return 1;
    for (int i = 0; i < 5; i++) {
        if (fork() == 0) {
            visit(arena, room);
            return 0;
        }
    }
    while (wait(NULL) > 0)
        ;
    puts(room->most <= 2 ? "never more than two" : "too many");
    return shmkit_arena_free(arena, offset) < 0;
}
