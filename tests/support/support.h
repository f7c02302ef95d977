/* SPDX-License-Identifier: MIT */
/* support.h - what the tests in C share: children, a watchdog, a private
 * /dev/shm, scratch names, and the proof that nothing was left behind.
 *
 * Nothing here uses the library under test or a test framework.  A failed
 * check prints its place and ends the process with status 1; in the first
 * thread of a process that set t_fail_hook, the hook is called instead (the
 * unit tests hand it to cmocka).  Children made by t_fork() never call it. */
#ifndef SHMKIT_TESTS_SUPPORT_H
#define SHMKIT_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define T_PASS 0
#define T_FAIL 1
#define T_SKIP 77 /* meson and automake agree on this one */

/* ---- checks ---- */

/* Says what failed where; does not return but for a hook that does. */
void t_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
extern void (*t_fail_hook)(const char *file, int line);

/* Prints why and exits with T_SKIP. */
void t_skip(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

#define T_CHECK(condition)                                        \
    do {                                                          \
        if (!(condition))                                         \
            t_fail(__FILE__, __LINE__, "failed: %s", #condition); \
    } while (0)

/* Both are shown as signed numbers; results of the library with their name. */
#define T_CHECK_EQ(got, want)                                          \
    t_check_eq(__FILE__, __LINE__, #got " == " #want, (intmax_t)(got), \
               (intmax_t)(want))
#define T_CHECK_STR(got, want) \
    t_check_str(__FILE__, __LINE__, #got " == " #want, (got), (want))
/* A system call of the test itself: -1 fails with errno; the value else. */
#define T_SYS(call) t_check_sys(__FILE__, __LINE__, #call, (intmax_t)(call))

void t_check_eq(const char *file, int line, const char *text, intmax_t got,
                intmax_t want);
void t_check_str(const char *file, int line, const char *text, const char *got,
                 const char *want);
int t_check_sys(const char *file, int line, const char *text, intmax_t value);

/* ---- processes ---- */

/* A child that runs fn(arg) and leaves by exit() with its value, so that
 * destructors and atexit handlers run.  t_fork_raw: leaves by _exit(). */
pid_t t_fork(int (*fn)(void *arg), void *arg);
pid_t t_fork_raw(int (*fn)(void *arg), void *arg);
/* Exit status, or minus the signal that ended it.  A child of t_fork() has
 * then given back its memory, and with it every lock (see canary.c). */
int t_wait(pid_t pid);
int t_fork_wait(int (*fn)(void *arg), void *arg);
/* SIGKILL and wait; -SIGKILL, or what it had ended with before. */
int t_kill_wait(pid_t pid);
/* Wait until `pid` is stopped (after SIGSTOP); false if it ended instead. */
bool t_wait_stopped(pid_t pid);

/* SIGKILL the whole process group when the process still lives after
 * `seconds` (T_TIMEOUT_FACTOR in the environment multiplies them, for
 * sanitizers and valgrind), saying that `test` hung.  Restarted by the next
 * call; 0 seconds stops it. */
void t_watchdog(const char *test, unsigned seconds);

/* A page of shared memory without a name, all zero; freed by no one. */
#define T_PAGE 4096
void *t_shared_page(void);

/* A one-way signal between processes: made before the fork.  t_flag_wait
 * sleeps in between looks, so a stopped or slow process only makes it
 * longer. */
struct t_flag {
    uint32_t value;
};
struct t_flag *t_flag_new(void);
void t_flag_set(struct t_flag *flag, uint32_t value);
uint32_t t_flag_get(const struct t_flag *flag);
/* Until the value is at least `value`. */
void t_flag_wait(const struct t_flag *flag, uint32_t value);
void t_sleep_ms(unsigned ms);

/* ---- a private /dev/shm ---- */

/* Continue in a child that has mount and pid namespaces of its own (and a
 * user namespace, when not root) with an empty tmpfs at /dev/shm, mounted
 * with `options` ("size=64m,nr_inodes=1000"; NULL for the defaults).  The
 * caller's process waits and passes the child's status on, so the call must
 * come before threads and atexit handlers.  Every process that the test left
 * running dies with it.  0, or a negated errno when it is not permitted, and
 * then nothing has changed. */
int t_try_namespace(const char *options);
/* The same; exits with T_SKIP when it is not permitted. */
void t_namespace(const char *options);
/* Whether either has been done. */
bool t_is_private(void);
/* Replace /dev/shm by another empty tmpfs; only after t_namespace(). */
void t_mount_shm(const char *options);
void t_unmount_shm(void);

/* ---- names, and what is left ---- */

#define T_NAME_SIZE 64

/* A fresh name "tshm-RUN-what-N".  RUN is drawn once and handed to children,
 * exec'ed ones too, in T_RUN. */
const char *t_scratch_name(char name[T_NAME_SIZE], const char *what);
/* "/dev/shm/NAME" */
const char *t_scratch_path(char path[T_NAME_SIZE + 16], const char *name);
const char *t_run_prefix(void); /* "tshm-RUN-" */

/* Remember what /dev/shm and its family folders hold now. */
void t_shm_snapshot(void);
/* How many entries there are beyond the snapshot, each printed.  In a private
 * /dev/shm everything counts; in a shared one only names of this run do,
 * since others may be at work there. */
int t_shm_left(void);
/* Removes all that, for the next test. */
void t_shm_clear(void);
/* Fails the test if any is left, and removes it. */
void t_shm_check_empty(void);

/* ---- resources of this process ---- */

int t_fd_count(void);
/* Mappings of files in /dev/shm, removed ones too. */
int t_shm_map_count(void);

#endif
