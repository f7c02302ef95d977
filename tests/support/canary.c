/* SPDX-License-Identifier: MIT */
/* canary.c - knowing when a process that was waited for has let go.
 *
 * waitpid() may return while the memory of the process still stands: whoever
 * reads its /proc/PID/maps at that moment (ps, top, another test) holds it for
 * a while, and with it every lock that a mapping carries.  What the kernel
 * then says, "still held", is right, but not what a test means by "killed".
 *
 * So each child of t_fork() maps a file without a name, at a very low and a
 * very high address, with a lock on both descriptions: memory is taken down
 * from one end to the other, so once both locks are gone, all between are.
 * The mappings are not inherited by fork, and exec drops them.
 *
 * The parent keeps one descriptor a child, closed when it has been waited
 * for.  One thread forks and waits. */
#include "canary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

#define CHILDREN 256

static struct {
    pid_t pid; /* 0: free */
    int fd;
} canaries[CHILDREN];

int
t_canary_new(void)
{
    return T_SYS(memfd_create("canary", MFD_CLOEXEC));
}

static int
open_again(int fd)
{
    char path[40];

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDWR | O_CLOEXEC);
}

/* Best effort: an address that is taken, or no /proc, is no canary. */
static void
map_at(int fd, uintptr_t address)
{
    int own = open_again(fd);
    void *page;

    if (own < 0)
        return;
    (void)flock(own, LOCK_SH | LOCK_NB);
    page = mmap((void *)address, T_PAGE, PROT_NONE,
                MAP_SHARED | MAP_FIXED_NOREPLACE, own, 0);
    if (page != MAP_FAILED)
        (void)madvise(page, T_PAGE, MADV_DONTFORK);
    (void)close(own);
}

void
t_canary_enter(int fd)
{
    uintptr_t stack = (uintptr_t)&fd & ~(uintptr_t)(T_PAGE - 1);

    for (int i = 0; i < CHILDREN; i++) {
        if (canaries[i].pid != 0)
            (void)close(canaries[i].fd);
        canaries[i].pid = 0;
    }
    map_at(fd, (uintptr_t)0x10000000);
    map_at(fd, stack - ((uintptr_t)64 << 20)); /* in the gap below it */
    (void)close(fd);
}

void
t_canary_keep(pid_t pid, int fd)
{
    for (int i = 0; i < CHILDREN; i++) {
        if (canaries[i].pid != 0)
            continue;
        canaries[i].pid = pid;
        canaries[i].fd = fd;
        return;
    }
    (void)close(fd); /* so many at once: do without */
}

static void
wait_until_free(int fd)
{
    int own = open_again(fd);

    while (own >= 0 && flock(own, LOCK_EX | LOCK_NB) < 0 &&
           (errno == EWOULDBLOCK || errno == EINTR))
        t_sleep_ms(1);
    if (own >= 0)
        (void)close(own);
}

void
t_canary_wait(pid_t pid)
{
    for (int i = 0; i < CHILDREN; i++) {
        if (canaries[i].pid != pid)
            continue;
        wait_until_free(canaries[i].fd);
        (void)close(canaries[i].fd);
        canaries[i].pid = 0;
    }
}
