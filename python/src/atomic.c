/* SPDX-License-Identifier: MIT */
/* atomic.c - atomic operations and waiting, on values and elements of arrays.
 *
 * They take no lock: each is one call of the library on the cell, and nobody
 * sees it half done.  Operations and waits reach the bytes through the Memory
 * they lie in; where a ctypes object of somebody else was wrapped, through a
 * buffer that is asked for at each call.
 *
 * Every change is followed by shmkit_cell_changed(), which costs a system call
 * only if somebody waits.  Waiting lets the GIL go; the condition is looked at
 * with it, each time the cell has changed. */
#include "core.h"
#include "value.h"

#include <errno.h>
#include <string.h>

static const char *const operation_names[] = {
    [SHMKIT_ADD] = "add",  [SHMKIT_SUB] = "sub",
    [SHMKIT_AND] = "and_", [SHMKIT_OR] = "or_",
    [SHMKIT_XOR] = "xor",  [SHMKIT_MIN] = "min",
    [SHMKIT_MAX] = "max",  [SHMKIT_EXCHANGE] = "exchange",
};

/* ---- the cell ---- */

struct cell {
    char *data;
    Py_buffer view; /* of memory that is not ours; else view.obj is NULL */
};

static int
open_foreign(SyncedObject *self, Py_ssize_t index, struct cell *ret)
{
    if (PyObject_GetBuffer(self->obj, &ret->view, PyBUF_WRITABLE) < 0)
        return -1;
    ret->data = (char *)ret->view.buf + index * (Py_ssize_t)self->size;
    return 0;
}

static int
open_cell(SyncedObject *self, Py_ssize_t index, struct cell *ret)
{
    if (self->obj == NULL || self->type == 0) {
        PyErr_Format(PyExc_TypeError,
                     "no atomic operations on what %.100s wraps",
                     Py_TYPE(self)->tp_name);
        return -1;
    }
    ret->view.obj = NULL;
    if (self->memory == NULL)
        return open_foreign(self, index, ret);
    ret->data = self->data + index * (Py_ssize_t)self->size;
    return 0;
}

static void
close_cell(struct cell *cell)
{
    if (cell->view.obj != NULL)
        PyBuffer_Release(&cell->view);
}

/* ---- read, change, write ---- */

static PyObject *
raise_result(SyncedObject *self, int r, const char *operation)
{
    if (r != -EINVAL)
        return core_raise(r, NULL);
    PyErr_Format(PyExc_TypeError, "%s() is not for what %.100s wraps",
                 operation, Py_TYPE(self)->tp_name);
    return NULL;
}

static PyObject *
apply(SyncedObject *self, Py_ssize_t index, uint32_t operation, PyObject *x)
{
    int exact = operation == SHMKIT_MIN || operation == SHMKIT_MAX;
    shmkit_scalar operand, old;
    struct cell cell;
    int r;

    if (open_cell(self, index, &cell) < 0)
        return NULL;
    if (scalar_operand(self->type, x, exact, &operand) < 0) {
        close_cell(&cell);
        return NULL;
    }
    r = shmkit_cell_apply(cell.data, self->type, operation, SHMKIT_SEQ_CST,
                          operand, &old);
    close_cell(&cell);
    if (r < 0)
        return raise_result(self, r, operation_names[operation]);
    synced_changed(self);
    return scalar_to_object(self->type, old);
}

static PyObject *
compare_exchange(SyncedObject *self, Py_ssize_t index, PyObject *const *args)
{
    shmkit_scalar expected, desired;
    struct cell cell;
    int r;

    if (open_cell(self, index, &cell) < 0)
        return NULL;
    if (scalar_operand(self->type, args[0], 1, &expected) < 0 ||
        scalar_operand(self->type, args[1], 1, &desired) < 0) {
        close_cell(&cell);
        return NULL;
    }
    r = shmkit_cell_compare_exchange(cell.data, self->type, SHMKIT_SEQ_CST,
                                     &expected, desired);
    close_cell(&cell);
    if (r < 0)
        return raise_result(self, r, "compare_exchange");
    if (r > 0)
        synced_changed(self);
    return PyBool_FromLong(r);
}

/* ---- waiting ---- */

