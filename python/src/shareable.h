/* SPDX-License-Identifier: MIT */
/* shareable.h - ShareableList's part of the module: shareable.c. */
#ifndef SHMKIT_PYTHON_SHAREABLE_H
#define SHMKIT_PYTHON_SHAREABLE_H

#include "compat.h"

typedef struct {
    PyTypeObject *list_type;
    PyTypeObject *iterator_type;
} shareable_state;

extern PyType_Spec shareable_list_spec, shareable_iterator_spec;

/* For core.c. */
int shareable_exec(PyObject *module, shareable_state *state);
int shareable_visit(shareable_state *state, visitproc visit, void *arg);
void shareable_clear(shareable_state *state);

#endif
