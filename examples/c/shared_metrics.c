/* SPDX-License-Identifier: MIT */
/* shared_metrics.c - four workers note what they do in one array, and their
 * parent watches.
 *
 * Nobody locks: each number is written by atomic additions alone.  The monitor
 * sleeps until tasks were completed, and is woken then. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, TASKS = 100 };

struct metrics {
    uint32_t changes; /* for waiting */
    int64_t errors[WORKERS], completed;
};

static int
work(struct metrics *m, int id)
{
    for (int step = 0; step < TASKS; step++) {
        usleep(1000);
        if (step % 10 == 0)
            shmkit_i64_add(&m->errors[id], 1, SHMKIT_RELAXED);
        shmkit_i64_add(&m->completed, 1, SHMKIT_ACQ_REL);
        shmkit_cell_changed(&m->changes);
    }
    return 0;
}

int
main(void)
{
    shmkit_arena *arena = NULL;
    struct metrics *m;
    uint64_t offset = 0;
    shmkit_scalar done = {.i64 = 0};
    int64_t errors = 0;

    if (shmkit_arena_of_family(&arena) < 0 ||
        shmkit_arena_alloc(arena, sizeof *m, &offset) < 0)
        return 1;
    m = shmkit_arena_at(arena, offset, sizeof *m);
    for (int id = 0; id < WORKERS; id++)
        if (fork() == 0)
            return work(m, id);
    while (done.i64 < INT64_C(1) * WORKERS * TASKS)
        if (shmkit_cell_wait(&m->completed, SHMKIT_INT64, done, SHMKIT_FOREVER,
                             &m->changes, &done) < 0)
            return 1;
    for (int id = 0; id < WORKERS; id++) {
        errors += m->errors[id];
        wait(NULL);
    }
    printf("%lld of %d tasks, %lld errors\n", (long long)done.i64,
           WORKERS * TASKS, (long long)errors);
    return shmkit_arena_free(arena, offset) < 0;
}
