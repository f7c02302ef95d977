/* SPDX-License-Identifier: MIT */
/* count_unsafely.c - two processes add to one number and forget about each
 * other: read, add, write back are three steps, and what another has written
 * in between is lost.  count_safely.c does it right.
 *
 * Each step alone is atomic; it is the three together that are not.  Whether
 * anything is lost is luck, so it is tried until something is. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMES 1000000

static void
add_unsafely(int64_t *counter)
{
    for (int i = 0; i < TIMES; i++) {
        int64_t value = shmkit_i64_load(counter, SHMKIT_RELAXED);

        shmkit_i64_store(counter, value + 1, SHMKIT_RELAXED);
    }
}

int
main(void)
{
    shmkit_arena *arena = NULL;
    uint64_t offset = 0;
    int64_t *counter, expected = 0;

    if (shmkit_arena_of_family(&arena) < 0 ||
        shmkit_arena_alloc(arena, sizeof *counter, &offset) < 0)
        return 1;
    counter = shmkit_arena_at(arena, offset, sizeof *counter);
    while (*counter == expected) {
        pid_t child = fork();

        if (child < 0)
            return 1;
        add_unsafely(counter);
        if (child == 0)
            return 0;
        wait(NULL);
        expected += INT64_C(2) * TIMES;
    }
    puts(*counter < expected ? "updates were lost" : "more than were added?");
    return shmkit_arena_free(arena, offset) < 0;
}
