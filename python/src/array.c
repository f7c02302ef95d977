/* SPDX-License-Identifier: MIT */
/* array.c - arrays of numbers in shared memory: elements and slices.
 *
 * Single elements are read and written under the lock.  A slice is copied out
 * as a whole under the lock, to memory of our own, and made objects of outside
 * it.  A list is stored item by item, and a buffer of the same type copied,
 * straight into the array, under the lock; no Python code runs meanwhile. When
 * an item needs converting, ctypes stores all of them again, so that what it
 * has stored before an error is what it would have.  Whatever else there is to
 * index with or to assign from is left to ctypes, under the same lock. */
#include "core.h"
#include "value.h"

#include <string.h>

#define SLOW_TO_COPY (1 << 20) /* bytes: let others run meanwhile */

struct span {
    Py_ssize_t start, step, count;
};

/* ---- left to ctypes ---- */

static PyObject *
get_by_ctypes(SyncedObject *self, PyObject *key)
{
    PyObject *result;

    if (synced_enter(self) < 0)
        return NULL;
    result = PyObject_GetItem(self->obj, key);
    if (synced_leave(self) < 0)
        Py_CLEAR(result);
    return result;
}

static int
set_by_ctypes(SyncedObject *self, PyObject *key, PyObject *value)
{
    int r;

    if (synced_enter(self) < 0)
        return -1;
    r = PyObject_SetItem(self->obj, key, value);
    if (synced_leave(self) < 0)
        r = -1;
    synced_changed(self);
    return r;
}

/* ---- elements ---- */

static int
bad_index(void)
{
    PyErr_SetString(PyExc_IndexError, "invalid index");
    return -1;
}

/* Elements, as ctypes counts them. */
static Py_ssize_t
length_of(SyncedObject *self)
{
    if (self->obj == NULL)
        return PyErr_Format(PyExc_RuntimeError, "__init__() not called"), -1;
    return self->memory != NULL && self->type != 0 ? self->length
                                                   : PyObject_Size(self->obj);
}

/* Where in the array an index from the user points; negative ones count from
 * the end.  0, or -1 and an exception. */
int
array_position(SyncedObject *self, PyObject *index, Py_ssize_t *ret)
{
    Py_ssize_t i, length = length_of(self);

    if (length < 0)
        return -1;
    i = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred())
        return -1;
    if (i < 0)
        i += length;
    if (i < 0 || i >= length)
        return bad_index();
    *ret = i;
    return 0;
}

static PyObject *
get_at(SyncedObject *self, Py_ssize_t i)
{
    shmkit_scalar value;

    if (i < 0 || i >= self->length) {
        bad_index();
        return NULL;
    }
    if (synced_enter_short(self) < 0)
        return NULL;
    value = scalar_load(self->data + i * (Py_ssize_t)self->size, self->size);
    if (synced_leave_short(self) < 0)
        return NULL;
    return scalar_to_object(self->type, value);
}

static int
set_at(SyncedObject *self, Py_ssize_t i, PyObject *key, PyObject *object)
{
    shmkit_scalar value;

    if (i < 0 || i >= self->length)
        return bad_index();
    if (!scalar_from_object(self->type, object, &value))
        return set_by_ctypes(self, key, object);
    if (synced_enter_short(self) < 0)
        return -1;
    scalar_store(self->data + i * (Py_ssize_t)self->size, self->size, value);
    if (synced_leave_short(self) < 0)
        return -1;
    shmkit_cell_changed(self->memory->changes);
    return 0;
}

/* ---- slices out ---- */

static void
gather(const SyncedObject *self, struct span span, char *to)
{
    size_t size = self->size;
    Py_ssize_t i;
    const char *from = self->data + span.start * (Py_ssize_t)size;

    if (span.step == 1) {
        memcpy(to, from, (size_t)span.count * size);
        return;
    }
    for (i = 0; i < span.count; i++, to += size)
        memcpy(to, from + i * span.step * (Py_ssize_t)size, size);
}

