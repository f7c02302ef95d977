/* SPDX-License-Identifier: MIT */
/* unit.h - how the unit tests run: each case in a process of its own, in a
 * /dev/shm of its own, and puppets that stand for other processes.
 *
 * A case is a plain function.  When it returns, its process must have no
 * descriptor and no mapping in /dev/shm that it had not before, and when the
 * process has left by exit(), /dev/shm must be as empty as it was.  Cases
 * check with the T_ macros of support.h. */
#ifndef SHMKIT_TESTS_UNIT_H
#define SHMKIT_TESTS_UNIT_H

#include <shmkit/shmkit.h>

#include <errno.h>
#include <signal.h>

#include "support.h"

struct unit_case {
    const char *name;
    void (*run)(void);
};

#define UNIT_CASE(function) \
    {                       \
#function, function \
    }

/* The whole of main(): private /dev/shm with `options` (or T_SKIP), then
 * every case under cmocka. */
int unit_main(const char *group, const char *options,
              const struct unit_case *cases, size_t count);
#define UNIT_MAIN(group, options, cases) \
    unit_main(group, options, cases, sizeof(cases) / sizeof((cases)[0]))

/* The case cannot run here; the others go on. */
void unit_skip(const char *why) __attribute__((noreturn));

/* ---- short forms ---- */

struct shmkit_block_options unit_options(uint32_t flags, uint32_t lifetime);
/* Both must succeed with 0. */
shmkit_block *unit_create(const char *name, size_t size, uint32_t flags,
                          uint32_t lifetime);
shmkit_block *unit_attach(const char *name, uint32_t flags);
/* For handles that a test leaves to exit on purpose: a leak checker is to see
 * that somebody still knows them. */
void unit_keep(shmkit_block *block);
/* Whether the name stands in /dev/shm. */
bool unit_exists(const char *name);
/* Every byte of the block. */
bool unit_all_bytes(const shmkit_block *block, unsigned char value);
/* A plain file under the name, made without the library. */
void unit_plant(const char *name, size_t size, mode_t mode);
struct shmkit_block_stat unit_stat(const char *name);
int unit_sweep(void);
/* Entries of /dev/shm/shmkit-UID; 0 when it is not there. */
int unit_family_count(void);
/* Give up root for good: uid and gid `id`, no capabilities. */
void unit_become(uid_t id);
#define UNIT_NOBODY 65534

/* ---- puppets ----
 * A process that does what it is told and keeps what it attached in slots.
 * Started before the test is in a family, with fork not forming one, it is of
 * no family, and forms its own; started later it is a member of the test's.
 */
#define UNIT_SLOTS 8

struct unit_call {
    char name[SHMKIT_NAME_SIZE];
    size_t size;
    uint32_t flags, lifetime, mode;
    unsigned slot;
    char family[SHMKIT_FAMILY_ID_SIZE];
    int result;
};

struct unit_puppet {
    pid_t pid;
    int to, from;
    struct unit_call *call; /* shared page: set before, read after a call */
};

typedef int unit_puppet_fn(struct unit_call *call);

struct unit_puppet unit_puppet_start(void);
/* As user `id`. */
struct unit_puppet unit_puppet_start_as(uid_t id);
int unit_puppet_run(struct unit_puppet *puppet, unit_puppet_fn *fn);
/* The same without waiting; then wait for the result. */
void unit_puppet_send(struct unit_puppet *puppet, unit_puppet_fn *fn);
int unit_puppet_result(struct unit_puppet *puppet);
/* Leaves by exit(): closes nothing, so exit handling is what cleans up. */
void unit_puppet_end(struct unit_puppet *puppet);
void unit_puppet_kill(struct unit_puppet *puppet);

int unit_puppet_create(struct unit_puppet *puppet, const char *name,
                       size_t size, uint32_t lifetime);
int unit_puppet_attach(struct unit_puppet *puppet, const char *name);
int unit_puppet_close(struct unit_puppet *puppet);
int unit_puppet_unlink(struct unit_puppet *puppet, const char *name);
int unit_puppet_sweep(struct unit_puppet *puppet);
int unit_puppet_form(struct unit_puppet *puppet);
/* Whether the puppet still sees `value` in every byte of slot 0. */
int unit_puppet_reads(struct unit_puppet *puppet, unsigned char value);

/* The slots of the process that runs. */
extern shmkit_block *unit_slot[UNIT_SLOTS];

#endif
