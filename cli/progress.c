/* SPDX-License-Identifier: MIT */
/* progress.c - a bar on the terminal while gigabytes are being reserved.
 *
 * shmkit_block_create() is one call that takes a quarter of a second a GiB
 * and as long again to page it in.  Meanwhile a thread looks, ten times a
 * second, at what the call has done so far: the free space of /dev/shm shrinks
 * as memory is reserved, the shared pages of this process grow as they are
 * paged in.  Both are estimates (others use /dev/shm too), good enough for a
 * bar, and cost the work itself nothing.
 *
 * The thread touches only this file's variable; it is joined before the tool
 * does anything else, so no other part of the tool meets a second thread. */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* Less than this is over before one could read the bar. */
#define PROGRESS_FROM (UINT64_C(1) << 30)
#define TICK_NS 100000000
#define BAR 30

static struct {
    bool running;
    pthread_t thread;
    pthread_mutex_t mutex; /* over `stop` */
    pthread_cond_t wake;
    bool stop;
    uint64_t size;            /* bytes of the block */
    bool reserves, prefaults; /* the steps it goes through */
    uint64_t free_before, shared_before;
} progress = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
};

static uint64_t
free_bytes(void)
{
    struct statvfs fs;

    if (statvfs("/dev/shm", &fs) < 0)
        return 0;
    return (uint64_t)fs.f_bfree * fs.f_frsize;
}

/* The third number of /proc/self/statm: resident pages of files. */
static uint64_t
shared_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    uint64_t pages = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*s %*s %" SCNu64, &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
difference(uint64_t more, uint64_t less, uint64_t most)
{
    uint64_t d = more > less ? more - less : 0;

    return d < most ? d : most;
}

/* Percent of all steps together. */
static unsigned
percent_done(void)
{
    uint64_t done = 0, steps = 0;

    if (progress.reserves) {
        done += difference(progress.free_before, free_bytes(), progress.size);
        steps++;
    }
    if (progress.prefaults) {
        done +=
            difference(shared_bytes(), progress.shared_before, progress.size);
        steps++;
    }
    return (unsigned)(done / steps / (progress.size / 100));
}

static void
draw(unsigned percent, const char *end)
{
    char bar[BAR + 1], size[SIZE_TEXT], line[128];
    int n;

    percent = percent > 100 ? 100 : percent;
    memset(bar, ' ', BAR);
    memset(bar, '#', percent * BAR / 100);
    bar[BAR] = '\0';
    size_format(progress.size, size);
    n = snprintf(line, sizeof line, "\rshmkit: [%s] %3u%% of %s%s", bar,
                 percent, size, end);
    if (write(STDERR_FILENO, line, (size_t)n) < 0) {
        /* The terminal is gone; the work goes on. */
    }
}

static void *
watch(void *arg)
{
    struct timespec tick;

    (void)arg;
    pthread_mutex_lock(&progress.mutex);
    while (!progress.stop) {
        draw(percent_done(), "");
        clock_gettime(CLOCK_REALTIME, &tick);
        tick.tv_nsec += TICK_NS;
        tick.tv_sec += tick.tv_nsec / 1000000000;
        tick.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&progress.wake, &progress.mutex, &tick);
    }
    pthread_mutex_unlock(&progress.mutex);
    return NULL;
}

void
progress_start(uint64_t size, bool reserves, bool prefaults)
{
    if (size < PROGRESS_FROM || !(reserves || prefaults) ||
        !isatty(STDERR_FILENO))
        return;
    progress.size = size;
    progress.reserves = reserves;
    progress.prefaults = prefaults;
    progress.free_before = free_bytes();
    progress.shared_before = shared_bytes();
    progress.running =
        pthread_create(&progress.thread, NULL, watch, NULL) == 0;
}

void
progress_stop(bool done)
{
    if (!progress.running)
        return;
    pthread_mutex_lock(&progress.mutex);
    progress.stop = true;
    pthread_cond_signal(&progress.wake);
    pthread_mutex_unlock(&progress.mutex);
    pthread_join(progress.thread, NULL);
    draw(done ? 100 : percent_done(), "\n");
}
