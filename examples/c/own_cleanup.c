/* SPDX-License-Identifier: MIT */
/* own_cleanup.c - who removes a block: the three lifetimes.
 *
 * A child makes one block of each lifetime and ends; the parent then looks
 * which are still there.  Nobody has to be tidy for memory to come back. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const lifetimes[] = {"family", "holders", "persistent"};
static char names[3][SHMKIT_NAME_SIZE];

static int
make_all(void)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block;
    int r = 0;

    for (uint32_t i = 0; i < 3 && r == 0; i++) {
        options.lifetime = i; /* enum shmkit_lifetime counts like this */
        r = shmkit_block_create(names[i], 4096, &options, &block);
    }
    return r; /* not closed, not unlinked: the end of a process does it */
}

int
main(void)
{
    struct shmkit_block_stat stat;
    int r, status = 1;

    /* Before the fork, so that parent and child are one family. */
    r = shmkit_family_form();
    if (r < 0)
        return 1;
    for (int i = 0; i < 3; i++)
        snprintf(names[i], sizeof names[i], "own-cleanup-%s-%d", lifetimes[i],
                 (int)getpid());

    if (fork() == 0)
        return make_all() < 0;
    wait(&status);

    for (int i = 0; i < 3; i++) {
        r = shmkit_block_stat(names[i], &stat, sizeof stat);
        printf("%s: %s\n", lifetimes[i], r < 0 ? "gone" : "still there");
    }
    /* The family's block would go with this process.  The persistent one
     * stays until somebody says: */
    r = shmkit_block_unlink(names[2], NULL);
    return r < 0 || status != 0;
}
