/* SPDX-License-Identifier: MIT */
/* value.c - what all synchronized wrappers have in common, and single values.
 *
 * A wrapper is a ctypes object and the lock that guards it.  The classes of
 * shmkit.sharedctypes are Python classes on top of the types here, and bind a
 * wrapper to its two parts by _bind().
 *
 * Where the bytes lie in a Memory of ours and the type is a plain number, the
 * cell is read and written here, between taking and giving back the lock, and
 * without a Python call if the lock is shmkit's ("direct").  For all else,
 * Structures, pointers, foreign memory, values that need converting, ctypes
 * does the work, under the same lock, so that results and errors are its own.
 *
 * Only _bind() writes to the object; everything else changes shared bytes
 * alone.  A process killed in here has changed the cell or has not, and its
 * lock is inherited by the next. */
#include "value.h"
#include "core.h"

#include <string.h>

/* ---- the lock ---- */

static int
check_bound(SyncedObject *self)
{
    if (self->obj != NULL)
        return 0;
    PyErr_Format(PyExc_RuntimeError, "%.100s.__init__() not called",
                 Py_TYPE(self)->tp_name);
    return -1;
}

int
synced_enter(SyncedObject *self)
{
    if (self->obj == NULL)
        return check_bound(self);
    return shmkit_py_lock_enter(self->lock);
}

static int
leave_with_error(SyncedObject *self)
{
    PyObject *type, *value, *trace;

    PyErr_Fetch(&type, &value, &trace);
    if (shmkit_py_lock_leave(self->lock) < 0)
        PyErr_Clear();
    PyErr_Restore(type, value, trace);
    return -1;
}

int
synced_leave(SyncedObject *self)
{
    if (PyErr_Occurred())
        return leave_with_error(self);
    return shmkit_py_lock_leave(self->lock);
}

/* Attribute `name` of the ctypes object, under the lock. */
static PyObject *
get_locked(SyncedObject *self, PyObject *name)
{
    PyObject *result;

    if (synced_enter(self) < 0)
        return NULL;
    result = PyObject_GetAttr(self->obj, name);
    if (synced_leave(self) < 0)
        Py_CLEAR(result);
    return result;
}

static int
set_locked(SyncedObject *self, PyObject *name, PyObject *value)
{
    int r;

    if (value == NULL) {
        PyErr_Format(PyExc_AttributeError, "can't delete attribute '%U'",
                     name);
        return -1;
    }
    if (synced_enter(self) < 0)
        return -1;
    r = PyObject_SetAttr(self->obj, name, value);
    if (synced_leave(self) < 0)
        r = -1;
    synced_changed(self);
    return r;
}

/* ---- binding ---- */

/* The Memory in which all of the ctypes object's bytes lie; borrowed. */
static void
find_memory(SyncedObject *self, PyObject *wrapper)
{
    MemoryObject *memory = (MemoryObject *)wrapper;
    Py_buffer view;
    char *data;

    if (!PyObject_TypeCheck(wrapper, self->state->memory_type))
        return;
    if (PyObject_GetBuffer(self->obj, &view, PyBUF_FORMAT | PyBUF_STRIDES) <
        0) {
        PyErr_Clear();
        return;
    }
    data = view.buf;
    if (data >= memory->data && view.len <= memory->size &&
        data - memory->data <= memory->size - view.len) {
        self->memory = (MemoryObject *)Py_NewRef(wrapper);
        self->data = data;
        self->length = view.ndim == 1 ? view.shape[0] : 0;
    }
    PyBuffer_Release(&view);
}

/* Atomic operations want the address aligned. */
static void
check_type(SyncedObject *self, unsigned type)
{
    size_t size = shmkit_type_size(type);

    if (size == 0 || (uintptr_t)self->data % size != 0)
        type = 0;
    self->type = type;
    self->size = (uint32_t)size;
}

/* _bind(obj, lock, type): what the wrapper is for; type is of the value or of
 * the elements, 0 where only ctypes knows. */