static int
is_met(PyObject *condition, uint32_t type, shmkit_scalar value)
{
    PyObject *now = scalar_to_object(type, value), *answer;
    int met;

    if (now == NULL)
        return -1;
    if (!PyCallable_Check(condition)) {
        met = PyObject_RichCompareBool(now, condition, Py_EQ);
    } else {
        answer = PyObject_CallFunctionObjArgs(condition, now, NULL);
        met = answer == NULL ? -1 : PyObject_IsTrue(answer);
        Py_XDECREF(answer);
    }
    Py_DECREF(now);
    return met;
}

/* 1 met, 0 not in time, -1 and an exception. */
static int
wait_for(SyncedObject *self, const char *cell, PyObject *condition,
         int64_t deadline)
{
    uint32_t *changes = self->memory == NULL ? NULL : self->memory->changes;
    shmkit_scalar value, seen;
    int r, met;

    r = shmkit_cell_load(cell, self->type, SHMKIT_SEQ_CST, &value);
    while (r == 0) {
        met = is_met(condition, self->type, value);
        if (met != 0)
            return met;
        seen = value;
        SYNC_BLOCK(r = shmkit_cell_wait(cell, self->type, seen, deadline,
                                        changes, &value));
    }
    if (r == -ETIMEDOUT)
        return 0;
    if (r != -EINTR || !PyErr_Occurred())
        raise_result(self, r, "wait");
    return -1;
}

static PyObject *
wait_at(SyncedObject *self, Py_ssize_t index, PyObject *condition,
        PyObject *timeout)
{
    struct cell cell;
    int64_t deadline;
    int r;

    if (sync_deadline(NULL, timeout, &deadline) < 0 ||
        open_cell(self, index, &cell) < 0)
        return NULL;
    r = wait_for(self, cell.data, condition, deadline);
    close_cell(&cell);
    return r < 0 ? NULL : PyBool_FromLong(r);
}

/* ---- methods of values ---- */

#define VALUE_METHOD(name, operation)                        \
    static PyObject *value_##name(PyObject *op, PyObject *x) \
    {                                                        \
        return apply((SyncedObject *)op, 0, operation, x);   \
    }

VALUE_METHOD(add, SHMKIT_ADD)
VALUE_METHOD(sub, SHMKIT_SUB)
VALUE_METHOD(and_, SHMKIT_AND)
VALUE_METHOD(or_, SHMKIT_OR)
VALUE_METHOD(xor, SHMKIT_XOR)
VALUE_METHOD(min, SHMKIT_MIN)
VALUE_METHOD(max, SHMKIT_MAX)
VALUE_METHOD(exchange, SHMKIT_EXCHANGE)

static int
check_count(Py_ssize_t count, Py_ssize_t wanted, const char *name)
{
    if (count == wanted)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments (%zd given)", name,
                 wanted, count);
    return -1;
}

static PyObject *
value_compare_exchange(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    if (check_count(count, 2, "compare_exchange") < 0)
        return NULL;
    return compare_exchange((SyncedObject *)op, 0, args);
}

static PyObject *
value_wait(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"condition", "timeout", NULL};
    PyObject *condition, *timeout = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:wait", names,
                                     &condition, &timeout))
        return NULL;
    return wait_at((SyncedObject *)op, 0, condition, timeout);
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

PyDoc_STRVAR(
    value_wait_doc,
    "wait($self, condition, timeout=None)\n--\n\n"
    "Block until the value is equal to `condition`, or, if that is callable,\n"
    "until condition(value) is true; whether it was in time.  No lock is\n"
    "held.  Values that come and go in between may be missed.");

