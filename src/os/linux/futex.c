/* SPDX-License-Identifier: MIT */
/* futex.c - sleeping on a word, and where a thread runs, on Linux.
 *
 * Not private: the word may lie in any mapping of the file.  The time is
 * absolute, so a wait that was interrupted needs no arithmetic.  No state. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/os.h"

#define NS_PER_S INT64_C(1000000000)

int
shmkiti_os_futex_wait(const uint32_t *word, uint32_t expected,
                      int64_t deadline_ns, uint32_t bits)
{
    struct timespec until, *end = NULL;
    int r = SHMKITI_SYSCALL("futex_wait");

    if (r < 0)
        return r;
    if (deadline_ns != INT64_MAX) {
        until.tv_sec = deadline_ns > 0 ? (time_t)(deadline_ns / NS_PER_S) : 0;
        until.tv_nsec = deadline_ns > 0 ? (long)(deadline_ns % NS_PER_S) : 0;
        end = &until;
    }
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, end, NULL,
                bits) < 0)
        return -errno;
    return 0;
}

int
shmkiti_os_futex_wake(const uint32_t *word, unsigned n, uint32_t bits)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE_BITSET,
                         n < INT_MAX ? n : INT_MAX, NULL, NULL, bits);

    return woken < 0 ? -errno : (int)woken;
}

uint32_t
shmkiti_os_this_cpu(void)
{
    int cpu = sched_getcpu();

    return cpu < 0 ? UINT32_MAX : (uint32_t)cpu;
}

unsigned
shmkiti_os_cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    return (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
}
