/* SPDX-License-Identifier: MIT */
/* arguments.c - from the arguments of SharedMemory() to a request.
 *
 * Three signatures live in one:
 *
 *   today's     SharedMemory(name=None, create=False, size=0, *, track=True)
 *   the first   SharedMemory(name, flags=None, mode=0o600, size=0,
 *               read_only=False), where flags is O_CREX or O_CREAT, and a
 *               size without a name creates
 *   ours        both, and lifetime=, sparse=, prefault=, exist_ok=, and what
 *               is for big blocks (big.c)
 *
 * Today's wins where two of them collide: the second argument by position is
 * `create`, and SharedMemory(create=False, size=10) is an error.  The checks
 * come in the order of the standard class, with its words, but all of them
 * before anything is created: SharedMemory(create=True, size=10.5) leaves no
 * file behind.
 *
 * The class attributes _flags and _mode may be overridden in a subclass, as
 * in the standard class; that is how O_CREAT was reached before exist_ok.
 *
 * Nothing here keeps a reference: a request lives for one call.  The parser is
 * written by hand because the generic one costs more than a system call. */
#include "core.h"

#include <fcntl.h>
#include <string.h>

#define O_CREX (O_CREAT | O_EXCL)

static const char no_name[] = "'name' can only be None if create=True";
static const char no_trunc[] =
    "O_TRUNC is refused: cutting a block short kills those who have it mapped";
static const char no_size[] =
    "'size' must be a positive number different from zero";

/* Whether `object` is true; `fallback` when it was not given; -1 failed. */
int
flag_of(PyObject *object, int fallback)
{
    if (object == NULL)
        return fallback;
    if (object == Py_True)
        return 1;
    if (object == Py_False)
        return 0;
    return PyObject_IsTrue(object);
}

static int
find_keyword(core_state *state, PyObject *key)
{
    int i;

    for (i = 0; i < ARG_COUNT; i++) {
        if (state->arg_names[i] == key)
            return i;
    }
    for (i = 0; i < ARG_COUNT; i++) {
        if (PyUnicode_Compare(state->arg_names[i], key) == 0)
            return i;
    }
    return -1;
}

static int
collect(core_state *state, PyObject *args, PyObject *kwargs,
        struct request *request)
{
    Py_ssize_t i, pos = 0, given = PyTuple_GET_SIZE(args);
    PyObject *key, *value;
    int k;

    if (given > ARG_POSITIONAL) {
        PyErr_Format(PyExc_TypeError,
                     "SharedMemory takes at most %d positional arguments "
                     "(%zd given)",
                     ARG_POSITIONAL, given);
        return -1;
    }
    for (i = 0; i < given; i++)
        request->arg[i] = PyTuple_GET_ITEM(args, i);
    while (kwargs != NULL && PyDict_Next(kwargs, &pos, &key, &value)) {
        k = find_keyword(state, key);
        if (k < 0 || request->arg[k] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         k < 0 ? "SharedMemory got an unexpected keyword "
                                 "argument '%U'"
                               : "SharedMemory got multiple values for "
                                 "argument '%U'",
                         key);
            return -1;
        }
        request->arg[k] = value;
    }
    return 0;
}

/* `not size >= 0`, as Python would do it: a NaN is refused, and what cannot
 * be compared raises its own TypeError.  *ret_zero: `size == 0`. */
static int
check_sign(core_state *state, PyObject *size, int *ret_zero)
{
    int is;

    *ret_zero = 1;
    if (size == NULL)
        return 0;
    is = PyObject_RichCompareBool(size, state->zero, Py_GE);
    if (is < 0)
        return -1;
    if (is == 0) {
        PyErr_SetString(PyExc_ValueError, "'size' must be a positive integer");
        return -1;
    }
    is = PyObject_RichCompareBool(size, state->zero, Py_EQ);
    if (is < 0)
        return -1;
    *ret_zero = is;
    return 0;
}

static int
int_of(PyObject *object, int *ret)
{
    PyObject *index = PyNumber_Index(object);
    long value;

    if (index == NULL)
        return -1;
    value = PyLong_AsLong(index);
    Py_DECREF(index);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < 0 || value > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "flags and mode are small numbers");
        return -1;
    }
    *ret = (int)value;
    return 0;
}

static int
int_attribute(PyObject *self, PyObject *name, int *ret)
{
    PyObject *object = PyObject_GetAttr(self, name);
    int rv;

    if (object == NULL)
        return -1;
    rv = int_of(object, ret);
    Py_DECREF(object);
    return rv;
}

/* The flags of the first API: None, O_CREAT or O_CREX, with or without an
 * access mode, which read_only= decides. */
static int
flags_from_argument(struct request *request, int nameless)
{
    int flags = 0;

    if (request->arg[ARG_FLAGS] == NULL ||
        request->arg[ARG_FLAGS] == Py_None) {
        request->flags = O_RDWR | (nameless ? O_CREX : 0);
        return 0;
    }
    if (int_of(request->arg[ARG_FLAGS], &flags) < 0)
        return -1;
    if ((flags & O_CREX) == O_EXCL) {
        PyErr_SetString(PyExc_ValueError,
                        "O_EXCL must be combined with O_CREAT");
        return -1;
    }
    request->flags = O_RDWR | (flags & (O_CREX | O_TRUNC));
    return 0;
}

static int
check_flags(int flags, int nameless, int zero)
{
    const char *wrong = NULL;

    if (nameless && !(flags & O_EXCL))
        wrong = no_name;
    else if (zero && (flags & O_CREX) == O_CREX)
        wrong = no_size;
    else if (flags & O_TRUNC)
        wrong = no_trunc;
    if (wrong == NULL)
        return 0;
    PyErr_SetString(PyExc_ValueError, wrong);
    return -1;
}