PyMethodDef value_atomics[] = {
    {"add", value_add, METH_O,
     "add($self, x, /)\n--\n\nAdd x atomically; returns what was there "
     "before."},
    {"sub", value_sub, METH_O,
     "sub($self, x, /)\n--\n\nSubtract x atomically; returns what was there "
     "before."},
    {"and_", value_and_, METH_O,
     "and_($self, x, /)\n--\n\nAnd the bits of x; returns what was there "
     "before."},
    {"or_", value_or_, METH_O,
     "or_($self, x, /)\n--\n\nOr the bits of x; returns what was there "
     "before."},
    {"xor", value_xor, METH_O,
     "xor($self, x, /)\n--\n\nXor the bits of x; returns what was there "
     "before."},
    {"min", value_min, METH_O,
     "min($self, x, /)\n--\n\nMake it x if that is less; returns what was "
     "there "
     "before."},
    {"max", value_max, METH_O,
     "max($self, x, /)\n--\n\nMake it x if that is more; returns what was "
     "there "
     "before."},
    {"exchange", value_exchange, METH_O,
     "exchange($self, x, /)\n--\n\nMake it x; returns what was there before."},
    {"compare_exchange", FAST(value_compare_exchange), METH_FASTCALL,
     "compare_exchange($self, expected, desired, /)\n--\n\n"
     "Make it `desired` if it is `expected`, bit for bit; whether it was."},
    {"wait", FAST(value_wait), METH_VARARGS | METH_KEYWORDS, value_wait_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- methods of arrays ---- */

static PyObject *
apply_at(PyObject *op, PyObject *const *args, Py_ssize_t count,
         uint32_t operation)
{
    SyncedObject *self = (SyncedObject *)op;
    Py_ssize_t index;

    if (check_count(count, 2, operation_names[operation]) < 0 ||
        array_position(self, args[0], &index) < 0)
        return NULL;
    return apply(self, index, operation, args[1]);
}

#define ARRAY_METHOD(name, operation)                                  \
    static PyObject *array_##name(PyObject *op, PyObject *const *args, \
                                  Py_ssize_t count)                    \
    {                                                                  \
        return apply_at(op, args, count, operation);                   \
    }

ARRAY_METHOD(add, SHMKIT_ADD)
ARRAY_METHOD(sub, SHMKIT_SUB)
ARRAY_METHOD(and_, SHMKIT_AND)
ARRAY_METHOD(or_, SHMKIT_OR)
ARRAY_METHOD(xor, SHMKIT_XOR)
ARRAY_METHOD(min, SHMKIT_MIN)
ARRAY_METHOD(max, SHMKIT_MAX)
ARRAY_METHOD(exchange, SHMKIT_EXCHANGE)

static PyObject *
array_compare_exchange(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncedObject *self = (SyncedObject *)op;
    Py_ssize_t index;

    if (check_count(count, 3, "compare_exchange") < 0 ||
        array_position(self, args[0], &index) < 0)
        return NULL;
    return compare_exchange(self, index, args + 1);
}

static PyObject *
array_wait(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"index", "condition", "timeout", NULL};
    SyncedObject *self = (SyncedObject *)op;
    PyObject *key, *condition, *timeout = NULL;
    Py_ssize_t index;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:wait", names, &key,
                                     &condition, &timeout) ||
        array_position(self, key, &index) < 0)
        return NULL;
    return wait_at(self, index, condition, timeout);
}

PyDoc_STRVAR(
    array_wait_doc,
    "wait($self, index, condition, timeout=None)\n--\n\n"
    "Block until element `index` is equal to `condition`, or, if that is\n"
    "callable, until condition(element) is true; whether it was in time.");

PyMethodDef array_atomics[] = {
    {"add", FAST(array_add), METH_FASTCALL,
     "add($self, i, x, /)\n--\n\nAdd x to element i atomically; returns what "
     "was "
     "there before."},
    {"sub", FAST(array_sub), METH_FASTCALL,
     "sub($self, i, x, /)\n--\n\nSubtract x from element i atomically; "
     "returns what "
     "was there before."},
    {"and_", FAST(array_and_), METH_FASTCALL,
     "and_($self, i, x, /)\n--\n\nAnd the bits of x to element i; returns "
     "what was "
     "there before."},
    {"or_", FAST(array_or_), METH_FASTCALL,
     "or_($self, i, x, /)\n--\n\nOr the bits of x to element i; returns what "
     "was "
     "there before."},
    {"xor", FAST(array_xor), METH_FASTCALL,
     "xor($self, i, x, /)\n--\n\nXor the bits of x to element i; returns what "
     "was "
     "there before."},
    {"min", FAST(array_min), METH_FASTCALL,
     "min($self, i, x, /)\n--\n\nMake element i x if that is less; returns "
     "what was "
     "there before."},
    {"max", FAST(array_max), METH_FASTCALL,
     "max($self, i, x, /)\n--\n\nMake element i x if that is more; returns "
     "what was "
     "there before."},
    {"exchange", FAST(array_exchange), METH_FASTCALL,
     "exchange($self, i, x, /)\n--\n\nMake element i x; returns what was "
     "there "
     "before."},
    {"compare_exchange", FAST(array_compare_exchange), METH_FASTCALL,
     "compare_exchange($self, i, expected, desired, /)\n--\n\n"
     "Make element i `desired` if it is `expected`, bit for bit; whether it "
     "was."},
    {"wait", FAST(array_wait), METH_VARARGS | METH_KEYWORDS, array_wait_doc},
    {NULL, NULL, 0, NULL},
};
