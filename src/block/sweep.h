/* SPDX-License-Identifier: MIT */
/* sweep.h - removing what nobody is left to remove. */
#ifndef SHMKITI_BLOCK_SWEEP_H
#define SHMKITI_BLOCK_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a sweep is asked and what it found.  All zero: just sweep. */
struct shmkiti_sweep {
    void (*visit)(const char *name, void *arg); /* of each that goes */
    void *arg;
    bool dry_run;
    uint64_t watch;   /* a key somebody waits for, 0 = none */
    unsigned removed; /* out: blocks and families that went */
    bool
        busy_with_watch; /* out: another sweeper is at the family of `watch` */
};

enum shmkiti_family_state {
    SHMKITI_FAMILY_REMOVED,
    SHMKITI_FAMILY_GONE,
    SHMKITI_FAMILY_LIVE,
    SHMKITI_FAMILY_BUSY,   /* another sweeper is at it */
    SHMKITI_FAMILY_ZOMBIE, /* dead, but a block of it is still held */
    SHMKITI_FAMILY_DEAD,   /* dry run: would be removed or become a zombie */
    SHMKITI_FAMILY_REFUSED /* no table that we understand, or no right */
};

/* All run inside the guard.  `sweep` may be NULL, but for sweep_all(). */
enum shmkiti_family_state shmkiti_sweep_file(const char *path,
                                             struct shmkiti_sweep *sweep);
/* Every family of this user (of everybody, for root's gc). */
void shmkiti_sweep_families(struct shmkiti_sweep *sweep);
/* The same, but not again before ten times its own duration. */
void shmkiti_sweep_limited(void);
/* Families, then every sticky block. */
int shmkiti_sweep_all(struct shmkiti_sweep *sweep);

/* Visit the family files of this user, or of everybody for root with `all`. */
int shmkiti_sweep_each_file(bool all,
                            int (*visit)(const char *path, uint64_t ino,
                                         void *arg),
                            void *arg);

/* The words of a family's file, read through its descriptor. */
struct shmkiti_words {
    uint64_t id;
    uint64_t *word; /* malloc'ed */
    size_t count, nonzero;
    uint32_t kept, kept_len, uid;
    bool dead;
};
int shmkiti_words_read(int fd, struct shmkiti_words *ret_words);

#endif
