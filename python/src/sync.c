/* SPDX-License-Identifier: MIT */
/* sync.c - what all objects of shmkit.synchronize have in common.
 *
 * In shared memory an object is what <shmkit/sync.h> says it is, and nothing
 * more: no byte of it is Python's.  Unnamed ones are allocations in the
 * family's arena, of which this object owns a share from __init__() or
 * _adopt() to its death; a named one is the root "object" of an arena of its
 * own, which the ArenaObject keeps mapped.  Making an unnamed one is therefore
 * an allocation and no system call.
 *
 * In this process a SyncObject remembers, besides the address, who acquired
 * through it.  The library knows owners as processes, and only the rlock as
 * threads; repr(), wait() and notify() want to know the thread.  The number is
 * written by whoever holds the lock, with the GIL held, and is a hint: what
 * may be done to a lock the library decides.
 *
 * Blocking: each call tries once with the GIL held, which is what nearly all
 * calls come to; then it lets the GIL go and waits.  A signal interrupts the
 * wait, run_handlers() runs Python's handlers, and an exception of theirs
 * (Ctrl-C) ends it.
 *
 * A process killed anywhere in here leaves its share of the place and what it
 * held; both are the library's to give back. */
#include "sync.h"
#include "core.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char died_text[] =
    "the last owner of this object died while it held it; what it guards may "
    "be half changed";

_Thread_local char sync_here;

/* ---- arguments ---- */

/* Called when there may be a signal: true ends the wait.  A handler may wait
 * itself, and leaves no hook behind: put it back. */
static int
run_handlers(void *arg)
{
    struct sync_blocked *blocked = arg;
    int r;

    PyEval_RestoreThread(blocked->thread);
    r = PyErr_CheckSignals();
    blocked->thread = PyEval_SaveThread();
    shmkit_wait_hook(run_handlers, blocked);
    return r;
}

/* Handlers run in the main thread only: others need not take the GIL.  Asked
 * once a thread, and again in a forked child. */
static int
is_main_thread(void)
{
    static _Thread_local pid_t asked_in
        __attribute__((tls_model("initial-exec")));
    static _Thread_local int is_main
        __attribute__((tls_model("initial-exec")));
    pid_t pid = getpid();

    if (asked_in != pid) {
        asked_in = pid;
        is_main = gettid() == pid;
    }
    return is_main;
}

void
sync_block_begin(struct sync_blocked *blocked)
{
    blocked->thread = PyEval_SaveThread();
    if (is_main_thread())
        shmkit_wait_hook(run_handlers, blocked);
}

void
sync_block_end(struct sync_blocked *blocked)
{
    shmkit_wait_hook(NULL, NULL);
    PyEval_RestoreThread(blocked->thread);
}

int
sync_deadline(PyObject *block, PyObject *timeout, int64_t *ret)
{
    int blocking = flag_of(block, 1);
    double seconds = 0;

    if (blocking < 0)
        return -1;
    if (timeout != NULL && timeout != Py_None) {
        seconds = PyFloat_AsDouble(timeout);
        if (seconds == -1.0 && PyErr_Occurred())
            return -1;
    } else {
        timeout = NULL;
    }
    if (!blocking)
        *ret = SHMKIT_TRY;
    else
        *ret = timeout == NULL ? SHMKIT_FOREVER : shmkit_deadline(seconds);
    return 0;
}

/* Put positional and keyword arguments in their places in `ret`. */
static int
spread(PyObject *const *args, Py_ssize_t count, PyObject *names,
       PyObject *const *known, PyObject **ret, Py_ssize_t places)
{
    Py_ssize_t i, k, given = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    PyObject *key;

    if (count > places) {
        PyErr_Format(PyExc_TypeError,
                     "takes at most %zd arguments (%zd given)", places, count);
        return -1;
    }
    for (i = 0; i < count; i++)
        ret[i] = args[i];
    for (i = 0; i < given; i++) {
        key = PyTuple_GET_ITEM(names, i);
        for (k = 0; k < places; k++) {
            if (known[k] == key || PyUnicode_Compare(known[k], key) == 0)
                break;
        }
        if (k == places || ret[k] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         k == places ? "unexpected keyword argument '%U'"
                                     : "multiple values for argument '%U'",
                         key);
            return -1;
        }
        ret[k] = args[count + i];
    }
    return 0;
}

