/* SPDX-License-Identifier: MIT */
/* value.h - what the files of shmkit.sharedctypes share.
 *
 * memory.c    Memory: bytes in the family's arena, or in a block of their own
 * scalar.c    from Python objects to cells and back
 * value.c     what all synchronized wrappers have in common, and single values
 * array.c     arrays: elements and slices
 * atomic.c    atomic operations and waiting, on values and elements */
#ifndef SHMKIT_PYTHON_VALUE_H
#define SHMKIT_PYTHON_VALUE_H

#include "sync.h"

#include <shmkit/shmkit.h>
#include <shmkit/value.h>

/* The part of the module's state that belongs to values. */
typedef struct {
    PyTypeObject *memory_type;
    PyTypeObject *field_type;
    PyTypeObject *base_type;
    PyTypeObject *value_type;
    PyTypeObject *array_type;
    PyObject *str_value; /* interned */
    PyObject *str_wrapper;
    PyObject *str_acquire;
    PyObject *str_release;
    PyObject *str_enter;
    PyObject *str_exit;
} value_state;

typedef struct {
    PyObject_HEAD
    shmkit_arena *arena; /* NULL = a block of its own */
    uint64_t offset;
    shmkit_block *block;
    char *data;
    Py_ssize_t size;
    uint32_t *changes; /* behind the data: see shmkit_cell_changed() */
} MemoryObject;

typedef struct {
    PyObject_HEAD
    value_state *state;
    PyObject *obj; /* the ctypes object; NULL = not bound yet */
    PyObject *lock;
    MemoryObject *memory; /* where obj lies; NULL = not in ours */
    char *data;           /* with memory: where its bytes begin */
    Py_ssize_t length;    /* arrays: elements */
    uint32_t type;        /* of the value or the elements; 0 = ctypes knows */
    uint32_t size;        /* bytes of one */
    SyncObject *rlock;    /* the lock, if it is an RLock of shmkit */
    int own_lock;         /* the lock is of shmkit's */
} SyncedObject;

/* For core.c. */
int value_exec(PyObject *module, value_state *state);
int value_visit(value_state *state, visitproc visit, void *arg);
void value_clear(value_state *state);

extern PyType_Spec memory_spec, field_spec, synced_spec, synced_value_spec,
    synced_array_spec;

/* value.c: 0, or -1 and an exception; leave keeps one that is set. */
int synced_enter(SyncedObject *self);
int synced_leave(SyncedObject *self);
/* After a change of the shared bytes: wake who waits for one. */
static inline void
synced_changed(SyncedObject *self)
{
    if (self->memory != NULL)
        shmkit_cell_changed(self->memory->changes);
}
/* Whether the cells can be reached without ctypes. */
static inline int
synced_is_direct(const SyncedObject *self)
{
    return self->memory != NULL && self->type != 0;
}

/* The same around a few instructions, for objects that are bound.  Taken and
 * given back here if the lock is an RLock that is free or mine; all else, and
 * all that has gone wrong, is shmkit_py_lock_enter()'s and leave()'s to do. */
static inline int
synced_enter_short(SyncedObject *self)
{
    SyncObject *rlock = self->rlock;
    int r;

    if (rlock != NULL && rlock->place != NULL) {
        r = shmkit_rlock_acquire(rlock->arena, rlock->place, SHMKIT_TRY);
        if (r == 0)
            return 0;
        if (r > 0)
            (void)shmkit_rlock_release(rlock->arena, rlock->place);
    }
    return shmkit_py_lock_enter(self->lock);
}
static inline int
synced_leave_short(SyncedObject *self)
{
    SyncObject *rlock = self->rlock;

    if (rlock != NULL && rlock->place != NULL &&
        shmkit_rlock_release(rlock->arena, rlock->place) == 0)
        return 0;
    return shmkit_py_lock_leave(self->lock);
}

/* One cell, relaxed. */
static inline shmkit_scalar
scalar_load(const char *cell, uint32_t size)
{
    shmkit_scalar value = {.u64 = 0};

    switch (size) {
        case 1:
            value.u8 =
                __atomic_load_n((const uint8_t *)cell, __ATOMIC_RELAXED);
            break;
        case 2:
            value.u16 =
                __atomic_load_n((const uint16_t *)cell, __ATOMIC_RELAXED);
            break;
        case 4:
            value.u32 =
                __atomic_load_n((const uint32_t *)cell, __ATOMIC_RELAXED);
            break;
        default:
            value.u64 =
                __atomic_load_n((const uint64_t *)cell, __ATOMIC_RELAXED);
    }
    return value;
}
static inline void
scalar_store(char *cell, uint32_t size, shmkit_scalar value)
{
    switch (size) {
        case 1:
            __atomic_store_n((uint8_t *)cell, value.u8, __ATOMIC_RELAXED);
            break;
        case 2:
            __atomic_store_n((uint16_t *)cell, value.u16, __ATOMIC_RELAXED);
            break;
        case 4:
            __atomic_store_n((uint32_t *)cell, value.u32, __ATOMIC_RELAXED);
            break;
        default:
            __atomic_store_n((uint64_t *)cell, value.u64, __ATOMIC_RELAXED);
    }
}

/* scalar.c */
PyObject *scalar_to_object(uint32_t type, shmkit_scalar value);
/* The objects that ctypes would store, and that no Python code is run for:
 * 1 and the value; 0 = leave it to ctypes. */
int scalar_from_object(uint32_t type, PyObject *object,
                       shmkit_scalar *ret_value);
/* Operand of an atomic operation.  0, or -1 and an exception. */
int scalar_operand(uint32_t type, PyObject *object, int exact,
                   shmkit_scalar *ret_value);
/* Many at once: `count` cells side by side, a new list, bytes or str. */
PyObject *scalars_to_object(uint32_t type, const void *data, Py_ssize_t count);
/* 1 done, 0 = leave it to ctypes.  `items` are `count` objects. */
int scalars_from_items(uint32_t type, PyObject *const *items, Py_ssize_t count,
                       void *data);
/* Whether a buffer's elements are this type's, bit for bit. */
int scalars_match(uint32_t type, const Py_buffer *view);

/* array.c */
int array_position(SyncedObject *self, PyObject *index, Py_ssize_t *ret);

/* atomic.c */
extern PyMethodDef value_atomics[], array_atomics[];

#endif
