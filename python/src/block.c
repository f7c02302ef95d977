/* SPDX-License-Identifier: MIT */
/* block.c - the C half of SharedMemory.
 *
 * shmkit.shared_memory.SharedMemory is a Python class on top of this type, so
 * that its private hooks (_flags, _mode, _make_filename, ...) stay where
 * programs and CPython's own tests look for them: in the class and in the
 * globals of its module, read at each call (open.c, arguments.c).
 *
 * State: `mapping` is the open handle, NULL from close() on.  `name` is the
 * attribute _name, "/" and the name of the file, and the user may assign it;
 * while it is still `met_name`, unlink() insists on the very block that was
 * met (`ref`), so that it never removes a namesake that came later.  `retired`
 * holds mappings that someone may use without a reference (see mapping.c).
 * `fd` is a descriptor that fileno() made; the library itself keeps none.
 *
 * Locking: the GIL.  It is let go round every call that may wait; during
 * those the handle is pinned by a reference to its mapping. */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char closed_text[] = "operation on a closed SharedMemory";

/* Drop this object's hold on its mapping; one that somebody may use without
 * a reference of his own stays until the object dies. */
int
block_let_go(BlockObject *self)
{
    MappingObject *mapping = self->mapping;
    int rv = 0;

    Py_CLEAR(self->buf);
    self->mapping = NULL;
    if (mapping == NULL)
        return 0;
    if (mapping->kept) {
        if (self->retired == NULL)
            self->retired = PyList_New(0);
        rv = self->retired == NULL
                 ? -1
                 : PyList_Append(self->retired, (PyObject *)mapping);
        if (rv < 0)
            return -1; /* leaking the pages is better than a crash */
    }
    Py_DECREF(mapping);
    return rv;
}

static void
close_fd(BlockObject *self)
{
    int fd = self->fd;

    self->fd = -1;
    if (fd >= 0)
        close(fd);
}

/* ---- making ---- */

/* Take over a fresh handle; `path` is borrowed.  What the object held before,
 * if __init__() is called twice, it lets go of. */
static int
adopt(BlockObject *self, PyObject *path, shmkit_block *block)
{
    MappingObject *mapping = mapping_new(self->state, block);

    if (mapping == NULL)
        return -1;
    close_fd(self);
    if (block_let_go(self) < 0) {
        Py_DECREF(mapping);
        return -1;
    }
    self->mapping = mapping;
    self->ref = shmkit_block_get_ref(block);
    self->size = (Py_ssize_t)shmkit_block_size(block);
    self->mode = shmkit_block_mode(block);
    self->read_only = shmkit_block_is_read_only(block) != 0;
    Py_XSETREF(self->name, Py_NewRef(path));
    Py_XSETREF(self->met_name, Py_NewRef(path));
    return 0;
}

/* Only what differs from the class attributes is stored in the instance. */
static int
note_attributes(BlockObject *self, const struct request *request)
{
    core_state *state = self->state;
    PyObject *value;
    int rv = 0;

    if (request->flags & O_CREAT) {
        value = PyLong_FromLong(request->flags);
        if (value == NULL)
            return -1;
        rv = PyObject_SetAttr((PyObject *)self, state->str_flags, value);
        Py_DECREF(value);
    }
    if (rv == 0 && !request->track)
        rv = PyObject_SetAttr((PyObject *)self, state->str_track, Py_False);
    return rv;
}

static int
block_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    BlockObject *self = (BlockObject *)op;
    struct request request;
    shmkit_block *block = NULL;
    PyObject *path;
    int rv = -1;

    if (request_parse(self->state, op, args, kwargs, &request) < 0)
        return -1;
    request.content = self->content;
    path = open_block(self->state, op, &request, &block);
    if (path == NULL) {
        shmkit_block_close(block); /* drawn, and no memory for the name */
        return -1;
    }
    if (adopt(self, path, block) == 0) {
        self->offset = request.options.offset;
        self->part = self->offset != 0 || request.options.length != 0;
        self->private_copy = (request.options.flags & SHMKIT_PRIVATE) != 0;
        rv = note_attributes(self, &request);
    }
    Py_DECREF(path);
    return rv;
}