int
sync_parse_acquire(sync_state *state, PyObject *const *args, Py_ssize_t count,
                   PyObject *names, int64_t *ret)
{
    PyObject *known[] = {state->str_block, state->str_timeout};
    PyObject *got[] = {NULL, NULL};

    if (spread(args, count, names, known, got, 2) < 0)
        return -1;
    return sync_deadline(got[0], got[1], ret);
}

int
sync_parse_timeout(sync_state *state, PyObject *const *args, Py_ssize_t count,
                   PyObject *names, PyObject **ret)
{
    return spread(args, count, names, &state->str_timeout, ret, 1);
}

/* ---- results ---- */

PyObject *
sync_raise(int r)
{
    return core_raise(r, NULL);
}

/* To be called with the object held. */
int
sync_report_death(SyncObject *self)
{
    PyObject *result;

    self->died = 1;
    if (self->on_death == NULL)
        return PyErr_WarnEx(self->state->died_warning, died_text, 1);
    if (self->on_death == self->state->str_raise) {
        PyErr_SetString(self->state->died_error, died_text);
        return -1;
    }
    result =
        PyObject_CallFunctionObjArgs(self->on_death, (PyObject *)self, NULL);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    self->died = 0;
    if (self->kind->mark != NULL)
        self->kind->mark(self);
    return 0;
}

/* Release, whatever that says, and keep the exception. */
static PyObject *
give_back(SyncObject *self, int (*release)(SyncObject *self))
{
    PyObject *type, *value, *trace;

    PyErr_Fetch(&type, &value, &trace);
    release(self);
    PyErr_Restore(type, value, trace);
    return NULL;
}

PyObject *
sync_result(SyncObject *self, int r, int (*release)(SyncObject *self))
{
    if (r == SHMKIT_OWNER_DIED && sync_report_death(self) < 0)
        return give_back(self, release);
    if (r >= 0)
        Py_RETURN_TRUE;
    if (r == -ETIMEDOUT)
        Py_RETURN_FALSE;
    if (r == -EINTR && PyErr_Occurred())
        return NULL;
    return sync_raise(r);
}

int
sync_not_made(SyncObject *self)
{
    PyErr_Format(PyExc_RuntimeError, "%s.__init__() not called",
                 self->kind->class_name);
    return -1;
}

/* ---- places ---- */

static void
drop(SyncObject *self)
{
    if (self->offset != 0)
        (void)shmkit_arena_free(self->arena, self->offset);
    self->offset = 0;
    self->place = NULL;
    Py_CLEAR(self->home);
}

/* The arena to look into: that of the name, of the lock, or the family's. */
static int
find_arena(SyncObject *self)
{
    int r;

    if (self->home != NULL) {
        self->arena = self->home->arena;
        return 0;
    }
    r = shmkit_arena_of_family(&self->arena);
    if (r < 0)
        sync_raise(r);
    return r < 0 ? -1 : 0;
}

/* Map `size` bytes, or as many as the object says it has. */
static int
take_place(SyncObject *self, uint64_t offset, uint64_t room)
{
    const struct sync_kind *kind = self->kind;
    void *place = NULL;
    size_t size = 0;

    if (room >= kind->least)
        place = shmkit_arena_at(self->arena, offset, kind->least);
    if (place != NULL)
        size = kind->size_of(self, place);
    if (size == 0 || size > room ||
        shmkit_arena_at(self->arena, offset, size) == NULL) {
        PyErr_Format(PyExc_ValueError, "there is no %s of this shape",
                     kind->class_name);
        return -1;
    }
    self->place = place;
    return 0;
}

