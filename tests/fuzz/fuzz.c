/* SPDX-License-Identifier: MIT */
/* fuzz.c - what the fuzz targets share.
 *
 * A round must end with as many descriptors as it began with, and without a
 * mapping in /dev/shm. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

static int fds; /* descriptors at the beginning of the round */

uint8_t
fuzz_byte(struct fuzz_input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

uint32_t
fuzz_u32(struct fuzz_input *input)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 8 | fuzz_byte(input);
    return value;
}

void
fuzz_claim_failed(const char *file, int line, const char *claim)
{
    fprintf(stderr, "%s:%d: claim failed: %s\n", file, line, claim);
    abort();
}

void
fuzz_put(const char *path, const void *data, size_t size, unsigned mode)
{
    int fd;

    (void)remove(path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_CLAIM(fd >= 0);
    FUZZ_CLAIM(write(fd, data, size) == (ssize_t)size);
    FUZZ_CLAIM(fchmod(fd, mode & 07777) == 0);
    FUZZ_CLAIM(close(fd) == 0);
}

static int
visit_stat(const struct shmkit_block_stat *stat, void *arg)
{
    FUZZ_CLAIM(memchr(stat->name, '\0', sizeof stat->name) != NULL);
    FUZZ_CLAIM(stat->state <= SHMKIT_STATE_FOREIGN);
    FUZZ_CLAIM(stat->lifetime <= SHMKIT_LIFETIME_PERSISTENT);
    ++*(int *)arg;
    return 0;
}

static void
visit_swept(const char *name, void *arg)
{
    FUZZ_CLAIM(name[0] != '\0' && strchr(name, '/') == NULL);
    ++*(int *)arg;
}

static void
use_handle(shmkit_block *block, struct fuzz_input *input)
{
    shmkit_block *grown = NULL;
    int fd = -1;

    FUZZ_CLAIM(shmkit_block_size(block) > 0);
    if (shmkit_block_grow(block, fuzz_u32(input) & 0xfffff, &grown) < 0)
        FUZZ_CLAIM(grown == NULL);
    if (fuzz_byte(input) & 1)
        (void)!shmkit_block_persist(block);
    if (shmkit_block_open_fd(block, &fd) == 0)
        (void)close(fd);
    shmkit_block_close(grown);
    shmkit_block_close(block);
}

static void
attach(const char *name, uint32_t flags, struct fuzz_input *input)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block = NULL;

    options.flags =
        flags & (SHMKIT_READ_ONLY | SHMKIT_PREFAULT | SHMKIT_PRIVATE);
    if (flags & 2) { /* a part, perhaps beyond the end */
        options.offset = fuzz_u32(input);
        options.length = fuzz_u32(input);
    }
    if (shmkit_block_attach(name, &options, &block) < 0)
        FUZZ_CLAIM(block == NULL);
    else
        use_handle(block, input);
}

static void
create(const char *name, uint32_t flags, struct fuzz_input *input)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block = NULL;

    options.flags = flags & (SHMKIT_SPARSE | SHMKIT_EXIST_OK);
    options.lifetime = (flags >> 6) % 3;
    if (shmkit_block_create(name, 1 + fuzz_byte(input), &options, &block) < 0)
        FUZZ_CLAIM(block == NULL);
    else
        use_handle(block, input);
}

void
fuzz_use_name(const char *name, struct fuzz_input *input)
{
    struct shmkit_block_stat stat;
    int count = 0;

    if (shmkit_block_stat(name, &stat, sizeof stat) == 0)
        (void)visit_stat(&stat, &count);
    attach(name, fuzz_byte(input), input);
    create(name, fuzz_byte(input), input);
    FUZZ_CLAIM(shmkit_block_list(visit_stat, &count) <= 0);
    FUZZ_CLAIM(shmkit_sweep(fuzz_byte(input) & 1, visit_swept, &count) <= 0);
    FUZZ_CLAIM(shmkit_block_reap(name) <= SHMKIT_KEPT);
    (void)!shmkit_block_unlink(name, NULL);
}

static void
empty(const char *dir)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    char path[600];

    if (stream == NULL)
        return;
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (entry->d_type == DT_DIR)
            empty(path);
        (void)remove(path);
    }
    (void)closedir(stream);
}

void
fuzz_begin_round(void)
{
    fds = t_fd_count();
}

void
fuzz_end_round(void)
{
    shmkit_process_exit();
    empty("/dev/shm");
    FUZZ_CLAIM(t_shm_map_count() == 0);
    FUZZ_CLAIM(t_fd_count() == fds);
}
