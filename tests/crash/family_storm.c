/* SPDX-License-Identifier: MIT */
/* family_storm.c - blocks of lifetime `family` under random SIGKILL.
 *
 * In namespaces of its own, the first process (of no family) keeps FAMILIES
 * roots going, each a family in a process group of its own, which grows to at
 * most MEMBERS processes by fork and by fork and exec (this program again,
 * joining by descriptor, by id, or by SHMKIT_FAMILY); and one more group of
 * strangers, of no family, that attach, sweep and fork.  It kills single
 * members, elders before their children and whole groups, and stops and
 * continues others.  A group that has died out, by whatever, is started anew.
 *
 * Shared (behind the oracle, in the same memfd): for each family its group,
 * id, members, and a ring of records of the blocks it made.  A record is
 * written by the creator after create returned and is committed by its inode
 * number.  Since unlinkers enter the inode into the oracle's set before they
 * act, any living member may at any time look whether a recorded block still
 * stands: if it does not, nobody asked for that.  Records are wiped only when
 * the whole group is dead.
 *
 * Names: as in storm.c, and drawn ones; "q0".. are made persistent.  A third
 * of the attaches go to another family's blocks; these must keep their name
 * while they are held, also after their family's death.
 *
 * With --big the sizes lie about 2 MiB, as in storm.c.
 *
 * A round ends with every group killed and one sweep of families by a fresh
 * process, after which only blocks of lifetime holders ("h0"..) may be left;
 * then one sweep of everything, and nothing may be. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actions.h"
#include "support.h"

#define FAMILIES_MAX 6
#define MEMBERS 40u
#define RECORDS 512u
#define ROUND_KILLS 1000u
#define JOIN_FD 100 /* the number under which an exec'ed child finds it */
#define STOPS 8

struct member {
    pid_t pid;
    uint64_t stopped_ns;
};

struct record {
    uint64_t ino;
    char name[32];
};

struct family {
    pid_t group;
    uint32_t has_id;
    char id[SHMKIT_FAMILY_ID_SIZE];
    struct member members[MEMBERS];
    uint32_t record_count;
    struct record records[RECORDS];
};

/* Number `families` is the strangers. */
struct shared {
    struct family family[FAMILIES_MAX + 1];
};

static struct shared *shared;
static int oracle_fd;
static struct family *mine;
static bool stranger;

static struct {
    uint64_t kills, seed;
    unsigned families, names;
    bool unlink, big;
} opt = {2000, 0, 4, 8, false, false};

/* ---- records ---- */

static void
add_record(const struct t_hold *hold)
{
    uint32_t i = __atomic_fetch_add(&mine->record_count, 1, __ATOMIC_RELAXED);
    struct record *record = &mine->records[i % RECORDS];

    __atomic_store_n(&record->ino, 0, __ATOMIC_SEQ_CST);
    (void)snprintf(record->name, sizeof record->name, "%s", hold->name);
    __atomic_store_n(&record->ino, hold->ino, __ATOMIC_SEQ_CST);
}

/* Any of the records that have been written. */
static uint32_t
pick_record(const struct family *family)
{
    uint32_t n = __atomic_load_n(&family->record_count, __ATOMIC_RELAXED);

    return n == 0 ? 0 : t_pick(n < RECORDS ? n : RECORDS);
}

/* A whole record of `family` that nobody has begun to unlink. */
static bool
get_record(struct family *family, uint32_t i, struct record *ret)
{
    struct record *record = &family->records[i % RECORDS];

    ret->ino = __atomic_load_n(&record->ino, __ATOMIC_SEQ_CST);
    memcpy(ret->name, record->name, sizeof ret->name);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ret->name[sizeof ret->name - 1] = '\0';
    return ret->ino != 0 &&
           ret->ino == __atomic_load_n(&record->ino, __ATOMIC_SEQ_CST) &&
           !t_is_unlinked(ret->ino);
}

static void
check_record(uint32_t i)
{
    struct record record;
    uint64_t named;

    if (!get_record(mine, i, &record))
        return;
    named = t_inode_named(record.name);
    if (named != record.ino && !t_is_unlinked(record.ino))
        t_bad(T_BAD_FAMILY, "%s of %s: made as %" PRIu64 ", now %" PRIu64,
              record.name, mine->id, record.ino, named);
}

