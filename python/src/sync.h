/* SPDX-License-Identifier: MIT */
/* sync.h - what the files sync*.c share, and what others may ask of them.
 *
 * An object of shmkit.synchronize is a place in an arena and, in this process,
 * a SyncObject that knows it.  sync.c makes, finds, sends and gives up places;
 * each sync_*.c holds the methods of one or two classes. */
#ifndef SHMKIT_PYTHON_SYNC_H
#define SHMKIT_PYTHON_SYNC_H

#include "compat.h"

#include <shmkit/shmkit.h>
#include <shmkit/sync.h>
#include <structmember.h>

#define SYNC_TYPES 7

/* The part of the module's state that belongs to synchronisation: references
 * alone, up to `salt`. */
typedef struct {
    PyTypeObject *arena_type;
    PyTypeObject *base_type;
    PyTypeObject *side_type;
    PyTypeObject *types[SYNC_TYPES];
    PyTypeObject *lock_stat_type;
    PyTypeObject *semaphore_stat_type;
    PyObject *died_warning;
    PyObject *died_error;
    PyObject *str_block; /* interned */
    PyObject *str_timeout;
    PyObject *str_ctx;
    PyObject *str_name;
    PyObject *str_on_death;
    PyObject *str_default_context;
    PyObject *str_open;
    PyObject *str_n;
    PyObject *str_raise;
    unsigned long salt; /* another after each fork: see sync_me() */
} sync_state;

/* A mapped arena of its own, kept by the named objects in it. */
typedef struct {
    PyObject_HEAD
    shmkit_arena *arena;
    PyObject *weak;
} ArenaObject;

struct sync_object;

/* What a class is made of, for those who make and adopt its places. */
struct sync_kind {
    const char *class_name;
    uint32_t root_type; /* of a named one */
    size_t least;       /* bytes that say how many there are */
    /* Bytes of a place that is there; 0 = it is not of this kind. */
    size_t (*size_of)(struct sync_object *self, const void *place);
    void (*init)(void *place, void *arg);   /* of zero bytes */
    void (*mark)(struct sync_object *self); /* consistent; may be NULL */
};

typedef struct sync_object {
    PyObject_HEAD
    sync_state *state;
    const struct sync_kind *kind;
    shmkit_arena *arena;
    void *place;         /* NULL until __init__() or _adopt() */
    uint64_t offset;     /* of what this object owns a share of; 0 = none */
    unsigned long owner; /* who acquired through this object, or 0 */
    long count;          /* semaphores: acquired less released, here */
    int owned;           /* semaphores: every acquire is an owned one */
    int bounded;         /* semaphores: by a maximum, be it 0 */
    int died;            /* the last acquire took over from a dead owner */
    ArenaObject *home;   /* NULL = the family's arena */
    PyObject *name;      /* NULL = no name */
    PyObject *ctx;
    PyObject *on_death;         /* NULL = warn; "raise"; or a callable */
    PyObject *lock;             /* conditions: their Lock or RLock */
    PyObject *action, *timeout; /* barriers */
} SyncObject;

/* For core.c. */
int sync_exec(PyObject *module, sync_state *state);
int sync_visit(sync_state *state, visitproc visit, void *arg);
void sync_clear(sync_state *state);

/* Hold any lock, the fast way if it is a Lock, an RLock or a Semaphore of
 * shmkit, else by its methods acquire() and release().  Blocks without the
 * GIL; signals are honoured.  0, or -1 with an exception: enter does not hold
 * the lock then. */
int shmkit_py_lock_enter(PyObject *lock);
int shmkit_py_lock_leave(PyObject *lock);

/* ---- among sync*.c ---- */

extern PyType_Spec arena_spec, base_spec, side_spec;
extern PyType_Spec lock_spec, rlock_spec, semaphore_spec, rwlock_spec;
extern PyType_Spec condition_spec, event_spec, barrier_spec;

#define SYNC_FASTCALL(function) ((PyCFunction)(void (*)(void))(function))
#define SYNC_FLAGS (METH_FASTCALL | METH_KEYWORDS)

/* This thread, as it stands in SyncObject.owner: the same number means the
 * same thread of the same process, for fork() changes the salt.  An address of
 * the thread's own is had in one instruction. */
extern _Thread_local char sync_here
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
static inline unsigned long
sync_me(const SyncObject *self)
{
    return (unsigned long)(uintptr_t)&sync_here ^ self->state->salt;
}

/* Whether the object is whole; else -1 and an exception. */
int sync_not_made(SyncObject *self);
static inline int
sync_check(SyncObject *self)
{
    return self->place != NULL ? 0 : sync_not_made(self);
}

PyObject *sync_new(PyTypeObject *type, const struct sync_kind *kind);
/* Take ctx=, name= and on_owner_death=, NULL = not given. */
int sync_take_options(SyncObject *self, PyObject *ctx, PyObject *name,
                      PyObject *on_death);
/* Give the object `size` bytes, found by its name or new ones. */
int sync_make(SyncObject *self, size_t size, void *init_arg);

/* Deadline of (block, timeout); -1 and an exception. */
int sync_deadline(PyObject *block, PyObject *timeout, int64_t *ret);
int sync_parse_acquire(sync_state *state, PyObject *const *args,
                       Py_ssize_t count, PyObject *names, int64_t *ret);
int sync_parse_timeout(sync_state *state, PyObject *const *args,
                       Py_ssize_t count, PyObject *names, PyObject **ret);

/* The bool or the exception that a failed or extraordinary result stands for;
 * `release` gives the object back when an exception is to be raised. */
PyObject *sync_result(SyncObject *self, int r,
                      int (*release)(SyncObject *self));
/* After SHMKIT_OWNER_DIED: warn, raise or call.  0, or -1 and an exception. */
int sync_report_death(SyncObject *self);
PyObject *sync_raise(int r);
PyObject *sync_lock_stat(SyncObject *self, const struct shmkit_lock_stat *stat,
                         uint32_t readers);
int sync_is_ours(int64_t owner_pid);

/* Run `call` without the GIL, and a signal's handler when one comes. */
struct sync_blocked {
    PyThreadState *thread;
};
void sync_block_begin(struct sync_blocked *blocked);
void sync_block_end(struct sync_blocked *blocked);
#define SYNC_BLOCK(call)             \
    do {                             \
        struct sync_blocked blocked; \
        sync_block_begin(&blocked);  \
        call;                        \
        sync_block_end(&blocked);    \
    } while (0)

/* sync_lock.c, for conditions: -1 = neither a Lock nor an RLock. */
enum { SYNC_NO_LOCK = -1, SYNC_LOCK, SYNC_RLOCK, SYNC_SEMAPHORE };
int sync_kind_of(PyObject *op);
int sync_lock_is_mine(SyncObject *self, int kind);
PyObject *sync_lock_acquire_for(SyncObject *self, int kind, int64_t deadline);
PyObject *sync_lock_release_for(SyncObject *self, int kind);
/* sync_semaphore.c */
PyObject *sync_semaphore_enter(SyncObject *self);
PyObject *sync_semaphore_leave(SyncObject *self);
int sync_is_semaphore(PyObject *op);

#endif