static int
make_new(SyncObject *self, size_t size, void *init_arg)
{
    int r = shmkit_arena_alloc(self->arena, size, &self->offset);

    if (r < 0) {
        self->offset = 0;
        sync_raise(r);
        return -1;
    }
    self->place = shmkit_arena_at(self->arena, self->offset, size);
    if (self->place == NULL) {
        PyErr_SetString(PyExc_MemoryError, "an allocation outside its arena");
        return -1;
    }
    self->kind->init(self->place, init_arg);
    return 0;
}

/* The size counts only if nobody was here before. */
static int
make_named(SyncObject *self, const char *root, size_t size, void *init_arg)
{
    uint32_t type = self->kind->root_type;
    uint64_t offset, room;
    int r;

    r = shmkit_arena_root_find(self->arena, root, type, &offset, &room);
    if (r == -ENOENT) {
        r = shmkit_arena_root(
            self->arena,
            &(struct shmkit_root){root, type, size, self->kind->init,
                                  init_arg},
            &offset);
        if (r >= 0 || r == -EEXIST)
            r = shmkit_arena_root_find(self->arena, root, type, &offset,
                                       &room);
    }
    if (r == -EEXIST) {
        PyErr_Format(PyExc_FileExistsError, "%R is there, but it is no %s",
                     self->name, self->kind->class_name);
        return -1;
    }
    if (r < 0) {
        sync_raise(r);
        return -1;
    }
    return take_place(self, offset, room);
}

int
sync_make(SyncObject *self, size_t size, void *init_arg)
{
    PyObject *home;

    drop(self);
    if (self->name != NULL) {
        home = PyObject_CallMethodObjArgs(
            (PyObject *)self, self->state->str_open, self->name, NULL);
        if (home == NULL)
            return -1;
        if (Py_TYPE(home) != self->state->arena_type) {
            PyErr_SetString(PyExc_TypeError, "_open_home() gave no Arena");
            Py_DECREF(home);
            return -1;
        }
        self->home = (ArenaObject *)home;
    } else if (self->lock != NULL) {
        self->home = ((SyncObject *)self->lock)->home;
        Py_XINCREF(self->home);
    }
    if (find_arena(self) < 0)
        return -1;
    return self->name != NULL ? make_named(self, "object", size, init_arg)
                              : make_new(self, size, init_arg);
}

/* ---- options ---- */

static int
take_ctx(SyncObject *self, PyObject *ctx)
{
    PyObject *found;

    if (ctx == NULL || ctx == Py_None)
        found = PyObject_CallMethodNoArgs((PyObject *)self,
                                          self->state->str_default_context);
    else
        found = Py_NewRef(ctx);
    if (found == NULL)
        return -1;
    Py_XSETREF(self->ctx, found);
    return 0;
}

static int
take_name(SyncObject *self, PyObject *name)
{
    if (name == NULL || name == Py_None) {
        Py_CLEAR(self->name);
        return 0;
    }
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "name must be str or None, not %.100s",
                     Py_TYPE(name)->tp_name);
        return -1;
    }
    Py_XSETREF(self->name, Py_NewRef(name));
    return 0;
}

static int
take_on_death(SyncObject *self, PyObject *on_death)
{
    PyObject *raise = self->state->str_raise;

    if (on_death == NULL)
        return 0;
    if (PyUnicode_Check(on_death)) {
        if (PyUnicode_CompareWithASCIIString(on_death, "warn") == 0) {
            Py_CLEAR(self->on_death);
            return 0;
        }
        if (PyUnicode_Compare(on_death, raise) == 0) {
            Py_XSETREF(self->on_death, Py_NewRef(raise));
            return 0;
        }
    } else if (PyCallable_Check(on_death)) {
        Py_XSETREF(self->on_death, Py_NewRef(on_death));
        return 0;
    }
    PyErr_SetString(PyExc_ValueError,
                    "on_owner_death must be 'warn', 'raise' or a callable");
    return -1;
}