static PyObject *
synced_bind(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncedObject *self = (SyncedObject *)op;
    core_state *state = core_state_of_type(Py_TYPE(op));
    unsigned long type;
    PyObject *wrapper;

    if (state == NULL)
        return NULL;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "_bind() takes 3 arguments");
        return NULL;
    }
    type = PyLong_AsUnsignedLong(args[2]);
    if (type == (unsigned long)-1 && PyErr_Occurred())
        return NULL;
    if (self->obj != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "already bound");
        return NULL;
    }
    self->state = &state->value;
    self->obj = Py_NewRef(args[0]);
    self->lock = Py_NewRef(args[1]);
    self->own_lock = sync_kind_of(self->lock) != SYNC_NO_LOCK;
    if (sync_kind_of(self->lock) == SYNC_RLOCK)
        self->rlock = (SyncObject *)self->lock;
    wrapper = PyObject_GetAttr(self->obj, state->value.str_wrapper);
    if (wrapper == NULL)
        PyErr_Clear();
    else
        find_memory(self, wrapper);
    Py_XDECREF(wrapper);
    check_type(self, type > UINT32_MAX ? 0 : (unsigned)type);
    Py_RETURN_NONE;
}

/* ---- all wrappers ---- */

static PyObject *
synced_get_obj(PyObject *op, PyObject *ignored)
{
    SyncedObject *self = (SyncedObject *)op;

    (void)ignored;
    return check_bound(self) < 0 ? NULL : Py_NewRef(self->obj);
}

static PyObject *
synced_get_lock(PyObject *op, PyObject *ignored)
{
    SyncedObject *self = (SyncedObject *)op;

    (void)ignored;
    return check_bound(self) < 0 ? NULL : Py_NewRef(self->lock);
}

