/* SPDX-License-Identifier: MIT */
/* memory.c - mappings on Linux.  No state. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/os.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define POLICY_BIND 2 /* of mbind(2) */
#define POLICY_INTERLEAVE 3

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

size_t
shmkiti_os_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Address space of `len` bytes at offset `offset` modulo `align`. */
static int
find_span(const struct shmkiti_os_part *part, void **ret_addr)
{
    size_t page = shmkiti_os_page_size();
    size_t len = (part->len + page - 1) & ~(page - 1);
    size_t span = len + part->align;
    uintptr_t base, at;
    void *got;

    got = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED)
        return -errno;
    base = (uintptr_t)got;
    at = base + (((uintptr_t)part->offset - base) & (part->align - 1));
    if (at > base)
        (void)munmap(got, at - base);
    if (base + span > at + len)
        (void)munmap((void *)(at + len), base + span - at - len);
    *ret_addr = (void *)at;
    return 0;
}

int
shmkiti_os_map_part(int fd, const struct shmkiti_os_part *part,
                    void **ret_addr)
{
    int prot = PROT_READ | (part->writable ? PROT_WRITE : 0);
    int flags = part->private_copy ? MAP_PRIVATE : MAP_SHARED;
    int r = SHMKITI_SYSCALL("mmap");
    void *want = NULL, *addr;

    if (r == 0 && part->align != 0)
        r = find_span(part, &want);
    if (r < 0)
        return r;
    addr = mmap(want, part->len, prot, flags | (want ? MAP_FIXED : 0), fd,
                (off_t)part->offset);
    if (addr == MAP_FAILED) {
        r = -errno;
        if (want != NULL)
            (void)munmap(want, part->len);
        return r;
    }
    *ret_addr = addr;
    return 0;
}

int
shmkiti_os_collapse(void *addr, size_t len)
{
    int r = SHMKITI_SYSCALL("collapse");

    if (r < 0)
        return r;
    return madvise(addr, len, MADV_COLLAPSE) < 0 ? -errno : 0;
}

/* From the entry of /proc/self/smaps that starts at `addr`. */
static int
find_huge(FILE *file, const void *addr, uint64_t *ret_bytes)
{
    char line[512];
    unsigned long long start, kib;
    bool here = false;

    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%llx-%*x ", &start) == 1 &&
            strchr(line, '-') != NULL && strchr(line, '-') < line + 17)
            here = start == (uintptr_t)addr;
        if (here && sscanf(line, "ShmemPmdMapped: %llu", &kib) == 1) {
            *ret_bytes = kib * 1024;
            return 0;
        }
    }
    return -ENOENT;
}

int
shmkiti_os_count_huge(const void *addr, uint64_t *ret_bytes)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    int r;

    if (file == NULL)
        return -ENOENT;
    r = find_huge(file, addr, ret_bytes);
    (void)fclose(file);
    return r;
}

bool
shmkiti_os_is_resident(const void *addr)
{
    uintptr_t page =
        (uintptr_t)addr & ~(uintptr_t)(shmkiti_os_page_size() - 1);
    unsigned char there = 0;

    return mincore((void *)page, 1, &there) == 0 && (there & 1) != 0;
}

int
shmkiti_os_lock_memory(void *addr, size_t len)
{
    int r = SHMKITI_SYSCALL("mlock");

    if (r < 0)
        return r;
    return mlock(addr, len) < 0 ? -errno : 0;
}

int
shmkiti_os_place(void *addr, size_t len, bool interleave, uint64_t nodes)
{
    unsigned long mask = nodes;
    int policy = interleave ? POLICY_INTERLEAVE : POLICY_BIND;
    int r = SHMKITI_SYSCALL("mbind");

    if (r < 0)
        return r;
    if (syscall(SYS_mbind, addr, len, policy, &mask, 8 * sizeof mask + 1, 0) ==
        0)
        return 0;
    return errno == ENOSYS ? -EOPNOTSUPP : -errno;
}
