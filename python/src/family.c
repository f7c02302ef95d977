/* SPDX-License-Identifier: MIT */
/* family.c - the family, the sweep and the exit as functions of the module.
 *
 * shmkit/_family.py decides when each is called; here is only the way down
 * to the library.  All may block for a moment, so all let the GIL go. */
#include "core.h"

#include <string.h>

static PyObject *
done(int result)
{
    if (result < 0)
        return core_raise(result, NULL);
    Py_RETURN_NONE;
}

static PyObject *
family_form(PyObject *module, PyObject *ignored)
{
    int r;

    (void)module;
    (void)ignored;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_family_form();
    Py_END_ALLOW_THREADS
    return done(r);
}

static PyObject *
family_form_at_fork(PyObject *module, PyObject *on)
{
    int is = PyObject_IsTrue(on);

    (void)module;
    if (is < 0)
        return NULL;
    shmkit_family_form_at_fork(is);
    Py_RETURN_NONE;
}

static PyObject *
family_get_id(PyObject *module, PyObject *ignored)
{
    char id[SHMKIT_FAMILY_ID_SIZE];

    (void)module;
    (void)ignored;
    if (shmkit_family_get_id(id) < 0)
        Py_RETURN_NONE;
    return PyUnicode_FromString(id);
}

static PyObject *
family_get_fd(PyObject *module, PyObject *ignored)
{
    int r, fd = -1;

    (void)module;
    (void)ignored;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_family_get_fd(&fd);
    Py_END_ALLOW_THREADS
    if (r < 0)
        return core_raise(r, NULL);
    return PyLong_FromLong(fd);
}

static PyObject *
family_join(PyObject *module, PyObject *id)
{
    const char *text = PyUnicode_AsUTF8(id);
    int r;

    (void)module;
    if (text == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_family_join(text);
    Py_END_ALLOW_THREADS
    return done(r);
}

static PyObject *
family_join_fd(PyObject *module, PyObject *number)
{
    long fd = PyLong_AsLong(number);
    int r;

    (void)module;
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (fd < 0 || fd > INT_MAX) {
        PyErr_SetString(PyExc_ValueError, "not a file descriptor");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_family_join_fd((int)fd);
    Py_END_ALLOW_THREADS
    return done(r);
}

/* What the sweep has met; runs without the GIL, so it only counts bytes. */
struct swept {
    char *text; /* names, each with its NUL */
    size_t used, room;
    int failed;
};

static void
note_swept(const char *name, void *arg)
{
    struct swept *swept = arg;
    size_t length = strlen(name) + 1;
    char *text;

    if (swept->used + length > swept->room) {
        text = PyMem_RawRealloc(swept->text, 2 * swept->room + length);
        if (text == NULL) {
            swept->failed = 1;
            return;
        }
        swept->text = text;
        swept->room = 2 * swept->room + length;
    }
    memcpy(swept->text + swept->used, name, length);
    swept->used += length;
}

static PyObject *
list_swept(const struct swept *swept)
{
    PyObject *list = PyList_New(0), *name;
    size_t at = 0;

    while (list != NULL && at < swept->used) {
        name = PyUnicode_DecodeFSDefault(swept->text + at);
        if (name == NULL || PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
        at += strlen(swept->text + at) + 1;
    }
    return list;
}

static PyObject *
sweep(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"dry_run", NULL};
    struct swept swept = {NULL, 0, 0, 0};
    PyObject *result = NULL;
    int r, dry = 0;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:sweep", names, &dry))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_sweep(dry ? SHMKIT_DRY_RUN : 0, note_swept, &swept);
    Py_END_ALLOW_THREADS
    if (r < 0)
        core_raise(r, NULL);
    else if (swept.failed)
        PyErr_NoMemory();
    else
        result = list_swept(&swept);
    PyMem_RawFree(swept.text);
    return result;
}

static PyObject *
process_exit(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    Py_BEGIN_ALLOW_THREADS
    shmkit_process_exit();
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
version(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    return PyUnicode_FromString(shmkit_version());
}

PyMethodDef family_methods[] = {
    {"family_form", family_form, METH_NOARGS,
     "family_form($module, /)\n--\n\nBe in a family."},
    {"family_form_at_fork", family_form_at_fork, METH_O,
     "family_form_at_fork($module, on, /)\n--\n\n"
     "Whether fork() forms the family first."},
    {"family_get_id", family_get_id, METH_NOARGS,
     "family_get_id($module, /)\n--\n\nId of this family, or None."},
    {"family_get_fd", family_get_fd, METH_NOARGS,
     "family_get_fd($module, /)\n--\n\n"
     "The descriptor that keeps the family alive on its way to a child.\n"
     "The library's own: do not close it."},
    {"family_join", family_join, METH_O,
     "family_join($module, id, /)\n--\n\nJoin a family by its id."},
    {"family_join_fd", family_join_fd, METH_O,
     "family_join_fd($module, fd, /)\n--\n\n"
     "Join a family by a descriptor; the caller closes it."},
    {"sweep", (PyCFunction)(void (*)(void))sweep, METH_VARARGS | METH_KEYWORDS,
     "sweep($module, /, dry_run=False)\n--\n\n"
     "Remove what nobody is left to remove; the names that went."},
    {"process_exit", process_exit, METH_NOARGS,
     "process_exit($module, /)\n--\n\n"
     "What the end of the process does, now."},
    {"version", version, METH_NOARGS,
     "version($module, /)\n--\n\nVersion of the library."},
    {NULL, NULL, 0, NULL},
};