static void
check_family(void)
{
    char id[SHMKIT_FAMILY_ID_SIZE];
    int r;

    if (stranger)
        return;
    for (uint32_t i = 0; i < RECORDS; i++)
        check_record(i);
    r = shmkit_family_get_id(id);
    if (r != 0 || strcmp(id, mine->id) != 0)
        t_bad(T_BAD_FAMILY, "member of %s, not of %s (%d)", r ? "?" : id,
              mine->id, r);
    t_did(T_DID_CHECK);
}

/* ---- members ---- */

/* Take a place in the group, or leave at once when it is full. */
static void
enter_family(void)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        pid_t none = 0;

        if (__atomic_compare_exchange_n(&mine->members[i].pid, &none, getpid(),
                                        false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            t_stop_clock = &mine->members[i].stopped_ns;
            return;
        }
    }
    _exit(0);
}

/* Only a hint: two may see the last free place. */
static bool
is_full(void)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (__atomic_load_n(&mine->members[i].pid, __ATOMIC_RELAXED) == 0)
            return false;
    }
    return true;
}

static void
pick_name(char name[16])
{
    unsigned kind = t_pick(12);

    if (kind == 0)
        (void)snprintf(name, 16, "p%u", t_pick(3));
    else if (kind == 2)
        (void)snprintf(name, 16, "h%u", t_pick(opt.names));
    else if (kind == 1 && opt.unlink)
        (void)snprintf(name, 16, "u%u", t_pick(3));
    else
        (void)snprintf(name, 16, "n%u", t_pick(opt.names));
}

static void
create_one(void)
{
    const struct t_hold *hold;
    char name[16];

    pick_name(name);
    if (stranger || t_one_in(10)) {
        name[0] = 'h';
        (void)t_act_create(name, SHMKIT_LIFETIME_HOLDERS);
    } else if (t_one_in(40)) {
        name[0] = 'q';
        (void)t_act_create(name, SHMKIT_LIFETIME_PERSISTENT);
    } else {
        if (name[0] == 'h')
            name[0] = 'n';
        hold = t_act_create(t_one_in(3) ? NULL : name, SHMKIT_LIFETIME_FAMILY);
        if (hold != NULL && !hold->loose)
            add_record(hold);
    }
}

static void
attach_own(void)
{
    struct record record;
    int r;

    if (stranger || !get_record(mine, pick_record(mine), &record))
        return;
    r = t_act_attach(record.name);
    if (r == -ENOENT && !t_is_unlinked(record.ino))
        t_bad(T_BAD_FAMILY, "%s of %s: no such block", record.name, mine->id);
}

static void
attach_foreign(void)
{
    struct family *other = &shared->family[t_pick(opt.families)];
    struct record record;

    if (other == mine || !get_record(other, pick_record(other), &record))
        return;
    if (t_act_attach(record.name) == 0)
        t_did(T_DID_FOREIGN);
}

static void
attach_any(void)
{
    char name[16];

    pick_name(name);
    (void)t_act_attach(name);
}

static void
unlink_one(void)
{
    char name[16];

    if (opt.unlink && t_one_in(4)) {
        (void)snprintf(name, sizeof name, "u%u", t_pick(3));
        t_act_unlink_by_name(name);
    } else if (opt.unlink) {
        t_act_unlink_mine();
    }
}

static void run_operations(unsigned n);

static void
fork_one(void)
{
    uint64_t seed = t_random();
    pid_t pid;

    (void)t_reap_children();
    if (is_full())
        return;
    pid = fork();
    if (pid < 0 && errno != EAGAIN)
        t_bad(T_BAD_RESULT, "fork: %s", strerror(errno));
    if (pid == 0) {
        t_seed(seed);
        enter_family();
        t_act_check();
        if (t_one_in(3)) {
            create_one();
            t_act_leave(false);
        }
        run_operations(0);
    }
    t_did(T_DID_FORK);
}

/* ---- exec'ed members ---- */

enum way { BY_FD, BY_ID, BY_ENVIRONMENT };

