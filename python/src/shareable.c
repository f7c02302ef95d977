/* SPDX-License-Identifier: MIT */
/* shareable.c - the C half of ShareableList.
 *
 * shmkit.shared_memory.ShareableList is a Python class on top of this type;
 * it makes and attaches the block, here the items are read and written.  The
 * layout and the order of stores are the library's (shareable_list.h).
 *
 * State: `shm` is the SharedMemory, `list` the library's view of its bytes.
 * The view owns nothing, and shm.close() or shm.resize() may move or take away
 * the bytes behind it; so each access looks where they are now (locate()).
 * Between that and the last look at the bytes no Python code runs, and the GIL
 * is held: nobody unmaps meanwhile.  Text is copied before it is decoded, for
 * other processes may change it at any time and the decoder looks twice.
 *
 * Locking: the GIL.  Nothing here waits. */
#include "shareable.h"
#include "core.h"

#include <errno.h>
#include <string.h>

#define ON_STACK 256 /* bytes of a text that is decoded without a malloc */

typedef struct {
    PyObject_HEAD
    core_state *state;
    BlockObject *shm; /* NULL = __init__() has not run */
    shmkit_shareable_list list;
    int read_only; /* what the view believes of shm */
} ListObject;

typedef struct {
    PyObject_HEAD
    ListObject *list; /* NULL at the end */
    Py_ssize_t next;
} IteratorObject;

static PyObject *list_subscript(PyObject *op, PyObject *index);

/* ---- errors ---- */

static PyObject *
error_of_struct(void)
{
    PyObject *module = PyImport_ImportModule("struct"), *error;

    if (module == NULL)
        return NULL;
    error = PyObject_GetAttrString(module, "error");
    Py_DECREF(module);
    return error;
}

/* What no item can be, as the standard class calls it: KeyError. */
static void
raise_type(PyObject *value)
{
    PyErr_Format(PyExc_KeyError,
                 "an item is int, float, bool, str, bytes or None, not %.100s",
                 Py_TYPE(value)->tp_name);
}

static void
raise_too_large(void)
{
    PyObject *error = error_of_struct();

    if (error != NULL)
        PyErr_SetString(error, "int item does not fit in 64 bits");
    Py_XDECREF(error);
}

/* An error of the library about one item; returns -1. */
static int
raise_item(int r, Py_ssize_t position)
{
    switch (r) {
        case -ERANGE:
            PyErr_SetString(PyExc_IndexError, "index out of range");
            break;
        case -EACCES:
            PyErr_SetString(PyExc_TypeError, "cannot modify read-only memory");
            break;
        case -EMSGSIZE:
            PyErr_SetString(PyExc_ValueError,
                            "bytes/str item exceeds available storage");
            break;
        case -EFBIG:
            PyErr_SetString(
                PyExc_ValueError,
                "bytes/str item of 10 MB or more, or bytes that end "
                "in NUL of 1 MB or more and no multiple of 8");
            break;
        case -EILSEQ:
            PyErr_SetString(
                PyExc_ValueError,
                "a str item cannot end in NUL: the format of the list "
                "has no place for it");
            break;
        case -EBADMSG:
            PyErr_Format(PyExc_ValueError,
                         "item %zd is damaged: no known format or code",
                         position);
            break;
        default:
            core_raise(r, NULL);
    }
    return -1;
}

/* ---- where the bytes are ---- */

static int
attach(ListObject *self, const shmkit_block *block)
{
    int r;

    self->read_only = self->shm->read_only;
    r = shmkit_shareable_list_attach(block, &self->list);
    if (r == 0)
        return 0;
    self->list.data = NULL;
    PyErr_Format(PyExc_ValueError, "%R is not a ShareableList",
                 self->shm->name == NULL ? Py_None : self->shm->name);
    return -1;
}

/* See to it that the view is where the bytes are; -1 and an exception when
 * they are nowhere.  A longer mapping at the same place serves as well. */
static int
locate(ListObject *self)
{
    const shmkit_block *block;

    if (self->shm == NULL || self->shm->mapping == NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "operation on a closed ShareableList");
        return -1;
    }
    block = self->shm->mapping->block;
    if (shmkit_block_data(block) == self->list.data &&
        shmkit_block_size(block) >= self->list.size &&
        self->read_only == self->shm->read_only)
        return 0;
    return attach(self, block);
}

