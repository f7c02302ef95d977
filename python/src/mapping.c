/* SPDX-License-Identifier: MIT */
/* mapping.c - the object that owns mapped pages.
 *
 * SharedMemory.close() must neither refuse while somebody still looks at the
 * bytes (BufferError) nor pull the pages from under him (a segmentation
 * fault).  So the pages belong to this object of their own: every view, be it
 * made by NumPy, torch, PIL, array, ctypes or memoryview, holds a reference to
 * it, and the pages go when the last reference does.  close() only drops the
 * one of SharedMemory.
 *
 * One trap.  np.ndarray(buffer=shm) takes a buffer from the SharedMemory
 * object itself, gives it back at once, and from then on relies on the object
 * alone.  An export of that kind (a "direct" one) carries a mark in
 * view->internal; when one comes back, `kept` is set, and close() leaves the
 * reference alone until the SharedMemory object itself dies.  Exports made
 * through SharedMemory.buf hold this object and need no mark.
 *
 * Locking: the GIL; the extension does not declare itself free-threaded.
 * The handle is closed once, here, without the GIL when that may take long:
 * unmapping touched pages costs about 0.2 s a GiB. */
#include "core.h"

#define SLOW_TO_UNMAP (1 << 20) /* bytes */

MappingObject *
mapping_new(core_state *state, shmkit_block *block)
{
    MappingObject *self = PyObject_New(MappingObject, state->mapping_type);

    if (self == NULL) {
        shmkit_block_close(block);
        return NULL;
    }
    self->block = block;
    self->kept = 0;
    return self;
}

static void
mapping_dealloc(PyObject *op)
{
    MappingObject *self = (MappingObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    if (shmkit_block_size(self->block) >= SLOW_TO_UNMAP) {
        Py_BEGIN_ALLOW_THREADS
        shmkit_block_close(self->block);
        Py_END_ALLOW_THREADS
    } else {
        shmkit_block_close(self->block);
    }
    PyObject_Free(op);
    Py_DECREF(type);
}

static int
mapping_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    MappingObject *self = (MappingObject *)op;

    return PyBuffer_FillInfo(view, op, shmkit_block_data(self->block),
                             (Py_ssize_t)shmkit_block_size(self->block),
                             shmkit_block_is_read_only(self->block), flags);
}

/* The buffer belongs to the mapping, but the asker may have kept nothing but
 * the SharedMemory object. */
int
mapping_export_for(MappingObject *mapping, Py_buffer *view, int flags)
{
    if (mapping_getbuffer((PyObject *)mapping, view, flags) < 0)
        return -1;
    view->internal = mapping;
    return 0;
}

static void
mapping_releasebuffer(PyObject *op, Py_buffer *view)
{
    if (view->internal != NULL)
        ((MappingObject *)op)->kept = 1;
}

static Py_ssize_t
mapping_length(PyObject *op)
{
    return (Py_ssize_t)shmkit_block_size(((MappingObject *)op)->block);
}

PyDoc_STRVAR(mapping_doc,
             "The mapped pages of a block.\n\n"
             "Made by SharedMemory only.  Every view of the block holds it;\n"
             "the pages are unmapped when the last reference is dropped.");

static PyType_Slot mapping_slots[] = {
    {Py_tp_doc, (void *)mapping_doc},
    {Py_tp_dealloc, mapping_dealloc},
    {Py_sq_length, mapping_length},
    {Py_bf_getbuffer, mapping_getbuffer},
    {Py_bf_releasebuffer, mapping_releasebuffer},
    {0, NULL},
};

PyType_Spec mapping_spec = {
    .name = "shmkit._core.Mapping",
    .basicsize = sizeof(MappingObject),
    .flags = Py_TPFLAGS_DEFAULT
#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE
#endif
    ,
    .slots = mapping_slots,
};
