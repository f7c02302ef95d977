/* SPDX-License-Identifier: MIT */
/* ndarray.h - what the files of the extension that deal with arrays share. */
#ifndef SHMKIT_PYTHON_NDARRAY_H
#define SHMKIT_PYTHON_NDARRAY_H

#define PY_SSIZE_T_CLEAN
#include "compat.h"

#include <shmkit/shmkit.h>

/* Kept in the module's state. */
typedef struct {
    PyTypeObject *layout_type;
    PyTypeObject *ndarray_type;
} array_state;

/* What an array is, and its pages; never changes: see ndarray.c. */
typedef struct {
    PyObject_HEAD
    PyObject *mapping; /* MappingObject */
    void *data;
    struct shmkit_ndarray_info *info;
    char *format; /* PEP 3118; NULL: it has no word for this dtype */
    Py_ssize_t shape[SHMKIT_NDARRAY_DIMS], strides[SHMKIT_NDARRAY_DIMS];
    int c_contiguous, f_contiguous, read_only;
} LayoutObject;

extern PyType_Spec layout_spec;
extern PyType_Spec ndarray_spec;

/* ndarray_spec.c: the functions array_spec() and dtype_canonical(), and the
 * spec in the capsule that the first of them made; NULL and an exception. */
extern PyMethodDef array_methods[];
const struct shmkit_ndarray_spec *array_spec_of(PyObject *capsule);

/* ndarray_format.c: PEP 3118's word for a dtype, to be freed with PyMem_Free;
 * NULL without an exception where there is none. */
char *array_format(const char *dtype);

/* ndarray_share.c */
PyObject *layout_dlpack(PyObject *op, PyObject *versioned);
PyObject *layout_arrow(PyObject *op, PyObject *ignored);

#endif