/* Whether no subclass has a __getitem__ of its own, which iterating and
 * searching would have to call, as they do in the standard class. */
static int
is_plain(ListObject *self)
{
    return Py_TYPE(self)->tp_as_mapping->mp_subscript == list_subscript;
}

static Py_ssize_t
length(ListObject *self)
{
    return (Py_ssize_t)shmkit_shareable_list_length(&self->list);
}

/* ---- items in ---- */

static int
take_int(PyObject *value, struct shmkit_shareable_item *ret)
{
    int overflow;

    ret->type = SHMKIT_SHAREABLE_INT;
    ret->integer = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow != 0 ? -ERANGE : 0;
}

/* UnicodeEncodeError for half a surrogate pair. */
static int
take_str(PyObject *value, struct shmkit_shareable_item *ret)
{
    Py_ssize_t len;

    ret->type = SHMKIT_SHAREABLE_STR;
    ret->data = PyUnicode_AsUTF8AndSize(value, &len);
    if (ret->data == NULL)
        return -1;
    ret->len = (size_t)len;
    return 0;
}

static void
take_bytes(PyObject *value, struct shmkit_shareable_item *ret)
{
    ret->type = SHMKIT_SHAREABLE_BYTES;
    ret->data = PyBytes_AS_STRING(value);
    ret->len = (size_t)PyBytes_GET_SIZE(value);
}

/* The item that an object is; it points into the object.  1 = it is one;
 * 0 = no list can hold it; -1 and an exception. */
static int
take(PyObject *value, struct shmkit_shareable_item *ret)
{
    ret->len = 0;
    ret->data = NULL;
    if (PyLong_CheckExact(value))
        return take_int(value, ret) == 0;
    if (PyFloat_CheckExact(value)) {
        ret->type = SHMKIT_SHAREABLE_FLOAT;
        ret->real = PyFloat_AS_DOUBLE(value);
    } else if (PyUnicode_Check(value)) {
        return take_str(value, ret) < 0 ? -1 : 1;
    } else if (PyBytes_Check(value)) {
        take_bytes(value, ret);
    } else if (PyBool_Check(value)) {
        ret->type = SHMKIT_SHAREABLE_BOOL;
        ret->boolean = value == Py_True;
    } else if (value == Py_None) {
        ret->type = SHMKIT_SHAREABLE_NONE;
    } else {
        return 0;
    }
    return 1;
}

/* The same for storing: 0, or -1 and an exception. */
static int
take_to_store(PyObject *value, struct shmkit_shareable_item *ret)
{
    int r = take(value, ret);

    if (r != 0)
        return r < 0 ? -1 : 0;
    if (PyLong_CheckExact(value))
        raise_too_large();
    else
        raise_type(value);
    return -1;
}

/* ---- items out ---- */

static PyObject *
give_long_str(const struct shmkit_shareable_item *item)
{
    char *copy = PyMem_Malloc(item->len);
    PyObject *result;

    if (copy == NULL)
        return PyErr_NoMemory();
    memcpy(copy, item->data, item->len);
    result = PyUnicode_DecodeUTF8(copy, (Py_ssize_t)item->len, NULL);
    PyMem_Free(copy);
    return result;
}

static PyObject *
give_str(const struct shmkit_shareable_item *item)
{
    char copy[ON_STACK];

    if (item->len > sizeof copy)
        return give_long_str(item);
    memcpy(copy, item->data, item->len);
    return PyUnicode_DecodeUTF8(copy, (Py_ssize_t)item->len, NULL);
}

static PyObject *
give(const struct shmkit_shareable_item *item)
{
    switch (item->type) {
        case SHMKIT_SHAREABLE_INT:
            return PyLong_FromLongLong(item->integer);
        case SHMKIT_SHAREABLE_FLOAT:
            return PyFloat_FromDouble(item->real);
        case SHMKIT_SHAREABLE_BOOL:
            return PyBool_FromLong((long)item->boolean);
        case SHMKIT_SHAREABLE_STR:
            return give_str(item);
        case SHMKIT_SHAREABLE_BYTES:
            return PyBytes_FromStringAndSize(item->data,
                                             (Py_ssize_t)item->len);
        default:
            return Py_NewRef(Py_None);
    }
}

