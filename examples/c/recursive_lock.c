/* SPDX-License-Identifier: MIT */
/* recursive_lock.c - a function that locks calls another that locks too.
 *
 * An rlock belongs to a thread, which may acquire it again; it is free when
 * the thread has released it as often.  A plain lock would wait for itself. */
#include <shmkit/shmkit.h>
#include <shmkit/sync.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct account {
    shmkit_rlock lock;
    long balance;
};

static void
deposit(shmkit_arena *arena, struct account *a, long amount)
{
    if (shmkit_rlock_acquire(arena, &a->lock, SHMKIT_FOREVER) < 0)
        return;
    a->balance += amount;
    (void)shmkit_rlock_release(arena, &a->lock);
}

static void
deposit_twice(shmkit_arena *arena, struct account *a, long amount)
{
    if (shmkit_rlock_acquire(arena, &a->lock, SHMKIT_FOREVER) < 0)
        return;
    deposit(arena, a, amount); /* the lock is held already */
    deposit(arena, a, amount);
    (void)shmkit_rlock_release(arena, &a->lock);
}

int
main(void)
{
    shmkit_arena *arena = NULL;
    struct account *a;
    uint64_t offset = 0;

    if (shmkit_arena_of_family(&arena) < 0 ||
        shmkit_arena_alloc(arena, sizeof *a, &offset) < 0)
        return 1;
    a = shmkit_arena_at(arena, offset, sizeof *a); /* zero: ready to use */
    if (fork() == 0) {
        for (int i = 0; i < 10000; i++)
            deposit_twice(arena, a, 1);
        return 0;
    }
    for (int i = 0; i < 10000; i++)
        deposit_twice(arena, a, 1);
    wait(NULL);
    printf("%ld\n", a->balance); /* 40000 */
    return shmkit_arena_free(arena, offset) < 0;
}
