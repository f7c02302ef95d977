/* SPDX-License-Identifier: MIT */
/* scene.h - a few processes on strings: each makes one step at a time, and
 * may be killed or held at a chosen place inside it. */
#ifndef SHMKIT_TESTS_SCENE_H
#define SHMKIT_TESTS_SCENE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actions.h"

/* Actors by number.  The keepers only keep a family alive. */
enum t_who {
    T_SUBJECT, /* the one that is killed or held */
    T_SECOND,  /* the other half of a pair */
    T_OWNER,   /* made the block in question */
    T_HOLDER,  /* has it mapped */
    T_OTHER,   /* comes in while the subject is held */
    T_KEEPER,  /* + number of the family, from 1 */
    T_ACTORS = T_KEEPER + 6
};

enum t_state { T_ABSENT, T_READY, T_RUNNING, T_HELD, T_DONE, T_DEAD };

/* A step runs in an actor; its result comes back to the director. */
typedef int t_step(void);

#define T_EVENTS 400

/* Where a step came by: fault points, and system calls with "sys." before. */
struct t_trace {
    uint32_t count;
    const char *point[T_EVENTS];
    bool syscall[T_EVENTS];
};

/* Call once, in the director of a private /dev/shm; it has no family. */
void t_scene_open(void);
extern struct t_trace *t_trace;
/* Set by a step, until its end: the file system knows no O_TMPFILE. */
extern bool t_no_unnamed_files;

/* A new process in family `family` (joined by id; its keeper is started when
 * it does not run yet), or in none for 0. */
void t_actor_start(enum t_who who, unsigned family);
/* Let it begin `step`.  What happens inside is said before by one of:
 * trace - note every event in t_trace; kill, hold - at event `number`. */
void t_actor_begin(enum t_who who, t_step *step);
void t_actor_trace(enum t_who who);
void t_actor_kill_at(enum t_who who, uint32_t number);
void t_actor_hold_at(enum t_who who, uint32_t number);
/* Until it is done, held or dead.  Longer than ten seconds is T_BAD_SLOW. */
enum t_state t_actor_wait(enum t_who who);
/* Let one that is held go on. */
void t_actor_resume(enum t_who who);
/* Begin and wait; the result, or -ESRCH when it died. */
int t_actor_do(enum t_who who, t_step *step);
int t_actor_result(enum t_who who);
/* Name of the place where it is held, or was last. */
const char *t_actor_place(enum t_who who);
bool t_actor_runs(enum t_who who);
void t_actor_kill(enum t_who who);
/* Kill every actor of family `family`, its keeper included. */
void t_family_kill(unsigned family);
void t_scene_kill_all(void);

/* The keeper sends off a descriptor, which keeps the family alive; then, in an
 * actor, it is received. */
void t_family_offer_fd(unsigned family);
int t_receive_family_fd(unsigned family);
/* In an actor: the id of family `family`. */
const char *t_family_id(unsigned family);

/* Every actor that runs and is not held looks at what it holds. */
void t_scene_check(void);
/* The end of a trial: all die, one sweep (of families only, where everything
 * is a family's), nothing may be left.  If the oracle counted anything since
 * the last trial, `trial` is printed with it. */
void t_scene_end(const char *trial, bool families_only);
/* Run jobs 0 .. count-1 in `parallel` processes, each with a /dev/shm and an
 * oracle of its own; adds their counts up here.  Returns violations. */
uint64_t t_scene_run(unsigned count, unsigned parallel,
                     void (*job)(unsigned number));

/* One line: kills and holds of all jobs so far. */
void t_scene_report(const char *test, const char *kills, const char *holds);

/* All names of events met by any job: which fault points were never reached.
 * Prints them; returns how many. */
unsigned t_scene_unreached(void);
void t_scene_note_reached(void);

#endif
