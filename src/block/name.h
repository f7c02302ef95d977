/* SPDX-License-Identifier: MIT */
/* name.h - which names are good, and drawing new ones. */
#ifndef SHMKITI_BLOCK_NAME_H
#define SHMKITI_BLOCK_NAME_H

#include <shmkit/block.h>

#include "block/local.h"

/* 0, -EINVAL or -ENAMETOOLONG. */
int shmkiti_name_check(const char *name);
/* "/dev/shm/NAME" for a checked name. */
void shmkiti_name_path(const char *name, char path[SHMKITI_PATH_SIZE]);
/* A new random name "psm_xxxxxxxx". */
int shmkiti_name_draw(char name[SHMKIT_NAME_SIZE]);
void shmkiti_name_forget_drawn(void);

#endif
