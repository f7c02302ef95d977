/* SPDX-License-Identifier: MIT */
/* count_safely.c - two processes add to two numbers, and nothing is lost.
 *
 * Where the new value is all there is to it, one atomic operation does.  Where
 * more than that belongs together, a lock makes it one step: here the first
 * number, which starts at 100, and a note of who wrote last. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMES 1000000

struct counters {
    shmkit_lock lock;
    int64_t locked; /* by `lock` */
    pid_t last;     /* by `lock` */
    int64_t atomic;
};

static void
count(shmkit_arena *arena, struct counters *c)
{
    if (shmkit_lock_acquire(arena, &c->lock, SHMKIT_FOREVER) < 0)
        return;
    c->locked++;
    c->last = getpid();
    (void)shmkit_lock_release(arena, &c->lock);
    for (int i = 0; i < TIMES; i++)
        shmkit_i64_add(&c->atomic, 1, SHMKIT_RELAXED);
}

int
main(void)
{
    shmkit_arena *arena = NULL;
    struct counters *c;
    uint64_t offset = 0;

    if (shmkit_arena_of_family(&arena) < 0 ||
        shmkit_arena_alloc(arena, sizeof *c, &offset) < 0)
        return 1;
    c = shmkit_arena_at(arena, offset, sizeof *c); /* zero: the lock is free */
    c->locked = 100;
    if (fork() == 0) {
        count(arena, c);
        return 0;
    }
    count(arena, c);
    wait(NULL);
    printf("%lld %lld\n", (long long)c->locked, /* 102 2000000 */
           (long long)c->atomic);
    return shmkit_arena_free(arena, offset) < 0;
}
