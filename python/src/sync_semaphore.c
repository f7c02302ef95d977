/* SPDX-License-Identifier: MIT */
/* sync_semaphore.c - Semaphore and BoundedSemaphore.
 *
 * One C class for both: `max` in shared memory tells them apart, and a bounded
 * one is a Python subclass that asks for it.
 *
 * `with semaphore:` promises that who takes a unit brings it back, so it is an
 * owned acquire: a unit whose holder dies inside comes back.  acquire() makes
 * no such promise, for the standard library's programs release what another
 * process acquired; recoverable=True makes it. */
#include "core.h"
#include "sync.h"

#include <errno.h>

#define SEMAPHORE(self) ((shmkit_semaphore *)(self)->place)
#define VALUE_MAX INT32_MAX

struct counts {
    uint32_t value, max; /* max 0: no bound */
};

static size_t
semaphore_size_of(SyncObject *self, const void *place)
{
    uint32_t words = ((const shmkit_semaphore *)place)->words;

    (void)self;
    if (words > SHMKIT_UNIT_WORDS)
        return 0;
    return sizeof(shmkit_semaphore) + words * sizeof(uint32_t);
}

static void
semaphore_place_init(void *place, void *arg)
{
    const struct counts *counts = arg;

    /* The numbers were checked. */
    (void)!shmkit_semaphore_init(place, counts->value, counts->max);
}

static const struct sync_kind semaphore_kind = {
    "Semaphore",       SHMKIT_OBJECT_SEMAPHORE, sizeof(shmkit_semaphore),
    semaphore_size_of, semaphore_place_init,    NULL,
};

static PyObject *
semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &semaphore_kind);
}

int
sync_is_semaphore(PyObject *op)
{
    return Py_TYPE(op)->tp_new == semaphore_new;
}

/* _init(value, bounded, recoverable, ctx, name, on_owner_death): what the
 * Python classes' __init__() comes to. */
static PyObject *
semaphore_setup(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncObject *self = (SyncObject *)op;
    struct counts counts = {0, 0};
    long value;
    int bounded, owned;

    if (count != 6) {
        PyErr_SetString(PyExc_TypeError, "_init() takes six arguments");
        return NULL;
    }
    value = PyLong_AsLong(args[0]);
    bounded = flag_of(args[1], 0);
    owned = flag_of(args[2], 0);
    if ((value == -1 && PyErr_Occurred()) || bounded < 0 || owned < 0)
        return NULL;
    if (value > VALUE_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        "signed integer is greater than maximum");
        return NULL;
    }
    if (value < 0)
        return sync_raise(-EINVAL);
    counts.value = (uint32_t)value;
    counts.max = bounded ? (uint32_t)value : 0;
    self->bounded = bounded;
    self->owned = owned;
    if (sync_take_options(self, args[3], args[4], args[5]) < 0 ||
        sync_make(self, shmkit_semaphore_size(counts.value), &counts) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- acquire and release ---- */

/* A bound of 0, of which the library knows nothing, allows no release. */
static int
let_go(SyncObject *self)
{
    int r;

    if (self->bounded && SEMAPHORE(self)->max == 0)
        return -EOVERFLOW;
    r = shmkit_semaphore_release(self->arena, SEMAPHORE(self));
    if (r >= 0)
        self->count--;
    return r;
}

static inline int
get(SyncObject *self, int owned, int64_t deadline)
{
    if (owned)
        return shmkit_semaphore_acquire_owned(self->arena, SEMAPHORE(self),
                                              deadline);
    return shmkit_semaphore_acquire(self->arena, SEMAPHORE(self), deadline);
}

static PyObject *
acquire(SyncObject *self, int owned, int64_t deadline)
{
    int r;

    if (sync_check(self) < 0)
        return NULL;
    r = get(self, owned, SHMKIT_TRY);
    if (r == -ETIMEDOUT && deadline != SHMKIT_TRY)
        SYNC_BLOCK(r = get(self, owned, deadline));
    if (r >= 0) {
        self->count++;
        self->owner = sync_me(self);
        self->died = 0;
        if (r == 0)
            Py_RETURN_TRUE;
    }
    return sync_result(self, r, let_go);
}

PyObject *
sync_semaphore_enter(SyncObject *self)
{
    return acquire(self, 1, SHMKIT_FOREVER);
}

PyObject *
sync_semaphore_leave(SyncObject *self)
{
    int r;

    if (sync_check(self) < 0)
        return NULL;
    r = let_go(self);
    if (r == -EOVERFLOW) {
        PyErr_SetString(PyExc_ValueError,
                        "semaphore or lock released too many times");
        return NULL;
    }
    if (r < 0)
        return sync_raise(r);
    Py_RETURN_NONE;
}

static PyObject *
semaphore_acquire(PyObject *op, PyObject *const *args, Py_ssize_t count,
                  PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    int64_t deadline = SHMKIT_FOREVER;

    if ((count != 0 || names != NULL) &&
        sync_parse_acquire(self->state, args, count, names, &deadline) < 0)
        return NULL;
    return acquire(self, self->owned, deadline);
}

static PyObject *
semaphore_acquire_owned(PyObject *op, PyObject *const *args, Py_ssize_t count,
                        PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    int64_t deadline = SHMKIT_FOREVER;

    if ((count != 0 || names != NULL) &&
        sync_parse_acquire(self->state, args, count, names, &deadline) < 0)
        return NULL;
    return acquire(self, 1, deadline);
}

static PyObject *
semaphore_release(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return sync_semaphore_leave((SyncObject *)op);
}

static PyObject *
semaphore_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return sync_semaphore_enter((SyncObject *)op);
}

