/* SPDX-License-Identifier: MIT */
/* ops.h - every operation of the library, and what may happen meanwhile. */
#ifndef SHMKIT_TESTS_OPS_H
#define SHMKIT_TESTS_OPS_H

#include "steps.h"

/* One operation of the library, and what must be there before. */
struct t_op {
    const char *name;
    unsigned family;     /* the subject is a member of, 0 = none */
    void (*world)(void); /* in the director, before the subject starts */
    t_step *prepare;     /* in the subject, undisturbed; may be NULL */
    void (*then)(void);  /* in the director, after that; may be NULL */
    t_step *act;         /* what is watched */
    int want;            /* its result when nothing disturbs it */
};

extern const struct t_op t_ops[];
extern const unsigned t_op_count;

/* Set `op` up and leave the subject `who` ready to act. */
void t_op_prepare(const struct t_op *op, enum t_who who);

/* What may happen while a subject is held. */
struct t_event {
    const char *name;
    void (*happen)(void);
};
extern const struct t_event t_events[];
extern const unsigned t_event_count;

#endif
