/* SPDX-License-Identifier: MIT */
/* pairs.c - two operations, each paused once, in every combination.
 *
 * For a pair (A, B) both are traced alone, in the same world.  Then for every
 * place i of A and every place j of B: A runs to i, B runs to j, and they go
 * on to their ends, A first in one trial and B first in the other.  A waits
 * for a B that is paused at most as long as its contract says, and then gives
 * up with a result that its contract names.  Afterwards both look at what they
 * hold, a sweep comes by, they look again; then all die, one sweep, and
 * nothing may be left.
 *
 * One place more than there are is "not begun": so the orders A then B, and B
 * then A, are among the trials. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "steps.h"
#include "support.h"

struct half {
    const char *name;
    unsigned family;
    t_step *prepare, *act;
};

/* `then` runs when both are prepared. */
static const struct pair {
    void (*world)(void);
    struct half a, b;
    void (*then)(void);
} pairs[] = {
    {t_world_empty,
     {"create", 1, NULL, t_do_create_family},
     {"create in another family", 4, NULL, t_do_create_family},
     NULL},
    {t_world_empty,
     {"create", 1, NULL, t_do_create_family},
     {"create holders", 0, NULL, t_do_create_holders},
     NULL},
    {t_world_empty,
     {"form", 0, NULL, t_do_create_drawn},
     {"form", 0, NULL, t_do_create_drawn},
     NULL},
    {t_world_empty,
     {"form", 0, NULL, t_do_create_drawn},
     {"exit as last", 0, t_do_create_family, t_do_leave},
     NULL},
    {t_world_empty,
     {"grow the table", 1, t_do_make_stale, t_do_create_many},
     {"grow the same", 1, t_do_make_stale, t_do_create_many},
     NULL},
    {t_world_empty,
     {"scrub and grow", 1, t_do_make_stale, t_do_create_many},
     {"create", 1, NULL, t_do_create_family},
     NULL},
    {t_world_x_dead_holders,
     {"create over dead holders", 0, NULL, t_do_create_holders},
     {"create over the same", 4, NULL, t_do_create_family},
     NULL},
    {t_world_x_dead_holders,
     {"attach dead holders", 0, NULL, t_do_attach},
     {"create over them", 0, NULL, t_do_create_holders},
     NULL},
    {t_world_x_dead_family,
     {"create over a dead family", 1, NULL, t_do_create_family},
     {"create over the same", 4, NULL, t_do_create_family},
     NULL},
    {t_world_x_dead_family,
     {"create over a dead family", 1, NULL, t_do_create_family},
     {"sweep it", 4, NULL, t_do_sweep},
     NULL},
    {t_world_empty,
     {"attach foreign", 1, NULL, t_do_attach},
     {"its family's last leaves", 2, t_do_create_family, t_do_leave},
     t_world_owner_dies_but_second},
    {t_world_dead_family_held,
     {"attach foreign of the dead", 1, NULL, t_do_attach},
     {"sweep it", 4, NULL, t_do_sweep},
     NULL},
    {t_world_x_foreign,
     {"attach foreign", 1, NULL, t_do_attach},
     {"unlink", 2, t_do_attach, t_do_unlink_mine},
     NULL},
    {t_world_y,
     {"attach foreign on a bet", 1, t_do_visit_y, t_do_attach},
     {"its family's last leaves", 2, t_do_create_family, t_do_leave},
     t_world_owner_dies_but_second},
    {t_world_x_foreign_and_y,
     {"attach foreign on a bet", 1, t_do_visit_y, t_do_attach},
     {"unlink", 2, t_do_attach, t_do_unlink_mine},
     NULL},
    {t_world_y,
     {"attach holders on a bet", 1, t_do_visit_y, t_do_attach},
     {"close as last", 0, t_do_create_holders, t_do_close_last},
     NULL},
    {t_world_empty,
     {"attach holders", 0, NULL, t_do_attach},
     {"close as last", 0, t_do_create_holders, t_do_close_last},
     NULL},
    {t_world_x_foreign,
     {"attach a zombie", 0, NULL, t_do_attach},
     {"close it as last", 3, t_do_attach, t_do_close_last},
     t_world_family_dies},
    {t_world_x_foreign,
     {"sweep a zombie", 1, NULL, t_do_sweep},
     {"close it as last", 3, t_do_attach, t_do_close_last},
     t_world_family_dies},
    {t_world_x_foreign,
     {"sweep a dead family", 1, NULL, t_do_sweep},
     {"close its block as last", 3, t_do_attach, t_do_close_last},
     t_world_owner_dies},
    {t_world_x_holders,
     {"close holders", 0, t_do_attach, t_do_close_last},
     {"close the same", 0, t_do_attach, t_do_close_last},
     t_world_owner_closes},
    {t_world_empty,
     {"join by id", 0, NULL, t_do_join_id},
     {"its last leaves", 2, t_do_create_family, t_do_leave},
     t_world_owner_dies_but_second},
    {t_world_x_foreign,
     {"join by id", 0, NULL, t_do_join_id},
     {"grow its table", 2, NULL, t_do_create_many},
     NULL},
    {t_world_x_dead_family,
     {"join the dead", 0, NULL, t_do_join_id},
     {"sweep it", 4, NULL, t_do_sweep},
     NULL},
    {t_world_x_dead_family,
     {"sweep a dead family", 1, NULL, t_do_sweep},
     {"sweep it too", 4, NULL, t_do_sweep},
     NULL},
    {t_world_x_foreign,
     {"unlink foreign", 1, t_do_attach, t_do_unlink_mine},
     {"unlink as its family", 2, t_do_attach, t_do_unlink_mine},
     NULL},
    {t_world_x_foreign,
     {"unlink foreign", 1, t_do_attach, t_do_unlink_mine},
     {"unlink and make anew", 4, t_do_attach, t_do_make_anew},
     NULL},
    {t_world_x_foreign,
     {"grow", 2, t_do_attach, t_do_grow},
     {"unlink", 1, t_do_attach, t_do_unlink_mine},
     NULL},
    {t_world_x_foreign,
     {"grow", 2, t_do_attach, t_do_grow},
     {"grow the same", 4, t_do_attach, t_do_grow},
     NULL},
    {t_world_x_own,
     {"persist", 1, t_do_attach, t_do_persist},
     {"unlink", 4, t_do_attach, t_do_unlink_mine},
     NULL},
    {t_world_x_holders,
     {"persist holders", 0, t_do_attach, t_do_persist},
     {"close", 0, t_do_attach, t_do_close_last},
     t_world_owner_closes},
};
#define PARTS 8u
#define PAIRS ((unsigned)(sizeof pairs / sizeof pairs[0]))

