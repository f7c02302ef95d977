/* SPDX-License-Identifier: MIT */
/* memory.c - mappings on Linux.  No state. */
#include <errno.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "os/os.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

int
shmkiti_os_map(int fd, size_t len, bool writable, void **ret_addr)
{
    int prot = PROT_READ | (writable ? PROT_WRITE : 0);
    int r = SHMKITI_SYSCALL("mmap");
    void *addr;

    if (r < 0)
        return r;
    addr = mmap(NULL, len, prot, MAP_SHARED, fd, 0);
    if (addr == MAP_FAILED)
        return -errno;
    *ret_addr = addr;
    return 0;
}

void
shmkiti_os_unmap(void *addr, size_t len)
{
    (void)munmap(addr, len);
}

int
shmkiti_os_map_over(void *addr, size_t len)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    void *got = mmap(addr, len, PROT_READ | PROT_WRITE, flags, -1, 0);

    return got == MAP_FAILED ? -errno : 0;
}

int
shmkiti_os_populate(void *addr, size_t len, bool writable)
{
    int advice = writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    int r = SHMKITI_SYSCALL("populate");

    if (r < 0)
        return r;
    do {
        r = madvise(addr, len, advice) < 0 ? -errno : 0;
    } while (r == -EINTR || r == -EAGAIN);
    return r;
}
