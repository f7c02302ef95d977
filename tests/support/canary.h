/* SPDX-License-Identifier: MIT */
/* canary.h - knowing when a process that was waited for has let go. */
#ifndef SHMKIT_TESTS_CANARY_H
#define SHMKIT_TESTS_CANARY_H

#include <sys/types.h>

/* Before the fork; in the child; in the parent; after the wait. */
int t_canary_new(void);
void t_canary_enter(int fd);
void t_canary_keep(pid_t pid, int fd);
void t_canary_wait(pid_t pid);

#endif
