/* SPDX-License-Identifier: MIT */
/* ndarray_spec.c - from Python's words for a new array to the library's.
 *
 * array_spec() makes a capsule, which SharedMemory(_array=...) takes to
 * make the block: all of Python's objects are turned into C's before the GIL
 * is let go.  The capsule holds the buffer with the first content until it
 * dies itself, and never changes. */
#include "core.h"

#include <errno.h>
#include <string.h>

#define CAPSULE "shmkit.array_spec"

struct array_spec {
    struct shmkit_ndarray_spec spec;
    uint64_t shape[SHMKIT_NDARRAY_DIMS];
    char dtype[SHMKIT_NDARRAY_DTYPE_SIZE];
    char label[SHMKIT_NDARRAY_LABEL_SIZE];
    Py_buffer data;
    int has_data;
};

const struct shmkit_ndarray_spec *
array_spec_of(PyObject *capsule)
{
    return PyCapsule_GetPointer(capsule, CAPSULE);
}

static void
spec_free(struct array_spec *self)
{
    if (self->has_data)
        PyBuffer_Release(&self->data);
    PyMem_Free(self);
}

static void
spec_destroy(PyObject *capsule)
{
    spec_free(PyCapsule_GetPointer(capsule, CAPSULE));
}

/* A copy of the text, NUL and all. */
static int
take_text(PyObject *object, const char *what, char *ret, size_t size)
{
    PyObject *bytes;
    char *text;
    Py_ssize_t len;

    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    bytes = PyUnicode_EncodeFSDefault(object);
    if (bytes == NULL)
        return -1;
    if (PyBytes_AsStringAndSize(bytes, &text, &len) == 0 &&
        (size_t)len < size && strlen(text) == (size_t)len) {
        memcpy(ret, text, (size_t)len + 1);
        Py_DECREF(bytes);
        return 0;
    }
    Py_DECREF(bytes);
    PyErr_Format(PyExc_ValueError, "%s has NUL, or more than %zu bytes", what,
                 size - 1);
    return -1;
}

static int
take_shape(struct array_spec *self, PyObject *shape)
{
    Py_ssize_t ndim = PyTuple_GET_SIZE(shape), i, value;

    if (ndim > SHMKIT_NDARRAY_DIMS) {
        PyErr_Format(PyExc_ValueError, "an array has at most %d dimensions",
                     SHMKIT_NDARRAY_DIMS);
        return -1;
    }
    for (i = 0; i < ndim; i++) {
        value = PyNumber_AsSsize_t(PyTuple_GET_ITEM(shape, i),
                                   PyExc_OverflowError);
        if (value == -1 && PyErr_Occurred())
            return -1;
        if (value < 0) {
            PyErr_SetString(PyExc_ValueError,
                            "negative dimensions are not allowed");
            return -1;
        }
        self->shape[i] = (uint64_t)value;
    }
    self->spec.ndim = (uint32_t)ndim;
    return 0;
}

static int
take_data(struct array_spec *self, PyObject *data)
{
    if (data == Py_None)
        return 0;
    if (PyObject_GetBuffer(data, &self->data, PyBUF_SIMPLE) < 0)
        return -1;
    self->has_data = 1;
    self->spec.data = self->data.buf;
    self->spec.data_size = (uint64_t)self->data.len;
    return 0;
}

static struct array_spec *
spec_new(void)
{
    struct array_spec *self = PyMem_Calloc(1, sizeof *self);

    if (self == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    self->spec = (struct shmkit_ndarray_spec)SHMKIT_NDARRAY_SPEC_INIT;
    self->spec.dtype = self->dtype;
    self->spec.label = self->label;
    self->spec.shape = self->shape;
    return self;
}

/* array_spec(dtype, shape, order, label, data): data is None, or a buffer with
 * exactly as many bytes as the elements take. */
static PyObject *
array_spec(PyObject *module, PyObject *args)
{
    PyObject *dtype, *shape, *label, *data, *capsule;
    struct array_spec *self;
    int order;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO!COO:array_spec", &dtype, &PyTuple_Type,
                          &shape, &order, &label, &data))
        return NULL;
    self = spec_new();
    if (self == NULL)
        return NULL;
    self->spec.order = (uint32_t)order;
    if (take_text(dtype, "dtype", self->dtype, sizeof self->dtype) < 0 ||
        take_text(label, "label", self->label, sizeof self->label) < 0 ||
        take_shape(self, shape) < 0 || take_data(self, data) < 0) {
        spec_free(self);
        return NULL;
    }
    capsule = PyCapsule_New(self, CAPSULE, spec_destroy);
    if (capsule == NULL)
        spec_free(self);
    return capsule;
}

/* dtype_canonical(text): (canonical text, bytes of an element). */
static PyObject *
dtype_canonical(PyObject *module, PyObject *text)
{
    char given[SHMKIT_NDARRAY_DTYPE_SIZE], out[SHMKIT_NDARRAY_DTYPE_SIZE];
    uint64_t item_size;

    (void)module;
    if (take_text(text, "dtype", given, sizeof given) < 0)
        return NULL;
    if (shmkit_dtype_canonical(given, out, sizeof out, &item_size) < 0) {
        PyErr_Format(PyExc_ValueError, "no dtype that can be shared: %R",
                     text);
        return NULL;
    }
    return Py_BuildValue("(NK)", PyUnicode_DecodeFSDefault(out),
                         (unsigned long long)item_size);
}

PyMethodDef array_methods[] = {
    {"array_spec", array_spec, METH_VARARGS, NULL},
    {"dtype_canonical", dtype_canonical, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
