/* SPDX-License-Identifier: MIT */
/* progress.c - a bar on the terminal while gigabytes are made or filled.
 *
 * shmkit_block_create() is one call that may take a second a GiB, and as long
 * again to page it in.  Meanwhile a thread looks, ten times a second, at what
 * the call has done so far: the free space of /dev/shm shrinks as memory is
 * reserved, the shared pages of this process grow as they are paged in.  Both
 * are estimates (others use /dev/shm too), good enough for a bar, and cost the
 * work itself nothing.  A copy counts its bytes and says so; a terminal that
 * was stopped holds up the bar and not the copy.
 *
 * The thread touches only this file's variable; it is joined before the tool
 * goes on, so no other part of the tool meets a second thread. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* Less than this is over before one could read the bar.  SHMKIT_PROGRESS is
 * another size, 0 for always. */
#define PROGRESS_FROM (UINT64_C(1) << 30)
#define TICK_NS 100000000
#define BAR 30

static struct {
    bool running;
    pthread_t thread;
    pthread_mutex_t mutex; /* over `stop` */
    pthread_cond_t wake;
    bool stop;
    uint64_t size;  /* bytes that go through the steps */
    unsigned steps; /* enum progress_step, or-ed */
    uint64_t free_before, shared_before;
    _Atomic uint64_t copied;
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

    if ((progress.steps & PROGRESS_RESERVE) != 0) {
        done += difference(progress.free_before, free_bytes(), progress.size);
        steps++;
    }
    if ((progress.steps & PROGRESS_PREFAULT) != 0) {
        done +=
            difference(shared_bytes(), progress.shared_before, progress.size);
        steps++;
    }
    if ((progress.steps & PROGRESS_COPY) != 0) {
        done += difference(progress.copied, 0, progress.size);
        steps++;
    }
    return (unsigned)((double)done * 100 /
                      ((double)steps * (double)progress.size));
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
        clock_gettime(CLOCK_REALTIME, &tick);
        tick.tv_nsec += TICK_NS;
        tick.tv_sec += tick.tv_nsec / 1000000000;
        tick.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&progress.wake, &progress.mutex, &tick);
        if (!progress.stop)
            draw(percent_done(), "");
    }
    pthread_mutex_unlock(&progress.mutex);
    return NULL;
}

static uint64_t
worth_a_bar(void)
{
    const char *text = getenv("SHMKIT_PROGRESS");
    uint64_t size;

    return text != NULL && size_parse(text, &size) == 0 ? size : PROGRESS_FROM;
}

void
progress_start(uint64_t size, unsigned steps)
{
    if (size == 0 || size < worth_a_bar() || steps == 0 ||
        !isatty(STDERR_FILENO))
        return;
    progress.size = size;
    progress.steps = steps;
    progress.free_before = free_bytes();
    progress.shared_before = shared_bytes();
    draw(0, "");
    progress.running =
        pthread_create(&progress.thread, NULL, watch, NULL) == 0;
    if (!progress.running)
        draw(0, "\n");
}

void
progress_copied(uint64_t bytes)
{
    progress.copied = bytes;
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
    progress.running = false;
    draw(done ? 100 : percent_done(), "\n");
}
