/* SPDX-License-Identifier: MIT */
/* ops.c - the operations that faults.c walks through, each with its world and
 * the result it has when nothing disturbs it; and the disturbances. */
#include "ops.h"

#include <errno.h>
#include <stddef.h>

/* ---- the operations ---- */

const struct t_op t_ops[] = {
    {"create first", 0, t_world_empty, NULL, NULL, t_do_create_family, 0},
    {"create", 1, t_world_empty, NULL, NULL, t_do_create_family, 0},
    {"create drawn", 1, t_world_empty, NULL, NULL, t_do_create_drawn, 0},
    {"create holders", 1, t_world_empty, NULL, NULL, t_do_create_holders, 0},
    {"create persistent", 1, t_world_empty, NULL, NULL, t_do_create_persistent,
     0},
    {"create prefault", 1, t_world_empty, NULL, NULL, t_do_create_prefault, 0},
    {"create sparse", 1, t_world_empty, NULL, NULL, t_do_create_sparse, 0},
    {"create big", 1, t_world_empty, NULL, NULL, t_do_create_big, 0},
    {"create first, no O_TMPFILE", 0, t_world_empty, NULL, NULL,
     t_do_create_family_old, 0},
    {"create, no O_TMPFILE", 1, t_world_empty, NULL, NULL,
     t_do_create_family_old, 0},
    {"create holders, no O_TMPFILE", 1, t_world_empty, NULL, NULL,
     t_do_create_holders_old, 0},
    {"create over a dead family", 1, t_world_x_dead_family, NULL, NULL,
     t_do_create_family, 0},
    {"create over dead holders", 1, t_world_x_dead_holders, NULL, NULL,
     t_do_create_family, 0},
    {"create holders over dead", 0, t_world_x_dead_holders, NULL, NULL,
     t_do_create_holders, 0},
    {"create over a zombie", 1, t_world_x_zombie, NULL, NULL,
     t_do_create_family, -EEXIST},
    {"create over a free zombie", 1, t_world_x_zombie_free, NULL, NULL,
     t_do_create_family, 0},
    {"create over live", 1, t_world_x_foreign, NULL, NULL, t_do_create_family,
     -EEXIST},
    {"create over own", 1, t_world_x_own, NULL, NULL, t_do_create_family,
     -EEXIST},
    {"create or attach", 1, t_world_x_foreign, NULL, NULL,
     t_do_create_exist_ok, SHMKIT_EXISTED},
    {"create or attach, dead", 1, t_world_x_dead_family, NULL, NULL,
     t_do_create_exist_ok, 0},
    {"create many", 1, t_world_empty, NULL, NULL, t_do_create_many, 0},
    {"create many, stale words", 1, t_world_empty, t_do_make_stale, NULL,
     t_do_create_many, 0},
    {"attach own", 1, t_world_x_own, NULL, NULL, t_do_attach, 0},
    {"attach foreign", 1, t_world_x_foreign, NULL, NULL, t_do_attach, 0},
    {"attach foreign, no family", 0, t_world_x_foreign, NULL, NULL,
     t_do_attach, 0},
    {"attach read-only", 1, t_world_x_foreign, NULL, NULL,
     t_do_attach_read_only, 0},
    {"attach holders", 1, t_world_x_holders, NULL, NULL, t_do_attach, 0},
    {"attach zombie", 1, t_world_x_zombie, NULL, NULL, t_do_attach, 0},
    {"attach dead family", 1, t_world_x_dead_family, NULL, NULL, t_do_attach,
     -ENOENT},
    {"attach dead family, held", 1, t_world_dead_family_held, NULL, NULL,
     t_do_attach, 0},
    {"attach dead holders", 1, t_world_x_dead_holders, NULL, NULL, t_do_attach,
     -ENOENT},
    {"attach foreign, bet won", 1, t_world_y, t_do_visit_y, t_world_x_foreign,
     t_do_attach, 0},
    {"attach foreign held, bet won", 1, t_world_y, t_do_visit_y,
     t_world_x_foreign_held, t_do_attach, 0},
    {"attach own, bet lost", 1, t_world_y, t_do_visit_y, t_world_x_own,
     t_do_attach, 0},
    {"attach holders, bet lost", 1, t_world_y, t_do_visit_y, t_world_x_holders,
     t_do_attach, 0},
    {"attach zombie, bet lost", 1, t_world_y, t_do_visit_y, t_world_x_zombie,
     t_do_attach, 0},
    {"attach dead holders, bet lost", 1, t_world_y, t_do_visit_y,
     t_world_x_dead_holders, t_do_attach, -ENOENT},
    {"close own", 1, t_world_x_own, t_do_attach, NULL, t_do_close_last, 0},
    {"close foreign", 1, t_world_x_foreign, t_do_attach, NULL, t_do_close_last,
     0},
    {"close holders", 0, t_world_x_holders, t_do_attach, NULL, t_do_close_last,
     0},
    {"close last holders", 0, t_world_empty, t_do_create_holders, NULL,
     t_do_close_for_good, 0},
    {"close zombie", 1, t_world_x_foreign_and_y, t_do_attach,
     t_world_family_dies, t_do_close_zombie, 0},
    {"unlink own", 1, t_world_x_own, t_do_attach, NULL, t_do_unlink_mine, 0},
    {"unlink drawn", 1, t_world_empty, t_do_create_drawn, NULL,
     t_do_unlink_mine, 0},
    {"unlink foreign", 1, t_world_x_foreign, t_do_attach, NULL,
     t_do_unlink_mine, 0},
    {"unlink foreign, held", 1, t_world_x_foreign_held, t_do_attach, NULL,
     t_do_unlink_mine, 0},
    {"unlink holders", 0, t_world_x_holders, t_do_attach, NULL,
     t_do_unlink_mine, 0},
    {"unlink by name", 1, t_world_x_foreign, NULL, NULL, t_do_unlink_by_name,
     0},
    {"unlink dead holders", 1, t_world_x_dead_holders, NULL, NULL,
     t_do_unlink_by_name, 0},
    {"unlink persistent", 1, t_world_x_persistent, NULL, NULL,
     t_do_unlink_by_name, 0},
    {"grow own", 1, t_world_x_own, t_do_attach, NULL, t_do_grow, 0},
    {"grow big", 1, t_world_x_own, t_do_attach, NULL, t_do_grow_big, 0},
    {"grow foreign", 1, t_world_x_foreign, t_do_attach, NULL, t_do_grow, 0},
    {"grow holders", 0, t_world_x_holders, t_do_attach, NULL, t_do_grow, 0},
    {"persist own", 1, t_world_x_own, t_do_attach, NULL, t_do_persist, 0},
    {"persist holders", 0, t_world_x_holders, t_do_attach, NULL, t_do_persist,
     0},
    {"reap dead holders", 0, t_world_x_dead_holders, NULL, NULL, t_do_reap, 0},
    {"reap held holders", 0, t_world_x_holders, NULL, NULL, t_do_reap,
     SHMKIT_IN_USE},
    {"sweep a dead family", 1, t_world_x_dead_family, NULL, NULL, t_do_sweep,
     0},
    {"sweep a dead family, held", 1, t_world_dead_family_held, NULL, NULL,
     t_do_sweep, 0},
    {"sweep a zombie", 1, t_world_x_zombie, NULL, NULL, t_do_sweep, 0},
    {"sweep a free zombie", 1, t_world_x_zombie_free, NULL, NULL, t_do_sweep,
     0},
    {"sweep dead holders", 0, t_world_x_dead_holders, NULL, NULL, t_do_sweep,
     0},
    {"sweep dry", 0, t_world_x_dead_family, NULL, NULL, t_do_sweep_dry, 0},
    {"sweep dry, held", 0, t_world_dead_family_held, NULL, NULL,
     t_do_sweep_dry, 0},
    {"stat", 1, t_world_x_foreign, NULL, NULL, t_do_stat_x, 0},
    {"stat dead holders", 0, t_world_x_dead_holders, NULL, NULL, t_do_stat_x,
     0},
    {"list", 1, t_world_x_dead_family, NULL, NULL, t_do_list, 0},
    {"set a list's item", 0, t_world_empty, NULL, NULL, t_do_set_list_item, 0},
    {"open fd", 1, t_world_x_own, t_do_attach, NULL, t_do_open_fd, 0},
    {"form", 0, t_world_empty, NULL, NULL, t_do_form, 0},
    {"join by id", 0, t_world_x_foreign, NULL, NULL, t_do_join_id, 0},
    {"join by id, member", 1, t_world_x_foreign, NULL, NULL, t_do_join_id, 0},
    {"join dead", 0, t_world_x_dead_family, NULL, NULL, t_do_join_id, 0},
    {"join a zombie", 0, t_world_x_zombie, NULL, NULL, t_do_join_id,
     -EOWNERDEAD},
    {"join by descriptor", 0, t_world_offer_family, t_do_receive_fd, NULL,
     t_do_join_fd, 0},
    {"get a descriptor", 1, t_world_empty, NULL, NULL, t_do_get_fd, 0},
    {"get a descriptor first", 0, t_world_empty, NULL, NULL, t_do_get_fd, 0},
    {"exit last", 0, t_world_empty, t_do_create_family, NULL, t_do_leave, 0},
    {"exit last, many", 0, t_world_empty, t_do_create_many, NULL, t_do_leave,
     0},
    {"exit, held by another", 0, t_world_empty, t_do_create_family,
     t_world_holder_attaches, t_do_leave, 0},
    {"exit not last", 1, t_world_x_own, t_do_attach, NULL, t_do_leave, 0},
    {"exit holders", 0, t_world_empty, t_do_create_holders, NULL, t_do_leave,
     0},
    {"exit foreign", 1, t_world_x_foreign, t_do_attach, NULL, t_do_leave, 0},
    {"exit zombie", 1, t_world_x_foreign, t_do_attach, t_world_family_dies,
     t_do_leave, 0},
    {"fork", 0, t_world_empty, NULL, NULL, t_do_fork_child, 0},
    {"child creates", 0, t_world_empty, NULL, NULL, t_do_child_creates, 0},
};
const unsigned t_op_count = sizeof t_ops / sizeof t_ops[0];

