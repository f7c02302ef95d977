/* SPDX-License-Identifier: MIT */
/* pin.c - locks on far bytes, and pages that keep them, on Linux.
 *
 * An open file description lock lives as long as the description: the kernel
 * drops it with the last descriptor or mapping, whatever ended the process.
 * A page of the file without access is such a mapping, the cheapest there is,
 * and it cannot be lost by code that closes descriptors.  No state. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/os.h"

static struct flock
byte_lock(short type, uint64_t offset)
{
    return (struct flock){.l_type = type,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)offset,
                          .l_len = 1};
}

int
shmkiti_os_lock_byte_shared(int fd, uint64_t offset)
{
    struct flock lock = byte_lock(F_RDLCK, offset);
    int r = SHMKITI_SYSCALL("lock_byte_shared");

    while (r == 0 && fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno != EINTR)
            r = -errno;
    }
    return r == -EACCES || r == -EAGAIN ? -EWOULDBLOCK : r;
}

int
shmkiti_os_byte_is_locked(int fd, uint64_t offset)
{
    struct flock lock = byte_lock(F_WRLCK, offset);
    int r = SHMKITI_SYSCALL("byte_is_locked");

    if (r < 0)
        return r;
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    return lock.l_type != F_UNLCK;
}

int
shmkiti_os_reopen(int fd, int *ret_fd)
{
    int r = SHMKITI_SYSCALL("reopen");
    char path[40];

    if (r < 0)
        return r;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    do {
        r = open(path, O_RDWR | O_CLOEXEC);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    *ret_fd = r;
    return 0;
}

int
shmkiti_os_pin(int fd, bool inherit, void **ret_page)
{
    size_t len = shmkiti_os_page_size();
    int r = SHMKITI_SYSCALL("pin");
    void *page;

    if (r < 0)
        return r;
    page = mmap(NULL, len, PROT_NONE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    if (!inherit && madvise(page, len, MADV_DONTFORK) < 0) {
        r = -errno;
        (void)munmap(page, len);
        return r;
    }
    *ret_page = page;
    return 0;
}

void
shmkiti_os_unpin(void *page)
{
    (void)munmap(page, shmkiti_os_page_size());
}

int
shmkiti_os_map_wiped(void **ret_page)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    size_t len = shmkiti_os_page_size();
    int r = SHMKITI_SYSCALL("map_wiped");
    void *page;

    if (r < 0)
        return r;
    page = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    if (madvise(page, len, MADV_WIPEONFORK) < 0) {
        r = -errno;
        (void)munmap(page, len);
        return r;
    }
    *ret_page = page;
    return 0;
}

uint64_t
shmkiti_os_address_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}
