/* SPDX-License-Identifier: MIT */
/* nameless.h - a file of /dev/shm that gets its name when it is whole. */
#ifndef SHMKITI_BLOCK_NAMELESS_H
#define SHMKITI_BLOCK_NAMELESS_H

#include "block/local.h"
#include "os/os.h"

struct shmkiti_nameless {
    int fd;
    uint32_t mode; /* what it shall have once it is linked */
    char temporary[SHMKITI_PATH_SIZE]; /* empty where O_TMPFILE works */
};

/* `mode` with the sticky bit means: SH is taken at once, and kept. */
int shmkiti_nameless_open(uint32_t mode, struct shmkiti_nameless *ret_file);
/* Undo what the umask did to the mode, before the link.  `st` is the file's.
 */
int shmkiti_nameless_fix_mode(const struct shmkiti_nameless *file,
                              struct shmkiti_os_stat *st);
/* -EEXIST: the name is taken, may be called again. */
int shmkiti_nameless_link(struct shmkiti_nameless *file, const char *path);
/* Whether linked or not. */
void shmkiti_nameless_close(struct shmkiti_nameless *file);

#endif
