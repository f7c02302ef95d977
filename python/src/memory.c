/* SPDX-License-Identifier: MIT */
/* memory.c - the object that owns the bytes of a Value or an Array.
 *
 * ctypes objects made with from_buffer(memory), and every view of those, hold
 * a reference to it; the bytes are given up when the last one goes.  Up to
 * 1 MiB they are an allocation in the family's arena, of which each process
 * has a share: a forked child by inheritance, a spawned one from _adopt() on.
 * Above, they are a block of their own, of lifetime `holders`, so that it goes
 * with its last user, however that one ends, and can be attached by name as
 * long as there is any.
 *
 *     { data : size, rounded up to 4 | changes : 4 }
 *
 * The word behind the data is what shmkit_cell_changed() wants.
 *
 * Nothing but the shared bytes changes after the object is made.  Giving up a
 * big block takes long, so it is done without the GIL. */
#include "core.h"
#include "value.h"

#include <string.h>

#define BLOCK_FROM (1 << 20) /* bytes: more than this is a block */

static Py_ssize_t
changes_at(Py_ssize_t size)
{
    return (size + 3) & ~(Py_ssize_t)3;
}

static Py_ssize_t
bytes_for(Py_ssize_t size)
{
    return changes_at(size) + (Py_ssize_t)sizeof(uint32_t);
}

static void
set_place(MemoryObject *self, char *data, Py_ssize_t size)
{
    self->data = data;
    self->size = size;
    self->changes = (uint32_t *)(data + changes_at(size));
}

static int
check_size(Py_ssize_t size)
{
    if (size >= 0 && size < PY_SSIZE_T_MAX - 64)
        return 0;
    PyErr_Format(size < 0 ? PyExc_ValueError : PyExc_OverflowError,
                 size < 0 ? "Size %zd out of range" : "Size %zd too large",
                 size);
    return -1;
}

/* ---- making ---- */

static int
make_block(MemoryObject *self, Py_ssize_t size)
{
    struct shmkit_block_options options = SHMKIT_BLOCK_OPTIONS_INIT;
    shmkit_block *block = NULL;
    int r;

    options.lifetime = SHMKIT_LIFETIME_HOLDERS;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_block_create(NULL, (size_t)bytes_for(size), &options, &block);
    Py_END_ALLOW_THREADS
    if (r < 0)
        return r;
    self->block = block;
    set_place(self, shmkit_block_data(block), size);
    return 0;
}

static int
make_share(MemoryObject *self, Py_ssize_t size)
{
    size_t bytes = (size_t)bytes_for(size);
    shmkit_arena *arena;
    uint64_t offset;
    int r;

    r = shmkit_arena_of_family(&arena);
    if (r >= 0)
        r = shmkit_arena_alloc(arena, bytes, &offset);
    if (r < 0)
        return r;
    self->arena = arena;
    self->offset = offset;
    set_place(self, shmkit_arena_at(arena, offset, bytes), size);
    return 0;
}

static PyObject *
memory_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"size", NULL};
    MemoryObject *self;
    Py_ssize_t size;
    int r;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n:Memory", names, &size) ||
        check_size(size) < 0)
        return NULL;
    self = (MemoryObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    r = size > BLOCK_FROM ? make_block(self, size) : make_share(self, size);
    if (r < 0) {
        Py_DECREF(self);
        return core_raise(r, NULL);
    }
    return (PyObject *)self;
}

/* ---- to a child ---- */

static PyObject *
memory_send(PyObject *op, PyObject *ignored)
{
    MemoryObject *self = (MemoryObject *)op;
    struct shmkit_ref ref;
    int r;

    (void)ignored;
    if (self->block != NULL)
        return Py_BuildValue("(sn)", shmkit_block_name(self->block),
                             self->size);
    r = shmkit_arena_send(self->arena, self->offset, &ref);
    if (r < 0)
        return core_raise(r, NULL);
    return Py_BuildValue("(KKn)", (unsigned long long)ref.offset,
                         (unsigned long long)ref.serial, self->size);
}

static int
attach_block(MemoryObject *self, const char *name, Py_ssize_t size)
{
    shmkit_block *block = NULL;
    int r;

    Py_BEGIN_ALLOW_THREADS
    r = shmkit_block_attach(name, NULL, &block);
    Py_END_ALLOW_THREADS
    if (r < 0)
        return r;
    if (shmkit_block_size(block) < (size_t)bytes_for(size)) {
        shmkit_block_close(block);
        return -ERANGE;
    }
    self->block = block;
    set_place(self, shmkit_block_data(block), size);
    return 0;
}

static int
adopt_share(MemoryObject *self, struct shmkit_ref ref, Py_ssize_t size)
{
    shmkit_arena *arena;
    void *data;
    int r;

    r = shmkit_arena_of_family(&arena);
    if (r >= 0)
        r = shmkit_arena_adopt(arena, ref);
    if (r < 0)
        return r;
    self->arena = arena;
    self->offset = ref.offset;
    data = shmkit_arena_at(arena, ref.offset, (size_t)bytes_for(size));
    if (data == NULL)
        return -ERANGE;
    set_place(self, data, size);
    return 0;
}

