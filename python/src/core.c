/* SPDX-License-Identifier: MIT */
/* core.c - the extension shmkit._core: its state and its start.
 *
 * The extension holds no logic: the public C interface of the library in,
 * Python objects out.  Files: arguments.c reads the arguments of
 * SharedMemory(), block.c is its C half, mapping.c owns the pages; sync*.c
 * are the locks; value.h lists the files of Value and Array; stat.c and
 * family.c are the rest.
 *
 * Nothing is static but constants: types, interned names and small objects
 * live in the module's state, one per interpreter, so that subinterpreters
 * with a GIL of their own may load the module.  What the library keeps per
 * process (family, pending closes) is behind its own locks.
 *
 * Free-threaded builds: not declared safe, so that CPython keeps the GIL. */
#include "core.h"

#include <errno.h>

/* OSError of the right class with errno, its text and, if `path` is given,
 * the file name; an empty file is what mmap() calls it.  Returns NULL. */
PyObject *
core_raise(int result, PyObject *path)
{
    if (result == -ENODATA) {
        PyErr_SetString(PyExc_ValueError, "cannot mmap an empty file");
        return NULL;
    }
    errno = -result;
    if (path == NULL || path == Py_None)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
}

#if PY_VERSION_HEX >= 0x030b0000
core_state *
core_state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &core_module);

    return module == NULL ? NULL : PyModule_GetState(module);
}
#else
/* The first class of the bases that came from this module. */
core_state *
core_state_of_type(PyTypeObject *type)
{
    PyObject *mro = type->tp_mro, *base, *module;
    Py_ssize_t i;

    for (i = 0; i < PyTuple_GET_SIZE(mro); i++) {
        base = PyTuple_GET_ITEM(mro, i);
        if (!(((PyTypeObject *)base)->tp_flags & Py_TPFLAGS_HEAPTYPE))
            continue;
        module = ((PyHeapTypeObject *)base)->ht_module;
        if (module != NULL && PyModule_GetDef(module) == &core_module)
            return PyModule_GetState(module);
    }
    PyErr_SetString(PyExc_TypeError, "not a shmkit class");
    return NULL;
}
#endif

static int
intern_names(core_state *state)
{
    static const char *const args[ARG_COUNT] = {
        "name",     "create", "size",     "track",    "mode",  "read_only",
        "lifetime", "sparse", "prefault", "exist_ok", "flags", "huge",
        "private",  "offset", "length",   "lock",     "numa",  "_array"};
    const struct {
        PyObject **place;
        const char *text;
    } names[] = {
        {&state->str_flags, "_flags"},
        {&state->str_mode, "_mode"},
        {&state->str_track, "_track"},
        {&state->str_home, "_home"},
        {&state->str_slash, "_prepend_leading_slash"},
        {&state->str_make_filename, "_make_filename"},
        {&state->str_close, "close"},
    };
    size_t i;

    for (i = 0; i < ARG_COUNT; i++) {
        state->arg_names[i] = PyUnicode_InternFromString(args[i]);
        if (state->arg_names[i] == NULL)
            return -1;
    }
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].text);
        if (*names[i].place == NULL)
            return -1;
    }
    return 0;
}

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **place)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);

    *place = (PyTypeObject *)type;
    return type == NULL ? -1 : PyModule_AddType(module, *place);
}

static int
core_exec(PyObject *module)
{
    core_state *state = PyModule_GetState(module);

    if (intern_names(state) < 0)
        return -1;
    state->zero = PyLong_FromLong(0);
    if (state->zero == NULL)
        return -1;
    if (add_type(module, &mapping_spec, &state->mapping_type) < 0 ||
        add_type(module, &block_spec, &state->block_type) < 0 ||
        shareable_exec(module, &state->shareable) < 0)
        return -1;
    if (add_type(module, &layout_spec, &state->array.layout_type) < 0 ||
        add_type(module, &ndarray_spec, &state->array.ndarray_type) < 0 ||
        PyModule_AddFunctions(module, array_methods) < 0)
        return -1;
#ifndef Py_TPFLAGS_DISALLOW_INSTANTIATION
    state->mapping_type->tp_new = NULL; /* 3.9 has no flag for this */
#endif
    state->stat_type = stat_type_new();
    if (state->stat_type == NULL || sync_exec(module, &state->sync) < 0 ||
        value_exec(module, &state->value) < 0)
        return -1;
    return PyModule_AddType(module, state->stat_type);
}

/* Visit every object of the state, types and others; the same lists serve to
 * clear it. */
#define EACH_TYPE(state, DO)             \
    do {                                 \
        DO((state)->mapping_type);       \
        DO((state)->block_type);         \
        DO((state)->stat_type);          \
        DO((state)->array.layout_type);  \
        DO((state)->array.ndarray_type); \
    } while (0)

#define EACH_OBJECT(state, DO)                   \
    do {                                         \
        size_t each;                             \
        for (each = 0; each < ARG_COUNT; each++) \
            DO((state)->arg_names[each]);        \
        DO((state)->str_flags);                  \
        DO((state)->str_mode);                   \
        DO((state)->str_track);                  \
        DO((state)->str_home);                   \
        DO((state)->str_slash);                  \
        DO((state)->str_make_filename);          \
        DO((state)->str_close);                  \
        DO((state)->zero);                       \
    } while (0)

static int
visit_parts(core_state *state, visitproc visit, void *arg)
{
    int r;

    EACH_TYPE(state, Py_VISIT);
    r = shareable_visit(&state->shareable, visit, arg);
    if (r == 0)
        r = value_visit(&state->value, visit, arg);
    if (r == 0)
        r = sync_visit(&state->sync, visit, arg);
    return r;
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state *state = PyModule_GetState(module);

    EACH_OBJECT(state, Py_VISIT);
    return visit_parts(state, visit, arg);
}

static int
core_clear(PyObject *module)
{
    core_state *state = PyModule_GetState(module);

    EACH_TYPE(state, Py_CLEAR);
    EACH_OBJECT(state, Py_CLEAR);
    shareable_clear(&state->shareable);
    sync_clear(&state->sync);
    value_clear(&state->value);
    return 0;
}

static void
core_free(void *module)
{
    core_clear(module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(core_doc, "The C side of shmkit; use shmkit.shared_memory.");

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,       .m_name = "shmkit._core",
    .m_doc = core_doc,           .m_size = sizeof(core_state),
    .m_methods = family_methods, .m_slots = core_slots,
    .m_traverse = core_traverse, .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