/* The bytes are where the view says. */
static PyObject *
get_located(ListObject *self, Py_ssize_t position)
{
    struct shmkit_shareable_item item;
    int r;

    r = shmkit_shareable_list_get(&self->list, (size_t)position, &item);
    if (r == 0)
        return give(&item);
    raise_item(r, position);
    return NULL;
}

/* ---- one item ---- */

/* Position of an index object; may be out of range still.  -1 and an
 * exception, or 0. */
static int
read_index(ListObject *self, PyObject *index, Py_ssize_t *ret)
{
    *ret = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (*ret == -1 && PyErr_Occurred())
        return -1;
    if (locate(self) < 0)
        return -1;
    if (*ret < 0)
        *ret += length(self);
    return 0;
}

static int
set_item(ListObject *self, Py_ssize_t position, PyObject *value)
{
    struct shmkit_shareable_item item;
    int r;

    if (position < 0 || position >= length(self)) {
        PyErr_SetString(PyExc_IndexError, "assignment index out of range");
        return -1;
    }
    if (take_to_store(value, &item) < 0)
        return -1;
    r = shmkit_shareable_list_set(&self->list, (size_t)position, &item);
    return r == 0 ? 0 : raise_item(r, position);
}

static PyObject *
list_item(PyObject *op, Py_ssize_t position)
{
    ListObject *self = (ListObject *)op;

    return locate(self) < 0 ? NULL : get_located(self, position);
}

static Py_ssize_t
list_length(PyObject *op)
{
    ListObject *self = (ListObject *)op;

    return locate(self) < 0 ? -1 : length(self);
}

/* ---- slices ---- */

static PyObject *
get_slice(ListObject *self, PyObject *slice)
{
    Py_ssize_t start, stop, step, count, i;
    PyObject *result, *item;

    if (PySlice_Unpack(slice, &start, &stop, &step) < 0 || locate(self) < 0)
        return NULL;
    count = PySlice_AdjustIndices(length(self), &start, &stop, step);
    result = PyList_New(count);
    for (i = 0; result != NULL && i < count; i++) {
        /* Making an object may run Python code: a collection. */
        item = list_item((PyObject *)self, start + i * step);
        if (item == NULL)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, i, item);
    }
    return result;
}

/* Whether each value fits where it is to go; with `store`, put it there. */
static int
set_each(ListObject *self, Py_ssize_t start, Py_ssize_t step, PyObject *values,
         int store)
{
    struct shmkit_shareable_item item;
    Py_ssize_t i, at;
    int r;

    for (i = 0; i < PySequence_Fast_GET_SIZE(values); i++) {
        at = start + i * step;
        if (take_to_store(PySequence_Fast_GET_ITEM(values, i), &item) < 0)
            return -1;
        r = store ? shmkit_shareable_list_set(&self->list, (size_t)at, &item)
                  : shmkit_shareable_list_check_set(&self->list, (size_t)at,
                                                    &item);
        if (r < 0)
            return raise_item(r, at);
    }
    return 0;
}

/* All of it or nothing, but for a kill. */
static int
set_slice(ListObject *self, PyObject *slice, PyObject *value)
{
    Py_ssize_t start, stop, step, count;
    PyObject *values;
    int rv = -1;

    values = PySequence_Tuple(value);
    if (values == NULL)
        return -1;
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0 || locate(self) < 0)
        goto done;
    count = PySlice_AdjustIndices(length(self), &start, &stop, step);
    if (PyTuple_GET_SIZE(values) != count) {
        PyErr_Format(PyExc_ValueError,
                     "attempt to assign %zd items to a slice of %zd",
                     PyTuple_GET_SIZE(values), count);
        goto done;
    }
    rv = set_each(self, start, step, values, 0);
    if (rv == 0)
        rv = set_each(self, start, step, values, 1);
done:
    Py_DECREF(values);
    return rv;
}