static struct {
    unsigned parallel, every, offset;
    bool all;
    int only;
} opt = {12, 1, 0, false, -1};

/* Places of one half, and one more: "not begun". */
struct places {
    unsigned count;
    uint32_t number[T_EVENTS];
};

static void
start_half(const struct half *half, enum t_who who)
{
    t_actor_start(who, half->family);
    if (half->prepare != NULL && t_actor_do(who, half->prepare) < 0)
        t_bad(T_BAD_RESULT, "%s was not prepared", half->name);
}

static void
set_up(const struct pair *pair)
{
    pair->world();
    start_half(&pair->a, T_SUBJECT);
    start_half(&pair->b, T_SECOND);
    if (pair->then != NULL)
        pair->then();
}

/* Of many passages of one name only the first and the last two are taken. */
static bool
is_wanted(uint32_t number)
{
    unsigned before = 0, after = 0;

    if (t_trace->syscall[number] && !opt.all)
        return false;
    for (uint32_t i = 0; i < t_trace->count; i++) {
        if (i == number || t_trace->syscall[i] != t_trace->syscall[number] ||
            strcmp(t_trace->point[i], t_trace->point[number]) != 0)
            continue;
        before += i < number;
        after += i > number;
    }
    return before < 1 || after < 2;
}

/* Sticky blocks that no family lists need a sweep of everything. */
static bool
only_families(const char *trial)
{
    return strstr(trial, "holders") == NULL &&
           strstr(trial, "O_TMPFILE") == NULL;
}

