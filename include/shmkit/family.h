/* SPDX-License-Identifier: MIT */
/* family.h - the process tree that blocks of lifetime `family` live with.
 *
 * A family is the first process that uses this library and its descendants.
 * It is formed by the first create, before a fork, or by form(); fork children
 * are in it by inheritance, exec'ed programs only by join.  When its last
 * member is gone, however that died, its blocks go: by that member's exit, or
 * by whoever sweeps next.  The environment variable SHMKIT_FAMILY (an id)
 * makes a process join instead of forming one.
 *
 * Threads: any thread, any time; not in a signal handler. */
#ifndef SHMKIT_FAMILY_H
#define SHMKIT_FAMILY_H

#include <shmkit/api.h>

SHMKIT_BEGIN

#define SHMKIT_FAMILY_ID_SIZE 17 /* 16 hex digits and NUL */

/* Be in a family: 0 at once if this process is in one.  About 30 us. */
SHMKIT_API SHMKIT_CHECK int shmkit_family_form(void);

/* Id of the family that new blocks belong to.  -ENOENT: none yet. */
SHMKIT_API SHMKIT_CHECK int shmkit_family_get_id(
    char ret_id[SHMKIT_FAMILY_ID_SIZE]);

/* Join a family of the same user by id, or by a descriptor that a member got
 * from family_get_fd() and handed over by exec or SCM_RIGHTS (the caller still
 * closes it).  By id there is a gap: the family may die before the join.  New
 * blocks then belong to it; earlier families are not left.  -ENOENT no such
 * family; -EOWNERDEAD it is dead; -EBADMSG, -EPROTONOSUPPORT not a family
 * file, or of another layout; -EMFILE too many families. */
SHMKIT_API SHMKIT_CHECK int shmkit_family_join(const char *id);
SHMKIT_API SHMKIT_CHECK int shmkit_family_join_fd(int fd);

/* A descriptor (O_CLOEXEC) that keeps the family alive while it travels to a
 * new process.  The library's own: do not close, lock or unlock it; duplicate
 * it for the child.  Forms a family if there is none. */
SHMKIT_API SHMKIT_CHECK int shmkit_family_get_fd(int *ret_fd);

/* Whether fork() forms the family first (default 1).  A program whose process
 * only breeds others for someone else (a fork server) sets 0. */
SHMKIT_API void shmkit_family_form_at_fork(int on);

/* What exit does, now: let go of every mapping that holds a lock (its views
 * read zeros from then on; those of own family blocks stay as they are),
 * remove what nobody else holds, leave the family.  For programs that end by
 * _exit().  Harmless twice; later calls of the library start afresh. */
SHMKIT_API void shmkit_process_exit(void);

SHMKIT_END

#endif
