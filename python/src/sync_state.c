/* SPDX-License-Identifier: MIT */
/* sync_state.c - what synchronisation keeps in the module's state, and the
 * functions of the module that belong to it.
 *
 * Everything is made at the import and cleared with the module.  `salt` is
 * changed in each forked child by shmkit/synchronize.py, so that what the
 * parent's threads own is not taken for the child's. */
#include "core.h"
#include "sync.h"

#include <stddef.h>
#include <unistd.h>

static PyStructSequence_Field lock_fields[] = {
    {"owner_pid", "process that holds it; None = free, -1 = cannot be told"},
    {"owner_name", "its command name, or None"},
    {"deaths", "owners that died holding it"},
    {"waiting", "whether anybody sleeps on it"},
    {"owner_died", "whether one died and it was not marked consistent since"},
    {"readers", "how many read; an RWLock's only"},
    {NULL, NULL},
};
static PyStructSequence_Desc lock_desc = {
    .name = "shmkit._core.LockStat",
    .doc = "What can be seen of a lock; true only for a moment.",
    .fields = lock_fields,
    .n_in_sequence = 6,
};

static PyStructSequence_Field semaphore_fields[] = {
    {"value", "units free"},
    {"max", "bound on the value, or None"},
    {"deaths", "holders that died and whose units came back"},
    {NULL, NULL},
};
static PyStructSequence_Desc semaphore_desc = {
    .name = "shmkit._core.SemaphoreStat",
    .doc = "What can be seen of a semaphore; true only for a moment.",
    .fields = semaphore_fields,
    .n_in_sequence = 3,
};

int
sync_is_ours(int64_t owner_pid)
{
    return owner_pid == getpid();
}

static PyObject *
lock_field(int i, const struct shmkit_lock_stat *stat, uint32_t readers)
{
    switch (i) {
        case 0:
            return stat->owner_pid == 0 ? Py_NewRef(Py_None)
                                        : PyLong_FromLongLong(stat->owner_pid);
        case 1:
            return stat->owner_name[0] == '\0'
                       ? Py_NewRef(Py_None)
                       : PyUnicode_DecodeFSDefault(stat->owner_name);
        case 2:
            return PyLong_FromUnsignedLong(stat->deaths);
        case 3:
            return PyBool_FromLong(stat->waiting != 0);
        case 4:
            return PyBool_FromLong(stat->dirty != 0);
        default:
            return PyLong_FromUnsignedLong(readers);
    }
}

PyObject *
sync_lock_stat(SyncObject *self, const struct shmkit_lock_stat *stat,
               uint32_t readers)
{
    PyObject *result = PyStructSequence_New(self->state->lock_stat_type);
    PyObject *item;
    int i;

    for (i = 0; result != NULL && i < 6; i++) {
        item = lock_field(i, stat, readers);
        if (item == NULL)
            Py_CLEAR(result);
        else
            PyStructSequence_SetItem(result, i, item);
    }
    return result;
}

/* ---- functions of the module ---- */

static PyObject *
sync_after_fork(PyObject *module, PyObject *ignored)
{
    core_state *state = PyModule_GetState(module);

    (void)ignored;
    state->sync.salt += 0x9e3779b97f4a7c15ul;
    Py_RETURN_NONE;
}

