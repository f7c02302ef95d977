/* SPDX-License-Identifier: MIT */
/* write_safely.c - two processes add to one number, under a lock.
 *
 * Read, add, write back are three steps; without a lock two processes can read
 * the same old value and one addition is lost.  The lock lies in the block,
 * beside what it guards, and is robust: if its owner is killed, the next one
 * gets it with EOWNERDEAD and says when the data is consistent again. */
#include <errno.h>
#include <pthread.h>
#include <shmkit/shmkit.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct counter {
    pthread_mutex_t lock;
    uint64_t value;
};

static void
add(struct counter *c, int times)
{
    for (int i = 0; i < times; i++) {
        if (pthread_mutex_lock(&c->lock) == EOWNERDEAD)
            pthread_mutex_consistent(&c->lock); /* one word is never torn */
        c->value++;
        pthread_mutex_unlock(&c->lock);
    }
}

int
main(void)
{
    shmkit_block *block = NULL;
    pthread_mutexattr_t attr;
    struct counter *c;
    int r;

    r = shmkit_block_create(NULL, sizeof *c, NULL, &block);
    if (r < 0)
        return 1;
    c = shmkit_block_data(block);
    c->value = 100;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&c->lock, &attr);

    if (fork() == 0) { /* a child inherits the mapping as it is */
        add(c, 100000);
        return 0;
    }
    add(c, 100000);
    wait(NULL);
    printf("%llu\n", (unsigned long long)c->value); /* 200100 */
    r = shmkit_block_unlink(shmkit_block_name(block), NULL);
    shmkit_block_close(block);
    return r < 0;
}
