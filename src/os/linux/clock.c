/* SPDX-License-Identifier: MIT */
/* clock.c - time, chance and environment on Linux.  No state. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/os.h"

uint64_t
shmkiti_os_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void
shmkiti_os_sleep_us(unsigned us)
{
    struct timespec left = {us / 1000000, (long)(us % 1000000) * 1000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

int
shmkiti_os_random(void *data, size_t len)
{
    unsigned char *out = data;
    int r = SHMKITI_SYSCALL("getrandom");

    if (r < 0)
        return r;
    while (len > 0) {
        ssize_t n = getrandom(out, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        out += n;
        len -= (size_t)n;
    }
    return 0;
}

uint32_t
shmkiti_os_uid(void)
{
    return geteuid();
}

const char *
shmkiti_os_getenv(const char *name)
{
    return secure_getenv(name);
}
