/* SPDX-License-Identifier: MIT */
/* family_arena.h - for tests: forgetting the arenas of families. */
#ifndef SHMKITI_MANAGER_FAMILY_ARENA_H
#define SHMKITI_MANAGER_FAMILY_ARENA_H

/* Close all, so that nothing is mapped.  Only while no other thread uses the
 * library and nothing in them is in use. */
void shmkiti_family_arenas_close(void);

#endif
