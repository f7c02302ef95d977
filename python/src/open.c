/* SPDX-License-Identifier: MIT */
/* open.c - from a request to an open block: names, and who draws them.
 *
 * The attribute _name is "/" and the name, as in the standard class, and so
 * stands in the OSErrors as file name; the file in /dev/shm has no slash.
 *
 * A name that nobody chose is drawn by the library, in the same form as
 * the standard _make_filename() gives it, but cheaper.  CPython's own tests
 * and some programs replace that function in the globals of the module, so
 * those are looked at each time: the class attribute _home holds them and the
 * original, and any other function found there is called until it gives a
 * free name.
 *
 * The GIL is let go round the call itself: reserving a GiB takes 0.25 s, and
 * meeting a remover that was stopped half-way up to one second. */
#include "core.h"

#include <string.h>

/* The name of the file for the attribute _name: as shm_open() does it, all
 * leading slashes are dropped. */
const char *
file_name(PyObject *path)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(path, &length);

    if (text == NULL)
        return NULL;
    if (strlen(text) != (size_t)length) {
        PyErr_SetString(PyExc_ValueError, "embedded null character");
        return NULL;
    }
    while (*text == '/')
        text++;
    return text;
}

/* "/" + name, in the words of the standard class when it is no str. */
static PyObject *
path_of_name(core_state *state, PyObject *self, PyObject *name)
{
    PyObject *slash, *path;
    int prepend;

    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError,
                     "can only concatenate str (not \"%.200s\") to str",
                     Py_TYPE(name)->tp_name);
        return NULL;
    }
    slash = PyObject_GetAttr(self, state->str_slash);
    if (slash == NULL)
        return NULL;
    prepend = PyObject_IsTrue(slash);
    Py_DECREF(slash);
    if (prepend < 0)
        return NULL;
    path = prepend ? PyUnicode_FromFormat("/%U", name) : Py_NewRef(name);
    return path;
}

static PyObject *
path_of_drawn(const shmkit_block *block)
{
    const char *name = shmkit_block_name(block);
    char path[SHMKIT_NAME_SIZE + 1] = "/";
    size_t length = strlen(name);

    memcpy(path + 1, name, length);
    return PyUnicode_FromStringAndSize(path, (Py_ssize_t)length + 1);
}

static int
create_or_attach(const char *name, const struct request *request,
                 shmkit_block **ret)
{
    struct shmkit_block_options options = request->options;
    struct list_content *content = request->content;
    int r;

    if (content != NULL)
        return shmkit_shareable_list_create(name, content->items,
                                            content->count, &options, ret,
                                            &content->list);
    if (request->array != NULL)
        return shmkit_ndarray_create(name, request->array, &options, ret);
    if (request->size > 0)
        return shmkit_block_create(name, request->size, &options, ret);
    options.flags &=
        SHMKIT_READ_ONLY | SHMKIT_PREFAULT | SHMKIT_PRIVATE | SHMKIT_LOCKED;
    r = shmkit_block_attach(name, &options, ret);
    return r;
}

/* The call itself, without the GIL: `path` holds the name. */
static int
open_path(PyObject *path, const struct request *request, shmkit_block **ret)
{
    const char *name = NULL;
    int r;

    if (path != NULL) {
        name = file_name(path);
        if (name == NULL)
            return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    r = create_or_attach(name, request, ret);
    Py_END_ALLOW_THREADS
    if (r >= 0)
        return 0;
    core_raise(r, path);
    return -1;
}

/* A replaced _make_filename is called until it gives a free name. */
static PyObject *
open_made(PyObject *make, const struct request *request, shmkit_block **ret)
{
    PyObject *path;

    for (;;) {
        path = PyObject_CallNoArgs(make);
        if (path == NULL || open_path(path, request, ret) == 0)
            return path;
        Py_DECREF(path);
        if (!PyErr_ExceptionMatches(PyExc_FileExistsError))
            return NULL;
        PyErr_Clear();
    }
}

/* The _make_filename of the module that defines the class: *ret_make is NULL
 * when it is the original, else a new reference. */
static int
find_make(core_state *state, PyObject *self, PyObject **ret_make)
{
    PyObject *home = PyObject_GetAttr(self, state->str_home), *make;
    int rv = -1;

    if (home == NULL)
        return -1;
    if (!PyTuple_Check(home) || PyTuple_GET_SIZE(home) != 2 ||
        !PyDict_Check(PyTuple_GET_ITEM(home, 0))) {
        PyErr_SetString(PyExc_TypeError, "_home must be (globals, function)");
        goto out;
    }
    make = PyDict_GetItemWithError(PyTuple_GET_ITEM(home, 0),
                                   state->str_make_filename);
    if (make == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_NameError,
                            "name '_make_filename' is not defined");
        goto out;
    }
    *ret_make = make == PyTuple_GET_ITEM(home, 1) ? NULL : Py_NewRef(make);
    rv = 0;
out:
    Py_DECREF(home);
    return rv;
}

/* New block with a name nobody chose.  Returns its _name. */
static PyObject *
open_nameless(core_state *state, PyObject *self, const struct request *request,
              shmkit_block **ret)
{
    PyObject *make, *path = NULL;

    if (find_make(state, self, &make) < 0)
        return NULL;
    if (make != NULL) {
        path = open_made(make, request, ret);
        Py_DECREF(make);
    } else if (open_path(NULL, request, ret) == 0) {
        path = path_of_drawn(*ret);
    }
    return path;
}

/* The handle and its _name, or NULL and an exception; *ret is then to be
 * closed if it is set. */
PyObject *
open_block(core_state *state, PyObject *self, const struct request *request,
           shmkit_block **ret)
{
    PyObject *name = request->arg[ARG_NAME], *path;

    if (name == NULL || name == Py_None)
        return open_nameless(state, self, request, ret);
    path = path_of_name(state, self, name);
    if (path != NULL && open_path(path, request, ret) < 0)
        Py_CLEAR(path);
    return path;
}
