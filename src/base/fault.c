/* SPDX-License-Identifier: MIT */
/* fault.c - the two hooks behind fault.h, and the variable SHMKIT_FAULT.
 *
 * All of it is process-local and exists only in a build with fault points.
 * Hooks are set before the threads that meet them start; the pass counter of
 * SHMKIT_FAULT is atomic because any thread may reach its point. */
#include "base/fault.h"

#ifdef SHMKIT_FAULT_POINTS

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

extern const char *const __start_shmkit_faults[];
extern const char *const __stop_shmkit_faults[];

static shmkiti_fault_fn *fault_hook;
static void *fault_arg;
static shmkiti_syscall_fn *syscall_hook;
static void *syscall_arg;

/* From SHMKIT_FAULT; point is empty when there is none. */
static struct {
    char point[64];
    int signal;
    long pass;
} wish;

static int
parse_action(const char *text)
{
    if (strcmp(text, "kill") == 0)
        return SIGKILL;
    if (strcmp(text, "stop") == 0)
        return SIGSTOP;
    return strcmp(text, "abort") == 0 ? SIGABRT : 0;
}

/* From SHMKIT_REFUSE; NULL when there is none. */
static const char *refused;

__attribute__((constructor)) static void
read_refusal(void)
{
    refused = getenv("SHMKIT_REFUSE");
}

__attribute__((constructor)) static void
read_environment(void)
{
    const char *text = getenv("SHMKIT_FAULT");
    const char *equals = text ? strrchr(text, '=') : NULL;
    char *at;

    if (equals == NULL || (size_t)(equals - text) >= sizeof wish.point)
        return;
    memcpy(wish.point, text, (size_t)(equals - text));
    wish.signal = parse_action(equals + 1);
    wish.pass = 1;
    at = strchr(wish.point, '@');
    if (at != NULL) {
        wish.pass = strtol(at + 1, NULL, 10);
        *at = '\0';
    }
}

void
shmkiti_fault_set_hook(shmkiti_fault_fn *hook, void *arg)
{
    fault_arg = arg;
    fault_hook = hook;
}

void
shmkiti_syscall_set_hook(shmkiti_syscall_fn *hook, void *arg)
{
    syscall_arg = arg;
    syscall_hook = hook;
}

const char *
shmkiti_fault_name(unsigned i)
{
    size_t n = (size_t)(__stop_shmkit_faults - __start_shmkit_faults);

    return i < n ? __start_shmkit_faults[i] : NULL;
}

void
shmkiti_fault_hit(const char *point)
{
    if (fault_hook != NULL)
        fault_hook(point, fault_arg);
    if (wish.signal != 0 && strcmp(wish.point, point) == 0 &&
        __atomic_sub_fetch(&wish.pass, 1, __ATOMIC_RELAXED) == 0)
        (void)raise(wish.signal);
}

int
shmkiti_syscall_hit(const char *call)
{
    if (refused != NULL && strcmp(call, refused) == 0)
        return -EINVAL;
    return syscall_hook != NULL ? syscall_hook(call, syscall_arg) : 0;
}

#else

/* ISO C wants a declaration in every translation unit. */
typedef int shmkiti_no_fault_points;

#endif
