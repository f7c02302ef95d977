/* SPDX-License-Identifier: MIT */
/* ndarray.c - the two C types behind shmkit.ndarray.
 *
 * Layout   the pages of an array and what they mean.  It never changes, and
 *          every view refers to it (NumPy's, memoryview's, DLPack's, Arrow's),
 *          so its tables of shape and strides and the mapping live as long as
 *          the last of them.
 * NDArray  the base of the Python class.  It offers the buffer of the Layout
 *          that it holds, and close() takes that away from it.
 *
 * The trap of mapping.c is here too: who takes a buffer from the NDArray
 * itself, or its address out of __array_interface__, may rely on the Python
 * object alone from then on.  So both mark the mapping as `kept`, and the
 * SharedMemory object inside the array keeps it until it dies.
 *
 * What the shared bytes say was checked by the library; here it is only put
 * into the forms that others want.  Locking: the GIL. */
#include "core.h"

#include <errno.h>
#include <structmember.h>

/* ---- Layout ---- */

static PyObject *
refuse(PyObject *block, int result)
{
    PyObject *name = PyObject_GetAttrString(block, "name");

    if (name == NULL)
        return NULL;
    if (result == -EBADMSG)
        PyErr_Format(PyExc_ValueError,
                     "block %R is no array: it was not made as one, has "
                     "another size by now, or its description is damaged",
                     name);
    else if (result == -EPROTONOSUPPORT)
        PyErr_Format(PyExc_ValueError,
                     "array %R was made by another version of shmkit", name);
    else
        core_raise(result, name);
    Py_DECREF(name);
    return NULL;
}

static int
is_contiguous(const struct shmkit_ndarray_info *info, char order)
{
    struct shmkit_ndarray_spec spec = SHMKIT_NDARRAY_SPEC_INIT;

    spec.order = (uint32_t)order;
    return shmkit_ndarray_check(info, &spec) == 0;
}

static void
read_info(LayoutObject *self, const shmkit_block *block)
{
    uint32_t i;

    for (i = 0; i < self->info->ndim; i++) {
        self->shape[i] = (Py_ssize_t)self->info->shape[i];
        self->strides[i] = (Py_ssize_t)self->info->strides[i];
    }
    self->c_contiguous = is_contiguous(self->info, 'C');
    self->f_contiguous = is_contiguous(self->info, 'F');
    self->read_only = shmkit_block_is_read_only(block) != 0;
    self->data = shmkit_block_data(block);
}