static PyObject *
list_subscript(PyObject *op, PyObject *index)
{
    ListObject *self = (ListObject *)op;
    Py_ssize_t position;

    if (PySlice_Check(index))
        return get_slice(self, index);
    if (read_index(self, index, &position) < 0)
        return NULL;
    /* What is still negative is far beyond the end. */
    return get_located(self, position);
}

static int
list_ass_subscript(PyObject *op, PyObject *index, PyObject *value)
{
    ListObject *self = (ListObject *)op;
    Py_ssize_t position;

    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "items of a ShareableList cannot be deleted");
        return -1;
    }
    if (PySlice_Check(index))
        return set_slice(self, index, value);
    if (read_index(self, index, &position) < 0)
        return -1;
    return set_item(self, position, value);
}

/* ---- searching ---- */

/* Objects that are no item may equal one all the same: ask each item.  The
 * position, `stop` if there is none, -1 and an exception. */
static Py_ssize_t
find_object(ListObject *self, PyObject *value, Py_ssize_t at, Py_ssize_t stop)
{
    PyObject *item;
    int equal;

    for (; at < stop; at++) {
        item = PySequence_GetItem((PyObject *)self, at);
        if (item == NULL)
            return -1;
        equal = PyObject_RichCompareBool(value, item, Py_EQ);
        Py_DECREF(item);
        if (equal < 0)
            return -1;
        if (equal)
            break;
    }
    return at;
}

/* The item that the library may compare with; 0 = it must be find_object(). */
static int
take_to_compare(PyObject *value, struct shmkit_shareable_item *ret)
{
    int r;

    if ((PyUnicode_Check(value) && !PyUnicode_CheckExact(value)) ||
        (PyBytes_Check(value) && !PyBytes_CheckExact(value)))
        return 0;
    r = take(value, ret);
    if (r < 0) { /* half a surrogate pair */
        PyErr_Clear();
        r = 0;
    }
    return r;
}

static Py_ssize_t
find(ListObject *self, PyObject *value, Py_ssize_t start, Py_ssize_t stop)
{
    struct shmkit_shareable_item item;
    size_t position;
    int r;

    if (!is_plain(self) || !take_to_compare(value, &item))
        return find_object(self, value, start, stop);
    if (locate(self) < 0)
        return -1;
    r = shmkit_shareable_list_index(&self->list, &item, (size_t)start,
                                    (size_t)stop, &position);
    if (r == -ENOENT)
        return stop;
    return r < 0 ? raise_item(r, start) : (Py_ssize_t)position;
}

static int
list_contains(PyObject *op, PyObject *value)
{
    ListObject *self = (ListObject *)op;
    Py_ssize_t count = list_length(op), at;

    if (count < 0)
        return -1;
    at = find(self, value, 0, count);
    return at < 0 ? -1 : at < count;
}

static PyObject *
list_count(PyObject *op, PyObject *value)
{
    ListObject *self = (ListObject *)op;
    Py_ssize_t count = list_length(op), at, found = 0;

    if (count < 0)
        return NULL;
    for (at = 0;; at++, found++) {
        at = find(self, value, at, count);
        if (at < 0)
            return NULL;
        if (at >= count)
            return PyLong_FromSsize_t(found);
    }
}

/* A bound of index(), as list.index() takes it. */
static int
read_bound(PyObject *object, Py_ssize_t count, Py_ssize_t *ret)
{
    Py_ssize_t bound = PyNumber_AsSsize_t(object, NULL);

    if (bound == -1 && PyErr_Occurred())
        return -1;
    if (bound < 0)
        bound += count;
    *ret = bound < 0 ? 0 : bound > count ? count : bound;
    return 0;
}

static PyObject *
list_index(PyObject *op, PyObject *const *args, Py_ssize_t given)
{
    ListObject *self = (ListObject *)op;
    Py_ssize_t count, start = 0, stop, at;

    if (given < 1 || given > 3) {
        PyErr_Format(PyExc_TypeError,
                     "index() takes 1 to 3 arguments, not %zd", given);
        return NULL;
    }
    stop = count = list_length(op);
    if (count < 0 || (given > 1 && read_bound(args[1], count, &start) < 0) ||
        (given > 2 && read_bound(args[2], count, &stop) < 0))
        return NULL;
    at = start < stop ? find(self, args[0], start, stop) : stop;
    if (at < 0)
        return NULL;
    if (at < stop)
        return PyLong_FromSsize_t(at);
    PyErr_Format(PyExc_ValueError, "%R not in this container", args[0]);
    return NULL;
}

