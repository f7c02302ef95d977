/* SPDX-License-Identifier: MIT */
/* compat.h - calls that came to CPython after 3.9. */
#ifndef SHMKIT_PYTHON_COMPAT_H
#define SHMKIT_PYTHON_COMPAT_H

#include <Python.h>

#if PY_VERSION_HEX < 0x030a0000
static inline PyObject *
Py_NewRef(PyObject *object)
{
    Py_INCREF(object);
    return object;
}
#endif

#endif