void
t_op_prepare(const struct t_op *op, enum t_who who)
{
    int r;

    t_actor_start(who, op->family);
    if (op->prepare == NULL)
        return;
    r = t_actor_do(who, op->prepare);
    if (r < 0)
        t_bad(T_BAD_RESULT, "%s: preparing gave %d", op->name, r);
    if (op->then != NULL)
        op->then();
}

/* ---- what happens meanwhile ---- */

static void
owner_leaves(void)
{
    (void)t_actor_do(T_OWNER, t_do_leave);
}

static void
other_does(t_step *step)
{
    int r;

    if (!t_actor_runs(T_OTHER))
        t_actor_start(T_OTHER, 4);
    r = t_actor_do(T_OTHER, step);
    if (!t_result_is_known(r))
        t_bad(T_BAD_RESULT, "the other: %d", r);
}

static void
made_anew(void)
{
    other_does(t_do_unlink_by_name);
    other_does(t_do_create_family);
}

static void
made_anew_as_holders(void)
{
    other_does(t_do_unlink_by_name);
    other_does(t_do_create_holders);
}

static void
other_creates(void)
{
    other_does(t_do_create_exist_ok);
}

static void
other_attaches(void)
{
    other_does(t_do_attach);
}

static void
other_comes_and_goes(void)
{
    other_does(t_do_attach);
    other_does(t_do_close_last);
}

static void
other_unlinks(void)
{
    other_does(t_do_unlink_by_name);
}

static void
holder_closes(void)
{
    (void)t_actor_do(T_HOLDER, t_do_close_last);
    (void)t_actor_do(T_OWNER, t_do_close_last);
}

static void
others_look(void)
{
    other_does(t_do_stat_x);
    other_does(t_do_list);
    other_does(t_do_sweep_dry);
}

static void
all_others_die(void)
{
    for (unsigned i = 0; i < T_ACTORS; i++) {
        if (i != T_SUBJECT)
            t_actor_kill((enum t_who)i);
    }
    t_sweep_once();
}

const struct t_event t_events[] = {
    {"a sweep", t_sweep_once},
    {"its family dies", t_world_family_dies},
    {"its owner leaves", owner_leaves},
    {"the name is made anew", made_anew},
    {"the name is made anew as holders", made_anew_as_holders},
    {"another creates", other_creates},
    {"another attaches", other_attaches},
    {"another attaches and closes", other_comes_and_goes},
    {"another unlinks", other_unlinks},
    {"the holder closes", holder_closes},
    {"others look", others_look},
    {"all others die", all_others_die},
};
const unsigned t_event_count = sizeof t_events / sizeof t_events[0];
