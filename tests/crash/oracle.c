/* SPDX-License-Identifier: MIT */
/* oracle.c - what the crash tests know for certain.
 *
 * One shared mapping (a memfd, so that exec'ed programs find it too) holds
 * counters and three sets of inode numbers.  tmpfs gives each file a number of
 * its own for as long as a test runs, so an inode number is a block's
 * identity, and /proc/self/maps tells it for a mapping without asking the
 * library.
 *
 * The one rule of truth: a process enters an inode into `unlinked` *before* it
 * begins to unlink it.  So whoever finds a name gone, and only then looks into
 * the set, and does not find the inode there, has seen a removal that nobody
 * asked for.  Being killed between the two excuses a block for ever; that
 * costs sharpness for one inode and no false alarm.
 *
 * The pattern of a block is computed from its inode number, so every holder
 * may write it at any time, all write the same, and a word is either untouched
 * (0) or right.  With `big` set whoever makes a block fills all of it, and
 * whoever gets one looks at all of it: a byte of any other block, living or
 * dead, is seen. */
#include "oracle.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "block/local.h"
#include "block/sweep.h"
#include "support.h"

struct t_oracle *t_oracle;

static _Thread_local uint64_t rng = 1;
static _Thread_local uint64_t slept_ns;
static _Thread_local uint64_t call_start, call_slept, call_stopped;
static _Thread_local const uint64_t *call_stop_clock;

static const char *const bad_names[T_BAD_COUNT] = {
    "held blocks removed",
    "attached to a nameless inode",
    "wrong bytes",
    "blocks of a live family gone",
    "joins by descriptor that found no family",
    "persistent blocks lost",
    "left after one sweep",
    "calls longer than 3 s",
    "unexpected results",
    "crashes",
};

static const char *const did_names[T_DID_COUNT] = {
    "SIGKILLs",
    "SIGSTOPs",
    "whole groups",
    "forks",
    "spawns",
    "creates",
    "attaches",
    "of them foreign",
    "closes",
    "unlinks",
    "grows",
    "persists",
    "sweeps",
    "joins by descriptor",
    "joins by id",
    "of them too late",
    "checks",
    "gave up as busy",
    "left before the sweeps",
};

/* ---- making it ---- */

void
t_oracle_map(int fd, size_t extra, void **ret_extra)
{
    size_t size = sizeof *t_oracle + extra;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    T_CHECK(p != MAP_FAILED);
    t_oracle = p;
    if (ret_extra != NULL)
        *ret_extra = t_oracle + 1;
}

int
t_oracle_make(size_t extra, void **ret_extra)
{
    int fd = T_SYS(memfd_create("oracle", 0));

    T_SYS(ftruncate(fd, (off_t)(sizeof *t_oracle + extra)));
    t_oracle_map(fd, extra, ret_extra);
    return fd;
}

void
t_oracle_forget_persistent(void)
{
    memset(t_oracle->begun, 0, sizeof t_oracle->begun);
    memset(t_oracle->done, 0, sizeof t_oracle->done);
    t_oracle->done_count = 0;
}

void
t_oracle_reset(void)
{
    memset(t_oracle->unlinked, 0, sizeof t_oracle->unlinked);
    t_oracle_forget_persistent();
}

/* ---- counting ---- */

void
t_did(enum t_did what)
{
    (void)__atomic_add_fetch(&t_oracle->did[what], 1, __ATOMIC_RELAXED);
}

void
t_bad(enum t_bad what, const char *format, ...)
{
    char text[400];
    uint64_t n;
    va_list args;
    int len;

    n = __atomic_add_fetch(&t_oracle->bad[what], 1, __ATOMIC_RELAXED);
    if (n > 5)
        return; /* the count says the rest */
    len = snprintf(text, sizeof text, "\n%d: %s: ", getpid(), bad_names[what]);
    va_start(args, format);
    (void)vsnprintf(text + len, sizeof text - (size_t)len - 1, format, args);
    va_end(args);
    (void)strcat(text, "\n");
    (void)!write(STDERR_FILENO, text, strlen(text));
}

uint64_t
t_bad_total(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < T_BAD_COUNT; i++)
        sum += __atomic_load_n(&t_oracle->bad[i], __ATOMIC_RELAXED);
    return sum;
}

const char *
t_bad_name(enum t_bad what)
{
    return bad_names[what];
}

