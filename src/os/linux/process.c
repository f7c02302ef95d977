/* SPDX-License-Identifier: MIT */
/* process.c - who has which file mapped, from /proc on Linux.
 *
 * /proc is a moving picture: processes come and go while it is read, and a
 * process of another user may not be looked into.  Both are skipped silently.
 * No state. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/fault.h"
#include "os/os.h"

/* One process being read: the inodes met so far, so that a file that is
 * mapped in ten pieces is told once. */
struct reader {
    uint64_t dev;
    uint64_t *seen;
    size_t count, room;
    char command[64];
};

static bool
remember(struct reader *reader, uint64_t ino)
{
    for (size_t i = reader->count; i-- > 0;) {
        if (reader->seen[i] == ino)
            return false;
    }
    if (reader->count == reader->room) {
        size_t room = reader->room ? reader->room * 2 : 64;
        uint64_t *seen = realloc(reader->seen, room * sizeof *seen);

        if (seen == NULL)
            return true; /* told twice rather than not */
        reader->seen = seen;
        reader->room = room;
    }
    reader->seen[reader->count++] = ino;
    return true;
}

static void
read_command(int64_t pid, struct reader *reader)
{
    char path[64];
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
    (void)snprintf(reader->command, sizeof reader->command, "?");
    file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(reader->command, sizeof reader->command, file) != NULL)
        reader->command[strcspn(reader->command, "\n")] = '\0';
    (void)fclose(file);
}

/* Of "from-to perms offset major:minor inode path": dev and inode. */
static bool
parse_line(const char *line, uint64_t *dev, uint64_t *ino)
{
    unsigned major, minor;

    if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major, &minor, ino) != 3)
        return false;
    *dev = makedev(major, minor);
    return *ino != 0;
}

static int
read_maps(int64_t pid, struct reader *reader,
          int (*visit)(const struct shmkiti_os_mapping *mapping, void *arg),
          void *arg)
{
    char path[64], line[4400];
    uint64_t dev, ino;
    FILE *file;
    int r = 0;

    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/maps", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    reader->count = 0;
    while (r == 0 && fgets(line, sizeof line, file) != NULL) {
        struct shmkiti_os_mapping found;

        if (!parse_line(line, &dev, &ino) || dev != reader->dev ||
            !remember(reader, ino))
            continue;
        if (reader->count == 1)
            read_command(pid, reader);
        found = (struct shmkiti_os_mapping){dev, ino, pid, reader->command};
        r = visit(&found, arg);
    }
    (void)fclose(file);
    return r;
}

int
shmkiti_os_list_mappings(uint64_t dev,
                         int (*visit)(const struct shmkiti_os_mapping *mapping,
                                      void *arg),
                         void *arg)
{
    struct reader reader = {.dev = dev};
    struct dirent *entry;
    int r = SHMKITI_SYSCALL("list_mappings");
    DIR *proc;

    if (r < 0)
        return r;
    proc = opendir("/proc");
    if (proc == NULL)
        return -errno;
    while (r == 0 && (entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);

        if (pid > 0 && *end == '\0')
            r = read_maps(pid, &reader, visit, arg);
    }
    free(reader.seen);
    (void)closedir(proc);
    return r;
}