/* ---- comparing ---- */

/* A list or another of ours, as a list; NULL without an exception when it is
 * neither. */
static PyObject *
as_list(ListObject *self, PyObject *other)
{
    if (PyList_Check(other))
        return Py_NewRef(other);
    if (PyObject_TypeCheck(other, self->state->shareable.list_type))
        return PySequence_List(other);
    return NULL;
}

static PyObject *
list_richcompare(PyObject *op, PyObject *other, int how)
{
    ListObject *self = (ListObject *)op;
    PyObject *left, *right, *result = NULL;

    if (how != Py_EQ && how != Py_NE)
        Py_RETURN_NOTIMPLEMENTED;
    if (op == other)
        return PyBool_FromLong(how == Py_EQ);
    right = as_list(self, other);
    if (right == NULL && !PyErr_Occurred())
        Py_RETURN_NOTIMPLEMENTED;
    left = right == NULL ? NULL : PySequence_List(op);
    if (left != NULL)
        result = PyObject_RichCompare(left, right, how);
    Py_XDECREF(left);
    Py_XDECREF(right);
    return result;
}

/* Of the object, as in the standard class, where it is what == goes by. */
static Py_hash_t
list_hash(PyObject *op)
{
    return PyBaseObject_Type.tp_hash(op);
}

/* ---- iterating ---- */

static PyObject *
list_iter(PyObject *op)
{
    ListObject *self = (ListObject *)op;
    PyTypeObject *type = self->state->shareable.iterator_type;
    IteratorObject *iterator;

    if (!is_plain(self))
        return PySeqIter_New(op);
    iterator = (IteratorObject *)type->tp_alloc(type, 0);
    if (iterator != NULL)
        iterator->list = (ListObject *)Py_NewRef(op);
    return (PyObject *)iterator;
}

static PyObject *
iterator_next(PyObject *op)
{
    IteratorObject *self = (IteratorObject *)op;

    if (self->list == NULL || locate(self->list) < 0)
        return NULL;
    if (self->next < length(self->list))
        return get_located(self->list, self->next++);
    Py_CLEAR(self->list);
    return NULL;
}

static PyObject *
iterator_length_hint(PyObject *op, PyObject *ignored)
{
    IteratorObject *self = (IteratorObject *)op;

    (void)ignored;
    return PyLong_FromSsize_t(
        self->list == NULL ? 0 : length(self->list) - self->next);
}

static int
iterator_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((IteratorObject *)op)->list);
    return 0;
}

static int
iterator_clear(PyObject *op)
{
    Py_CLEAR(((IteratorObject *)op)->list);
    return 0;
}

static void
iterator_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    iterator_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- making ---- */

/* The items of a tuple; NULL and an exception.  The caller frees. */
static struct shmkit_shareable_item *
take_all(PyObject *items)
{
    Py_ssize_t count = PyTuple_GET_SIZE(items), i;
    struct shmkit_shareable_item *taken;

    taken = PyMem_Calloc((size_t)count + 1, sizeof *taken);
    if (taken == NULL)
        return (void *)PyErr_NoMemory();
    for (i = 0; i < count; i++)
        if (take_to_store(PyTuple_GET_ITEM(items, i), &taken[i]) < 0) {
            PyMem_Free(taken);
            return NULL;
        }
    return taken;
}

static int
set_shm(PyObject *op, PyObject *value, void *ignored)
{
    ListObject *self = (ListObject *)op;

    (void)ignored;
    if (value == NULL || !PyObject_TypeCheck(value, self->state->block_type)) {
        PyErr_SetString(PyExc_TypeError, "shm must be a SharedMemory");
        return -1;
    }
    memset(&self->list, 0, sizeof self->list);
    Py_XSETREF(self->shm, (BlockObject *)Py_NewRef(value));
    return 0;
}

