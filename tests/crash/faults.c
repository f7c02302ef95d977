/* SPDX-License-Identifier: MIT */
/* faults.c - every operation, killed at every place, and held there while
 * something else happens.
 *
 * A run of an operation is first traced: the places it passes are the fault
 * points and the system calls, in order.  Of each name the first and the last
 * passage are taken.  Then, for each place,
 *     kill   everything else is set up anew, the subject is killed there, all
 *            others are killed too, one sweep is made: nothing may be left;
 *     hold   the subject is held there, one event of ops.c happens to its
 *            end, the subject goes on, all look at what they hold, a sweep
 *            comes by, they look again; then all die, one sweep, nothing left.
 * Places at system calls are held only with --all.  Fails too if a fault point
 * that is compiled in was reached by no operation (with --no-cover it does
 * not: the places where tables grow are met only with small tables). */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/fault.h"
#include "ops.h"
#include "support.h"

static struct {
    unsigned parallel;
    bool all, no_hold, no_cover;
    const char *only;
} opt = {8, false, false, false, NULL};

/* The places of the operation at hand, copied from its trace. */
static struct place {
    uint32_t number;
    bool syscall;
    const char *name;
} places[T_EVENTS];
static unsigned place_count;

static bool
same_place(uint32_t a, uint32_t b)
{
    return t_trace->syscall[a] == t_trace->syscall[b] &&
           strcmp(t_trace->point[a], t_trace->point[b]) == 0;
}

/* First or last passage of its name. */
static bool
is_wanted(uint32_t number)
{
    bool before = false, after = false;

    for (uint32_t i = 0; i < number && !before; i++)
        before = same_place(i, number);
    for (uint32_t i = number + 1; i < t_trace->count && !after; i++)
        after = same_place(i, number);
    return !before || !after;
}

/* Sticky blocks that no family lists need a sweep of everything. */
static bool
only_families(const char *trial)
{
    return strstr(trial, "holders") == NULL &&
           strstr(trial, "O_TMPFILE") == NULL;
}

static void
trace(const struct t_op *op)
{
    char text[100];
    int r;

    op->world();
    t_op_prepare(op, T_SUBJECT);
    t_actor_trace(T_SUBJECT);
    r = t_actor_do(T_SUBJECT, op->act);
    if (r != op->want)
        t_bad(T_BAD_RESULT, "%s: %d, not %d", op->name, r, op->want);
    t_scene_note_reached();
    place_count = 0;
    for (uint32_t i = 0; i < t_trace->count; i++) {
        if (is_wanted(i))
            places[place_count++] =
                (struct place){i, t_trace->syscall[i], t_trace->point[i]};
    }
    t_scene_check();
    (void)snprintf(text, sizeof text, "%s, undisturbed", op->name);
    t_scene_end(text, only_families(text));
}

static void
kill_there(const struct t_op *op, const struct place *place)
{
    char text[200];

    op->world();
    t_op_prepare(op, T_SUBJECT);
    t_actor_kill_at(T_SUBJECT, place->number);
    (void)t_actor_do(T_SUBJECT, op->act);
    t_did(T_DID_KILL);
    (void)snprintf(text, sizeof text, "%s, killed at %s (%u)", op->name,
                   place->name, place->number);
    t_scene_end(text, only_families(text));
}

static void
judge_result(const struct t_op *op)
{
    int r = t_actor_result(T_SUBJECT);

    if (!t_result_is_known(r))
        t_bad(T_BAD_RESULT, "%s: %d", op->name, r);
}

static void
hold_there(const struct t_op *op, const struct place *place,
           const struct t_event *event)
{
    char text[300];

    op->world();
    t_op_prepare(op, T_SUBJECT);
    /* Whoever is told to unlink by name may as well hit what came after. */
    t_oracle->loose = op->act == t_do_unlink_by_name;
    t_actor_hold_at(T_SUBJECT, place->number);
    t_actor_begin(T_SUBJECT, op->act);
    (void)t_actor_wait(T_SUBJECT);
    t_did(T_DID_STOP);
    event->happen();
    t_actor_resume(T_SUBJECT);
    (void)t_actor_wait(T_SUBJECT);
    judge_result(op);
    t_scene_check();
    t_sweep_once();
    t_scene_check();
    t_oracle->loose = 0;
    (void)snprintf(text, sizeof text, "%s, held at %s (%u) while %s", op->name,
                   place->name, place->number, event->name);
    t_scene_end(text, only_families(text));
}

static void
run_operation(const struct t_op *op)
{
    trace(op);
    for (unsigned i = 0; i < place_count; i++)
        kill_there(op, &places[i]);
    for (unsigned i = 0; i < place_count && !opt.no_hold; i++) {
        if (places[i].syscall && !opt.all)
            continue;
        for (unsigned k = 0; k < t_event_count; k++)
            hold_there(op, &places[i], &t_events[k]);
    }
}

static void
job(unsigned number)
{
    const struct t_op *op = &t_ops[number];

    if (opt.only != NULL && strcmp(opt.only, op->name) != 0)
        return;
    run_operation(op);
}

static void
usage(void)
{
    printf(
        "usage: faults [--parallel N] [--all] [--kill-only] "
        "[--only OPERATION]\n");
    exit(2);
}

static void
parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"parallel", 1, NULL, 'p'},  {"all", 0, NULL, 'a'},
        {"kill-only", 0, NULL, 'k'}, {"no-cover", 0, NULL, 'c'},
        {"only", 1, NULL, 'o'},      {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'p')
            opt.parallel = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'a')
            opt.all = true;
        else if (c == 'k')
            opt.no_hold = true;
        else if (c == 'c')
            opt.no_cover = true;
        else if (c == 'o')
            opt.only = optarg;
        else
            usage();
    }
}

int
main(int argc, char **argv)
{
    uint64_t bad;

    parse(argc, argv);
    shmkit_family_form_at_fork(0);
    t_namespace(NULL);
    bad = t_scene_run(t_op_count, opt.parallel, job);
    if (opt.only == NULL && !opt.no_cover)
        bad += t_scene_unreached();
    t_scene_report("faults", "kill points", "holds");
    printf("%" PRIu64 " failures\n", bad);
    return bad != 0;
}