static void
exec_member(enum way way, int fd)
{
    char numbers[4][24];
    char *argv[] = {(char *)"family_storm",
                    (char *)"--member",
                    numbers[0],
                    numbers[1],
                    numbers[2],
                    numbers[3],
                    mine->id,
                    opt.unlink ? (char *)"unlink" : NULL,
                    NULL};

    (void)snprintf(numbers[0], sizeof numbers[0], "%d", oracle_fd);
    (void)snprintf(numbers[1], sizeof numbers[1], "%d",
                   (int)(mine - shared->family));
    (void)snprintf(numbers[2], sizeof numbers[2], "%" PRIu64, t_random());
    (void)snprintf(numbers[3], sizeof numbers[3], "%d", (int)way);
    if (way == BY_FD && dup2(fd, JOIN_FD) < 0)
        _exit(T_FAIL);
    if (way == BY_ENVIRONMENT)
        (void)setenv("SHMKIT_FAMILY", mine->id, 1);
    (void)execv("/proc/self/exe", argv);
    _exit(T_FAIL);
}

static void
spawn_one(void)
{
    enum way way = t_one_in(3) ? t_pick(2) + 1u : BY_FD;
    int fd = -1, r;
    pid_t pid;

    (void)t_reap_children();
    if (stranger || is_full())
        return;
    t_call_begin(t_stop_clock);
    r = way == BY_FD ? shmkit_family_get_fd(&fd) : 0;
    t_call_end("get_fd");
    if (r < 0) {
        t_unexpected("get_fd", NULL, r);
        return;
    }
    pid = fork();
    if (pid == 0)
        exec_member(way, fd);
    t_did(T_DID_SPAWN);
}

/* By name there is a gap: the parent may have been the last member. */
static int
join(enum way way, const char *id)
{
    char seen[SHMKIT_FAMILY_ID_SIZE] = "";
    int r;

    t_call_begin(t_stop_clock);
    if (way == BY_FD)
        r = shmkit_family_join_fd(JOIN_FD);
    else if (way == BY_ID)
        r = shmkit_family_join(id);
    else
        r = shmkit_family_form();
    t_call_end("join");
    t_did(way == BY_FD ? T_DID_JOIN_FD : T_DID_JOIN_ID);
    if (r == 0)
        r = shmkit_family_get_id(seen);
    if (r == 0 && strcmp(seen, id) == 0)
        return 0;
    if (way == BY_FD)
        t_bad(T_BAD_JOIN, "wanted %s, got %s (%d)", id, seen, r);
    else if (r == 0 || r == -ENOENT || r == -EOWNERDEAD)
        t_did(T_DID_JOIN_GAP);
    else
        t_unexpected("join", id, r);
    return r < 0 ? r : -ENOENT;
}

static void
member_main(char **argv)
{
    void *extra;

    oracle_fd = atoi(argv[2]);
    t_oracle_map(oracle_fd, sizeof *shared, &extra);
    shared = extra;
    opt.families = FAMILIES_MAX;
    opt.unlink = argv[7] != NULL;
    mine = &shared->family[atoi(argv[3])];
    t_seed(strtoull(argv[4], NULL, 10));
    t_delays_on();
    enter_family();
    if (join((enum way)atoi(argv[5]), argv[6]) < 0)
        _exit(0);
    (void)close(JOIN_FD);
    (void)unsetenv("SHMKIT_FAMILY");
    run_operations(0);
}

/* ---- what a member does ---- */

static void
operate_rarely(unsigned dice)
{
    char name[16];

    pick_name(name);
    switch (dice) {
        case 0:
            t_act_grow();
            break;
        case 1:
            t_act_persist();
            break;
        case 2:
            t_act_stat(name);
            break;
        case 3:
            t_act_reap(name);
            break;
        default:
            t_act_sweep();
            break;
    }
}

static void
operate(void)
{
    unsigned dice = t_pick(64);

    if (dice < 9)
        create_one();
    else if (dice < 19)
        attach_own();
    else if (dice < 30)
        attach_foreign();
    else if (dice < 34)
        attach_any();
    else if (dice < 46)
        t_act_close_any();
    else if (dice < 49)
        unlink_one();
    else if (dice < 51)
        check_family();
    else if (dice < 54)
        fork_one();
    else if (dice < 56)
        spawn_one();
    else if (dice < 57)
        t_act_check();
    else if (dice < 62)
        operate_rarely(dice - 57);
    else if (t_one_in(8))
        t_act_leave(false);
}