/* _bind(shm): the block this list lies in. */
static PyObject *
list_bind(PyObject *op, PyObject *shm)
{
    if (set_shm(op, shm, NULL) < 0 || locate((ListObject *)op) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* A SharedMemory, made by `kind` with these keywords, that holds the content
 * from the first moment. */
static PyObject *
make_block(ListObject *self, PyTypeObject *kind, PyObject *kwargs,
           struct list_content *content)
{
    PyObject *args = PyTuple_New(0), *shm = NULL;
    int r;

    if (args == NULL)
        return NULL;
    if (PyType_IsSubtype(kind, self->state->block_type))
        shm = kind->tp_new(kind, args, NULL);
    else
        PyErr_SetString(PyExc_TypeError, "not a class of SharedMemory");
    if (shm != NULL) {
        ((BlockObject *)shm)->content = content;
        r = Py_TYPE(shm)->tp_init(shm, args, kwargs);
        ((BlockObject *)shm)->content = NULL;
        if (r < 0)
            Py_CLEAR(shm);
    }
    Py_DECREF(args);
    return shm;
}

static int
add_size(PyObject *kwargs, size_t size)
{
    PyObject *number = PyLong_FromSize_t(size);
    int rv;

    if (number == NULL)
        return -1;
    rv = PyDict_SetItemString(kwargs, "size", number);
    Py_DECREF(number);
    return rv;
}

/* `content` has its items; nothing is made before all of them are known to
 * fit. */
static int
create_with(ListObject *self, PyTypeObject *kind, PyObject *kwargs,
            struct list_content *content)
{
    PyObject *shm;
    size_t size;
    int r;

    r = shmkit_shareable_list_measure(content->items, content->count, &size);
    if (r < 0)
        return raise_item(r, 0);
    if (add_size(kwargs, size) < 0)
        return -1;
    shm = make_block(self, kind, kwargs, content);
    if (shm == NULL)
        return -1;
    (void)set_shm((PyObject *)self, shm, NULL); /* its type is right */
    self->list = content->list;
    self->read_only = self->shm->read_only;
    Py_DECREF(shm);
    return 0;
}

/* _create(items, SharedMemory, keywords): a new block with a list of the items
 * of a tuple; the keywords are for SharedMemory(). */
static PyObject *
list_create(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    struct shmkit_shareable_item *taken;
    struct list_content content = {0};
    int r;

    if (count != 3 || !PyTuple_Check(args[0]) || !PyType_Check(args[1]) ||
        !PyDict_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError,
                        "_create() takes a tuple, a class and a dict");
        return NULL;
    }
    taken = take_all(args[0]);
    if (taken == NULL)
        return NULL;
    content.items = taken;
    content.count = (size_t)PyTuple_GET_SIZE(args[0]);
    r = create_with((ListObject *)op, (PyTypeObject *)args[1], args[2],
                    &content);
    PyMem_Free(taken);
    if (r < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
list_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    core_state *state = core_state_of_type(type);
    ListObject *self;

    (void)args;
    (void)kwargs;
    if (state == NULL)
        return NULL;
    self = (ListObject *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->state = state;
    return (PyObject *)self;
}

static int
list_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((ListObject *)op)->shm);
    return 0;
}

static int
list_clear(PyObject *op)
{
    Py_CLEAR(((ListObject *)op)->shm);
    return 0;
}

static void
list_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    list_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- looking ---- */

static PyObject *
get_shm(PyObject *op, void *ignored)
{
    ListObject *self = (ListObject *)op;

    (void)ignored;
    if (self->shm == NULL) {
        PyErr_SetString(PyExc_AttributeError, "shm");
        return NULL;
    }
    return Py_NewRef((PyObject *)self->shm);
}

/* _get_packing_format(position) */
static PyObject *
list_packing_format(PyObject *op, PyObject *index)
{
    ListObject *self = (ListObject *)op;
    char format[SHMKIT_SHAREABLE_FORMAT_SIZE];
    Py_ssize_t position;
    int r;

    if (read_index(self, index, &position) < 0)
        return NULL;
    r = shmkit_shareable_list_format(&self->list, (size_t)position, format);
    if (r == 0)
        return PyUnicode_FromString(format);
    if (r == -ERANGE)
        PyErr_SetString(PyExc_IndexError, "Requested position out of range.");
    else
        raise_item(r, position);
    return NULL;
}

static PyObject *
list_check(PyObject *op, PyObject *ignored)
{
    ListObject *self = (ListObject *)op;

    (void)ignored;
    if (locate(self) < 0)
        return NULL;
    if (shmkit_shareable_list_check(&self->list) == 0)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "the list is damaged");
    return NULL;
}

