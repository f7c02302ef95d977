/* SPDX-License-Identifier: MIT */
/* create_attach.c - one process publishes a few bytes, another reads them.
 *
 * The owner makes a block of exactly the message's length and passes its name
 * on; the reader attaches by that name.  Here the reader is a child; it might
 * be any program of this user, in C or Python. */
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int
read_message(const char *name)
{
    shmkit_block *block = NULL;
    int r;

    r = shmkit_block_attach(name, NULL, &block);
    if (r < 0)
        return r;

    printf("%.*s\n", (int)shmkit_block_size(block),
           (const char *)shmkit_block_data(block));
    fflush(stdout);
    shmkit_block_close(block);
    return 0;
}

int
main(void)
{
    const char message[] = "Hello from Process A!";
    shmkit_block *block = NULL;
    int r, status = 1;
    pid_t pid;

    /* No name given: a free one is drawn.  All zero, space reserved, 0600. */
    r = shmkit_block_create(NULL, strlen(message), NULL, &block);
    if (r < 0)
        goto out;
    memcpy(shmkit_block_data(block), message, strlen(message));

    pid = fork();
    if (pid == 0)
        return read_message(shmkit_block_name(block)) < 0;
    waitpid(pid, &status, 0);

    /* The name goes at once, the bytes with the last mapping.  Without this
     * line they would go when this process and its children are gone. */
    r = shmkit_block_unlink(shmkit_block_name(block), NULL);
out:
    if (r < 0)
        fprintf(stderr, "create_attach: %s\n", shmkit_strerror(r));
    shmkit_block_close(block);
    return r < 0 || status != 0;
}
