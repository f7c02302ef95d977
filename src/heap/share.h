/* SPDX-License-Identifier: MIT */
/* share.h - the table of this process's shares; see share.c. */
#ifndef SHMKITI_HEAP_SHARE_H
#define SHMKITI_HEAP_SHARE_H

#include "arena/local.h"

struct shmkiti_share {
    uint32_t cohort; /* 0: the place is free */
    bool leaky;      /* a fork came, and the pin could not be had */
    uint64_t count;  /* objects this process has a share in */
    void *pin;       /* NULL: nobody else can have one */
};

struct shmkiti_shares {
    struct shmkiti_share *at, *last; /* `last` was found last, or NULL */
    uint32_t room, count;            /* room is a power of two */
    uint32_t current;                /* that allocations go to; 0 = none yet */
};

/* The creator must not let its objects be used again while it lives. */
bool shmkiti_share_is_leaky(shmkit_arena *arena, uint32_t cohort);

void shmkiti_share_before_fork(shmkit_arena *arena);
void shmkiti_share_in_child(shmkit_arena *arena);
void shmkiti_share_close(shmkit_arena *arena);

#endif