/* `n` operations; 0 for ever. */
static void
run_operations(unsigned n)
{
    for (unsigned i = 0; n == 0 || i < n; i++)
        operate();
}

static void
root(struct family *family, uint64_t seed)
{
    int r;

    (void)setpgid(0, 0);
    t_seed(seed);
    t_delays_on();
    mine = family;
    stranger = family == &shared->family[opt.families];
    shmkit_family_form_at_fork(!stranger);
    enter_family();
    if (!stranger) {
        r = shmkit_family_form();
        if (r == 0)
            r = shmkit_family_get_id(mine->id);
        if (r != 0)
            t_bad(T_BAD_RESULT, "form: %d", r);
        __atomic_store_n(&mine->has_id, 1, __ATOMIC_SEQ_CST);
        if (t_one_in(4))
            t_start_churn();
    }
    run_operations(0);
}

/* ---- the first process ---- */

static struct stop {
    struct family *family;
    unsigned member;
    pid_t pid;
    uint64_t since, until;
} stops[STOPS];

static void
start_family(struct family *family)
{
    uint64_t seed = t_random();
    pid_t pid;

    memset(family, 0, sizeof *family);
    pid = T_SYS(fork());
    if (pid == 0)
        root(family, seed);
    (void)setpgid(pid, pid);
    family->group = pid;
}

static void
reap_orphans(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
            t_bad(T_BAD_CRASH, "%d died of signal %d", pid, WTERMSIG(status));
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            t_bad(T_BAD_CRASH, "%d ended with %d", pid, WEXITSTATUS(status));
    }
}

/* The pid in place `i`, 0 when it is free or its process has ended. */
static pid_t
living(struct family *family, unsigned i)
{
    pid_t pid = __atomic_load_n(&family->members[i].pid, __ATOMIC_SEQ_CST);

    if (pid == 0)
        return 0;
    if (getpgid(pid) == family->group)
        return pid;
    (void)__atomic_compare_exchange_n(&family->members[i].pid, &pid, 0, false,
                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return 0;
}

/* Clear the places of the dead; start a family that has died out. */
static void
tend(void)
{
    reap_orphans();
    for (unsigned f = 0; f <= opt.families; f++) {
        struct family *family = &shared->family[f];

        for (unsigned i = 0; i < MEMBERS; i++)
            (void)living(family, i);
        if (kill(-family->group, 0) < 0 && errno == ESRCH)
            start_family(family);
    }
}

static bool
kill_member(struct family *family, unsigned i)
{
    pid_t pid = living(family, i);

    if (pid == 0 || kill(pid, SIGKILL) < 0)
        return false;
    t_did(T_DID_KILL);
    return true;
}

static void
kill_some(struct family *family)
{
    unsigned from = t_pick(MEMBERS), n = 0, wanted = 1;

    if (t_one_in(8)) { /* elders first: places are taken in order of birth */
        from = 0;
        wanted = 1 + t_pick(6);
    }
    for (unsigned i = 0; i < MEMBERS && n < wanted; i++)
        n += kill_member(family, (from + i) % MEMBERS);
}

static void
kill_group(struct family *family)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (living(family, i) != 0)
            t_did(T_DID_KILL);
    }
    (void)kill(-family->group, SIGKILL);
    t_did(T_DID_GROUP);
}

static void
stop_one(struct family *family)
{
    unsigned member = t_pick(MEMBERS);
    pid_t pid = living(family, member);

    for (unsigned i = 0; i < STOPS && pid != 0; i++) {
        struct stop *stop = &stops[i];

        if (stop->pid != 0)
            continue;
        (void)kill(pid, SIGSTOP);
        stop->family = family;
        stop->member = member;
        stop->pid = pid;
        stop->since = t_now_ns();
        stop->until = stop->since +
                      t_pick(t_one_in(10) ? 300000 : 20000) * UINT64_C(1000);
        t_did(T_DID_STOP);
        return;
    }
}