int
sync_take_options(SyncObject *self, PyObject *ctx, PyObject *name,
                  PyObject *on_death)
{
    if (take_ctx(self, ctx) < 0 || take_name(self, name) < 0)
        return -1;
    return take_on_death(self, on_death);
}

/* ---- the base class ---- */

PyObject *
sync_new(PyTypeObject *type, const struct sync_kind *kind)
{
    core_state *state = core_state_of_type(type);
    SyncObject *self;

    if (state == NULL)
        return NULL;
    self = (SyncObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->state = &state->sync;
    self->kind = kind;
    return (PyObject *)self;
}

static int
base_traverse(PyObject *op, visitproc visit, void *arg)
{
    SyncObject *self = (SyncObject *)op;

    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->home);
    Py_VISIT(self->name);
    Py_VISIT(self->ctx);
    Py_VISIT(self->on_death);
    Py_VISIT(self->lock);
    Py_VISIT(self->action);
    Py_VISIT(self->timeout);
    return 0;
}

/* The place stays: a cycle's member may still be asked for something. */
static int
base_clear(PyObject *op)
{
    SyncObject *self = (SyncObject *)op;

    Py_CLEAR(self->name);
    Py_CLEAR(self->ctx);
    Py_CLEAR(self->on_death);
    Py_CLEAR(self->action);
    Py_CLEAR(self->timeout);
    return 0;
}

static void
base_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    SyncObject *self = (SyncObject *)op;

    PyObject_GC_UnTrack(op);
    base_clear(op);
    drop(self);
    Py_CLEAR(self->lock);
    type->tp_free(op);
    Py_DECREF(type);
}

/* (offset, serial) for a child; this object must outlive its adoption. */
static PyObject *
base_send(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    struct shmkit_ref ref;
    int r;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    if (self->offset == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this is part of a named object: send that");
        return NULL;
    }
    r = shmkit_arena_send(self->arena, self->offset, &ref);
    if (r < 0)
        return sync_raise(r);
    return Py_BuildValue("KK", (unsigned long long)ref.offset,
                         (unsigned long long)ref.serial);
}

static int
adopt(SyncObject *self, struct shmkit_ref ref)
{
    int r;

    if (find_arena(self) < 0)
        return -1;
    r = shmkit_arena_adopt(self->arena, ref);
    if (r < 0) {
        sync_raise(r);
        return -1;
    }
    self->offset = ref.offset;
    return take_place(self, ref.offset, UINT64_MAX);
}

