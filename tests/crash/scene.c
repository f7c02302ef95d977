/* SPDX-License-Identifier: MIT */
/* scene.c - a few processes on strings.
 *
 * The director (the process that called t_scene_open, of no family) forks one
 * process for each actor and talks to it through a shared page: it writes the
 * step, then sets `state` to RUNNING; the actor sets DONE, or HELD from inside
 * a hook and then waits for RUNNING.  Only the director writes `snare_*`, and
 * only while the actor is READY or DONE.  Functions and strings have the same
 * addresses on both sides, since nobody execs.
 *
 * Everybody is a child of the director, so a wait() proves that a killed actor
 * has lost its locks.  Families are made by keepers; other actors join by id,
 * which needs no common parent. */
#include "scene.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "support.h"

#define WAIT_NS UINT64_C(10000000000)
#define POINTS 200u

enum snare { SNARE_NONE, SNARE_TRACE, SNARE_KILL, SNARE_HOLD };

struct actor {
    pid_t pid;
    uint32_t state;
    uint32_t snare;
    uint32_t snare_number, events;
    unsigned family;
    int result;
    t_step *step;
    const char *place;
};

struct scene {
    struct actor actors[T_ACTORS];
    char ids[8][SHMKIT_FAMILY_ID_SIZE];
    struct t_trace trace;
};

/* Survives all scenes of a program: what its jobs came by and counted. */
struct tally {
    uint64_t bad[T_BAD_COUNT], did[T_DID_COUNT], longest_ns;
    uint32_t next_job;
    uint8_t reached[POINTS];
};

struct t_trace *t_trace;
bool t_no_unnamed_files;
static struct scene *scene;
static struct tally *tally;
static struct actor *me;
static int wires[8][2]; /* socket pairs of the keepers: theirs, ours */
static uint64_t bad_before;

static void *
share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    T_CHECK(p != MAP_FAILED);
    return p;
}

void
t_scene_open(void)
{
    scene = share(sizeof *scene);
    t_trace = &scene->trace;
    for (unsigned i = 0; i < 8; i++)
        T_SYS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, wires[i]));
}

static uint32_t
state_of(const struct actor *actor)
{
    return __atomic_load_n(&actor->state, __ATOMIC_SEQ_CST);
}

static void
set_state(struct actor *actor, enum t_state state)
{
    __atomic_store_n(&actor->state, (uint32_t)state, __ATOMIC_SEQ_CST);
}

/* First yielding, then ever longer sleeps: most steps take microseconds, some
 * a second. */
static void
back_off(unsigned *round)
{
    if ((*round)++ < 20)
        (void)sched_yield();
    else
        (void)usleep(*round < 200 ? 50 : 2000);
}

/* ---- in the actor ---- */

static void
hold_here(const char *place)
{
    unsigned round = 0;

    me->place = place;
    set_state(me, T_HELD);
    while (state_of(me) == T_HELD)
        back_off(&round);
}

static void
pass(const char *place, bool syscall)
{
    uint32_t number = me->events++;

    if (me->snare == SNARE_TRACE && number < T_EVENTS) {
        t_trace->point[number] = place;
        t_trace->syscall[number] = syscall;
        t_trace->count = number + 1;
    }
    if (number != me->snare_number)
        return;
    me->place = place;
    if (me->snare == SNARE_KILL)
        (void)raise(SIGKILL);
    if (me->snare == SNARE_HOLD)
        hold_here(place);
}

static void
pass_fault(const char *point, void *arg)
{
    (void)arg;
    pass(point, false);
}

static int
pass_syscall(const char *call, void *arg)
{
    (void)arg;
    pass(call, true);
    return t_no_unnamed_files && strcmp(call, "open_unnamed") == 0
               ? -EOPNOTSUPP
               : 0;
}

static void
make_step(void)
{
    int r;

    me->events = 0;
    shmkiti_fault_set_hook(pass_fault, NULL);
    shmkiti_syscall_set_hook(pass_syscall, NULL);
    r = me->step();
    shmkiti_fault_set_hook(NULL, NULL);
    shmkiti_syscall_set_hook(NULL, NULL);
    me->snare = SNARE_NONE;
    t_no_unnamed_files = false;
    me->result = r;
    set_state(me, T_DONE);
}

static void
live(struct actor *actor)
{
    unsigned round = 0;

    me = actor;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    t_seed((uint64_t)getpid());
    if (actor->family != 0 && actor < &scene->actors[T_KEEPER]) {
        if (shmkit_family_join(scene->ids[actor->family]) != 0)
            _exit(T_FAIL);
    }
    set_state(actor, T_READY);
    for (;;) {
        if (state_of(me) == T_RUNNING) {
            make_step();
            round = 0;
        }
        back_off(&round);
    }
}