static int
adopt(MemoryObject *self, PyObject *sent)
{
    unsigned long long offset, serial;
    Py_ssize_t size;
    const char *name;

    if (PyTuple_GET_SIZE(sent) == 2) {
        if (!PyArg_ParseTuple(sent, "sn", &name, &size) ||
            check_size(size) < 0)
            return -1;
        return attach_block(self, name, size);
    }
    if (!PyArg_ParseTuple(sent, "KKn", &offset, &serial, &size) ||
        check_size(size) < 0)
        return -1;
    return adopt_share(self, (struct shmkit_ref){offset, serial}, size);
}

/* _adopt(sent): what _send() gave, in the child. */
static PyObject *
memory_adopt(PyObject *type, PyObject *sent)
{
    MemoryObject *self;
    int r;

    if (!PyTuple_Check(sent)) {
        PyErr_SetString(PyExc_TypeError, "not what _send() gave");
        return NULL;
    }
    self = (MemoryObject *)((PyTypeObject *)type)
               ->tp_alloc((PyTypeObject *)type, 0);
    if (self == NULL)
        return NULL;
    r = adopt(self, sent);
    if (r < 0) {
        if (!PyErr_Occurred())
            core_raise(r, NULL);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* ---- being used, being given up ---- */

static void
memory_dealloc(PyObject *op)
{
    MemoryObject *self = (MemoryObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    if (self->block != NULL) {
        Py_BEGIN_ALLOW_THREADS
        shmkit_block_close(self->block);
        Py_END_ALLOW_THREADS
    } else if (self->arena != NULL) {
        (void)shmkit_arena_free(self->arena, self->offset);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

static int
memory_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    MemoryObject *self = (MemoryObject *)op;

    return PyBuffer_FillInfo(view, op, self->data, self->size, 0, flags);
}

static PyObject *
memory_create_memoryview(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return PyMemoryView_FromObject(op);
}

static PyObject *
memory_get_name(PyObject *op, void *closure)
{
    MemoryObject *self = (MemoryObject *)op;

    (void)closure;
    if (self->block == NULL)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(shmkit_block_name(self->block));
}

static int
fill_from_items(MemoryObject *self, uint32_t type, PyObject *items)
{
    PyObject *fast = PySequence_Fast(items, "");
    uint64_t bytes;
    int done;

    if (fast == NULL)
        return -1;
    done = shmkit_array_size(type, (uint64_t)PySequence_Fast_GET_SIZE(fast),
                             &bytes) == 0 &&
           bytes == (uint64_t)self->size &&
           scalars_from_items(type, PySequence_Fast_ITEMS(fast),
                              PySequence_Fast_GET_SIZE(fast), self->data);
    Py_DECREF(fast);
    return done;
}

static int
fill_from_buffer(MemoryObject *self, uint32_t type, PyObject *object)
{
    Py_buffer view;
    int done = 0;

    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return 0;
    }
    if (scalars_match(type, &view) && view.len == self->size)
        done = PyBuffer_ToContiguous(self->data, &view, view.len, 'C') < 0 ? -1
                                                                           : 1;
    PyBuffer_Release(&view);
    return done;
}

/* _fill(type, items): store them all, if that needs no ctypes; whether it was
 * done. */
static PyObject *
memory_fill(PyObject *op, PyObject *args)
{
    MemoryObject *self = (MemoryObject *)op;
    PyObject *items;
    unsigned type;
    int done = 0;

    if (!PyArg_ParseTuple(args, "IO", &type, &items))
        return NULL;
    if (PyList_CheckExact(items) || PyTuple_CheckExact(items) ||
        PyRange_Check(items))
        done = fill_from_items(self, type, items);
    else if (PyObject_CheckBuffer(items))
        done = fill_from_buffer(self, type, items);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyMethodDef memory_methods[] = {
    {"create_memoryview", memory_create_memoryview, METH_NOARGS,
     "create_memoryview($self, /)\n--\n\nAll the bytes, writable."},
    {"_send", memory_send, METH_NOARGS, NULL},
    {"_adopt", memory_adopt, METH_O | METH_CLASS, NULL},
    {"_fill", memory_fill, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef memory_members[] = {
    {"size", T_PYSSIZET, offsetof(MemoryObject, size), READONLY, "Bytes."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef memory_getset[] = {
    {"name", memory_get_name, NULL,
     "Name of the block, None when the bytes lie in the family's arena.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(memory_doc,
             "Memory(size)\n--\n\n"
             "Shared bytes, all zero, that processes of this family use.\n\n"
             "They are given up when the last reference, in the last\n"
             "process, is gone.");

static PyType_Slot memory_slots[] = {
    {Py_tp_doc, (void *)memory_doc},     {Py_tp_new, memory_new},
    {Py_tp_dealloc, memory_dealloc},     {Py_tp_methods, memory_methods},
    {Py_tp_members, memory_members},     {Py_tp_getset, memory_getset},
    {Py_bf_getbuffer, memory_getbuffer}, {0, NULL},
};

PyType_Spec memory_spec = {
    .name = "shmkit._core.Memory",
    .basicsize = sizeof(MemoryObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = memory_slots,
};
