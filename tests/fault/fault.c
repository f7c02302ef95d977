/* SPDX-License-Identifier: MIT */
/* fault.c - fail the n-th system call of every operation, for n = 1, 2, ...
 *
 * For each operation and each errno that a call may give: run it in a child
 * with its first call failing, then its second, and so on, until a run ends
 * without having come to the n-th.  A second round fails every call from the
 * n-th on, as a machine out of memory or descriptors does.  A third plays a
 * kernel without O_TMPFILE meanwhile.
 *
 * After each run, at once:
 *     the result is the normal one, the injected one, or one that the
 *     operation names for it
 *     as many descriptors are open as before
 *     an operation that failed left no mapping and no word in the table
 * and when the child has left and one sweep has run, /dev/shm is empty.
 *
 * T_ONLY names a single operation. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "operations.h"
#include "support.h"

#ifndef SHMKIT_FAULT_POINTS

int
main(void)
{
    t_skip("built without fault points");
}

#else

/* ---- which call may give what ---- */

struct plausible {
    int error;
    const char *calls; /* each between blanks; NULL: all */
};

static const struct plausible plausibles[] = {
    {ENOMEM, NULL},
    {ENOSPC,
     " open_new open_unnamed link link_proc link_path mkdir fallocate"
     " ftruncate pwrite fsetxattr "},
    {EMFILE,
     " open open_new open_unnamed open_directory dup list"
     " list_mappings "},
    {EACCES,
     " open open_new open_unnamed open_directory link link_proc"
     " link_path unlink mkdir rmdir fchmod list fsetxattr "},
    {EINTR,
     " open open_new open_unnamed open_directory dup statx fchmod link"
     " link_proc link_path unlink mkdir rmdir pread pwrite fsetxattr"
     " flock_shared flock_exclusive lock_byte ftruncate fallocate "},
    {EWOULDBLOCK, " flock_shared flock_exclusive lock_byte "},
};

#define PLAUSIBLES (sizeof plausibles / sizeof plausibles[0])

static bool
is_plausible(const struct plausible *plausible, const char *call)
{
    char padded[40];

    if (plausible->calls == NULL)
        return true;
    (void)snprintf(padded, sizeof padded, " %s ", call);
    return strstr(plausible->calls, padded) != NULL;
}

/* ---- one run ---- */

struct run {
    const struct operation *operation;
    const struct plausible *plausible;
    unsigned n;         /* which plausible call is failed first */
    bool all_after;     /* and every one after it */
    bool old_kernel;    /* no O_TMPFILE */
    unsigned seen;      /* plausible calls so far */
    char failed[40];    /* the call that was failed first */
    struct t_flag *hit; /* shared: whether one was failed */
};

static int
maybe_fail(const char *call, void *arg)
{
    struct run *run = arg;

    if (is_plausible(run->plausible, call)) {
        run->seen++;
        if (run->seen == run->n)
            (void)snprintf(run->failed, sizeof run->failed, "%s", call);
        if (run->seen == run->n || (run->all_after && run->seen > run->n))
            return -run->plausible->error;
    }
    if (run->old_kernel && strcmp(call, "open_unnamed") == 0)
        return -EOPNOTSUPP;
    return 0;
}

static int
only_old_kernel(const char *call, void *arg)
{
    const struct run *run = arg;

    return run->old_kernel && strcmp(call, "open_unnamed") == 0 ? -EOPNOTSUPP
                                                                : 0;
}

/* Words in the table of this process's family. */
static int
count_words(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE], path[128];
    uint64_t page[512];
    int fd, words = 0;
    ssize_t n;

    if (shmkit_family_get_id(id) < 0)
        return 0;
    (void)snprintf(path, sizeof path, "/dev/shm/shmkit-%u/%s", geteuid(), id);
    fd = T_SYS(open(path, O_RDONLY | O_CLOEXEC));
    for (off_t at = 4096; (n = pread(fd, page, sizeof page, at)) > 0; at += n)
        for (size_t i = 0; i < (size_t)n / sizeof page[0]; i++)
            words += page[i] != 0;
    T_SYS(close(fd));
    return words;
}

static bool
is_allowed(const struct run *run, int r)
{
    const int *other = run->operation->other;

    if (r == run->operation->normal || r == -run->plausible->error)
        return run->plausible->error != EINTR || r == run->operation->normal;
    while (other != NULL && *other != LAST) {
        if (r == *other++)
            return true;
    }
    /* A lock that is refused says that somebody is there. */
    return run->plausible->error == EWOULDBLOCK &&
           (r == 0 || r == -EBUSY || r == -EEXIST);
}

static void
explain(const struct run *run, const char *what, int got, int want)
{
    t_fail(__FILE__, __LINE__,
           "%s, call %u (%s)%s fails with %s%s: %s: %d, want %d",
           run->operation->name, run->n, run->failed,
           run->all_after ? " and all after" : "",
           strerrorname_np(run->plausible->error),
           run->old_kernel ? ", without O_TMPFILE" : "", what, got, want);
}

