/* SPDX-License-Identifier: MIT */
/* huge.c - how much of a block lies on 2 MiB pages.
 *
 * The kernel tells it of mappings only: a page that is mapped whole counts as
 * ShmemPmdMapped in /proc/self/smaps.  So the block is mapped for a moment, a
 * byte of each 2 MiB piece is paged in, and the count is read.
 *
 * shmkit_block_attach() would do, but it sweeps dead families on its way, and
 * whoever only looks must not remove anything.  Here nothing is locked,
 * written or kept, and no byte is read: madvise() pages in, so that somebody's
 * truncation is an error and no signal.  What is a hole stays one, since a
 * piece that does not begin with data can not be a 2 MiB page.
 *
 * Page tables for all of a big block would take 2 MiB a GiB where the pages
 * are small, so it is looked at through a window that moves. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

#define WINDOW (UINT64_C(1) << 30) /* whole pieces */

/* [from, to) of the file, mapped at `addr`. */
struct window {
    int fd;
    unsigned char
        *addr; /* a multiple of HUGE_SIZE, or no page is mapped whole */
    uint64_t from, to;
};

static int
touch_pieces(const struct window *window)
{
    uint64_t at = window->from, data;
    off_t found;

    while (at < window->to) {
        found = lseek(window->fd, (off_t)at, SEEK_DATA);
        if (found < 0)
            return errno == ENXIO ? 0 : -errno; /* no data beyond */
        data = (uint64_t)found;
        if (data == at && madvise(window->addr + (at - window->from), 1,
                                  MADV_POPULATE_READ) < 0)
            return -errno;
        at = data == at ? at + HUGE_SIZE
                        : (data + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE;
    }
    return 0;
}

/* Of the mapping that begins at `addr`. */
static int
read_smaps(const unsigned char *addr, uint64_t *ret_bytes)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    unsigned long long start, end, kib;
    bool here = false;
    char line[512];
    int r = -ENOENT;

    if (file == NULL)
        return -errno;
    while (r < 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
            here = start == (uintptr_t)addr;
        else if (here && sscanf(line, "ShmemPmdMapped: %llu", &kib) == 1)
            r = 0;
    }
    fclose(file);
    if (r == 0)
        *ret_bytes = kib * 1024;
    return r;
}

static int
count_window(const struct window *window, uint64_t *ret_bytes)
{
    size_t len = (size_t)(window->to - window->from);
    int r;

    if (mmap(window->addr, len, PROT_READ, MAP_SHARED | MAP_FIXED, window->fd,
             (off_t)window->from) == MAP_FAILED)
        return -errno;
    r = touch_pieces(window);
    return r < 0 ? r : read_smaps(window->addr, ret_bytes);
}

/* Whole pieces only: what is less lies on small pages. */
static int
count_file(int fd, uint64_t size, uint64_t *ret_bytes)
{
    uint64_t end = size / HUGE_SIZE * HUGE_SIZE, bytes, sum = 0;
    size_t span_len = (size_t)((end < WINDOW ? end : WINDOW) + HUGE_SIZE);
    struct window window = {.fd = fd};
    unsigned char *span;
    int r = 0;

    span = mmap(NULL, span_len, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (span == MAP_FAILED)
        return -errno;
    window.addr = span + (-(uintptr_t)span & (HUGE_SIZE - 1));
    for (; r == 0 && window.from < end; window.from = window.to) {
        window.to = end - window.from < WINDOW ? end : window.from + WINDOW;
        r = count_window(&window, &bytes);
        if (r == 0)
            sum += bytes;
    }
    munmap(span, span_len);
    if (r == 0)
        *ret_bytes = sum;
    return r;
}

/* The block that was listed, and not what may stand under its name now. */
static int
open_listed(const struct shmkit_block_stat *listed, int *ret_fd)
{
    char path[sizeof "/dev/shm/" + SHMKIT_NAME_SIZE];
    struct stat now;
    int fd;

    snprintf(path, sizeof path, "/dev/shm/%s", listed->name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &now) == 0 && S_ISREG(now.st_mode) &&
        now.st_ino == listed->inode && now.st_dev == listed->device &&
        (uint64_t)now.st_size == listed->size) {
        *ret_fd = fd;
        return 0;
    }
    close(fd);
    return -ESTALE;
}

int
huge_count(const struct shmkit_block_stat *listed, uint64_t *ret_bytes)
{
    int fd, r;

    if (listed->size < HUGE_SIZE) {
        *ret_bytes = 0;
        return 0;
    }
    r = open_listed(listed, &fd);
    if (r < 0)
        return r;
    r = count_file(fd, listed->size, ret_bytes);
    close(fd);
    return r;
}