static void
send_fd(int wire, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0}, byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    T_SYS(sendmsg(wire, &msg, 0));
}

static int
receive_fd(int wire)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    int fd;

    T_SYS(recvmsg(wire, &msg, MSG_CMSG_CLOEXEC));
    T_CHECK(CMSG_FIRSTHDR(&msg) != NULL);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
    return fd;
}

/* A keeper's first and second step. */
static int
form_family(void)
{
    int r = shmkit_family_form();

    return r != 0 ? r : shmkit_family_get_id(scene->ids[me->family]);
}

static int
offer_fd(void)
{
    int fd, r = shmkit_family_get_fd(&fd);

    if (r == 0)
        send_fd(wires[me->family][0], fd);
    return r;
}

int
t_receive_family_fd(unsigned family)
{
    return receive_fd(wires[family][1]);
}

const char *
t_family_id(unsigned family)
{
    return scene->ids[family];
}

/* ---- in the director ---- */

static enum t_state
watch(struct actor *actor)
{
    uint64_t until = t_now_ns() + WAIT_NS;
    unsigned round = 0;
    int status;

    while (state_of(actor) == T_RUNNING || state_of(actor) == T_ABSENT) {
        if (waitpid(actor->pid, &status, WNOHANG) == actor->pid) {
            if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                t_bad(T_BAD_CRASH, "actor %td at %s: status %x",
                      actor - scene->actors, actor->place, (unsigned)status);
            actor->pid = 0;
            set_state(actor, T_DEAD);
        } else if (t_now_ns() > until) {
            t_bad(T_BAD_SLOW, "actor %td, last at %s", actor - scene->actors,
                  actor->place ? actor->place : "-");
            t_actor_kill((enum t_who)(actor - scene->actors));
        }
        back_off(&round);
    }
    return (enum t_state)state_of(actor);
}

static void
spawn(enum t_who who, unsigned family)
{
    struct actor *actor = &scene->actors[who];
    pid_t pid;

    memset(actor, 0, sizeof *actor);
    actor->family = family;
    pid = T_SYS(fork());
    if (pid == 0)
        live(actor);
    actor->pid = pid; /* shared: not to be written by the child */
    (void)watch(actor);
}

static void
start_keeper(unsigned family)
{
    enum t_who who = (enum t_who)(T_KEEPER + family - 1);

    if (t_actor_runs(who))
        return;
    spawn(who, family);
    if (t_actor_do(who, form_family) != 0)
        t_bad(T_BAD_RESULT, "family %u was not formed", family);
}

void
t_actor_start(enum t_who who, unsigned family)
{
    if (family != 0)
        start_keeper(family);
    spawn(who, family);
}

void
t_family_offer_fd(unsigned family)
{
    start_keeper(family);
    if (t_actor_do((enum t_who)(T_KEEPER + family - 1), offer_fd) != 0)
        t_bad(T_BAD_RESULT, "family %u gave no descriptor", family);
}

void
t_actor_begin(enum t_who who, t_step *step)
{
    struct actor *actor = &scene->actors[who];

    if (actor->pid == 0)
        return;
    actor->step = step;
    set_state(actor, T_RUNNING);
}

void
t_actor_trace(enum t_who who)
{
    memset(t_trace, 0, sizeof *t_trace);
    scene->actors[who].snare = SNARE_TRACE;
    scene->actors[who].snare_number = UINT32_MAX;
}

void
t_actor_kill_at(enum t_who who, uint32_t number)
{
    scene->actors[who].snare = SNARE_KILL;
    scene->actors[who].snare_number = number;
}

void
t_actor_hold_at(enum t_who who, uint32_t number)
{
    scene->actors[who].snare = SNARE_HOLD;
    scene->actors[who].snare_number = number;
}

enum t_state
t_actor_wait(enum t_who who)
{
    struct actor *actor = &scene->actors[who];

    return actor->pid == 0 ? T_DEAD : watch(actor);
}

void
t_actor_resume(enum t_who who)
{
    if (state_of(&scene->actors[who]) == T_HELD)
        set_state(&scene->actors[who], T_RUNNING);
}

int
t_actor_result(enum t_who who)
{
    return scene->actors[who].pid == 0 ? -ESRCH : scene->actors[who].result;
}

int
t_actor_do(enum t_who who, t_step *step)
{
    t_actor_begin(who, step);
    (void)t_actor_wait(who);
    return t_actor_result(who);
}

const char *
t_actor_place(enum t_who who)
{
    return scene->actors[who].place ? scene->actors[who].place : "-";
}