static PyObject *
sync_hold(PyObject *module, PyObject *lock)
{
    (void)module;
    if (shmkit_py_lock_enter(lock) < 0 || shmkit_py_lock_leave(lock) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef sync_functions[] = {
    {"_sync_after_fork", sync_after_fork, METH_NOARGS, NULL},
    {"_hold", sync_hold, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* ---- state ---- */

static const struct {
    size_t offset;
    const char *text;
} names[] = {
#define NAME(field, text)                 \
    {                                     \
        offsetof(sync_state, field), text \
    }
    NAME(str_block, "block"),
    NAME(str_timeout, "timeout"),
    NAME(str_ctx, "ctx"),
    NAME(str_name, "name"),
    NAME(str_on_death, "on_owner_death"),
    NAME(str_default_context, "_default_context"),
    NAME(str_open, "_open_home"),
    NAME(str_n, "n"),
    NAME(str_raise, "raise"),
#undef NAME
};

static PyObject **
object_at(sync_state *state, size_t offset)
{
    return (PyObject **)(void *)((char *)state + offset);
}

static int
intern_names(sync_state *state)
{
    PyObject *text;
    size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        text = PyUnicode_InternFromString(names[i].text);
        if (text == NULL)
            return -1;
        *object_at(state, names[i].offset) = text;
    }
    return 0;
}

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base)
{
    PyObject *bases = NULL, *type;

    if (base != NULL) {
        bases = PyTuple_Pack(1, base);
        if (bases == NULL)
            return NULL;
    }
    type = PyType_FromModuleAndSpec(module, spec, bases);
    Py_XDECREF(bases);
    if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int
add_types(PyObject *module, sync_state *state)
{
    PyType_Spec *specs[SYNC_TYPES] = {
        &lock_spec,      &rlock_spec, &semaphore_spec, &rwlock_spec,
        &condition_spec, &event_spec, &barrier_spec,
    };
    int i;

    state->arena_type = add_type(module, &arena_spec, NULL);
    state->base_type = add_type(module, &base_spec, NULL);
    state->side_type = add_type(module, &side_spec, NULL);
    if (state->arena_type == NULL || state->base_type == NULL ||
        state->side_type == NULL)
        return -1;
    for (i = 0; i < SYNC_TYPES; i++) {
        state->types[i] = add_type(module, specs[i], state->base_type);
        if (state->types[i] == NULL)
            return -1;
    }
#ifndef Py_TPFLAGS_DISALLOW_INSTANTIATION
    state->base_type->tp_new = NULL; /* 3.9 has no flag for this */
    state->side_type->tp_new = NULL;
#endif
    return 0;
}

static int
add_stats(PyObject *module, sync_state *state)
{
    state->lock_stat_type = PyStructSequence_NewType(&lock_desc);
    state->semaphore_stat_type = PyStructSequence_NewType(&semaphore_desc);
    if (state->lock_stat_type == NULL || state->semaphore_stat_type == NULL ||
        PyModule_AddType(module, state->lock_stat_type) < 0)
        return -1;
    return PyModule_AddType(module, state->semaphore_stat_type);
}

static int
add_errors(PyObject *module, sync_state *state)
{
    state->died_warning = PyErr_NewExceptionWithDoc(
        "shmkit.synchronize.OwnerDiedWarning",
        "An acquire took over from an owner that died.", PyExc_RuntimeWarning,
        NULL);
    state->died_error = PyErr_NewExceptionWithDoc(
        "shmkit.synchronize.OwnerDiedError",
        "An acquire met the death of the last owner, and gave the lock back.",
        PyExc_RuntimeError, NULL);
    if (state->died_warning == NULL || state->died_error == NULL ||
        PyModule_AddObject(module, "OwnerDiedWarning",
                           Py_NewRef(state->died_warning)) < 0)
        return -1;
    return PyModule_AddObject(module, "OwnerDiedError",
                              Py_NewRef(state->died_error));
}

int
sync_exec(PyObject *module, sync_state *state)
{
    if (intern_names(state) < 0 || add_types(module, state) < 0 ||
        add_stats(module, state) < 0 || add_errors(module, state) < 0)
        return -1;
    return PyModule_AddFunctions(module, sync_functions);
}

/* All objects of the state stand side by side: see sync.h. */
int
sync_visit(sync_state *state, visitproc visit, void *arg)
{
    PyObject **object = object_at(state, 0);

    for (; object < object_at(state, offsetof(sync_state, salt)); object++)
        Py_VISIT(*object);
    return 0;
}

void
sync_clear(sync_state *state)
{
    PyObject **object = object_at(state, 0);

    for (; object < object_at(state, offsetof(sync_state, salt)); object++)
        Py_CLEAR(*object);
}
