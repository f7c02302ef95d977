/* SPDX-License-Identifier: MIT */
/* support.c - checks, children and the watchdog of the tests in C.
 *
 * All state is of the process and set up before threads start: the hook, the
 * name of the running test, whether this is a forked child.  A failed check
 * in a child must not unwind into the parent's test framework, nor run the
 * parent's atexit handlers twice: it leaves by _exit().
 *
 * The watchdog is SIGALRM: nothing to start, nothing that a fork would
 * duplicate, and a hung test still takes signals.  It kills the process
 * group, for a hang is as often in a child as in the test itself; a test
 * that has no group of its own makes one first. */
#include "support.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "canary.h"

void (*t_fail_hook)(const char *file, int line);

static bool in_child;
static char watched[128];

static bool
may_unwind(void)
{
    return t_fail_hook != NULL && !in_child &&
           syscall(SYS_gettid) == (long)getpid();
}

void
t_fail(const char *file, int line, const char *format, ...)
{
    char text[1000];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: %s%s\n", file, line, text,
            in_child ? " (in a child)" : "");
    fflush(NULL);
    if (may_unwind())
        t_fail_hook(file, line);
    _exit(T_FAIL);
}

void
t_skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("skipped: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    fflush(NULL);
    _exit(T_SKIP);
}

static const char *
describe(intmax_t value)
{
    const char *name = NULL;

    if (value < 0 && value > -4096)
        name = strerrorname_np((int)-value);
    return name != NULL ? name : "";
}

void
t_check_eq(const char *file, int line, const char *text, intmax_t got,
           intmax_t want)
{
    if (got != want)
        t_fail(file, line,
               "failed: %s: got %" PRIdMAX " %s, want %" PRIdMAX " %s", text,
               got, describe(got), want, describe(want));
}

void
t_check_str(const char *file, int line, const char *text, const char *got,
            const char *want)
{
    if (got == NULL || strcmp(got, want) != 0)
        t_fail(file, line, "failed: %s: got \"%s\", want \"%s\"", text,
               got != NULL ? got : "(null)", want);
}

int
t_check_sys(const char *file, int line, const char *text, intmax_t value)
{
    if (value == -1)
        t_fail(file, line, "%s: %s", text, strerror(errno));
    return (int)value;
}

/* ---- processes ---- */

static pid_t
fork_child(int (*fn)(void *arg), void *arg, bool raw)
{
    int canary = t_canary_new(), status;
    pid_t pid;

    fflush(NULL); /* or the child prints it again */
    pid = T_SYS(fork());
    if (pid != 0) {
        t_canary_keep(pid, canary);
        return pid;
    }
    t_canary_enter(canary);
    in_child = true;
    status = fn(arg);
    fflush(NULL);
    if (raw)
        _exit(status);
    exit(status);
}

pid_t
t_fork(int (*fn)(void *arg), void *arg)
{
    return fork_child(fn, arg, false);
}

pid_t
t_fork_raw(int (*fn)(void *arg), void *arg)
{
    return fork_child(fn, arg, true);
}

int
t_wait(pid_t pid)
{
    int status;
    pid_t got;

    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    T_CHECK_EQ(got, pid);
    t_canary_wait(pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int
t_fork_wait(int (*fn)(void *arg), void *arg)
{
    return t_wait(t_fork(fn, arg));
}

int
t_kill_wait(pid_t pid)
{
    T_SYS(kill(pid, SIGKILL));
    return t_wait(pid);
}

bool
t_wait_stopped(pid_t pid)
{
    siginfo_t info = {0};
    int r;

    do {
        r = waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT);
    } while (r < 0 && errno == EINTR);
    T_SYS(r);
    return info.si_code == CLD_STOPPED;
}

/* Only what a signal handler may call. */
static void
on_alarm(int signal)
{
    static const char head[] = "watchdog: hung: ";

    (void)signal;
    if (write(STDERR_FILENO, head, sizeof head - 1) < 0 ||
        write(STDERR_FILENO, watched, strlen(watched)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0)
        _exit(T_FAIL);
    (void)kill(0, SIGKILL);
    _exit(T_FAIL);
}

static unsigned
stretched(unsigned seconds)
{
    const char *factor = getenv("T_TIMEOUT_FACTOR");
    long n = factor != NULL ? strtol(factor, NULL, 10) : 1;

    return n > 1 && n < 1000 ? seconds * (unsigned)n : seconds;
}

void
t_watchdog(const char *test, unsigned seconds)
{
    struct sigaction action = {.sa_handler = on_alarm};

    (void)snprintf(watched, sizeof watched, "%s", test);
    (void)setpgid(0, 0); /* refused to leaders of a session: one already */
    T_SYS(sigaction(SIGALRM, &action, NULL));
    (void)alarm(stretched(seconds));
}

void *
t_shared_page(void)
{
    void *page = mmap(NULL, T_PAGE, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    T_CHECK(page != MAP_FAILED);
    return page;
}

struct t_flag *
t_flag_new(void)
{
    return t_shared_page();
}

void
t_flag_set(struct t_flag *flag, uint32_t value)
{
    __atomic_store_n(&flag->value, value, __ATOMIC_RELEASE);
}

uint32_t
t_flag_get(const struct t_flag *flag)
{
    return __atomic_load_n(&flag->value, __ATOMIC_ACQUIRE);
}

void
t_flag_wait(const struct t_flag *flag, uint32_t value)
{
    while (t_flag_get(flag) < value)
        t_sleep_ms(1);
}

void
t_sleep_ms(unsigned ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}
