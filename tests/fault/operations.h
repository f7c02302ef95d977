/* SPDX-License-Identifier: MIT */
/* operations.h - every public operation, ready to be failed. */
#ifndef SHMKIT_TESTS_OPERATIONS_H
#define SHMKIT_TESTS_OPERATIONS_H

#include <shmkit/shmkit.h>
#include <stdbool.h>

/* What one run works on.  Whatever is not NULL is closed after it, and every
 * name is unlinked. */
struct stage {
    char name[SHMKIT_NAME_SIZE], other[SHMKIT_NAME_SIZE];
    shmkit_block *block; /* what the operation is about */
    shmkit_block *made;  /* what it made */
    char id[SHMKIT_FAMILY_ID_SIZE];
    int fd;
    int helper; /* pid of a process that is to be killed, or 0 */
};

#define LAST 12345

struct operation {
    const char *name;
    void (*set_up)(struct stage *stage); /* never failed; may be NULL */
    int (*run)(struct stage *stage);
    int normal;       /* its result when nothing fails */
    const int *other; /* results beside that and the injected one, up to
                       * LAST; may be NULL */
    int words;        /* how many words it adds to the family's table */
    int fds;          /* how many descriptors it keeps */
};

extern const struct operation operations[];
extern const unsigned operation_count;

#endif