static void
continue_some(bool all)
{
    uint64_t now = t_now_ns();

    for (unsigned i = 0; i < STOPS; i++) {
        struct stop *stop = &stops[i];
        struct member *member;

        if (stop->pid == 0 || (!all && stop->until > now))
            continue;
        member = &stop->family->members[stop->member];
        if (living(stop->family, stop->member) == stop->pid) {
            (void)__atomic_add_fetch(&member->stopped_ns,
                                     t_now_ns() - stop->since,
                                     __ATOMIC_RELAXED);
            (void)kill(stop->pid, SIGCONT);
        }
        stop->pid = 0;
    }
}

static void
strike(void)
{
    struct family *family = &shared->family[t_pick(opt.families + 1)];
    unsigned dice = t_pick(64);

    continue_some(false);
    if (dice < 2)
        kill_group(family);
    else if (dice < 10)
        stop_one(family);
    else
        kill_some(family);
    tend();
}

/* Orphans become this process's children, and a group's living members all
 * hang from it, so that "no child is left" means everybody is dead and the
 * kernel has dropped all locks. */
static void
end_all(void)
{
    for (unsigned f = 0; f <= opt.families; f++)
        kill_group(&shared->family[f]);
    for (unsigned f = 0; f <= opt.families; f++) {
        while (kill(-shared->family[f].group, SIGKILL) == 0) {
            reap_orphans();
            (void)usleep(300);
        }
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
    memset(stops, 0, sizeof stops);
}

static void
round_of_kills(uint64_t until)
{
    for (unsigned f = 0; f <= opt.families; f++)
        start_family(&shared->family[f]);
    while (t_oracle->did[T_DID_KILL] < until && t_bad_total() == 0) {
        t_progress("family_storm", t_oracle->did[T_DID_KILL], opt.kills);
        (void)usleep(t_one_in(4) ? t_pick(16000) : t_pick(4000));
        strike();
    }
    continue_some(true);
    end_all();
    (void)__atomic_add_fetch(&t_oracle->did[T_DID_BEFORE], t_count_left(),
                             __ATOMIC_RELAXED);
    t_sweep_families_once();
    t_check_left("after one sweep of families", "h");
    t_sweep_once();
    t_check_left("after one sweep", "");
    t_oracle_reset();
}

static void
usage(void)
{
    printf(
        "usage: family_storm [--kills N] [--families N] [--names N] "
        "[--seed S] [--unlink] [--big]\n");
    exit(2);
}

static void
parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"kills", 1, NULL, 'k'},  {"families", 1, NULL, 'f'},
        {"names", 1, NULL, 'n'},  {"seed", 1, NULL, 's'},
        {"unlink", 0, NULL, 'u'}, {"big", 0, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    int c;

    opt.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'k')
            opt.kills = strtoull(optarg, NULL, 10);
        else if (c == 'f')
            opt.families = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'n')
            opt.names = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 's')
            opt.seed = strtoull(optarg, NULL, 10);
        else if (c == 'u')
            opt.unlink = true;
        else if (c == 'b')
            opt.big = true;
        else
            usage();
    }
    if (opt.families < 1 || opt.families > FAMILIES_MAX || opt.names < 1)
        usage();
}

int
main(int argc, char **argv)
{
    uint64_t until;
    void *extra;

    if (argc >= 7 && strcmp(argv[1], "--member") == 0)
        member_main(argv);
    parse(argc, argv);
    shmkit_family_form_at_fork(0);
    t_namespace("size=1g");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    oracle_fd = t_oracle_make(sizeof *shared, &extra);
    shared = extra;
    t_oracle->big = opt.big;
    t_seed(opt.seed);
    printf("family_storm: seed %" PRIu64 "\n", opt.seed);
    (void)fflush(stdout);
    while (t_oracle->did[T_DID_KILL] < opt.kills && t_bad_total() == 0) {
        until = t_oracle->did[T_DID_KILL] + ROUND_KILLS;
        round_of_kills(until < opt.kills ? until : opt.kills);
    }
    t_progress("family_storm", t_oracle->did[T_DID_KILL], opt.kills);
    t_summary("family_storm", opt.seed);
    return t_bad_total() != 0;
}