/* _adopt(home, offset, serial): what _send() gave, in the child. */
static PyObject *
base_adopt(PyObject *op, PyObject *args)
{
    SyncObject *self = (SyncObject *)op;
    unsigned long long offset, serial;
    PyObject *home;

    if (!PyArg_ParseTuple(args, "OKK", &home, &offset, &serial))
        return NULL;
    if (home != Py_None && Py_TYPE(home) != self->state->arena_type) {
        PyErr_SetString(PyExc_TypeError, "home must be an Arena or None");
        return NULL;
    }
    drop(self);
    if (home != Py_None)
        self->home = (ArenaObject *)Py_NewRef(home);
    if (adopt(self, (struct shmkit_ref){offset, serial}) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* _join(home, root, name): the root of that name in an arena, for what a named
 * object consists of. */
static PyObject *
base_join(PyObject *op, PyObject *args)
{
    SyncObject *self = (SyncObject *)op;
    PyObject *home, *name;
    const char *root;

    if (!PyArg_ParseTuple(args, "O!sU", self->state->arena_type, &home, &root,
                          &name))
        return NULL;
    drop(self);
    self->home = (ArenaObject *)Py_NewRef(home);
    Py_XSETREF(self->name, Py_NewRef(name));
    if (find_arena(self) < 0 ||
        make_named(self, root, self->kind->least, NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
base_get_name(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    return Py_NewRef(self->name == NULL ? Py_None : self->name);
}

static PyObject *
base_get_home(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    return Py_NewRef(self->home == NULL ? Py_None : (PyObject *)self->home);
}

static PyObject *
base_get_on_death(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    if (self->on_death == NULL)
        return PyUnicode_FromString("warn");
    return Py_NewRef(self->on_death);
}

static int
base_set_on_death(PyObject *op, PyObject *value, void *closure)
{
    (void)closure;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete on_owner_death");
        return -1;
    }
    return take_on_death((SyncObject *)op, value);
}

static PyObject *
base_get_ctx(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    return Py_NewRef(self->ctx == NULL ? Py_None : self->ctx);
}

static PyObject *
base_get_offset(PyObject *op, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(((SyncObject *)op)->offset);
}

static PyMethodDef base_methods[] = {
    {"_send", base_send, METH_NOARGS, NULL},
    {"_adopt", base_adopt, METH_VARARGS, NULL},
    {"_join", base_join, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    on_death_doc,
    "What an acquire does that takes over from a dead owner: 'warn',\n"
    "'raise', or a function of the lock, called with the lock held.");

static PyGetSetDef base_getset[] = {
    {"name", base_get_name, NULL, "Its name, or None.", NULL},
    {"on_owner_death", base_get_on_death, base_set_on_death, on_death_doc,
     NULL},
    {"_home", base_get_home, NULL, NULL, NULL},
    {"_ctx", base_get_ctx, NULL, NULL, NULL},
    {"_offset", base_get_offset, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot base_slots[] = {
    {Py_tp_dealloc, base_dealloc}, {Py_tp_traverse, base_traverse},
    {Py_tp_clear, base_clear},     {Py_tp_methods, base_methods},
    {Py_tp_getset, base_getset},   {0, NULL},
};

PyType_Spec base_spec = {
    .name = "shmkit._core.SyncObject",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
#ifdef Py_TPFLAGS_DISALLOW_INSTANTIATION
             | Py_TPFLAGS_DISALLOW_INSTANTIATION
#endif
    ,
    .slots = base_slots,
};

/* ---- the arena of a name ---- */

/* Address space is for what one object takes, not for 64 GiB. */
static int
open_arena(const char *name, int create, shmkit_arena **ret)
{
    struct shmkit_arena_options options = SHMKIT_ARENA_OPTIONS_INIT;
    int r;

    options.span = UINT64_C(16) << 20;
    if (!create)
        return shmkit_arena_attach(name, &options, ret);
    options.flags = SHMKIT_EXIST_OK;
    Py_BEGIN_ALLOW_THREADS
    r = shmkit_arena_create(name, 4096, &options, ret);
    Py_END_ALLOW_THREADS
    return r;
}

static PyObject *
arena_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    ArenaObject *self;
    PyObject *name;
    const char *text;
    int r, create;

    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Arena takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "Up", &name, &create))
        return NULL;
    text = file_name(name);
    if (text == NULL)
        return NULL;
    self = (ArenaObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    r = open_arena(text, create, &self->arena);
    if (r < 0) {
        Py_DECREF(self);
        return core_raise(r, name);
    }
    return (PyObject *)self;
}

static void
arena_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    ArenaObject *self = (ArenaObject *)op;

    if (self->weak != NULL)
        PyObject_ClearWeakRefs(op);
    shmkit_arena_close(self->arena);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef arena_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ArenaObject, weak), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot arena_slots[] = {
    {Py_tp_new, arena_new},
    {Py_tp_dealloc, arena_dealloc},
    {Py_tp_members, arena_members},
    {0, NULL},
};

PyType_Spec arena_spec = {
    .name = "shmkit._core.Arena",
    .basicsize = sizeof(ArenaObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = arena_slots,
};