static void
trace_half(const struct pair *pair, enum t_who who, t_step *act,
           struct places *places)
{
    set_up(pair);
    t_actor_trace(who);
    (void)t_actor_do(who, act);
    places->count = 0;
    for (uint32_t i = 0; i < t_trace->count; i++) {
        if (is_wanted(i))
            places->number[places->count++] = i;
    }
    t_scene_end("tracing a pair", false);
}

/* Let `who` run to its place i; beyond the last it is not begun yet. */
static void
run_to(enum t_who who, t_step *act, const struct places *places, unsigned i)
{
    if (i >= places->count)
        return;
    t_actor_hold_at(who, places->number[i]);
    t_actor_begin(who, act);
    (void)t_actor_wait(who);
}

static void
finish(enum t_who who, const struct half *half, bool begun)
{
    int r;

    if (!begun)
        t_actor_begin(who, half->act);
    t_actor_resume(who);
    (void)t_actor_wait(who);
    r = t_actor_result(who);
    if (!t_result_is_known(r))
        t_bad(T_BAD_RESULT, "%s: %d", half->name, r);
}

static void
try_one(const struct pair *pair, const struct places at[2], unsigned i,
        unsigned j, bool first)
{
    const char *places[2] = {"its start", "its start"};
    char text[400];

    set_up(pair);
    run_to(T_SUBJECT, pair->a.act, &at[0], i);
    run_to(T_SECOND, pair->b.act, &at[1], j);
    if (i < at[0].count)
        places[0] = t_actor_place(T_SUBJECT);
    if (j < at[1].count)
        places[1] = t_actor_place(T_SECOND);
    if (first)
        finish(T_SUBJECT, &pair->a, i < at[0].count);
    finish(T_SECOND, &pair->b, j < at[1].count);
    if (!first)
        finish(T_SUBJECT, &pair->a, i < at[0].count);
    t_did(T_DID_STOP);
    t_scene_check();
    t_sweep_once();
    t_scene_check();
    (void)snprintf(text, sizeof text,
                   "(%s) at %s with (%s) at %s, then the %s first",
                   pair->a.name, places[0], pair->b.name, places[1],
                   first ? "former" : "latter");
    t_scene_end(text, only_families(text));
}

static bool
is_my_turn(unsigned trial, unsigned part)
{
    return trial % opt.every == opt.offset % opt.every &&
           trial / opt.every % PARTS == part;
}

/* One job is one part of a pair's trials: they wait more than they work. */
static void
job(unsigned number)
{
    const struct pair *pair = &pairs[number / PARTS];
    struct places at[2];
    unsigned k = 0;

    if (opt.only >= 0 && (unsigned)opt.only != number / PARTS)
        return;
    trace_half(pair, T_SUBJECT, pair->a.act, &at[0]);
    trace_half(pair, T_SECOND, pair->b.act, &at[1]);
    for (unsigned i = 0; i <= at[0].count; i++) {
        for (unsigned j = 0; j <= at[1].count; j++) {
            for (unsigned first = 0; first < 2; first++) {
                if (is_my_turn(k++, number % PARTS))
                    try_one(pair, at, i, j, first != 0);
            }
        }
    }
}

static void
usage(void)
{
    printf(
        "usage: pairs [--parallel N] [--all] [--every N] [--offset N] "
        "[--only N]\n");
    exit(2);
}

static void
parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"parallel", 1, NULL, 'p'}, {"all", 0, NULL, 'a'},
        {"every", 1, NULL, 'e'},    {"offset", 1, NULL, 'f'},
        {"only", 1, NULL, 'o'},     {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'p')
            opt.parallel = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'a')
            opt.all = true;
        else if (c == 'e')
            opt.every = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'f')
            opt.offset = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'o')
            opt.only = atoi(optarg);
        else
            usage();
    }
    if (opt.every < 1)
        usage();
}

int
main(int argc, char **argv)
{
    uint64_t bad;

    parse(argc, argv);
    shmkit_family_form_at_fork(0);
    t_namespace(NULL);
    bad = t_scene_run(PAIRS * PARTS, opt.parallel, job);
    printf("pairs: %u pairs, ", PAIRS);
    t_scene_report("trials", "kills", "interleavings");
    printf("%" PRIu64 " failures\n", bad);
    return bad != 0;
}