static PyGetSetDef list_getset[] = {
    {"shm", get_shm, set_shm, "The block; its name is the list's.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

PyDoc_STRVAR(index_doc,
             "index($self, value, start=0, stop=sys.maxsize, /)\n--\n\n"
             "Position of the first item equal to value.\n\n"
             "ValueError if there is none.  Bounds are as in list.index().");
PyDoc_STRVAR(count_doc,
             "count($self, value, /)\n--\n\n"
             "How many items are equal to value.");
PyDoc_STRVAR(check_doc,
             "check($self, /)\n--\n\n"
             "ValueError if there is an item that cannot be read.");
PyDoc_STRVAR(format_doc,
             "_get_packing_format($self, position, /)\n--\n\n"
             "The struct format of one item.");

static PyMethodDef list_methods[] = {
    {"index", FASTCALL(list_index), METH_FASTCALL, index_doc},
    {"count", list_count, METH_O, count_doc},
    {"check", list_check, METH_NOARGS, check_doc},
    {"_get_packing_format", list_packing_format, METH_O, format_doc},
    {"_create", FASTCALL(list_create), METH_FASTCALL, NULL},
    {"_bind", list_bind, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(list_doc, "The C half of shmkit.shared_memory.ShareableList.");

static PyType_Slot list_slots[] = {
    {Py_tp_doc, (void *)list_doc},
    {Py_tp_new, list_new},
    {Py_tp_dealloc, list_dealloc},
    {Py_tp_traverse, list_traverse},
    {Py_tp_clear, list_clear},
    {Py_tp_methods, list_methods},
    {Py_tp_getset, list_getset},
    {Py_tp_iter, list_iter},
    {Py_tp_richcompare, list_richcompare},
    {Py_tp_hash, list_hash},
    {Py_mp_length, list_length},
    {Py_mp_subscript, list_subscript},
    {Py_mp_ass_subscript, list_ass_subscript},
    {Py_sq_length, list_length},
    {Py_sq_item, list_item},
    {Py_sq_contains, list_contains},
    {0, NULL},
};

PyType_Spec shareable_list_spec = {
    .name = "shmkit._core.List",
    .basicsize = sizeof(ListObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = list_slots,
};

static PyMethodDef iterator_methods[] = {
    {"__length_hint__", iterator_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_clear, iterator_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_tp_methods, iterator_methods},
    {0, NULL},
};

PyType_Spec shareable_iterator_spec = {
    .name = "shmkit._core.ListIterator",
    .basicsize = sizeof(IteratorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
#endif
    ,
    .slots = iterator_slots,
};

static int
make_type(PyObject *module, PyType_Spec *spec, PyTypeObject **place)
{
    *place = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *place == NULL ? -1 : PyModule_AddType(module, *place);
}

int
shareable_exec(PyObject *module, shareable_state *state)
{
    if (make_type(module, &shareable_list_spec, &state->list_type) < 0 ||
        make_type(module, &shareable_iterator_spec, &state->iterator_type) < 0)
        return -1;
#ifndef Py_TPFLAGS_DISALLOW_INSTANTIATION
    state->iterator_type->tp_new = NULL; /* 3.9 has no flag for this */
#endif
    return 0;
}

int
shareable_visit(shareable_state *state, visitproc visit, void *arg)
{
    Py_VISIT(state->list_type);
    Py_VISIT(state->iterator_type);
    return 0;
}

void
shareable_clear(shareable_state *state)
{
    Py_CLEAR(state->list_type);
    Py_CLEAR(state->iterator_type);
}