void
t_progress(const char *test, uint64_t kills, uint64_t wanted)
{
    static uint64_t next;
    uint64_t now = t_now_ns();

    if (!isatty(STDOUT_FILENO) || (now < next && kills < wanted))
        return;
    next = now + 200000000;
    printf("\r%s: %" PRIu64 " of %" PRIu64 " kills, %" PRIu64
           " attaches, %" PRIu64 " violations ",
           test, kills, wanted, t_oracle->did[T_DID_ATTACH], t_bad_total());
    (void)fflush(stdout);
}

void
t_summary(const char *test, uint64_t seed)
{
    if (isatty(STDOUT_FILENO))
        printf("\n");
    printf("%s, seed %" PRIu64 "\n", test, seed);
    for (unsigned i = 0; i < T_DID_COUNT; i++) {
        if (t_oracle->did[i] != 0)
            printf("  %-42s %9" PRIu64 "\n", did_names[i], t_oracle->did[i]);
    }
    printf("  %-42s %9.3f\n", "longest call, s",
           (double)t_oracle->longest_ns * 1e-9);
    for (unsigned i = 0; i < T_BAD_COUNT; i++)
        printf("  %-42s %9" PRIu64 "%s\n", bad_names[i], t_oracle->bad[i],
               t_oracle->bad[i] ? "  <-- VIOLATED" : "");
}

/* ---- sets of inodes ---- */

void
t_mark_unlinked(uint64_t ino)
{
    uint64_t *set = t_oracle->unlinked;

    for (uint64_t i = shmkiti_mix_u64(ino);; i++) {
        uint64_t *p = &set[i % T_SET_SIZE], none = 0;

        if (__atomic_load_n(p, __ATOMIC_ACQUIRE) == ino)
            return;
        if (__atomic_compare_exchange_n(p, &none, ino, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return;
        if (none == ino)
            return;
    }
}

bool
t_is_unlinked(uint64_t ino)
{
    const uint64_t *set = t_oracle->unlinked;

    for (uint64_t i = shmkiti_mix_u64(ino);; i++) {
        uint64_t at = __atomic_load_n(&set[i % T_SET_SIZE], __ATOMIC_ACQUIRE);

        if (at == ino || at == 0)
            return at == ino;
    }
}

void
t_mark_persist_begun(uint64_t ino)
{
    for (unsigned i = 0; i < T_PERSISTENT_MAX; i++) {
        uint64_t none = 0;

        if (__atomic_compare_exchange_n(&t_oracle->begun[i], &none, ino, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
            none == ino)
            return;
    }
}

static bool
persist_begun(uint64_t ino)
{
    for (unsigned i = 0; i < T_PERSISTENT_MAX; i++) {
        if (t_oracle->begun[i] == ino)
            return true;
    }
    return false;
}

void
t_mark_persist_done(uint64_t ino, const char *name)
{
    uint32_t i =
        __atomic_fetch_add(&t_oracle->done_count, 1, __ATOMIC_RELAXED);

    if (i >= T_PERSISTENT_MAX)
        return;
    (void)snprintf(t_oracle->done[i].name, sizeof t_oracle->done[i].name, "%s",
                   name);
    __atomic_store_n(&t_oracle->done[i].ino, ino, __ATOMIC_RELEASE);
}

/* ---- what is left ---- */

static void
check_persistent(void)
{
    for (uint32_t i = 0; i < T_PERSISTENT_MAX; i++) {
        const struct t_persistent *p = &t_oracle->done[i];

        if (p->ino != 0 && t_inode_named(p->name) != p->ino &&
            !t_is_unlinked(p->ino))
            t_bad(T_BAD_PERSISTENT, "%s inode %" PRIu64, p->name, p->ino);
    }
}

/* Every entry of /dev/shm, or of a folder in it: how many that nothing
 * excuses; one whose first letter is in `but` is, for a first look.  Names
 * that begin with q are persistent from their creation. `when` NULL only
 * counts. */
static unsigned
walk_left(const char *dir, const char *when, const char *but)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    unsigned count = 0;
    char path[600];

    T_CHECK(d != NULL);
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (entry->d_type == DT_DIR)
            count += walk_left(path, when, but);
        if (when != NULL && strchr(but, entry->d_name[0]) != NULL)
            continue;
        if (when != NULL &&
            (entry->d_name[0] == 'q' || persist_begun(entry->d_ino))) {
            if (but[0] == '\0')
                (void)unlink(path);
            continue;
        }
        count++;
        if (when != NULL)
            t_bad(T_BAD_LEFT, "%s: %s inode %" PRIu64, when, path,
                  (uint64_t)entry->d_ino);
    }
    (void)closedir(d);
    return count;
}

unsigned
t_count_left(void)
{
    return walk_left("/dev/shm", NULL, "");
}

void
t_check_left(const char *when, const char *but)
{
    check_persistent();
    (void)walk_left("/dev/shm", when, but);
}

void
t_sweep_once(void)
{
    pid_t pid = T_SYS(fork());
    int r;

    if (pid == 0) {
        r = shmkit_sweep(0, NULL, NULL);
        if (r != 0)
            t_bad(T_BAD_RESULT, "last sweep: %d", r);
        _exit(0);
    }
    if (t_wait(pid) != 0)
        t_bad(T_BAD_CRASH, "the sweeper");
}

void
t_sweep_families_once(void)
{
    pid_t pid = T_SYS(fork());

    if (pid == 0) {
        shmkiti_guard_enter();
        shmkiti_sweep_families(NULL);
        shmkiti_guard_leave();
        _exit(0);
    }
    if (t_wait(pid) != 0)
        t_bad(T_BAD_CRASH, "the sweeper of families");
}

/* ---- chance ---- */

void
t_seed(uint64_t seed)
{
    rng = shmkiti_mix_u64(seed ^ UINT64_C(0x9e3779b97f4a7c15));
    if (rng == 0)
        rng = 1;
}

uint64_t
t_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return shmkiti_mix_u64(rng);
}

