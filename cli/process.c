/* SPDX-License-Identifier: MIT */
/* process.c - runs a program and waits for it, as a shell would.
 *
 * The caller holds a block meanwhile, so it must not die before the program
 * does: a signal that a terminal sends reaches the whole foreground group and
 * is left to the program; one that is sent to this process alone (by kill, by
 * a service manager) is passed on.  Only SIGKILL ends the tool first, and
 * then the block is an orphan that the next sweep takes.
 *
 * The signals are blocked before the start and fetched one by one, so none is
 * lost between a look and a wait.  They stay blocked afterwards: one that came
 * late must not end the tool before it has let go of the block. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT,
                                SIGTERM, SIGUSR1, SIGUSR2};
#define PASSED_ON (sizeof passed_on / sizeof passed_on[0])

static void
fill_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGCHLD);
    for (size_t i = 0; i < PASSED_ON; i++)
        sigaddset(ret_set, passed_on[i]);
}

/* Start argv with the signals as they were before main() changed them. */
static int
start(char **argv, const sigset_t *mask, pid_t *ret_pid)
{
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int r;

    r = posix_spawnattr_init(&attributes);
    if (r != 0)
        return r;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGXFSZ);
    posix_spawnattr_setsigmask(&attributes, mask);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawnp(ret_pid, argv[0], NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    return r;
}

/* Until the child has ended; returns its wait status. */
static int
wait_for(pid_t child, const sigset_t *signals)
{
    siginfo_t info;
    int status, number;

    while (waitpid(child, &status, WNOHANG) == 0) {
        number = sigwaitinfo(signals, &info);
        /* SI_KERNEL: the terminal sent it to the child too. */
        if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL)
            kill(child, number);
    }
    return status;
}

int
process_run(char **argv)
{
    sigset_t signals, before;
    int r, status = 0;
    pid_t child = -1;

    fill_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before);
    r = start(argv, &before, &child);
    if (r == 0)
        status = wait_for(child, &signals);
    if (r != 0) {
        fail(CODE_FAILED, "cannot run %s: %s", quote(argv[0]), strerror(r));
        return r == ENOENT ? 127 : 126;
    }
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status);
}
