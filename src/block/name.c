/* SPDX-License-Identifier: MIT */
/* name.c - which names are good, and drawing new ones.
 *
 * Random bits are fetched for 64 names at a time, under a mutex of their own
 * that nothing is called under but getrandom.  A forked child forgets its
 * parent's stock (before_fork cannot hold this mutex's holder up for long, and
 * the child makes the mutex anew), so that two processes never draw the same
 * name from one stock; the kernel's EEXIST settles what chance does. */
#include "block/name.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "os/os.h"

#define STOCK 64

static pthread_mutex_t stock_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t stock[STOCK];
static unsigned stock_left;

/* "shmkit-" and digits, perhaps ".1" to ".3": where families live. */
static bool
is_reserved(const char *name)
{
    static const char prefix[] = "shmkit-";

    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    name += sizeof prefix - 1;
    return *name != '\0' && name[strspn(name, "0123456789.")] == '\0';
}

int
shmkiti_name_check(const char *name)
{
    size_t len = name == NULL ? 0 : strnlen(name, SHMKIT_NAME_SIZE);

    if (len == 0)
        return -EINVAL;
    if (len == SHMKIT_NAME_SIZE)
        return -ENAMETOOLONG;
    if (memchr(name, '/', len) != NULL)
        return -EINVAL;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    return is_reserved(name) ? -EINVAL : 0;
}

void
shmkiti_name_path(const char *name, char path[SHMKITI_PATH_SIZE])
{
    static const char dir[] = SHMKITI_DIR "/";

    memcpy(path, dir, sizeof dir - 1);
    memcpy(path + sizeof dir - 1, name, strlen(name) + 1);
}

void
shmkiti_name_forget_drawn(void)
{
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    stock_lock = fresh;
    stock_left = 0;
}

static int
draw_u32(uint32_t *ret)
{
    int r = 0;

    (void)pthread_mutex_lock(&stock_lock);
    if (stock_left == 0)
        r = shmkiti_os_random(stock, sizeof stock);
    if (r == 0) {
        if (stock_left == 0)
            stock_left = STOCK;
        *ret = stock[--stock_left];
    }
    (void)pthread_mutex_unlock(&stock_lock);
    return r;
}

int
shmkiti_name_draw(char name[SHMKIT_NAME_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint32_t bits = 0;
    int r;

    r = draw_u32(&bits);
    if (r < 0)
        return r;
    memcpy(name, "psm_", 4);
    for (unsigned i = 0; i < 8; i++, bits >>= 4)
        name[4 + i] = digits[bits & 15];
    name[12] = '\0';
    return 0;
}
