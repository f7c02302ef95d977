/* SPDX-License-Identifier: MIT */
/* sync_barrier.c - the class Barrier.
 *
 * The number of parties and whether there is an action are fixed in shared
 * memory; the action itself is Python's, and each process has its own copy of
 * it.  One party of a round is told to run it: it does so with the GIL held,
 * then lets the others go, or breaks the barrier when the action raises. */
#include "core.h"
#include "sync.h"

#include <errno.h>

#define BARRIER(self) ((shmkit_barrier *)(self)->place)

struct shape {
    uint32_t parties, flags;
};

static size_t
barrier_size_of(SyncObject *self, const void *place)
{
    uint32_t parties = ((const shmkit_barrier *)place)->parties;

    (void)self;
    if (parties == 0 || parties > 65536)
        return 0;
    return shmkit_barrier_size(parties);
}

static void
barrier_place_init(void *place, void *arg)
{
    const struct shape *shape = arg;

    /* The numbers were checked. */
    (void)!shmkit_barrier_init(place, shape->parties, shape->flags);
}

static const struct sync_kind barrier_kind = {
    "Barrier",       SHMKIT_OBJECT_BARRIER, sizeof(shmkit_barrier),
    barrier_size_of, barrier_place_init,    NULL,
};

static PyObject *
barrier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &barrier_kind);
}

static int
set_local(SyncObject *self, PyObject *action, PyObject *timeout)
{
    int64_t ignored;

    if (action != Py_None && !PyCallable_Check(action)) {
        PyErr_SetString(PyExc_TypeError, "action must be callable or None");
        return -1;
    }
    if (sync_deadline(NULL, timeout, &ignored) < 0)
        return -1;
    Py_XSETREF(self->action, action == Py_None ? NULL : Py_NewRef(action));
    Py_XSETREF(self->timeout, timeout == Py_None ? NULL : Py_NewRef(timeout));
    return 0;
}