/* `create`, `exist_ok`, `flags=` and the class attribute _flags, in this
 * order, say what to do. */
static int
decide(core_state *state, PyObject *self, struct request *request, int zero)
{
    int nameless =
        request->arg[ARG_NAME] == NULL || request->arg[ARG_NAME] == Py_None;
    int create = flag_of(request->arg[ARG_CREATE], 0);
    int exist_ok = flag_of(request->arg[ARG_EXIST_OK], 0);
    int said = request->arg[ARG_CREATE] != NULL;

    if (create < 0 || exist_ok < 0)
        return -1;
    if (create || exist_ok) {
        request->flags = O_RDWR | O_CREAT;
        if (nameless || !exist_ok)
            request->flags |= O_EXCL;
        if (zero) {
            PyErr_SetString(PyExc_ValueError, no_size);
            return -1;
        }
    } else if (request->arg[ARG_FLAGS] != NULL ||
               (nameless && !zero && !said)) {
        if (flags_from_argument(request, nameless && !zero) < 0)
            return -1;
    } else if (int_attribute(self, state->str_flags, &request->flags) < 0) {
        return -1;
    }
    return check_flags(request->flags, nameless, zero);
}

/* What the standard class hands to ftruncate() too late. */
static int
take_size(struct request *request)
{
    PyObject *size = request->arg[ARG_SIZE], *index;
    long value;

    if (size == NULL || !(request->flags & O_CREAT))
        return 0;
    index = PyNumber_Index(size);
    if (index == NULL)
        return -1;
    value = PyLong_AsLong(index);
    Py_DECREF(index);
    if (value == -1 && PyErr_Occurred())
        return -1;
    request->size = (size_t)value;
    return 0;
}

static int
take_lifetime(struct request *request)
{
    static const char *const names[] = {"family", "holders", "persistent"};
    PyObject *given = request->arg[ARG_LIFETIME];
    uint32_t i;

    request->options.lifetime =
        request->track ? SHMKIT_LIFETIME_FAMILY : SHMKIT_LIFETIME_PERSISTENT;
    if (given == NULL || given == Py_None)
        return 0;
    if (!(request->flags & O_CREAT)) {
        PyErr_SetString(PyExc_ValueError,
                        "'lifetime' is chosen when the block is created");
        return -1;
    }
    for (i = 0; i < 3 && PyUnicode_Check(given); i++) {
        if (PyUnicode_CompareWithASCIIString(given, names[i]) == 0) {
            request->options.lifetime = i;
            return 0;
        }
    }
    PyErr_SetString(PyExc_ValueError,
                    "'lifetime' must be 'family', "
                    "'holders' or 'persistent'");
    return -1;
}

static int
take_mode(core_state *state, PyObject *self, struct request *request)
{
    PyObject *given = request->arg[ARG_MODE];
    int mode = 0;

    if (!(request->flags & O_CREAT) && given == NULL)
        return 0;
    if (given == NULL || given == Py_None) {
        if (int_attribute(self, state->str_mode, &mode) < 0)
            return -1;
    } else if (int_of(given, &mode) < 0) {
        return -1;
    }
    if (mode & ~0777) {
        PyErr_SetString(PyExc_ValueError,
                        "'mode' must be permission bits, 0o000 to 0o777");
        return -1;
    }
    request->options.mode = (uint32_t)mode;
    return 0;
}

static int
take_flags(struct request *request)
{
    int read_only = flag_of(request->arg[ARG_READ_ONLY],
                            (request->flags & O_ACCMODE) == O_RDONLY);
    int sparse = flag_of(request->arg[ARG_SPARSE], 0);
    int prefault = flag_of(request->arg[ARG_PREFAULT], 0);
    uint32_t flags = 0;

    if (read_only < 0 || sparse < 0 || prefault < 0)
        return -1;
    if (read_only)
        flags |= SHMKIT_READ_ONLY;
    if (sparse && (request->flags & O_CREAT))
        flags |= SHMKIT_SPARSE;
    if (prefault)
        flags |= SHMKIT_PREFAULT;
    if ((request->flags & O_CREX) == O_CREAT)
        flags |= SHMKIT_EXIST_OK;
    request->options.flags = flags;
    return 0;
}

int
request_parse(core_state *state, PyObject *self, PyObject *args,
              PyObject *kwargs, struct request *ret_request)
{
    static const struct shmkit_block_options defaults =
        SHMKIT_BLOCK_OPTIONS_INIT;
    int zero;

    memset(ret_request, 0, sizeof *ret_request);
    ret_request->options = defaults;
    if (collect(state, args, kwargs, ret_request) < 0 ||
        check_sign(state, ret_request->arg[ARG_SIZE], &zero) < 0 ||
        decide(state, self, ret_request, zero) < 0)
        return -1;
    ret_request->track = flag_of(ret_request->arg[ARG_TRACK], 1);
    if (ret_request->track < 0 || take_size(ret_request) < 0 ||
        take_lifetime(ret_request) < 0 ||
        take_mode(state, self, ret_request) < 0)
        return -1;
    if (take_flags(ret_request) < 0 || request_take_big(ret_request) < 0)
        return -1;
    if (ret_request->arg[ARG_ARRAY] == NULL)
        return 0;
    ret_request->array = array_spec_of(ret_request->arg[ARG_ARRAY]);
    return ret_request->array == NULL ? -1 : 0;
}
