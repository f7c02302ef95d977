/* SPDX-License-Identifier: MIT */
/* namespace.c - a /dev/shm of the test's own.
 *
 * Three processes: the one that was started (it may not leave its pid
 * namespace, so it only waits and passes the status on), an init that reaps
 * whatever is orphaned, and the test, which goes on as pid 2.  When the test
 * ends, init ends, and the kernel kills all the rest: no test can leave a
 * process running.  Init dies with the first process, and the test with
 * init, so a watchdog or a time limit above needs no more than one kill.
 *
 * A container may allow a mount namespace but no new /proc (parts of the old
 * one are masked there); the pid namespace is then left out, because
 * /proc/self must mean the test.  Whether it works is found out in the child,
 * which tells the first process through a pipe before anything depends on
 * it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static bool is_private;

bool
t_is_private(void)
{
    return is_private;
}

static int
write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, text, strlen(text)) < 0)
        r = -errno;
    (void)close(fd);
    return r;
}

/* The user stays who it is, so that tests see the uid they were started
 * with. */
static int
map_user(uid_t uid, gid_t gid)
{
    char text[64];
    int r;

    r = write_text("/proc/self/setgroups", "deny");
    if (r < 0 && r != -ENOENT)
        return r;
    (void)snprintf(text, sizeof text, "%u %u 1", uid, uid);
    r = write_text("/proc/self/uid_map", text);
    if (r < 0)
        return r;
    (void)snprintf(text, sizeof text, "%u %u 1", gid, gid);
    return write_text("/proc/self/gid_map", text);
}

static int
leave_namespaces(bool pids)
{
    int flags = CLONE_NEWNS | (pids ? CLONE_NEWPID : 0);
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (uid != 0)
        flags |= CLONE_NEWUSER;
    if (unshare(flags) < 0)
        return -errno;
    return uid != 0 ? map_user(uid, gid) : 0;
}

static int
mount_shm(const char *options)
{
    char data[200];

    (void)snprintf(data, sizeof data, "mode=1777%s%s", options ? "," : "",
                   options ? options : "");
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, data) < 0)
        return -errno;
    return 0;
}

static int
mount_all(bool pids, const char *options)
{
    if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if (pids && mount("proc", "/proc", "proc",
                      MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    return mount_shm(options);
}

static int
status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Wait for `pid`, and for whatever else ends meanwhile; then leave as it
 * did. */
static void
follow(pid_t pid)
{
    int status;
    pid_t got;

    for (;;) {
        got = wait(&status);
        if (got == pid)
            _exit(status_of(status));
        if (got < 0 && errno != EINTR)
            _exit(T_FAIL);
    }
}

static void
report(int fd, int r)
{
    if (write(fd, &r, sizeof r) != sizeof r)
        _exit(T_FAIL);
    (void)close(fd);
}

/* The second process: pid 1 of the new namespace.  Returns in the third. */
static void
become_init(int fd, bool pids, const char *options)
{
    int r = mount_all(pids, options);
    pid_t pid;

    report(fd, r);
    if (r < 0)
        _exit(T_FAIL);
    fflush(NULL);
    pid = T_SYS(fork());
    if (pid != 0)
        follow(pid);
    T_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
    is_private = true;
}

/* The first process's helper: enters the namespaces and forks the init. */
static void
enter(int fd, bool pids, const char *options)
{
    int r = leave_namespaces(pids);
    pid_t pid;

    T_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
    if (r < 0) {
        report(fd, r);
        _exit(T_FAIL);
    }
    pid = T_SYS(fork());
    if (pid != 0) {
        (void)close(fd);
        follow(pid);
    }
    T_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
    become_init(fd, pids, options);
}

static int
try_with(bool pids, const char *options)
{
    int fds[2], r = -EIO;
    pid_t pid;

    T_SYS(pipe2(fds, O_CLOEXEC));
    fflush(NULL);
    pid = T_SYS(fork());
    if (pid == 0) {
        (void)close(fds[0]);
        enter(fds[1], pids, options);
        return 0; /* the test goes on here */
    }
    (void)close(fds[1]);
    if (read(fds[0], &r, sizeof r) != sizeof r)
        r = -EIO;
    (void)close(fds[0]);
    if (r == 0)
        follow(pid);
    (void)t_wait(pid);
    return r;
}

int
t_try_namespace(const char *options)
{
    int r = try_with(true, options);

    return r < 0 ? try_with(false, options) : r;
}

void
t_namespace(const char *options)
{
    int r = t_try_namespace(options);

    if (r < 0)
        t_skip("no private /dev/shm here: %s", strerror(-r));
}

void
t_mount_shm(const char *options)
{
    T_CHECK(is_private);
    T_CHECK_EQ(mount_shm(options), 0);
}

void
t_unmount_shm(void)
{
    T_CHECK(is_private);
    T_SYS(umount2("/dev/shm", MNT_DETACH));
}
