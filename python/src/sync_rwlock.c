/* SPDX-License-Identifier: MIT */
/* sync_rwlock.c - RWLock, and its two sides.
 *
 * RWLock.reader and RWLock.writer are lock-like objects, for `with` and for
 * code that is handed a lock; they refer to the RWLock and keep nothing.  A
 * read lock belongs to the thread that took it: it stands in that thread's
 * lane in shared memory, not in the object. */
#include "core.h"
#include "sync.h"

#include <errno.h>

#define RWLOCK(self) ((shmkit_rwlock *)(self)->place)

typedef struct {
    PyObject_HEAD
    SyncObject *lock;
    int write;
} SideObject;

static size_t
rwlock_size_of(SyncObject *self, const void *place)
{
    (void)self;
    (void)place;
    return sizeof(shmkit_rwlock);
}

static void
rwlock_place_init(void *place, void *arg)
{
    (void)arg;
    shmkit_rwlock_init(place);
}

static void
rwlock_mark(SyncObject *self)
{
    shmkit_rwlock_mark_consistent(RWLOCK(self));
}

static const struct sync_kind rwlock_kind = {
    "RWLock",       SHMKIT_OBJECT_RWLOCK, sizeof(shmkit_rwlock),
    rwlock_size_of, rwlock_place_init,    rwlock_mark,
};

static PyObject *
rwlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &rwlock_kind);
}