static PyObject *
synced_with(PyObject *op, PyObject *ignored)
{
    SyncedObject *self = (SyncedObject *)op;

    (void)ignored;
    if (check_bound(self) < 0)
        return NULL;
    if (!self->own_lock)
        return PyObject_CallMethodNoArgs(self->lock, self->state->str_enter);
    if (shmkit_py_lock_enter(self->lock) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *
synced_end_with(PyObject *op, PyObject *args)
{
    SyncedObject *self = (SyncedObject *)op;
    PyObject *method, *result;

    if (check_bound(self) < 0)
        return NULL;
    if (self->own_lock) {
        if (shmkit_py_lock_leave(self->lock) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    method = PyObject_GetAttr(self->lock, self->state->str_exit);
    if (method == NULL)
        return NULL;
    result = PyObject_Call(method, args, NULL);
    Py_DECREF(method);
    return result;
}

static PyObject *
synced_get_acquire(PyObject *op, void *closure)
{
    SyncedObject *self = (SyncedObject *)op;

    (void)closure;
    if (check_bound(self) < 0)
        return NULL;
    return PyObject_GetAttr(self->lock, self->state->str_acquire);
}

static PyObject *
synced_get_release(PyObject *op, void *closure)
{
    SyncedObject *self = (SyncedObject *)op;

    (void)closure;
    if (check_bound(self) < 0)
        return NULL;
    return PyObject_GetAttr(self->lock, self->state->str_release);
}

static int
synced_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    SyncedObject *self = (SyncedObject *)op;

    if (self->obj == NULL) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "the object is not made yet");
        return -1;
    }
    return PyObject_GetBuffer(self->obj, view, flags);
}

static int
synced_traverse(PyObject *op, visitproc visit, void *arg)
{
    SyncedObject *self = (SyncedObject *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->obj);
    Py_VISIT(self->lock);
    return 0;
}

static int
synced_clear(PyObject *op)
{
    SyncedObject *self = (SyncedObject *)op;

    Py_CLEAR(self->obj);
    self->rlock = NULL;
    Py_CLEAR(self->lock);
    return 0;
}

static void
synced_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    synced_clear(op);
    Py_CLEAR(((SyncedObject *)op)->memory);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef synced_methods[] = {
    {"_bind", (PyCFunction)(void (*)(void))synced_bind, METH_FASTCALL, NULL},
    {"get_obj", synced_get_obj, METH_NOARGS,
     "get_obj($self, /)\n--\n\nThe ctypes object on the shared bytes."},
    {"get_lock", synced_get_lock, METH_NOARGS,
     "get_lock($self, /)\n--\n\nThe lock that guards it."},
    {"__enter__", synced_with, METH_NOARGS, NULL},
    {"__exit__", synced_end_with, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef synced_members[] = {
    {"_obj", T_OBJECT_EX, offsetof(SyncedObject, obj), READONLY, NULL},
    {"_lock", T_OBJECT_EX, offsetof(SyncedObject, lock), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef synced_getset[] = {
    {"acquire", synced_get_acquire, NULL, "acquire() of the lock.", NULL},
    {"release", synced_get_release, NULL, "release() of the lock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(synced_doc, "A ctypes object in shared memory and its lock.");

static PyType_Slot synced_slots[] = {
    {Py_tp_doc, (void *)synced_doc},     {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, synced_dealloc},     {Py_tp_traverse, synced_traverse},
    {Py_tp_clear, synced_clear},         {Py_tp_methods, synced_methods},
    {Py_tp_members, synced_members},     {Py_tp_getset, synced_getset},
    {Py_bf_getbuffer, synced_getbuffer}, {0, NULL},
};

PyType_Spec synced_spec = {
    .name = "shmkit._core.Synced",
    .basicsize = sizeof(SyncedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = synced_slots,
};

/* ---- single values ---- */

static PyObject *
value_get(PyObject *op, void *closure)
{
    SyncedObject *self = (SyncedObject *)op;
    shmkit_scalar value;

    (void)closure;
    if (!synced_is_direct(self))
        return check_bound(self) < 0
                   ? NULL
                   : get_locked(self, self->state->str_value);
    if (synced_enter_short(self) < 0)
        return NULL;
    value = scalar_load(self->data, self->size);
    if (synced_leave_short(self) < 0)
        return NULL;
    return scalar_to_object(self->type, value);
}

static int
value_set(PyObject *op, PyObject *object, void *closure)
{
    SyncedObject *self = (SyncedObject *)op;
    shmkit_scalar value;

    (void)closure;
    if (check_bound(self) < 0)
        return -1;
    if (object == NULL || !synced_is_direct(self) ||
        !scalar_from_object(self->type, object, &value))
        return set_locked(self, self->state->str_value, object);
    if (synced_enter_short(self) < 0)
        return -1;
    scalar_store(self->data, self->size, value);
    if (synced_leave_short(self) < 0)
        return -1;
    shmkit_cell_changed(self->memory->changes);
    return 0;
}

static PyGetSetDef value_getset[] = {
    {"value", value_get, value_set,
     "The value; read and written under the lock.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot synced_value_slots[] = {
    {Py_tp_doc, (void *)"A number in shared memory and its lock."},
    {Py_tp_methods, value_atomics},
    {Py_tp_getset, value_getset},
    {0, NULL},
};

PyType_Spec synced_value_spec = {
    .name = "shmkit._core.SyncedValue",
    .basicsize = sizeof(SyncedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = synced_value_slots,
};

/* ---- one attribute, under the lock ---- */

typedef struct {
    PyObject_HEAD
    PyTypeObject *base;
    PyObject *name;
} FieldObject;

static PyObject *
field_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    core_state *state = core_state_of_type(type);
    FieldObject *self;
    PyObject *name;

    if (state == NULL)
        return NULL;
    if (kwargs != NULL || !PyArg_ParseTuple(args, "U:Field", &name)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "Field() takes no keywords");
        return NULL;
    }
    self = (FieldObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->base = (PyTypeObject *)Py_NewRef((PyObject *)state->value.base_type);
    self->name = Py_NewRef(name);
    PyUnicode_InternInPlace(&self->name);
    return (PyObject *)self;
}

/* The wrapper whose attribute is asked for, or NULL and an exception. */
static SyncedObject *
field_owner(FieldObject *self, PyObject *op)
{
    if (PyObject_TypeCheck(op, self->base))
        return check_bound((SyncedObject *)op) < 0 ? NULL : (SyncedObject *)op;
    PyErr_Format(PyExc_TypeError, "'%.100s' is not a synchronized object",
                 Py_TYPE(op)->tp_name);
    return NULL;
}

static PyObject *
field_get(PyObject *op, PyObject *of, PyObject *type)
{
    SyncedObject *owner;

    (void)type;
    if (of == NULL || of == Py_None)
        return Py_NewRef(op);
    owner = field_owner((FieldObject *)op, of);
    return owner == NULL ? NULL : get_locked(owner, ((FieldObject *)op)->name);
}

static int
field_set(PyObject *op, PyObject *of, PyObject *value)
{
    SyncedObject *owner = field_owner((FieldObject *)op, of);

    return owner == NULL ? -1
                         : set_locked(owner, ((FieldObject *)op)->name, value);
}

static int
field_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((FieldObject *)op)->base);
    return 0;
}

static int
field_clear(PyObject *op)
{
    Py_CLEAR(((FieldObject *)op)->base);
    return 0;
}

static void
field_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    field_clear(op);
    Py_CLEAR(((FieldObject *)op)->name);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef field_members[] = {
    {"__name__", T_OBJECT_EX, offsetof(FieldObject, name), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot field_slots[] = {
    {Py_tp_doc, (void *)"An attribute of the ctypes object, under the lock."},
    {Py_tp_new, field_new},
    {Py_tp_dealloc, field_dealloc},
    {Py_tp_traverse, field_traverse},
    {Py_tp_clear, field_clear},
    {Py_tp_descr_get, field_get},
    {Py_tp_descr_set, field_set},
    {Py_tp_members, field_members},
    {0, NULL},
};

PyType_Spec field_spec = {
    .name = "shmkit._core.Field",
    .basicsize = sizeof(FieldObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = field_slots,
};

/* ---- in the module ---- */

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base,
         PyTypeObject **place)
{
    PyObject *bases = base == NULL ? NULL : PyTuple_Pack(1, base);
    PyObject *type;

    if (base != NULL && bases == NULL)
        return -1;
    type = PyType_FromModuleAndSpec(module, spec, bases);
    Py_XDECREF(bases);
    *place = (PyTypeObject *)type;
    return type == NULL ? -1 : PyModule_AddType(module, *place);
}

static int
intern_names(value_state *state)
{
    const struct {
        PyObject **place;
        const char *text;
    } names[] = {
        {&state->str_value, "value"},     {&state->str_wrapper, "_wrapper"},
        {&state->str_acquire, "acquire"}, {&state->str_release, "release"},
        {&state->str_enter, "__enter__"}, {&state->str_exit, "__exit__"},
    };
    size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].text);
        if (*names[i].place == NULL)
            return -1;
    }
    return 0;
}

/* The numbers of enum shmkit_type, for _bind(). */
static int
add_types(PyObject *module)
{
    static const char *const names[] = {
        "BOOL",   "INT8",   "INT16", "INT32",  "INT64", "UINT8", "UINT16",
        "UINT32", "UINT64", "FLOAT", "DOUBLE", "CHAR",  "WCHAR"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (PyModule_AddIntConstant(module, names[i], (long)i + SHMKIT_BOOL) <
            0)
            return -1;
    }
    return 0;
}

int
value_exec(PyObject *module, value_state *state)
{
    if (intern_names(state) < 0 || add_types(module) < 0 ||
        add_type(module, &memory_spec, NULL, &state->memory_type) < 0 ||
        add_type(module, &field_spec, NULL, &state->field_type) < 0 ||
        add_type(module, &synced_spec, NULL, &state->base_type) < 0 ||
        add_type(module, &synced_value_spec, state->base_type,
                 &state->value_type) < 0)
        return -1;
    return add_type(module, &synced_array_spec, state->base_type,
                    &state->array_type);
}

/* All members of the state are references. */
static PyObject **
references(value_state *state, size_t *ret_count)
{
    *ret_count = sizeof *state / sizeof(PyObject *);
    return (PyObject **)state;
}

int
value_visit(value_state *state, visitproc visit, void *arg)
{
    size_t i, count;
    PyObject **all = references(state, &count);

    for (i = 0; i < count; i++)
        Py_VISIT(all[i]);
    return 0;
}

void
value_clear(value_state *state)
{
    size_t i, count;
    PyObject **all = references(state, &count);

    for (i = 0; i < count; i++)
        Py_CLEAR(all[i]);
}