static PyObject *
block_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    core_state *state = core_state_of_type(type);
    BlockObject *self;

    (void)args;
    (void)kwargs;
    if (state == NULL)
        return NULL;
    self = (BlockObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->state = state;
    self->fd = -1;
    return (PyObject *)self;
}

/* ---- leaving ---- */

static PyObject *
block_close(PyObject *op, PyObject *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    close_fd(self);
    if (block_let_go(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* __del__ of the standard class: close(), whoever has overridden it, and no
 * word about an OSError. */
static void
block_finalize(PyObject *op)
{
    BlockObject *self = (BlockObject *)op;
    PyObject *type, *value, *trace, *result;

    if (self->state->str_close == NULL)
        return; /* the interpreter is ending */
    PyErr_Fetch(&type, &value, &trace);
    result = PyObject_CallMethodNoArgs(op, self->state->str_close);
    if (result == NULL) {
        if (PyErr_ExceptionMatches(PyExc_OSError))
            PyErr_Clear();
        else
            PyErr_WriteUnraisable(op);
    }
    Py_XDECREF(result);
    PyErr_Restore(type, value, trace);
}

static int
block_traverse(PyObject *op, visitproc visit, void *arg)
{
    BlockObject *self = (BlockObject *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->name);
    Py_VISIT(self->met_name);
    Py_VISIT(self->buf);
    Py_VISIT(self->mapping);
    Py_VISIT(self->retired);
    return 0;
}

static int
block_clear(PyObject *op)
{
    BlockObject *self = (BlockObject *)op;

    Py_CLEAR(self->name);
    Py_CLEAR(self->met_name);
    Py_CLEAR(self->buf);
    Py_CLEAR(self->mapping);
    Py_CLEAR(self->retired);
    return 0;
}

static void
block_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    close_fd((BlockObject *)op);
    block_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---- doing ---- */

/* The open mapping, a new reference, or NULL and ValueError. */
MappingObject *
block_pin(BlockObject *self)
{
    if (self->mapping == NULL) {
        PyErr_SetString(PyExc_ValueError, closed_text);
        return NULL;
    }
    return (MappingObject *)Py_NewRef((PyObject *)self->mapping);
}

static PyObject *
block_unlink(PyObject *op, PyObject *ignored)
{
    BlockObject *self = (BlockObject *)op;
    struct shmkit_block_ref ref = self->ref;
    PyObject *path;
    const char *name;
    int r, same;

    (void)ignored;
    if (self->name == NULL || self->name == Py_None)
        Py_RETURN_NONE;
    name = file_name(self->name);
    if (name == NULL)
        return NULL;
    path = Py_NewRef(self->name);
    same = path == self->met_name ||
           (self->met_name != NULL &&
            PyUnicode_Compare(path, self->met_name) == 0);
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_block_unlink(name, same ? &ref : NULL);
    Py_END_ALLOW_THREADS
    if (r < 0)
        core_raise(r, path);
    Py_DECREF(path);
    if (r < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
block_persist(PyObject *op, PyObject *ignored)
{
    BlockObject *self = (BlockObject *)op;
    MappingObject *mapping = block_pin(self);
    int r;

    (void)ignored;
    if (mapping == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_block_persist(mapping->block);
    Py_END_ALLOW_THREADS
    Py_DECREF(mapping);
    if (r < 0)
        return core_raise(r, self->name);
    Py_RETURN_NONE;
}

/* How long the block shall be: 0 = as long as it is now. */
static int
wanted_size(BlockObject *self, PyObject *object, Py_ssize_t *ret)
{
    *ret = 0;
    if (object == Py_None)
        return 0;
    *ret = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (*ret == -1 && PyErr_Occurred())
        return -1;
    if (*ret < self->size) {
        PyErr_Format(PyExc_ValueError,
                     "a block never shrinks: it has %zd bytes", self->size);
        return -1;
    }
    return 0;
}

/* Take the grown mapping, unless other threads were quicker while the GIL was
 * free: a close() stays a close(), and a longer mapping is kept. */
static int
swap_mapping(BlockObject *self, MappingObject *grown)
{
    Py_ssize_t size = (Py_ssize_t)shmkit_block_size(grown->block);

    if (self->mapping == NULL) {
        PyErr_SetString(PyExc_ValueError, closed_text);
        goto fail;
    }
    if (size < self->size) {
        Py_DECREF(grown);
        return 0;
    }
    if (block_let_go(self) < 0)
        goto fail;
    self->size = size;
    self->mapping = grown;
    return 0;
fail:
    Py_DECREF(grown);
    return -1;
}

static PyObject *
block_resize(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    BlockObject *self = (BlockObject *)op;
    MappingObject *old, *grown;
    shmkit_block *block = NULL;
    Py_ssize_t size;
    int r;

    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "resize() takes one argument");
        return NULL;
    }
    if (wanted_size(self, count == 1 ? args[0] : Py_None, &size) < 0)
        return NULL;
    old = block_pin(self);
    if (old == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_block_grow(old->block, (size_t)size, &block);
    Py_END_ALLOW_THREADS
    Py_DECREF(old);
    if (r < 0)
        return core_raise(r, self->name);
    grown = mapping_new(self->state, block);
    if (grown == NULL || swap_mapping(self, grown) < 0)
        return NULL;
    Py_RETURN_NONE;
}

int
block_ensure_fd(BlockObject *self)
{
    int r;

    if (self->mapping == NULL) {
        PyErr_SetString(PyExc_ValueError, closed_text);
        return -1;
    }
    if (self->fd >= 0)
        return 0;
    r = shmkit_block_open_fd(self->mapping->block, &self->fd);
    if (r < 0) {
        core_raise(r, self->name);
        return -1;
    }
    return 0;
}

static PyObject *
block_fileno(PyObject *op, PyObject *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (block_ensure_fd(self) < 0)
        return NULL;
    return PyLong_FromLong(self->fd);
}

static PyObject *
block_enter(PyObject *op, PyObject *ignored)
{
    BlockObject *self = (BlockObject *)op;

    (void)ignored;
    if (self->mapping == NULL) {
        PyErr_SetString(PyExc_ValueError, closed_text);
        return NULL;
    }
    return Py_NewRef(op);
}

static PyObject *
block_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    BlockObject *self = (BlockObject *)op;

    (void)args;
    (void)count;
    return PyObject_CallMethodNoArgs(op, self->state->str_close);
}

/* ---- looking ---- */

static int
block_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    MappingObject *mapping = block_pin((BlockObject *)op);
    int rv;

    view->obj = NULL;
    if (mapping == NULL)
        return -1;
    rv = mapping_export_for(mapping, view, flags);
    Py_DECREF(mapping);
    return rv;
}

/* Never called, for the view belongs to the mapping; but NumPy keeps a
 * memoryview, and with it the mapping, only of exporters that have this. */
static void
block_releasebuffer(PyObject *op, Py_buffer *view)
{
    (void)op;
    (void)view;
}

PyDoc_STRVAR(close_doc,
             "close($self, /)\n--\n\n"
             "Close access to the block from this instance.\n\n"
             "Views of the bytes stay good; the pages are unmapped with the\n"
             "last of them.  The block itself stays.  Never raises\n"
             "BufferError; harmless twice.  Removes a 'holders' block when\n"
             "this was its last holder.");
PyDoc_STRVAR(unlink_doc,
             "unlink($self, /)\n--\n\n"
             "Remove the name of the block; the bytes go with the last\n"
             "mapping of them.\n\n"
             "Any process may call it, before or after close(), once over\n"
             "all: the second call raises FileNotFoundError, as it does when\n"
             "another block has taken the name since.  May wait up to one\n"
             "second for another unlink of the same block.");
PyDoc_STRVAR(
    resize_doc,
    "resize($self, size=None, /)\n--\n\n"
    "Make the block at least size bytes long and map all of it.\n\n"
    "None takes it as long as another process has made it.  A block never\n"
    "shrinks: a size below the present one raises ValueError.  Views made\n"
    "before keep the old mapping, which shows the same bytes.  OSError\n"
    "ESTALE when the name is gone, ENOSPC when /dev/shm is full.");
PyDoc_STRVAR(fileno_doc,
             "fileno($self, /)\n--\n\n"
             "A descriptor of the block, opened at the first call and closed\n"
             "by close().  OSError ESTALE when the name is gone.");
PyDoc_STRVAR(persist_doc,
             "persist($self, /)\n--\n\n"
             "Let the block outlive all processes: only an unlink removes\n"
             "it from now on.  OSError ESTALE when the name is gone, EPERM\n"
             "when the block is another user's.");
PyDoc_STRVAR(stat_doc,
             "stat($self, /)\n--\n\n"
             "Ask the system about the block: a BlockStat.\n\n"
             "OSError ESTALE when the name is gone.");

PyDoc_STRVAR(copy_in_doc,
             "copy_in($self, data, offset=0, /)\n--\n\n"
             "Copy the bytes of data into the block at offset, at the speed\n"
             "of memory and without the GIL.  Not atomic towards other\n"
             "processes.  ValueError when they do not fit, TypeError when\n"
             "the block is mapped read-only.");
PyDoc_STRVAR(copy_out_doc,
             "copy_out($self, buffer, offset=0, /)\n--\n\n"
             "Fill the writable buffer with the bytes of the block from\n"
             "offset on, as copy_in() does the other way.");

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef block_methods[] = {
    {"close", block_close, METH_NOARGS, close_doc},
    {"unlink", block_unlink, METH_NOARGS, unlink_doc},
    {"persist", block_persist, METH_NOARGS, persist_doc},
    {"resize", FASTCALL(block_resize), METH_FASTCALL, resize_doc},
    {"fileno", block_fileno, METH_NOARGS, fileno_doc},
    {"stat", block_stat, METH_NOARGS, stat_doc},
    {"copy_in", FASTCALL(block_copy_in), METH_FASTCALL, copy_in_doc},
    {"copy_out", FASTCALL(block_copy_out), METH_FASTCALL, copy_out_doc},
    {"__enter__", block_enter, METH_NOARGS, NULL},
    {"__exit__", FASTCALL(block_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(block_doc,
             "Block(name=None, create=False, size=0, *, track=True, "
             "mode=0o600, read_only=False, lifetime=None, sparse=False, "
             "prefault=False, exist_ok=False, flags=None, huge=None, "
             "private=False, offset=0, length=None, lock=False, numa=None)"
             "\n--\n\n"
             "The C half of shmkit.shared_memory.SharedMemory.");

static PyType_Slot block_slots[] = {
    {Py_tp_doc, (void *)block_doc},
    {Py_tp_new, block_new},
    {Py_tp_init, block_init},
    {Py_tp_finalize, block_finalize},
    {Py_tp_dealloc, block_dealloc},
    {Py_tp_traverse, block_traverse},
    {Py_tp_clear, block_clear},
    {Py_tp_methods, block_methods},
    {Py_tp_getset, block_getset},
    {Py_bf_getbuffer, block_getbuffer},
    {Py_bf_releasebuffer, block_releasebuffer},
    {0, NULL},
};

PyType_Spec block_spec = {
    .name = "shmkit._core.Block",
    .basicsize = sizeof(BlockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = block_slots,
};
