/* SPDX-License-Identifier: MIT */
/* local.h - what this process remembers: guard, handles, late closes. */
#ifndef SHMKITI_BLOCK_LOCAL_H
#define SHMKITI_BLOCK_LOCAL_H

#include <shmkit/block.h>
#include <stdbool.h>
#include <stdint.h>

#define SHMKITI_DIR "/dev/shm"
#define SHMKITI_PATH_SIZE 320 /* directory, family directory, name */

/* A back-off in front of somebody else's short critical section, and when to
 * give it up. */
#define SHMKITI_PAUSE_US 50u
#define SHMKITI_PATIENCE_NS UINT64_C(1000000000)

struct shmkit_block {
    struct shmkit_block *prev, *next; /* in the list of holders, if tracked */
    void *addr;                       /* of the first byte the user sees */
    size_t size;                      /* bytes the user sees */
    size_t delta;                     /* how far into the mapping that is */
    uint64_t dev, ino, key;
    uint32_t mode;
    int fd;         /* kept only where a mapping does not pin, else -1 */
    uint32_t flags; /* enum shmkit_block_flags it was asked for with */
    bool tracked, own, drawn, part;
    bool sticky; /* was so when it was mapped */
    char name[SHMKIT_NAME_SIZE];
};

/* Between enter and leave no fork happens in this process: a descriptor
 * opened in between is not inherited, and what a family promises holds.
 * Every public function that opens anything enters once, never twice. */
void shmkiti_guard_enter(void);
void shmkiti_guard_leave(void);

/* Handles whose mapping holds a lock, to be let go at exit. */
void shmkiti_holder_add(struct shmkit_block *block);
/* False when exit has let it go already. */
bool shmkiti_holder_remove(struct shmkit_block *block);

/* A close found somebody else's hold, perhaps only the child of a fork on its
 * way to exec: look again later. */
void shmkiti_late_add(const char *name, uint64_t key);
void shmkiti_late_retry(void);

bool shmkiti_fork_forms_family(void);

/* What a layer above does around fork(): `before` outside the guard, so that
 * it may open files; the others when the guard is free again. */
struct shmkiti_fork_hooks {
    void (*before)(void), (*in_parent)(void), (*in_child)(void);
};
void shmkiti_fork_set_hooks(const struct shmkiti_fork_hooks *hooks);

#endif