static void
clean_up(struct stage *stage)
{
    shmkit_block_close(stage->block);
    shmkit_block_close(stage->made);
    (void)!shmkit_block_unlink(stage->name, NULL);
    (void)!shmkit_block_unlink(stage->other, NULL);
    if (stage->helper != 0)
        T_CHECK_EQ(t_kill_wait(stage->helper), -SIGKILL);
}

struct before {
    int fds, maps, words;
};

static void
compare(const struct run *run, int r, const struct before *before,
        bool had_family)
{
    bool failed = r < 0 && r != run->operation->normal;
    int words = failed ? before->words : before->words + run->operation->words;
    int fds = before->fds + (failed ? 0 : run->operation->fds);
    /* A family formed on the way is kept: the next create needs it. */
    int maps = t_shm_map_count();

    if (t_fd_count() != fds)
        explain(run, "descriptors", t_fd_count(), fds);
    if (failed && maps != before->maps &&
        (had_family || maps != before->maps + 1))
        explain(run, "mappings", maps, before->maps);
    if (had_family && count_words() != words &&
        run->operation->words + before->words != 0)
        explain(run, "words", count_words(), words);
}

static int
run_once(void *arg)
{
    struct stage stage = {.fd = -1};
    struct run *run = arg;
    struct before before;
    char id[SHMKIT_FAMILY_ID_SIZE];
    bool had_family;
    int fds = t_fd_count(), r;

    shmkit_family_form_at_fork(1);
    (void)snprintf(stage.name, sizeof stage.name, "%sa", t_run_prefix());
    (void)snprintf(stage.other, sizeof stage.other, "%sb", t_run_prefix());
    shmkiti_syscall_set_hook(only_old_kernel, run);
    if (run->operation->set_up != NULL)
        run->operation->set_up(&stage);
    had_family = shmkit_family_get_id(id) == 0;
    before = (struct before){t_fd_count(), t_shm_map_count(), count_words()};
    shmkiti_syscall_set_hook(maybe_fail, run);
    r = run->operation->run(&stage);
    shmkiti_syscall_set_hook(only_old_kernel, run);
    if (!is_allowed(run, r))
        explain(run, "result", r, run->operation->normal);
    had_family = had_family && shmkit_family_get_id(id) == 0;
    if (had_family || r < 0)
        compare(run, r, &before, had_family);
    clean_up(&stage);
    shmkit_process_exit();
    if (t_fd_count() != fds)
        explain(run, "descriptors at the end", t_fd_count(), fds);
    if (t_shm_map_count() != 0)
        explain(run, "mappings at the end", t_shm_map_count(), 0);
    return T_PASS;
}

/* ---- all runs ---- */

static unsigned total;

/* False when the operation was done before its n-th call. */
static bool
try_n(struct run *run)
{
    int status;

    run->seen = 0;
    run->failed[0] = '\0';
    status = t_fork_wait(run_once, run);
    total++;
    if (status < 0)
        explain(run, "killed by signal", status, 0);
    if (status != T_PASS)
        exit(T_FAIL); /* the child has said why */
    T_CHECK_EQ(shmkit_sweep(0, NULL, NULL), 0);
    if (t_shm_left() != 0)
        explain(run, "left in /dev/shm", 1, 0);
    return run->failed[0] != '\0';
}

static void
try_errors(const struct operation *operation, bool all_after, bool old_kernel)
{
    static struct run *run; /* shared with the children */

    if (run == NULL)
        run = t_shared_page();
    for (size_t i = 0; i < PLAUSIBLES; i++) {
        int error = plausibles[i].error;

        *run = (struct run){.operation = operation,
                            .plausible = &plausibles[i],
                            .all_after = all_after,
                            .old_kernel = old_kernel};
        /* These two are over sometime, by their nature. */
        if (all_after && (error == EINTR || error == EWOULDBLOCK))
            continue;
        do {
            run->n++;
            T_CHECK(run->n < 1000);
        } while (try_n(run));
    }
}

static void
try_operation(const struct operation *operation)
{
    unsigned before = total;

    t_watchdog(operation->name, 300);
    try_errors(operation, false, false);
    try_errors(operation, true, false);
    try_errors(operation, false, true);
    printf("%-22s %5u runs\n", operation->name, total - before);
    fflush(stdout);
}

int
main(void)
{
    const char *only = getenv("T_ONLY");

    T_SYS(unsetenv("SHMKIT_FAMILY"));
    (void)t_run_prefix();
    shmkit_family_form_at_fork(0);
    t_namespace("size=64m");
    t_shm_snapshot();
    for (unsigned i = 0; i < operation_count; i++) {
        if (only == NULL || strcmp(only, operations[i].name) == 0)
            try_operation(&operations[i]);
    }
    printf("%u runs\n", total);
    return total > 0 ? T_PASS : T_FAIL;
}

#endif