static PyObject *
semaphore_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return sync_semaphore_leave((SyncObject *)op);
}

/* ---- looking at it ---- */

static PyObject *
semaphore_get_value(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(
        shmkit_semaphore_get_value(SEMAPHORE(self)));
}

static PyObject *
semaphore_locked(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    return PyBool_FromLong(shmkit_semaphore_get_value(SEMAPHORE(self)) == 0);
}

static PyObject *
semaphore_mark_consistent(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ((SyncObject *)op)->died = 0;
    Py_RETURN_NONE;
}

static PyObject *
semaphore_stat(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    PyObject *result, *item;
    uint32_t numbers[3];
    int i;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    numbers[0] = shmkit_semaphore_get_value(SEMAPHORE(self));
    numbers[1] = SEMAPHORE(self)->max;
    numbers[2] = shmkit_semaphore_get_deaths(SEMAPHORE(self));
    result = PyStructSequence_New(self->state->semaphore_stat_type);
    for (i = 0; result != NULL && i < 3; i++) {
        item = i == 1 && numbers[1] == 0 ? Py_NewRef(Py_None)
                                         : PyLong_FromUnsignedLong(numbers[i]);
        if (item == NULL)
            Py_CLEAR(result);
        else
            PyStructSequence_SetItem(result, i, item);
    }
    return result;
}

static PyObject *
semaphore_is_mine(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    return PyBool_FromLong(self->count > 0 && self->owner == sync_me(self));
}

static PyObject *
semaphore_count(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return PyLong_FromLong(((SyncObject *)op)->count);
}

static PyObject *
semaphore_get_max(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;
    uint32_t max;

    (void)closure;
    if (sync_check(self) < 0)
        return NULL;
    max = SEMAPHORE(self)->max;
    if (max == 0 && !self->bounded)
        max = VALUE_MAX;
    return PyLong_FromUnsignedLong(max);
}

static PyObject *
semaphore_get_owner_died(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((SyncObject *)op)->died);
}

static PyObject *
semaphore_get_recoverable(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((SyncObject *)op)->owned);
}

/* After _adopt(): the class knows. */
static PyObject *
semaphore_set_bounded(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ((SyncObject *)op)->bounded = 1;
    Py_RETURN_NONE;
}

static int
semaphore_set_recoverable(PyObject *op, PyObject *value, void *closure)
{
    int owned = value == NULL ? -1 : PyObject_IsTrue(value);

    (void)closure;
    if (value == NULL)
        PyErr_SetString(PyExc_AttributeError, "cannot delete recoverable");
    if (owned < 0)
        return -1;
    ((SyncObject *)op)->owned = owned;
    return 0;
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, block=True, timeout=None)\n--\n\n"
             "Take a unit; True, or False if none came free in time.\n\n"
             "Anybody may give it back.  If its taker dies it stays taken,\n"
             "unless the semaphore is recoverable.");
PyDoc_STRVAR(owned_doc,
             "acquire_owned($self, /, block=True, timeout=None)\n--\n\n"
             "Take a unit that comes back if this process dies, as `with`\n"
             "does.");
PyDoc_STRVAR(release_doc,
             "release($self, /)\n--\n\n"
             "Give a unit back; ValueError when it would be one too many.");
PyDoc_STRVAR(value_doc, "get_value($self, /)\n--\n\nHow many units are free.");
PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nWhether no unit is free.");
PyDoc_STRVAR(mark_doc,
             "mark_consistent($self, /)\n--\n\n"
             "Forget that the last acquire took over from a dead holder.");
PyDoc_STRVAR(stat_doc,
             "stat($self, /)\n--\n\nUnits and deaths: a SemaphoreStat.");

static PyMethodDef semaphore_methods[] = {
    {"_init", SYNC_FASTCALL(semaphore_setup), METH_FASTCALL, NULL},
    {"acquire", SYNC_FASTCALL(semaphore_acquire), SYNC_FLAGS, acquire_doc},
    {"acquire_owned", SYNC_FASTCALL(semaphore_acquire_owned), SYNC_FLAGS,
     owned_doc},
    {"release", semaphore_release, METH_NOARGS, release_doc},
    {"__enter__", semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", SYNC_FASTCALL(semaphore_exit), METH_FASTCALL, NULL},
    {"get_value", semaphore_get_value, METH_NOARGS, value_doc},
    {"locked", semaphore_locked, METH_NOARGS, locked_doc},
    {"mark_consistent", semaphore_mark_consistent, METH_NOARGS, mark_doc},
    {"stat", semaphore_stat, METH_NOARGS, stat_doc},
    {"_set_bounded", semaphore_set_bounded, METH_NOARGS, NULL},
    {"_is_mine", semaphore_is_mine, METH_NOARGS, NULL},
    {"_count", semaphore_count, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef semaphore_getset[] = {
    {"owner_died", semaphore_get_owner_died, NULL,
     "Whether the last acquire took over from a dead holder.", NULL},
    {"recoverable", semaphore_get_recoverable, semaphore_set_recoverable,
     "Whether every acquire is an owned one.", NULL},
    {"_max", semaphore_get_max, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_new, semaphore_new},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, semaphore_getset},
    {0, NULL},
};

PyType_Spec semaphore_spec = {
    .name = "shmkit._core.Semaphore",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = semaphore_slots,
};