bool
t_actor_runs(enum t_who who)
{
    return scene->actors[who].pid != 0;
}

void
t_actor_kill(enum t_who who)
{
    struct actor *actor = &scene->actors[who];

    if (actor->pid == 0)
        return;
    (void)kill(actor->pid, SIGKILL);
    (void)waitpid(actor->pid, NULL, 0);
    actor->pid = 0;
    set_state(actor, T_DEAD);
}

void
t_family_kill(unsigned family)
{
    for (unsigned i = 0; i < T_ACTORS; i++) {
        if (scene->actors[i].family == family)
            t_actor_kill((enum t_who)i);
    }
}

void
t_scene_kill_all(void)
{
    for (unsigned i = 0; i < T_ACTORS; i++)
        t_actor_kill((enum t_who)i);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static int
check_holds(void)
{
    t_act_check();
    return 0;
}

void
t_scene_check(void)
{
    for (unsigned i = 0; i < T_KEEPER; i++) {
        uint32_t state = state_of(&scene->actors[i]);

        if (scene->actors[i].pid != 0 && state != T_HELD)
            (void)t_actor_do((enum t_who)i, check_holds);
    }
}

/* Descriptors that nobody took out of the wires would keep a family alive. */
static void
drain_wires(void)
{
    char byte;

    for (unsigned i = 0; i < 8; i++) {
        while (recv(wires[i][1], &byte, 1, MSG_DONTWAIT) >= 0)
            ;
    }
}

void
t_scene_end(const char *trial, bool families_only)
{
    t_scene_kill_all();
    drain_wires();
    if (families_only)
        t_sweep_families_once();
    else
        t_sweep_once();
    t_check_left("after one sweep", "");
    if (t_bad_total() != bad_before)
        fprintf(stderr, "^^^ %s\n", trial);
    bad_before = t_bad_total();
    t_oracle_forget_persistent();
    if (t_count_left() > 0)
        t_unmount_shm(), t_mount_shm("size=256m");
}

/* ---- jobs ---- */

void
t_scene_note_reached(void)
{
    for (uint32_t i = 0; i < t_trace->count; i++) {
        for (unsigned k = 0; shmkiti_fault_name(k) != NULL; k++) {
            if (!t_trace->syscall[i] && k < POINTS &&
                strcmp(shmkiti_fault_name(k), t_trace->point[i]) == 0)
                tally->reached[k] = 1;
        }
    }
}

unsigned
t_scene_unreached(void)
{
    unsigned missing = 0;

    for (unsigned k = 0; shmkiti_fault_name(k) != NULL; k++) {
        if (k < POINTS && tally->reached[k])
            continue;
        printf("never reached: %s\n", shmkiti_fault_name(k));
        missing++;
    }
    return missing;
}

static void
add_up(void)
{
    for (unsigned i = 0; i < T_BAD_COUNT; i++)
        (void)__atomic_add_fetch(&tally->bad[i], t_oracle->bad[i],
                                 __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < T_DID_COUNT; i++)
        (void)__atomic_add_fetch(&tally->did[i], t_oracle->did[i],
                                 __ATOMIC_SEQ_CST);
}

static void
work(unsigned count, void (*job)(unsigned number))
{
    unsigned number;

    T_SYS(prctl(PR_SET_PDEATHSIG, SIGKILL));
    T_SYS(unshare(CLONE_NEWNS));
    t_mount_shm("size=256m");
    (void)t_oracle_make(0, NULL);
    t_scene_open();
    while ((number = __atomic_fetch_add(&tally->next_job, 1,
                                        __ATOMIC_SEQ_CST)) < count)
        job(number);
    add_up();
    _exit(0);
}

uint64_t
t_scene_run(unsigned count, unsigned parallel, void (*job)(unsigned number))
{
    uint64_t bad = 0;
    int status;

    if (tally == NULL)
        tally = share(sizeof *tally);
    tally->next_job = 0;
    for (unsigned i = 0; i < parallel; i++) {
        pid_t pid = T_SYS(fork());

        if (pid == 0)
            work(count, job);
    }
    while (wait(&status) > 0)
        bad += status != 0;
    for (unsigned i = 0; i < T_BAD_COUNT; i++) {
        if (tally->bad[i] != 0)
            printf("%s: %" PRIu64 "\n", t_bad_name((enum t_bad)i),
                   tally->bad[i]);
        bad += tally->bad[i];
    }
    return bad;
}

void
t_scene_report(const char *test, const char *kills, const char *holds)
{
    printf("%s: %" PRIu64 " %s, %" PRIu64 " %s\n", test,
           tally->did[T_DID_KILL], kills, tally->did[T_DID_STOP], holds);
}
