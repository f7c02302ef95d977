/* SPDX-License-Identifier: MIT */
/* actions.h - what one process of a storm does with blocks, each step watched
 * by the oracle. */
#ifndef SHMKIT_TESTS_ACTIONS_H
#define SHMKIT_TESTS_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "oracle.h"

#define T_MAX_HOLDS 5

/* What this process holds.  A forked child goes on with its own copy. */
extern struct t_hold t_holds[T_MAX_HOLDS];
extern unsigned t_hold_count;
/* Nanoseconds this process was stopped by the test; NULL if it never is. */
extern const uint64_t *t_stop_clock;

/* A result that no contract names; -EBUSY is only counted. */
void t_unexpected(const char *what, const char *name, int r);

/* Create `name` (NULL draws one) with lifetime `lifetime`.  The new hold if
 * it was made, NULL if not: the name was taken, or attached instead. */
struct t_hold *t_act_create(const char *name, uint32_t lifetime);
/* 0, or what attach said; only -ENOENT is not counted as a violation. */
int t_act_attach(const char *name);
void t_act_close(unsigned i);
void t_act_close_any(void);
void t_act_close_all(void);
void t_act_check(void);
void t_act_grow(void);
void t_act_persist(void);
void t_act_unlink_mine(void);
void t_act_unlink_by_name(const char *name);
void t_act_sweep(void);
void t_act_reap(const char *name);
void t_act_stat(const char *name);
/* A third each: close everything and exit; shmkit_process_exit(); _exit()
 * with everything open (not if `tidy`, which also waits for children). */
void t_act_leave(bool tidy) __attribute__((noreturn));
/* A second thread that forks for ever: its children live for up to 3 ms and
 * must not have caught a descriptor half-way. */
void t_start_churn(void);

#endif