static PyObject *
get_slice(SyncedObject *self, struct span span)
{
    char *copy = PyMem_Malloc((size_t)span.count * self->size + 1);
    PyObject *result = NULL;

    if (copy == NULL)
        return PyErr_NoMemory();
    if (shmkit_py_lock_enter(self->lock) == 0) {
        gather(self, span, copy);
        if (shmkit_py_lock_leave(self->lock) == 0)
            result = scalars_to_object(self->type, copy, span.count);
    }
    PyMem_Free(copy);
    return result;
}

/* ---- slices in ---- */

static void
scatter(SyncedObject *self, struct span span, const char *from)
{
    size_t size = self->size;
    char *to = self->data + span.start * (Py_ssize_t)size;
    size_t bytes = (size_t)span.count * size;
    Py_ssize_t i;

    if (span.step == 1) {
        /* memmove: the buffer may be a view of this very array. */
        memmove(to, from, bytes);
        return;
    }
    for (i = 0; i < span.count; i++, from += size)
        memcpy(to + i * span.step * (Py_ssize_t)size, from, size);
}

static int
put(SyncedObject *self, struct span span, const char *from)
{
    int slow = span.count * (Py_ssize_t)self->size >= SLOW_TO_COPY;

    if (shmkit_py_lock_enter(self->lock) < 0)
        return -1;
    if (slow) {
        Py_BEGIN_ALLOW_THREADS
        scatter(self, span, from);
        Py_END_ALLOW_THREADS
    } else {
        scatter(self, span, from);
    }
    if (shmkit_py_lock_leave(self->lock) < 0)
        return -1;
    shmkit_cell_changed(self->memory->changes);
    return 0;
}

static int
wrong_length(void)
{
    PyErr_SetString(PyExc_ValueError, "Can only assign sequence of same size");
    return -1;
}

/* The items side by side, straight into the array. */
static int
put_items(SyncedObject *self, struct span span, PyObject *const *items)
{
    int done;

    if (shmkit_py_lock_enter(self->lock) < 0)
        return -1;
    done =
        scalars_from_items(self->type, items, span.count,
                           self->data + span.start * (Py_ssize_t)self->size);
    if (shmkit_py_lock_leave(self->lock) < 0)
        return -1;
    shmkit_cell_changed(self->memory->changes);
    return done;
}

