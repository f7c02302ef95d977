/* SPDX-License-Identifier: MIT */
/* steps.h - what actors of a scene are told to do, and the worlds in which
 * they do it.  One block matters, "nx". */
#ifndef SHMKIT_TESTS_STEPS_H
#define SHMKIT_TESTS_STEPS_H

#include <stdbool.h>

#include "scene.h"

/* Steps run in an actor and return what the library did. */
t_step t_do_create_family;
t_step t_do_create_y;
t_step t_do_create_drawn;
t_step t_do_create_holders;
t_step t_do_create_persistent;
t_step t_do_create_exist_ok;
t_step t_do_create_prefault;
t_step t_do_create_sparse;
/* Where the file system knows no O_TMPFILE. */
t_step t_do_create_family_old;
t_step t_do_create_holders_old;
t_step t_do_create_many;
t_step t_do_create_big;
t_step t_do_make_stale;
t_step t_do_attach;
t_step t_do_attach_read_only;
t_step t_do_visit_y; /* attaches and closes */
t_step t_do_close_last;
t_step t_do_close_for_good;
t_step t_do_close_zombie;
t_step t_do_unlink_mine;
t_step t_do_make_anew; /* unlinks what it holds first */
t_step t_do_unlink_by_name;
t_step t_do_grow;
t_step t_do_grow_big;
t_step t_do_persist;
t_step t_do_reap;
t_step t_do_sweep;
t_step t_do_sweep_dry;
t_step t_do_stat_x;
t_step t_do_list;
t_step t_do_set_list_item;
t_step t_do_open_fd;
t_step t_do_form;
t_step t_do_join_id;
t_step t_do_receive_fd;
t_step t_do_join_fd;
t_step t_do_get_fd;
t_step t_do_leave;
t_step t_do_fork_child;
t_step t_do_child_creates;

/* Worlds are made by the director, before the subject starts. */
void t_world_empty(void);
void t_world_x_own(void);
void t_world_x_foreign(void);
void t_world_x_holders(void);
void t_world_x_dead_holders(void);
void t_world_x_dead_family(void);
void t_world_holder_attaches(void);
void t_world_y(void);
void t_world_x_foreign_and_y(void);
void t_world_x_foreign_held(void);
void t_world_x_zombie(void);
void t_world_x_zombie_free(void);
void t_world_dead_family_held(void);
void t_world_x_persistent(void);
void t_world_owner_dies(void);
void t_world_family_dies(void);
void t_world_offer_family(void);
void t_world_owner_dies_but_second(void);
void t_world_owner_closes(void);

/* Results that an operation may have when others interfere. */
bool t_result_is_known(int r);

#endif