/* _init(parties, action, timeout, regulars, ctx, name). */
static PyObject *
barrier_setup(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncObject *self = (SyncObject *)op;
    struct shape shape = {0, 0};
    long parties;
    int regulars;

    if (count != 6) {
        PyErr_SetString(PyExc_TypeError, "_init() takes six arguments");
        return NULL;
    }
    parties = PyLong_AsLong(args[0]);
    regulars = flag_of(args[3], 0);
    if ((parties == -1 && PyErr_Occurred()) || regulars < 0)
        return NULL;
    if (parties < 1 || parties > 65536) {
        PyErr_SetString(PyExc_ValueError, "parties must be 1 to 65536");
        return NULL;
    }
    shape.parties = (uint32_t)parties;
    if (regulars)
        shape.flags |= SHMKIT_BARRIER_REGULARS;
    if (args[1] != Py_None)
        shape.flags |= SHMKIT_BARRIER_ACTION;
    if (set_local(self, args[1], args[2]) < 0 ||
        sync_take_options(self, args[4], args[5], NULL) < 0 ||
        sync_make(self, shmkit_barrier_size(shape.parties), &shape) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* _set(action, timeout): after _adopt(). */
static PyObject *
barrier_set(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_set() takes two arguments");
        return NULL;
    }
    if (set_local((SyncObject *)op, args[0], args[1]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- wait ---- */

static PyObject *
raise_broken(void)
{
    PyObject *threading = PyImport_ImportModule("threading"), *error;

    if (threading == NULL)
        return NULL;
    error = PyObject_GetAttrString(threading, "BrokenBarrierError");
    Py_DECREF(threading);
    if (error == NULL)
        return NULL;
    PyErr_SetNone(error);
    Py_DECREF(error);
    return NULL;
}

/* 0, or SHMKIT_BROKEN; -1 and an exception when the action raised. */
static int
run_action(SyncObject *self)
{
    PyObject *result = NULL;

    if (self->action != NULL) {
        result = PyObject_CallNoArgs(self->action);
        if (result == NULL) {
            shmkit_barrier_abort(BARRIER(self));
            return -1;
        }
        Py_DECREF(result);
    }
    return shmkit_barrier_pass(self->arena, BARRIER(self));
}

static PyObject *
wait_until(SyncObject *self, int64_t deadline)
{
    uint32_t index = 0;
    int r = 0;

    SYNC_BLOCK(
        r = shmkit_barrier_wait(self->arena, BARRIER(self), deadline, &index));
    if (r == SHMKIT_RUN_ACTION) {
        r = run_action(self);
        if (r < 0 && PyErr_Occurred())
            return NULL;
    }
    if (r == 0)
        return PyLong_FromUnsignedLong(index);
    if (r == SHMKIT_BROKEN || r == -ETIMEDOUT)
        return raise_broken();
    if (r == -EINTR && PyErr_Occurred())
        return NULL;
    return sync_raise(r);
}

static PyObject *
barrier_wait(PyObject *op, PyObject *const *args, Py_ssize_t count,
             PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    PyObject *timeout = NULL;
    int64_t deadline = SHMKIT_FOREVER;

    if (sync_check(self) < 0)
        return NULL;
    if ((count != 0 || names != NULL) &&
        sync_parse_timeout(self->state, args, count, names, &timeout) < 0)
        return NULL;
    if (timeout == NULL || timeout == Py_None)
        timeout = self->timeout;
    if (timeout != NULL && sync_deadline(NULL, timeout, &deadline) < 0)
        return NULL;
    return wait_until(self, deadline);
}

static PyObject *
barrier_reset(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    shmkit_barrier_reset(self->arena, BARRIER(self));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
barrier_abort(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    shmkit_barrier_abort(BARRIER(self));
    Py_RETURN_NONE;
}

/* ---- looking at it ---- */

static PyObject *
barrier_get_parties(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    if (sync_check(self) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(BARRIER(self)->parties);
}

static PyObject *
barrier_get_waiting(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    if (sync_check(self) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(
        shmkit_barrier_count_waiting(BARRIER(self)));
}

static PyObject *
barrier_get_broken(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    if (sync_check(self) < 0)
        return NULL;
    return PyBool_FromLong(shmkit_barrier_is_broken(BARRIER(self)));
}

static PyObject *
barrier_get_action(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    return Py_NewRef(self->action == NULL ? Py_None : self->action);
}

static PyObject *
barrier_get_timeout(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    return Py_NewRef(self->timeout == NULL ? Py_None : self->timeout);
}

PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Wait until all parties are here: the number of this arrival.\n"
             "BrokenBarrierError when one was killed, did not come in time,\n"
             "or called abort() or reset().");
PyDoc_STRVAR(reset_doc,
             "reset($self, /)\n--\n\n"
             "Make it fresh; who waits gets BrokenBarrierError.");
PyDoc_STRVAR(abort_doc,
             "abort($self, /)\n--\n\n"
             "Break it: who waits, or will, gets BrokenBarrierError.");

static PyMethodDef barrier_methods[] = {
    {"_init", SYNC_FASTCALL(barrier_setup), METH_FASTCALL, NULL},
    {"_set", SYNC_FASTCALL(barrier_set), METH_FASTCALL, NULL},
    {"wait", SYNC_FASTCALL(barrier_wait), SYNC_FLAGS, wait_doc},
    {"reset", barrier_reset, METH_NOARGS, reset_doc},
    {"abort", barrier_abort, METH_NOARGS, abort_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_getset[] = {
    {"parties", barrier_get_parties, NULL, "How many it waits for.", NULL},
    {"n_waiting", barrier_get_waiting, NULL, "How many wait now.", NULL},
    {"broken", barrier_get_broken, NULL, "Whether it is broken.", NULL},
    {"_parties", barrier_get_parties, NULL, NULL, NULL},
    {"_count", barrier_get_waiting, NULL, NULL, NULL},
    {"_action", barrier_get_action, NULL, NULL, NULL},
    {"_timeout", barrier_get_timeout, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_new, barrier_new},
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_getset},
    {0, NULL},
};

PyType_Spec barrier_spec = {
    .name = "shmkit._core.Barrier",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = barrier_slots,
};
