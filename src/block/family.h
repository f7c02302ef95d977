/* SPDX-License-Identifier: MIT */
/* family.h - the families this process is in. */
#ifndef SHMKITI_BLOCK_FAMILY_H
#define SHMKITI_BLOCK_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "block/local.h"
#include "block/table.h"

/* Families of one user: up to this many directories, because somebody else
 * may have taken the first names. */
#define SHMKITI_FAMILY_DIRS 4u

struct shmkiti_family {
    struct shmkiti_table table;
    uint64_t id, dev, ino;
    uint64_t next_look; /* when to ask again whether the file has a name */
    int spawn_fd;       /* holds SH for children to inherit; -1 if none yet */
    int pin_fd;         /* kept only where a mapping does not pin, else -1 */
    char path[SHMKITI_PATH_SIZE]; /* empty: its file had no name at the join */
};

/* "/dev/shm/shmkit-UID" or its i-th substitute. */
void shmkiti_family_dir(uint32_t uid, unsigned i,
                        char path[SHMKITI_PATH_SIZE]);

/* Id of the family that new blocks go to, 0 = none yet; outside the guard as
 * well, a few ns. */
uint64_t shmkiti_family_current_id(void);

/* All below run inside the guard. */

/* The family that new blocks go to, formed or joined if need be. */
int shmkiti_family_current(struct shmkiti_family **ret_family);
/* `key` is listed by a family this process is in. */
bool shmkiti_family_owns(uint64_t key);
/* This file is the table of a family this process is in. */
bool shmkiti_family_is_mine(uint64_t ino);
/* List a block: scrubs and grows as needed.  -ESTALE: the family's file was
 * deleted by hand, a new family is needed. */
int shmkiti_family_add(struct shmkiti_family *family, uint64_t word);
/* Look at once, not within the second, whether its file has a name. */
void shmkiti_family_doubt(struct shmkiti_family *family);
/* Turn a word of any of my families into another; 0 drops it. */
void shmkiti_family_replace(uint64_t from, uint64_t to);
/* With the guard held alone. */
void shmkiti_family_leave_all(void);

/* For fork. */
void shmkiti_family_lock(void);
void shmkiti_family_unlock(void);

#endif
