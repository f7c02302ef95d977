/* SPDX-License-Identifier: MIT */
/* names.c - scratch names of the tests, and what they left in /dev/shm.
 *
 * Every name of a run starts with one prefix, drawn by the first process and
 * handed down in T_RUN, so that whatever is found later tells where it came
 * from.  The snapshot is a plain list of paths: entries of /dev/shm and, one
 * level down, of its family folders.  In a private /dev/shm whatever is
 * beyond the snapshot was left by the test.  In a shared one other programs
 * come and go, so only names with the prefix count.
 *
 * State is of the process, used by one thread. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "support.h"

struct paths {
    char **path;
    size_t count, room;
};

static struct paths before;

const char *
t_run_prefix(void)
{
    static char prefix[32];
    const char *run = getenv("T_RUN");
    char drawn[9];
    uint32_t value;

    if (prefix[0] != '\0')
        return prefix; /* written once, before there are threads */
    if (run == NULL) {
        T_CHECK(getrandom(&value, sizeof value, 0) == sizeof value);
        (void)snprintf(drawn, sizeof drawn, "%08x", value);
        T_SYS(setenv("T_RUN", drawn, 1));
        run = drawn;
    }
    (void)snprintf(prefix, sizeof prefix, "tshm-%.16s-", run);
    return prefix;
}

const char *
t_scratch_name(char name[T_NAME_SIZE], const char *what)
{
    static unsigned drawn;
    unsigned n = __atomic_fetch_add(&drawn, 1, __ATOMIC_RELAXED);

    (void)snprintf(name, T_NAME_SIZE, "%s%.20s-%x.%x", t_run_prefix(), what,
                   (unsigned)getpid(), n);
    return name;
}

const char *
t_scratch_path(char path[T_NAME_SIZE + 16], const char *name)
{
    (void)snprintf(path, T_NAME_SIZE + 16, "/dev/shm/%.63s", name);
    return path;
}

static void
paths_add(struct paths *paths, const char *dir, const char *name)
{
    char *path = NULL;

    if (paths->count == paths->room) {
        paths->room = paths->room != 0 ? paths->room * 2 : 64;
        paths->path = realloc(paths->path, paths->room * sizeof *paths->path);
        T_CHECK(paths->path != NULL);
    }
    T_CHECK(asprintf(&path, "%s/%s", dir, name) > 0);
    paths->path[paths->count++] = path;
}

static void
paths_clear(struct paths *paths)
{
    while (paths->count > 0)
        free(paths->path[--paths->count]);
    free(paths->path);
    *paths = (struct paths){0};
}

static bool
paths_have(const struct paths *paths, const char *path)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (strcmp(paths->path[i], path) == 0)
            return true;
    }
    return false;
}

static void
paths_read(struct paths *paths, const char *dir, bool deeper)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    size_t added;

    if (stream == NULL)
        return; /* gone meanwhile, or another user's */
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        added = paths->count;
        paths_add(paths, dir, entry->d_name);
        if (deeper && strncmp(entry->d_name, "shmkit-", 7) == 0)
            paths_read(paths, paths->path[added], false);
    }
    (void)closedir(stream);
}

void
t_shm_snapshot(void)
{
    paths_clear(&before);
    paths_read(&before, "/dev/shm", true);
}

static bool
is_left(const char *path)
{
    const char *prefix = t_run_prefix();

    if (paths_have(&before, path))
        return false;
    return t_is_private() ||
           strncmp(path + strlen("/dev/shm/"), prefix, strlen(prefix)) == 0;
}

/* Folders are listed before what is in them: backwards empties them first. */
static int
count_left(bool removing)
{
    struct paths now = {0};
    int left = 0;

    paths_read(&now, "/dev/shm", true);
    for (size_t i = now.count; i-- > 0;) {
        if (!is_left(now.path[i]))
            continue;
        left++;
        if (removing)
            (void)remove(now.path[i]);
        else
            fprintf(stderr, "left behind: %s\n", now.path[i]);
    }
    paths_clear(&now);
    return left;
}

int
t_shm_left(void)
{
    return count_left(false);
}

void
t_shm_clear(void)
{
    (void)count_left(true);
}

void
t_shm_check_empty(void)
{
    int left = count_left(false);

    t_shm_clear();
    T_CHECK_EQ(left, 0);
}

int
t_fd_count(void)
{
    DIR *stream = opendir("/proc/self/fd");
    int count = -3; /* ".", ".." and the stream's own */

    T_CHECK(stream != NULL);
    while (readdir(stream) != NULL)
        count++;
    (void)closedir(stream);
    return count;
}

int
t_shm_map_count(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];
    int count = 0;

    T_CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, " /dev/shm/") != NULL;
    (void)fclose(maps);
    return count;
}
