/* SPDX-License-Identifier: MIT */
/* dying.c - what /proc tells about one other process on Linux.
 *
 * A killed process keeps its locks until its memory is gone, which takes a
 * third of a second for 4 GiB.  The kernel tells earlier that it is dying:
 * once a fatal signal stands in the exit code of the leader no thread can be
 * created any more; then every thread must be past its last instruction of
 * user code, which a flag shows.  Without the exit code the walk over the
 * threads would prove nothing, since it is not atomic.  The exit code needs
 * permission to trace; without it the answer is just "no".  No state. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"

#define FLAG_EXITING 0x4u /* PF_ of the kernel's linux/sched.h */
#define FLAG_POSTCOREDUMP 0x8u
#define FLAG_DUMPCORE 0x200u
#define FIRST_FIELD 3 /* the state: first behind the name */
#define FLAGS_FIELD 9
#define EXIT_CODE_FIELD 52

struct task {
    char state;
    unsigned flags, exit_code;
};

/* The whole of a small file; bytes read, or less than 0. */
static ssize_t
read_file(const char *path, char *buffer, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read(fd, buffer, room - 1);
    (void)close(fd);
    if (n >= 0)
        buffer[n] = '\0';
    return n;
}

/* "pid (name) state ... flags ... exit_code": the name may hold anything. */
static bool
parse_stat(const char *text, struct task *ret_task)
{
    const char *p = strrchr(text, ')');
    struct task task = {0};

    if (p == NULL)
        return false;
    for (int field = FIRST_FIELD; field <= EXIT_CODE_FIELD; field++) {
        p = strchr(p, ' ');
        if (p == NULL)
            return false;
        p++;
        if (field == FIRST_FIELD)
            task.state = *p;
        else if (field == FLAGS_FIELD)
            task.flags = (unsigned)strtoul(p, NULL, 10);
    }
    task.exit_code = (unsigned)strtoul(p, NULL, 10);
    *ret_task = task;
    return true;
}

static bool
read_task(const char *path, struct task *ret_task)
{
    char text[1024];

    return read_file(path, text, sizeof text) > 0 &&
           parse_stat(text, ret_task);
}

static bool
is_over(const struct task *task)
{
    unsigned mask = FLAG_EXITING | FLAG_POSTCOREDUMP | FLAG_DUMPCORE;

    return task->state == 'Z' || task->state == 'X' ||
           (task->flags & mask) != 0;
}

/* A signal that kills, in the exit code of the whole group. */
static bool
was_killed(const struct task *leader)
{
    unsigned signal = leader->exit_code & 0x7fu;
    bool stop = signal >= 19 && signal <= 22;

    return signal != 0 && signal != 0x7f && !stop && leader->state != 'T' &&
           leader->state != 't';
}

static bool
all_threads_over(int64_t pid)
{
    char path[80];
    struct dirent *entry;
    struct task task;
    bool over = true;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/task", pid);
    dir = opendir(path);
    if (dir == NULL)
        return false;
    while (over && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/task/%.20s/stat",
                       pid, entry->d_name);
        /* One that is not there any more is over. */
        over =
            !read_task(path, &task) ? access(path, F_OK) < 0 : is_over(&task);
    }
    (void)closedir(dir);
    return over;
}

bool
shmkiti_os_is_dying(int64_t pid)
{
    struct task leader;
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    return pid > 0 && read_task(path, &leader) && is_over(&leader) &&
           was_killed(&leader) && all_threads_over(pid);
}

void
shmkiti_os_command(int64_t pid, char ret_name[16])
{
    char path[64], text[32];

    memset(ret_name, 0, 16);
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
    if (pid <= 0 || read_file(path, text, sizeof text) <= 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    text[15] = '\0';
    memcpy(ret_name, text, strlen(text) + 1);
}

int64_t
shmkiti_os_pid(void)
{
    return getpid();
}

uint64_t
shmkiti_os_pid_namespace(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) < 0 ? 0 : st.st_ino;
}