unsigned
t_pick(unsigned n)
{
    return (unsigned)(t_random() % n);
}

bool
t_one_in(unsigned n)
{
    return t_random() % n == 0;
}

/* ---- delays and clocks ---- */

uint64_t
t_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
nap(unsigned us)
{
    uint64_t from = t_now_ns();

    (void)usleep(us);
    slept_ns += t_now_ns() - from;
}

static void
delay(void)
{
    unsigned dice = t_pick(512);

    if (dice < 40)
        nap(t_pick(500));
    else if (dice < 110)
        (void)sched_yield();
    else if (dice == 511)
        nap(t_pick(6000));
}

static void
delay_at_fault(const char *point, void *arg)
{
    (void)point;
    (void)arg;
    delay();
}

static int
delay_at_syscall(const char *call, void *arg)
{
    (void)call;
    (void)arg;
    delay();
    return 0;
}

/* What this thread is looking at, for on_fault(). */
static _Thread_local const struct t_hold *looking_at;
static _Thread_local size_t looking_where;

/* Say which access failed, then die of it. */
static void
on_fault(int number)
{
    if (looking_at != NULL)
        t_bad(T_BAD_CRASH,
              "signal %d at word %zu of %s, %zu bytes, inode %" PRIu64, number,
              looking_where, looking_at->name,
              shmkit_block_size(looking_at->block), looking_at->ino);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

void
t_delays_on(void)
{
    (void)signal(SIGBUS, on_fault);
    (void)signal(SIGSEGV, on_fault);
    shmkiti_fault_set_hook(delay_at_fault, NULL);
    shmkiti_syscall_set_hook(delay_at_syscall, NULL);
}

void
t_delays_off(void)
{
    shmkiti_fault_set_hook(NULL, NULL);
    shmkiti_syscall_set_hook(NULL, NULL);
}

static uint64_t
stop_clock(void)
{
    return call_stop_clock == NULL
               ? 0
               : __atomic_load_n(call_stop_clock, __ATOMIC_RELAXED);
}

void
t_call_begin(const uint64_t *stopped)
{
    call_stop_clock = stopped;
    call_stopped = stop_clock();
    call_slept = slept_ns;
    call_start = t_now_ns();
}

static uint64_t
limit_ns(void)
{
    static uint64_t limit;
    const char *factor = getenv("T_TIMEOUT_FACTOR");

    if (limit == 0)
        limit =
            UINT64_C(3000000000) * (factor ? strtoull(factor, NULL, 10) : 1);
    return limit;
}

void
t_call_end(const char *what)
{
    uint64_t took = t_now_ns() - call_start;
    uint64_t idle = slept_ns - call_slept + stop_clock() - call_stopped;
    uint64_t seen;

    took = took > idle ? took - idle : 0;
    seen = __atomic_load_n(&t_oracle->longest_ns, __ATOMIC_RELAXED);
    while (took > seen && !__atomic_compare_exchange_n(
                              &t_oracle->longest_ns, &seen, took, false,
                              __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (took > limit_ns())
        t_bad(T_BAD_SLOW, "%s: %.3f s", what, (double)took * 1e-9);
}

/* ---- holding ---- */

uint64_t
t_inode_named(const char *name)
{
    char path[300];
    struct stat st;

    (void)snprintf(path, sizeof path, "/dev/shm/%s", name);
    return lstat(path, &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

uint64_t
t_inode_of(const void *addr)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t from, to, wanted = (uintptr_t)addr;
    uint64_t ino = 0, found = 0;
    char line[1024];

    T_CHECK(maps != NULL);
    while (found == 0 && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %" SCNu64,
                   &from, &to, &ino) == 3 &&
            from <= wanted && wanted < to)
            found = ino;
    }
    (void)fclose(maps);
    return found;
}

uint64_t
t_pattern(uint64_t ino)
{
    return shmkiti_mix_u64(ino) | 1;
}

static void
look_at_name(const struct t_hold *hold, enum t_bad what)
{
    uint64_t named;

    if (hold->loose || t_oracle->loose)
        return;
    named = t_inode_named(hold->name);
    if (named != hold->ino && !t_is_unlinked(hold->ino))
        t_bad(what, "%s: mine is %" PRIu64 ", the name has %" PRIu64,
              hold->name, hold->ino, named);
}

/* One word is 0 or right; `put` makes it right. */
static void
visit_word(const struct t_hold *hold, size_t i, bool put)
{
    volatile uint64_t *words = shmkit_block_data(hold->block);
    uint64_t seen, want = t_pattern(hold->ino);

    looking_where = i;
    seen = words[i];
    if (seen != 0 && seen != want)
        t_bad(T_BAD_BYTES,
              "%s inode %" PRIu64 " word %zu: %" PRIx64 ", not %" PRIx64,
              hold->name, hold->ino, i, seen, want);
    if (put)
        words[i] = want;
}

/* The first, the last and one more word. */
static void
visit_words(const struct t_hold *hold, bool put)
{
    size_t n = shmkit_block_size(hold->block) / sizeof(uint64_t);
    size_t at[3] = {0, n - 1, n > 0 ? t_pick((unsigned)n) : 0};

    if (n == 0)
        return; /* a part of less than a word */

    looking_at = hold;
    for (unsigned i = 0; i < 3; i++)
        visit_word(hold, at[i], put && i < 2);
    looking_at = NULL;
}

static void
visit_all_words(const struct t_hold *hold, bool put)
{
    size_t n = shmkit_block_size(hold->block) / sizeof(uint64_t);

    looking_at = hold;
    for (size_t i = 0; i < n; i++)
        visit_word(hold, i, put);
    looking_at = NULL;
}

void
t_hold_begin(struct t_hold *hold, shmkit_block *block, bool attached)
{
    hold->block = block;
    (void)snprintf(hold->name, sizeof hold->name, "%s",
                   shmkit_block_name(block));
    hold->loose = hold->name[0] == 'u';
    hold->partial = false;
    hold->ino = t_inode_of(shmkit_block_data(block));
    look_at_name(hold, attached ? T_BAD_NAMELESS : T_BAD_LOST);
    if (t_oracle->big)
        visit_all_words(hold, false);
    visit_words(hold, !shmkit_block_is_read_only(block));
}

void
t_hold_check(const struct t_hold *hold)
{
    look_at_name(hold, T_BAD_LOST);
    visit_words(hold, false);
    if (t_oracle->big && t_one_in(4))
        visit_all_words(hold, false);
    t_did(T_DID_CHECK);
}

void
t_hold_fill(const struct t_hold *hold)
{
    visit_all_words(hold, true);
}

unsigned
t_reap_children(void)
{
    unsigned count = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        count++;
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            t_bad(T_BAD_CRASH, "%d died of signal %d", pid, WTERMSIG(status));
        else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            t_bad(T_BAD_CRASH, "%d ended with %d", pid, WEXITSTATUS(status));
    }
    return count;
}
