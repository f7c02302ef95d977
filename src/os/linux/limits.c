/* SPDX-License-Identifier: MIT */
/* limits.c - how much could still be written, on Linux.
 *
 * A file system in memory promises space that the machine or a control group
 * may not have: going over either is not ENOSPC but the OOM killer, so big
 * reservations ask first.  No state; every answer is a snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>

#include "base/fault.h"
#include "os/os.h"

uint64_t
shmkiti_os_free_space(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0 || fs.f_blocks == 0)
        return UINT64_MAX; /* 0 blocks: a tmpfs without a limit */
    return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
}

uint64_t
shmkiti_os_file_size_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

/* The number in a one-line file; UINT64_MAX for "max" or no such file. */
static uint64_t
read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long value;
    int n;

    if (file == NULL)
        return UINT64_MAX;
    n = fscanf(file, "%llu", &value);
    (void)fclose(file);
    return n == 1 ? value : UINT64_MAX;
}

/* MemAvailable and SwapFree: memory that pages of tmpfs can take. */
static uint64_t
machine_left(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    uint64_t available = UINT64_MAX, swap = 0;
    unsigned long long kib;
    char line[128];

    if (file == NULL)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            available = kib * 1024;
        else if (sscanf(line, "SwapFree: %llu", &kib) == 1)
            swap = kib * 1024;
    }
    (void)fclose(file);
    return available == UINT64_MAX ? available : available + swap;
}

/* Where one generation of control groups keeps its figures. */
struct group_kind {
    const char *tag; /* of its line in /proc/self/cgroup, after the number */
    const char *root, *limit, *usage, *inactive, *active;
};

static const struct group_kind group_kinds[] = {
    {"::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ",
     "active_file "},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
     "memory.usage_in_bytes", "total_inactive_file ", "total_active_file "},
};

/* The number behind `tag` at the start of `line`, else 0. */
static uint64_t
number_after(const char *line, const char *tag)
{
    size_t len = strlen(tag);

    return strncmp(line, tag, len) == 0 ? strtoull(line + len, NULL, 10) : 0;
}

/* Pages of ordinary files, which the group gives up before it kills. */
static uint64_t
reclaimable(const struct group_kind *kind, const char *group)
{
    char path[700], line[128];
    uint64_t sum = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s%s/memory.stat", kind->root, group);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        sum += number_after(line, kind->inactive) +
               number_after(line, kind->active);
    (void)fclose(file);
    return sum;
}

static uint64_t
group_left(const struct group_kind *kind, const char *group)
{
    char path[700];
    uint64_t limit, usage, left;

    (void)snprintf(path, sizeof path, "%s%s/%s", kind->root, group,
                   kind->limit);
    limit = read_number(path);
    if (limit >= (uint64_t)1 << 60) /* the older kind's way to say none */
        return UINT64_MAX;
    (void)snprintf(path, sizeof path, "%s%s/%s", kind->root, group,
                   kind->usage);
    usage = read_number(path);
    left = usage < limit ? limit - usage : 0;
    return left + reclaimable(kind, group);
}

/* This process's group of that kind, e.g. "/user.slice/x"; false if none. */
static bool
own_group(const struct group_kind *kind, char *group, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    bool found = false;
    char line[520];

    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        const char *tag = strchr(line, ':');

        line[strcspn(line, "\n")] = '\0';
        found = tag != NULL && strncmp(tag, kind->tag, strlen(kind->tag)) == 0;
        if (found)
            (void)snprintf(group, size, "%s", tag + strlen(kind->tag));
    }
    (void)fclose(file);
    return found;
}

/* The tightest of this process's group and those above it. */
static uint64_t
groups_left(const struct group_kind *kind)
{
    uint64_t least = UINT64_MAX, left;
    char group[512];
    char *slash;

    if (!own_group(kind, group, sizeof group))
        return UINT64_MAX;
    do {
        left = group_left(kind, group);
        if (left < least)
            least = left;
        slash = strrchr(group, '/');
        if (slash != NULL)
            *slash = '\0';
    } while (slash != NULL);
    return least;
}

uint64_t
shmkiti_os_free_memory(void)
{
    uint64_t least = machine_left(), left;

    for (size_t i = 0; i < sizeof group_kinds / sizeof *group_kinds; i++) {
        left = groups_left(&group_kinds[i]);
        if (left < least)
            least = left;
    }
    return least;
}