/* _init(ctx, name, on_owner_death). */
static PyObject *
rwlock_setup(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncObject *self = (SyncObject *)op;

    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "_init() takes three arguments");
        return NULL;
    }
    if (sync_take_options(self, args[0], args[1], args[2]) < 0 ||
        sync_make(self, sizeof(shmkit_rwlock), NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- acquire and release ---- */

static int
let_reader_go(SyncObject *self)
{
    return shmkit_rwlock_release_read(self->arena, RWLOCK(self));
}

static int
let_writer_go(SyncObject *self)
{
    return shmkit_rwlock_release_write(self->arena, RWLOCK(self));
}

static inline int
get(SyncObject *self, int write, int64_t deadline)
{
    if (write)
        return shmkit_rwlock_acquire_write(self->arena, RWLOCK(self),
                                           deadline);
    return shmkit_rwlock_acquire_read(self->arena, RWLOCK(self), deadline);
}

static PyObject *
acquire(SyncObject *self, int write, int64_t deadline)
{
    int r;

    if (sync_check(self) < 0)
        return NULL;
    r = get(self, write, SHMKIT_TRY);
    if (r == -ETIMEDOUT && deadline != SHMKIT_TRY)
        SYNC_BLOCK(r = get(self, write, deadline));
    if (r == 0)
        Py_RETURN_TRUE;
    if (r == -EDEADLK) {
        PyErr_SetString(PyExc_RuntimeError,
                        write ? "this thread reads under the lock already"
                              : "this thread writes under the lock already");
        return NULL;
    }
    return sync_result(self, r, write ? let_writer_go : let_reader_go);
}

static PyObject *
release(SyncObject *self, int write)
{
    int r;

    if (sync_check(self) < 0)
        return NULL;
    r = write ? let_writer_go(self) : let_reader_go(self);
    if (r == -EPERM || r == -EOVERFLOW) {
        PyErr_SetString(PyExc_AssertionError,
                        "attempt to release a lock not owned by thread");
        return NULL;
    }
    if (r < 0)
        return sync_raise(r);
    Py_RETURN_NONE;
}

static PyObject *
acquire_side(SyncObject *self, int write, PyObject *const *args,
             Py_ssize_t count, PyObject *names)
{
    int64_t deadline = SHMKIT_FOREVER;

    if ((count != 0 || names != NULL) &&
        sync_parse_acquire(self->state, args, count, names, &deadline) < 0)
        return NULL;
    return acquire(self, write, deadline);
}

static PyObject *
rwlock_acquire_read(PyObject *op, PyObject *const *args, Py_ssize_t count,
                    PyObject *names)
{
    return acquire_side((SyncObject *)op, 0, args, count, names);
}

static PyObject *
rwlock_acquire_write(PyObject *op, PyObject *const *args, Py_ssize_t count,
                     PyObject *names)
{
    return acquire_side((SyncObject *)op, 1, args, count, names);
}

static PyObject *
rwlock_release_read(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return release((SyncObject *)op, 0);
}

static PyObject *
rwlock_release_write(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return release((SyncObject *)op, 1);
}

/* ---- looking at it ---- */

static PyObject *
rwlock_mark_consistent(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    rwlock_mark(self);
    Py_RETURN_NONE;
}

static PyObject *
rwlock_stat(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    struct shmkit_lock_stat stat;
    uint32_t readers = 0;
    int r;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    r = shmkit_rwlock_get_stat(self->arena, RWLOCK(self), &stat, &readers);
    if (r < 0)
        return sync_raise(r);
    return sync_lock_stat(self, &stat, readers);
}

static PyObject *
rwlock_get_owner_died(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    if (sync_check(self) < 0)
        return NULL;
    return PyBool_FromLong(
        __atomic_load_n(&RWLOCK(self)->writer.died, __ATOMIC_RELAXED) & 1);
}

static PyObject *
rwlock_get_side(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;
    PyTypeObject *type = self->state->side_type;
    SideObject *side = (SideObject *)type->tp_alloc(type, 0);

    if (side == NULL)
        return NULL;
    side->lock = (SyncObject *)Py_NewRef(op);
    side->write = closure != NULL;
    return (PyObject *)side;
}

PyDoc_STRVAR(read_doc,
             "acquire_read($self, /, block=True, timeout=None)\n--\n\n"
             "Acquire to read, together with other readers.  A thread may\n"
             "read again what it reads.");
PyDoc_STRVAR(write_doc,
             "acquire_write($self, /, block=True, timeout=None)\n--\n\n"
             "Acquire to write, alone.  RuntimeError if this thread reads.");
PyDoc_STRVAR(unread_doc,
             "release_read($self, /)\n--\n\nBy the thread that reads.");
PyDoc_STRVAR(unwrite_doc,
             "release_write($self, /)\n--\n\nBy the process that writes.");
PyDoc_STRVAR(mark_doc,
             "mark_consistent($self, /)\n--\n\n"
             "By the writer: what the lock guards is sound again.");
PyDoc_STRVAR(stat_doc,
             "stat($self, /)\n--\n\nWho writes, how many read: a LockStat.");

static PyMethodDef rwlock_methods[] = {
    {"_init", SYNC_FASTCALL(rwlock_setup), METH_FASTCALL, NULL},
    {"acquire_read", SYNC_FASTCALL(rwlock_acquire_read), SYNC_FLAGS, read_doc},
    {"acquire_write", SYNC_FASTCALL(rwlock_acquire_write), SYNC_FLAGS,
     write_doc},
    {"release_read", rwlock_release_read, METH_NOARGS, unread_doc},
    {"release_write", rwlock_release_write, METH_NOARGS, unwrite_doc},
    {"mark_consistent", rwlock_mark_consistent, METH_NOARGS, mark_doc},
    {"stat", rwlock_stat, METH_NOARGS, stat_doc},
    {NULL, NULL, 0, NULL},
};

static char write_side;

static PyGetSetDef rwlock_getset[] = {
    {"reader", rwlock_get_side, NULL, "The lock to read under.", NULL},
    {"writer", rwlock_get_side, NULL, "The lock to write under.", &write_side},
    {"owner_died", rwlock_get_owner_died, NULL,
     "Whether a writer died writing and nobody has called "
     "mark_consistent() since.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot rwlock_slots[] = {
    {Py_tp_new, rwlock_new},
    {Py_tp_methods, rwlock_methods},
    {Py_tp_getset, rwlock_getset},
    {0, NULL},
};

PyType_Spec rwlock_spec = {
    .name = "shmkit._core.RWLock",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = rwlock_slots,
};

/* ---- a side ---- */

static PyObject *
side_acquire(PyObject *op, PyObject *const *args, Py_ssize_t count,
             PyObject *names)
{
    SideObject *self = (SideObject *)op;

    return acquire_side(self->lock, self->write, args, count, names);
}

static PyObject *
side_release(PyObject *op, PyObject *ignored)
{
    SideObject *self = (SideObject *)op;

    (void)ignored;
    return release(self->lock, self->write);
}

static PyObject *
side_enter(PyObject *op, PyObject *ignored)
{
    SideObject *self = (SideObject *)op;

    (void)ignored;
    return acquire(self->lock, self->write, SHMKIT_FOREVER);
}

static PyObject *
side_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return side_release(op, NULL);
}

static int
side_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((SideObject *)op)->lock);
    return 0;
}

static void
side_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    Py_CLEAR(((SideObject *)op)->lock);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(side_acquire_doc,
             "acquire($self, /, block=True, timeout=None)\n--\n\n"
             "As acquire_read() or acquire_write() of the RWLock.");
PyDoc_STRVAR(side_release_doc,
             "release($self, /)\n--\n\n"
             "As release_read() or release_write() of the RWLock.");

static PyMethodDef side_methods[] = {
    {"acquire", SYNC_FASTCALL(side_acquire), SYNC_FLAGS, side_acquire_doc},
    {"release", side_release, METH_NOARGS, side_release_doc},
    {"__enter__", side_enter, METH_NOARGS, NULL},
    {"__exit__", SYNC_FASTCALL(side_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot side_slots[] = {
    {Py_tp_dealloc, side_dealloc},
    {Py_tp_traverse, side_traverse},
    {Py_tp_methods, side_methods},
    {0, NULL},
};

PyType_Spec side_spec = {
    .name = "shmkit._core.RWLockSide",
    .basicsize = sizeof(SideObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_DISALLOW_INSTANTIATION
#endif
    ,
    .slots = side_slots,
};
