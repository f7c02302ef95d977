/* SPDX-License-Identifier: MIT */
/* attributes.c - what one can read of a SharedMemory, and set.
 *
 * The public attributes stay readable after close(), as in the standard
 * class.  The private ones exist because programs use them: _fd for
 * posix_fallocate() or to send it away (the library keeps no descriptor, so
 * one is opened at the first look), _mmap and _buf to be set to None by those
 * who fight BufferError, _name by CPython's tests.
 *
 * Locking: the GIL, which is never let go here. */
#include "core.h"

static PyObject *
get_buf(PyObject *op, void *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (self->buf == NULL) {
        if (self->mapping == NULL)
            Py_RETURN_NONE;
        self->buf = PyMemoryView_FromObject((PyObject *)self->mapping);
        if (self->buf == NULL)
            return NULL;
    }
    return Py_NewRef(self->buf);
}

/* Programs that fight BufferError assign None to _buf and _mmap, and -1 to
 * _fd after closing it. */
static int
set_buf(PyObject *op, PyObject *value, void *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (value == Py_None)
        value = NULL;
    Py_XINCREF(value);
    Py_XSETREF(self->buf, value);
    return 0;
}

static PyObject *
get_mmap(PyObject *op, void *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (self->mapping == NULL)
        Py_RETURN_NONE;
    return Py_NewRef((PyObject *)self->mapping);
}

static int
set_mmap(PyObject *op, PyObject *value, void *ignored)
{
    (void)ignored;
    if (value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "_mmap may only be set to None");
        return -1;
    }
    return block_let_go((BlockObject *)op);
}

static PyObject *
get_fd(PyObject *op, void *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (self->mapping != NULL && block_ensure_fd(self) < 0)
        PyErr_Clear(); /* unlinked: there is nothing to open any more */
    return PyLong_FromLong(self->fd);
}

static int
set_fd(PyObject *op, PyObject *value, void *ignored)
{
    long fd = value == NULL ? -1 : PyLong_AsLong(value);

    (void)ignored;
    if (fd == -1 && PyErr_Occurred())
        return -1;
    ((BlockObject *)op)->fd = fd < 0 || fd > INT_MAX ? -1 : (int)fd;
    return 0;
}

static PyObject *
get_path(PyObject *op, void *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (self->name == NULL)
        Py_RETURN_NONE;
    return Py_NewRef(self->name);
}

static int
set_path(PyObject *op, PyObject *value, void *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (value != NULL && value != Py_None && !PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "_name must be str or None");
        return -1;
    }
    Py_XINCREF(value);
    Py_XSETREF(self->name, value);
    return 0;
}

static PyObject *
get_name(PyObject *op, void *ignored)
{
    BlockObject *self = (BlockObject *)op;
    PyObject *path = self->name, *slash;
    int prepend;

    (void)ignored;
    if (path == NULL || path == Py_None)
        Py_RETURN_NONE;
    slash = PyObject_GetAttr(op, self->state->str_slash);
    if (slash == NULL)
        return NULL;
    prepend = PyObject_IsTrue(slash);
    Py_DECREF(slash);
    if (prepend < 0)
        return NULL;
    if (prepend && PyUnicode_GET_LENGTH(path) > 0 &&
        PyUnicode_READ_CHAR(path, 0) == '/')
        return PyUnicode_Substring(path, 1, PY_SSIZE_T_MAX);
    return Py_NewRef(path);
}

static PyObject *
get_size(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyLong_FromSsize_t(((BlockObject *)op)->size);
}

static PyObject *
get_mode(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyLong_FromUnsignedLong(((BlockObject *)op)->mode);
}

static PyObject *
get_read_only(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyBool_FromLong(((BlockObject *)op)->read_only);
}

static PyObject *
get_private(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyBool_FromLong(((BlockObject *)op)->private_copy);
}

static PyObject *
get_offset(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyLong_FromUnsignedLongLong(((BlockObject *)op)->offset);
}

static PyObject *
get_part(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyBool_FromLong(((BlockObject *)op)->part);
}

PyGetSetDef block_getset[] = {
    {"buf", get_buf, NULL, "The bytes as a memoryview; None once closed.",
     NULL},
    {"name", get_name, NULL,
     "Unique name that identifies the shared memory block.", NULL},
    {"size", get_size, NULL, "Size in bytes; still there once closed.", NULL},
    {"mode", get_mode, NULL, "Permission bits of the block when it was met.",
     NULL},
    {"read_only", get_read_only, NULL,
     "Whether the bytes are mapped without write permission.", NULL},
    {"private", get_private, NULL,
     "Whether changes stay in this process (copy on write).", NULL},
    {"offset", get_offset, NULL,
     "Where in the block the bytes of this object begin.", NULL},
    {"_part", get_part, NULL, NULL, NULL},
    {"_buf", get_buf, set_buf, NULL, NULL},
    {"_mmap", get_mmap, set_mmap, NULL, NULL},
    {"_fd", get_fd, set_fd, NULL, NULL},
    {"_name", get_path, set_path, NULL, NULL},
    {"_size", get_size, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