/* The same with gaps: collected first. */
static int
put_items_apart(SyncedObject *self, struct span span, PyObject *const *items)
{
    char *copy = PyMem_Malloc((size_t)span.count * self->size + 1);
    int done;

    if (copy == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    done = scalars_from_items(self->type, items, span.count, copy);
    if (done == 1 && put(self, span, copy) < 0)
        done = -1;
    PyMem_Free(copy);
    return done;
}

/* 1 done, 0 = not a case for this, -1 and an exception. */
static int
set_from_items(SyncedObject *self, struct span span, PyObject *value)
{
    PyObject *fast = PySequence_Fast(value, "");
    PyObject **items;
    int done;

    if (fast == NULL)
        return -1;
    items = PySequence_Fast_ITEMS(fast);
    if (PySequence_Fast_GET_SIZE(fast) != span.count)
        done = wrong_length();
    else if (span.step == 1)
        done = put_items(self, span, items);
    else
        done = put_items_apart(self, span, items);
    Py_DECREF(fast);
    return done;
}

/* A view that is not in one piece, or that a slice with a step would be
 * copied from while it is written. */
static int
set_from_copy(SyncedObject *self, struct span span, Py_buffer *view)
{
    char *copy = PyMem_Malloc((size_t)view->len + 1);
    int r = -1;

    if (copy == NULL)
        PyErr_NoMemory();
    else if (PyBuffer_ToContiguous(copy, view, view->len, 'C') == 0)
        r = put(self, span, copy);
    PyMem_Free(copy);
    return r;
}

static int
set_from_view(SyncedObject *self, struct span span, Py_buffer *view)
{
    if (!scalars_match(self->type, view))
        return 0;
    if (view->shape[0] != span.count)
        return wrong_length();
    if (span.step == 1 && PyBuffer_IsContiguous(view, 'C'))
        return put(self, span, view->buf) < 0 ? -1 : 1;
    return set_from_copy(self, span, view) < 0 ? -1 : 1;
}

static int
set_from_buffer(SyncedObject *self, struct span span, PyObject *value)
{
    Py_buffer view;
    int r;

    if (PyObject_GetBuffer(value, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return 0;
    }
    r = set_from_view(self, span, &view);
    PyBuffer_Release(&view);
    return r;
}

static int
set_slice(SyncedObject *self, struct span span, PyObject *key, PyObject *value)
{
    int r = 0;

    if (PyList_CheckExact(value) || PyTuple_CheckExact(value) ||
        PyRange_Check(value))
        r = set_from_items(self, span, value);
    else if (PyObject_CheckBuffer(value))
        r = set_from_buffer(self, span, value);
    if (r == 0)
        return set_by_ctypes(self, key, value);
    return r < 0 ? -1 : 0;
}

/* ---- the protocols ---- */

static int
span_of(const SyncedObject *self, PyObject *slice, struct span *ret)
{
    Py_ssize_t stop;

    if (PySlice_Unpack(slice, &ret->start, &stop, &ret->step) < 0)
        return -1;
    ret->count =
        PySlice_AdjustIndices(self->length, &ret->start, &stop, ret->step);
    return 0;
}

/* As PyNumber_AsSsize_t(), quicker for what an index nearly always is.  0, or
 * -1 and an exception. */
static int
index_of(const SyncedObject *self, PyObject *key, Py_ssize_t *ret)
{
    Py_ssize_t i = -1;

    if (PyLong_CheckExact(key))
        i = PyLong_AsSsize_t(key);
    if (i == -1) {
        PyErr_Clear();
        i = PyNumber_AsSsize_t(key, PyExc_IndexError);
        if (i == -1 && PyErr_Occurred())
            return -1;
    }
    *ret = i < 0 ? i + self->length : i;
    return 0;
}

static PyObject *
array_subscript(PyObject *op, PyObject *key)
{
    SyncedObject *self = (SyncedObject *)op;
    struct span span;
    Py_ssize_t i;

    if (!synced_is_direct(self))
        return get_by_ctypes(self, key);
    if (PyIndex_Check(key)) {
        if (index_of(self, key, &i) < 0)
            return NULL;
        return get_at(self, i);
    }
    if (!PySlice_Check(key))
        return get_by_ctypes(self, key);
    if (span_of(self, key, &span) < 0)
        return NULL;
    return get_slice(self, span);
}

static int
array_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    SyncedObject *self = (SyncedObject *)op;
    struct span span;
    Py_ssize_t i;

    if (value == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "'%.100s' object doesn't support item deletion",
                     Py_TYPE(op)->tp_name);
        return -1;
    }
    if (!synced_is_direct(self))
        return set_by_ctypes(self, key, value);
    if (PyIndex_Check(key)) {
        if (index_of(self, key, &i) < 0)
            return -1;
        return set_at(self, i, key, value);
    }
    if (!PySlice_Check(key))
        return set_by_ctypes(self, key, value);
    if (span_of(self, key, &span) < 0)
        return -1;
    return set_slice(self, span, key, value);
}

/* For iter() and the like, which count by themselves. */
static PyObject *
array_item(PyObject *op, Py_ssize_t i)
{
    SyncedObject *self = (SyncedObject *)op;
    PyObject *index, *result;

    if (synced_is_direct(self))
        return get_at(self, i);
    index = PyLong_FromSsize_t(i);
    if (index == NULL)
        return NULL;
    result = get_by_ctypes(self, index);
    Py_DECREF(index);
    return result;
}

static Py_ssize_t
array_length(PyObject *op)
{
    return length_of((SyncedObject *)op);
}

static PyType_Slot synced_array_slots[] = {
    {Py_tp_doc, (void *)"An array in shared memory and its lock."},
    {Py_tp_methods, array_atomics},
    {Py_mp_subscript, array_subscript},
    {Py_mp_ass_subscript, array_ass_subscript},
    {Py_mp_length, array_length},
    {Py_sq_length, array_length},
    {Py_sq_item, array_item},
    {0, NULL},
};

PyType_Spec synced_array_spec = {
    .name = "shmkit._core.SyncedArray",
    .basicsize = sizeof(SyncedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = synced_array_slots,
};
