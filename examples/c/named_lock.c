/* SPDX-License-Identifier: MIT */
/* named_lock.c - programs that know nothing of each other share a lock.
 *
 * What Python calls Lock(name="jobs") is root "object" of arena "shmkit.jobs";
 * it goes with the last program that uses it.  Here a second program, started
 * by exec, finds the lock held. */
#include <shmkit/shmkit.h>
#include <shmkit/sync.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void
make(void *object, void *ignored)
{
    (void)ignored;
    shmkit_lock_init(object);
}

static shmkit_lock *
open_lock(const char *name, shmkit_arena **ret_arena)
{
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    uint64_t offset = 0;

    options.flags = SHMKIT_EXIST_OK;
    options.span = 16 << 20; /* enough for one object */
    if (shmkit_arena_create(name, 4096, &options, ret_arena) < 0 ||
        shmkit_arena_root(
            *ret_arena,
            &(struct shmkit_root){"object", SHMKIT_OBJECT_LOCK,
                                  sizeof(shmkit_lock), make, NULL},
            &offset) < 0)
        return NULL;
    return shmkit_arena_at(*ret_arena, offset, sizeof(shmkit_lock));
}

int
main(int argc, char **argv)
{
    shmkit_arena *arena = NULL;
    shmkit_lock *lock = open_lock("shmkit.example-jobs", &arena);

    if (lock == NULL)
        return 1;
    if (shmkit_lock_acquire(arena, lock, SHMKIT_TRY) < 0) {
        puts("busy");
    } else {
        puts("got it");
        fflush(stdout);
        if (argc == 1 && fork() == 0) /* the other program */
            return execl("/proc/self/exe", argv[0], "other", (char *)NULL);
        wait(NULL);
        (void)shmkit_lock_release(arena, lock);
    }
    shmkit_arena_close(arena);
    return 0;
}