static int
layout_fill(LayoutObject *self, BlockObject *block)
{
    MappingObject *mapping = block_pin(block);
    int r;

    if (mapping == NULL)
        return -1;
    self->mapping = (PyObject *)mapping;
    self->info = PyMem_Malloc(sizeof *self->info);
    if (self->info == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    r = shmkit_ndarray_get_info(mapping->block, self->info,
                                sizeof *self->info);
    if (r < 0) {
        refuse((PyObject *)block, r);
        return -1;
    }
    read_info(self, mapping->block);
    self->format = array_format(self->info->dtype);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
layout_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    core_state *state = core_state_of_type(type);
    LayoutObject *self;
    PyObject *block;

    (void)kwargs;
    if (state == NULL ||
        !PyArg_ParseTuple(args, "O!:Layout", state->block_type, &block))
        return NULL;
    self = (LayoutObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (layout_fill(self, (BlockObject *)block) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
layout_dealloc(PyObject *op)
{
    LayoutObject *self = (LayoutObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    PyMem_Free(self->format);
    PyMem_Free(self->info);
    Py_XDECREF(self->mapping);
    type->tp_free(op);
    Py_DECREF(type);
}

/* Whether the asker could make sense of what it would get. */
static const char *
misunderstood(const LayoutObject *self, int flags)
{
    if ((flags & PyBUF_WRITABLE) != 0 && self->read_only)
        return "the array is mapped read-only";
    if ((flags & PyBUF_FORMAT) != 0 && self->format == NULL)
        return "the buffer protocol has no word for this dtype";
    if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES && !self->c_contiguous)
        return "the array is not C-contiguous";
    if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS &&
        !self->c_contiguous)
        return "the array is not C-contiguous";
    if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS &&
        !self->f_contiguous)
        return "the array is not Fortran-contiguous";
    if ((flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS &&
        !self->c_contiguous && !self->f_contiguous)
        return "the array is not contiguous";
    return NULL;
}

static int
layout_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    LayoutObject *self = (LayoutObject *)op;
    const char *wrong = misunderstood(self, flags);

    view->obj = NULL;
    if (wrong != NULL) {
        PyErr_SetString(PyExc_BufferError, wrong);
        return -1;
    }
    *view = (Py_buffer){
        .buf = self->data,
        .obj = Py_NewRef(op),
        .len = (Py_ssize_t)(self->info->count * self->info->item_size),
        .itemsize = (Py_ssize_t)self->info->item_size,
        .readonly = self->read_only,
        .ndim = (int)self->info->ndim,
        .format = (flags & PyBUF_FORMAT) != 0 ? self->format : NULL,
        .shape = (flags & PyBUF_ND) != 0 ? self->shape : NULL,
        .strides =
            (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL,
    };
    return 0;
}

static void
keep(LayoutObject *self)
{
    ((MappingObject *)self->mapping)->kept = 1;
}

/* A buffer taken from the NDArray comes back: see above. */
static void
layout_releasebuffer(PyObject *op, Py_buffer *view)
{
    if (view->internal != NULL)
        keep((LayoutObject *)op);
}

static PyObject *
tuple_of(const Py_ssize_t *values, uint32_t count)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count), *value;
    uint32_t i;

    for (i = 0; tuple != NULL && i < count; i++) {
        value = PyLong_FromSsize_t(values[i]);
        if (value == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, value);
    }
    return tuple;
}

static PyObject *
get_shape(PyObject *op, void *ignored)
{
    LayoutObject *self = (LayoutObject *)op;

    (void)ignored;
    return tuple_of(self->shape, self->info->ndim);
}

static PyObject *
get_strides(PyObject *op, void *ignored)
{
    LayoutObject *self = (LayoutObject *)op;

    (void)ignored;
    return tuple_of(self->strides, self->info->ndim);
}

static PyObject *
get_typestr(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyUnicode_DecodeFSDefault(((LayoutObject *)op)->info->dtype);
}

static PyObject *
get_label(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyUnicode_DecodeFSDefault(((LayoutObject *)op)->info->label);
}

static PyObject *
get_order(PyObject *op, void *ignored)
{
    char order = (char)((LayoutObject *)op)->info->order;

    (void)ignored;
    return PyUnicode_FromStringAndSize(&order, 1);
}

static PyObject *
get_number(PyObject *op, void *offset)
{
    const char *info = (const char *)((LayoutObject *)op)->info;

    return PyLong_FromUnsignedLongLong(
        *(const uint64_t *)(const void *)(info + (size_t)(uintptr_t)offset));
}

static PyObject *
get_read_only(PyObject *op, void *ignored)
{
    (void)ignored;
    return PyBool_FromLong(((LayoutObject *)op)->read_only);
}

/* The address of the first element, for somebody who keeps the NDArray. */
static PyObject *
layout_address(PyObject *op, PyObject *ignored)
{
    LayoutObject *self = (LayoutObject *)op;

    (void)ignored;
    keep(self);
    return PyLong_FromVoidPtr(self->data);
}

/* Whether the items stand close together in order "C" or "F". */
static PyObject *
layout_is_contiguous(PyObject *op, PyObject *order)
{
    const LayoutObject *self = (LayoutObject *)op;
    int fortran = PyUnicode_Check(order) &&
                  PyUnicode_CompareWithASCIIString(order, "F") == 0;

    if (!fortran && !(PyUnicode_Check(order) &&
                      PyUnicode_CompareWithASCIIString(order, "C") == 0)) {
        PyErr_Format(PyExc_ValueError, "order must be 'C' or 'F', not %R",
                     order);
        return NULL;
    }
    return PyBool_FromLong(fortran ? self->f_contiguous : self->c_contiguous);
}

#define NUMBER(name, field)                                                \
    {                                                                      \
        name, get_number, NULL, NULL,                                      \
            (void *)(uintptr_t)offsetof(struct shmkit_ndarray_info, field) \
    }

static PyGetSetDef layout_getset[] = {
    {"shape", get_shape, NULL, NULL, NULL},
    {"strides", get_strides, NULL, "Bytes.", NULL},
    {"typestr", get_typestr, NULL, "The dtype as it is stored.", NULL},
    {"label", get_label, NULL, NULL, NULL},
    {"order", get_order, NULL, "'C', 'F', or 'S': neither.", NULL},
    NUMBER("size", count),
    NUMBER("itemsize", item_size),
    NUMBER("extent", data_size),
    {"read_only", get_read_only, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef layout_members[] = {
    {"mapping", T_OBJECT, offsetof(LayoutObject, mapping), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef layout_methods[] = {
    {"address", layout_address, METH_NOARGS, NULL},
    {"is_contiguous", layout_is_contiguous, METH_O, NULL},
    {"dlpack", layout_dlpack, METH_O,
     "dlpack($self, versioned, /)\n--\n\nA DLPack capsule."},
    {"arrow", layout_arrow, METH_NOARGS,
     "arrow($self, /)\n--\n\nA pair of Arrow capsules."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(layout_doc,
             "Layout(block, /)\n--\n\n"
             "What an attached block says of the array that it is.\n\n"
             "ValueError when it is none.");

static PyType_Slot layout_slots[] = {
    {Py_tp_doc, (void *)layout_doc},
    {Py_tp_new, layout_new},
    {Py_tp_dealloc, layout_dealloc},
    {Py_tp_getset, layout_getset},
    {Py_tp_members, layout_members},
    {Py_tp_methods, layout_methods},
    {Py_bf_getbuffer, layout_getbuffer},
    {Py_bf_releasebuffer, layout_releasebuffer},
    {0, NULL},
};

PyType_Spec layout_spec = {
    .name = "shmkit._core.Layout",
    .basicsize = sizeof(LayoutObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = layout_slots,
};

/* ---- NDArray ---- */

typedef struct {
    PyObject_HEAD
    PyObject *layout; /* NULL or None: closed */
} NDArrayObject;

static int
ndarray_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    PyObject *layout = ((NDArrayObject *)op)->layout;
    core_state *state = core_state_of_type(Py_TYPE(op));

    view->obj = NULL;
    if (state == NULL)
        return -1;
    if (layout == NULL || !Py_IS_TYPE(layout, state->array.layout_type)) {
        PyErr_SetString(PyExc_ValueError, "operation on a closed ndarray");
        return -1;
    }
    if (layout_getbuffer(layout, view, flags) < 0)
        return -1;
    view->internal = layout;
    return 0;
}

/* Never called, for the view belongs to the layout: as in block.c. */
static void
ndarray_releasebuffer(PyObject *op, Py_buffer *view)
{
    (void)op;
    (void)view;
}

static int
ndarray_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((NDArrayObject *)op)->layout);
    return 0;
}

static int
ndarray_clear(PyObject *op)
{
    Py_CLEAR(((NDArrayObject *)op)->layout);
    return 0;
}

static void
ndarray_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    ndarray_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef ndarray_members[] = {
    {"_layout", T_OBJECT, offsetof(NDArrayObject, layout), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(ndarray_doc, "The C half of shmkit.ndarray.");

static PyType_Slot ndarray_slots[] = {
    {Py_tp_doc, (void *)ndarray_doc},
    {Py_tp_dealloc, ndarray_dealloc},
    {Py_tp_traverse, ndarray_traverse},
    {Py_tp_clear, ndarray_clear},
    {Py_tp_members, ndarray_members},
    {Py_bf_getbuffer, ndarray_getbuffer},
    {Py_bf_releasebuffer, ndarray_releasebuffer},
    {0, NULL},
};

PyType_Spec ndarray_spec = {
    .name = "shmkit._core.NDArray",
    .basicsize = sizeof(NDArrayObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = ndarray_slots,
};
