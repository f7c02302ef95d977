/* SPDX-License-Identifier: MIT */
/* sync_lock.c - Lock and RLock.
 *
 * The methods take the place of those of the standard SemLock: acquire(block,
 * timeout), release(), `with`; so their fast paths decide whether a program
 * gets faster or slower by shmkit.  Each is one call of the library with the
 * GIL held, and a store.
 *
 * `owner` is written by the thread that holds the lock, after the acquire and
 * before the release.  A Lock may be released by another thread or process;
 * `owner` is then out of date until the next acquire through this object, as
 * it is in the standard library.
 *
 * Conditions, and shmkit_py_lock_enter(), reach the same functions by the kind
 * of the object.  The kind is told by tp_new, which a Python subclass
 * inherits: no state is needed for the question. */
#include "core.h"
#include "sync.h"

#include <errno.h>

#define ONCE(self) ((shmkit_lock *)(self)->place)
#define AGAIN(self) ((shmkit_rlock *)(self)->place)

static const char too_often[] = "semaphore or lock released too many times";
static const char not_owned[] =
    "attempt to release recursive lock not owned by thread";

/* ---- kinds ---- */

static size_t
lock_size_of(SyncObject *self, const void *place)
{
    (void)self;
    (void)place;
    return sizeof(shmkit_lock);
}

static size_t
rlock_size_of(SyncObject *self, const void *place)
{
    (void)self;
    (void)place;
    return sizeof(shmkit_rlock);
}

static void
lock_place_init(void *place, void *arg)
{
    (void)arg;
    shmkit_lock_init(place);
}

static void
rlock_place_init(void *place, void *arg)
{
    (void)arg;
    shmkit_rlock_init(place);
}

static void
lock_mark(SyncObject *self)
{
    shmkit_lock_mark_consistent(ONCE(self));
}

static void
rlock_mark(SyncObject *self)
{
    shmkit_rlock_mark_consistent(AGAIN(self));
}

static const struct sync_kind lock_kind = {
    "Lock",       SHMKIT_OBJECT_LOCK, sizeof(shmkit_lock),
    lock_size_of, lock_place_init,    lock_mark,
};
static const struct sync_kind rlock_kind = {
    "RLock",       SHMKIT_OBJECT_RLOCK, sizeof(shmkit_rlock),
    rlock_size_of, rlock_place_init,    rlock_mark,
};

static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &lock_kind);
}

static PyObject *
rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &rlock_kind);
}

int
sync_kind_of(PyObject *op)
{
    newfunc new = Py_TYPE(op)->tp_new;

    if (new == lock_new)
        return SYNC_LOCK;
    return new == rlock_new ? SYNC_RLOCK : SYNC_NO_LOCK;
}

/* Lock(*, ctx=None, name=None, on_owner_death="warn"). */
static int
lock_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    SyncObject *self = (SyncObject *)op;
    PyObject *got[3] = {NULL, NULL, NULL}, *key, *value;
    PyObject *const known[3] = {self->state->str_ctx, self->state->str_name,
                                self->state->str_on_death};
    Py_ssize_t pos = 0;
    int i;

    if (PyTuple_GET_SIZE(args) != 0) {
        PyErr_Format(PyExc_TypeError, "%s() takes no positional arguments",
                     self->kind->class_name);
        return -1;
    }
    while (kwargs != NULL && PyDict_Next(kwargs, &pos, &key, &value)) {
        for (i = 0; i < 3 && known[i] != key; i++)
            if (PyUnicode_Compare(known[i], key) == 0)
                break;
        if (i == 3) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'",
                         self->kind->class_name, key);
            return -1;
        }
        got[i] = value;
    }
    if (sync_take_options(self, got[0], got[1], got[2]) < 0)
        return -1;
    return sync_make(self, self->kind->least, NULL);
}

/* ---- acquire ---- */

static int
lock_let_go(SyncObject *self)
{
    self->owner = 0;
    return shmkit_lock_release(self->arena, ONCE(self));
}

static int
rlock_let_go(SyncObject *self)
{
    return shmkit_rlock_release(self->arena, AGAIN(self));
}

static PyObject *
lock_wait(SyncObject *self, int64_t deadline)
{
    int r = -ETIMEDOUT;

    if (deadline != SHMKIT_TRY)
        SYNC_BLOCK(r = shmkit_lock_acquire(self->arena, ONCE(self), deadline));
    if (r >= 0)
        self->owner = sync_me(self);
    return sync_result(self, r, lock_let_go);
}

static inline PyObject *
lock_get(SyncObject *self, int64_t deadline)
{
    int r;

    if (sync_check(self) < 0)
        return NULL;
    r = shmkit_lock_acquire(self->arena, ONCE(self), SHMKIT_TRY);
    if (r == -ETIMEDOUT)
        return lock_wait(self, deadline);
    if (r >= 0) {
        self->owner = sync_me(self);
        if (r == 0)
            Py_RETURN_TRUE;
    }
    return sync_result(self, r, lock_let_go);
}

static PyObject *
rlock_wait(SyncObject *self, int64_t deadline)
{
    int r = -ETIMEDOUT;

    if (deadline != SHMKIT_TRY)
        SYNC_BLOCK(
            r = shmkit_rlock_acquire(self->arena, AGAIN(self), deadline));
    return sync_result(self, r, rlock_let_go);
}

static inline PyObject *
rlock_get(SyncObject *self, int64_t deadline)
{
    int r;

    if (sync_check(self) < 0)
        return NULL;
    r = shmkit_rlock_acquire(self->arena, AGAIN(self), SHMKIT_TRY);
    if (r == 0)
        Py_RETURN_TRUE;
    if (r == -ETIMEDOUT)
        return rlock_wait(self, deadline);
    return sync_result(self, r, rlock_let_go);
}

static PyObject *
lock_acquire(PyObject *op, PyObject *const *args, Py_ssize_t count,
             PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    int64_t deadline = SHMKIT_FOREVER;

    if ((count != 0 || names != NULL) &&
        sync_parse_acquire(self->state, args, count, names, &deadline) < 0)
        return NULL;
    return lock_get(self, deadline);
}

static PyObject *
rlock_acquire(PyObject *op, PyObject *const *args, Py_ssize_t count,
              PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    int64_t deadline = SHMKIT_FOREVER;

    if ((count != 0 || names != NULL) &&
        sync_parse_acquire(self->state, args, count, names, &deadline) < 0)
        return NULL;
    return rlock_get(self, deadline);
}

static PyObject *
lock_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return lock_get((SyncObject *)op, SHMKIT_FOREVER);
}

static PyObject *
rlock_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return rlock_get((SyncObject *)op, SHMKIT_FOREVER);
}

/* ---- release ---- */

static PyObject *
release_failed(int r)
{
    if (r == -EOVERFLOW)
        PyErr_SetString(PyExc_ValueError, too_often);
    else if (r == -EPERM)
        PyErr_SetString(PyExc_AssertionError, not_owned);
    else
        return sync_raise(r);
    return NULL;
}

static PyObject *
lock_release(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    int r;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    r = lock_let_go(self);
    if (r < 0)
        return release_failed(r);
    Py_RETURN_NONE;
}

static PyObject *
rlock_release(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    int r;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    r = rlock_let_go(self);
    if (r < 0)
        return release_failed(r);
    Py_RETURN_NONE;
}

static PyObject *
lock_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return lock_release(op, NULL);
}

static PyObject *
rlock_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return rlock_release(op, NULL);
}

/* ---- for conditions and values ---- */

int
sync_lock_is_mine(SyncObject *self, int kind)
{
    if (self->place == NULL)
        return 0;
    if (kind == SYNC_RLOCK)
        return shmkit_rlock_get_depth(self->arena, AGAIN(self)) != 0;
    return self->owner == sync_me(self);
}

PyObject *
sync_lock_acquire_for(SyncObject *self, int kind, int64_t deadline)
{
    return kind == SYNC_RLOCK ? rlock_get(self, deadline)
                              : lock_get(self, deadline);
}

PyObject *
sync_lock_release_for(SyncObject *self, int kind)
{
    return kind == SYNC_RLOCK ? rlock_release((PyObject *)self, NULL)
                              : lock_release((PyObject *)self, NULL);
}

static int
done_with(PyObject *result)
{
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

int
shmkit_py_lock_enter(PyObject *lock)
{
    newfunc new = Py_TYPE(lock)->tp_new;

    if (new == rlock_new)
        return done_with(rlock_get((SyncObject *)lock, SHMKIT_FOREVER));
    if (new == lock_new)
        return done_with(lock_get((SyncObject *)lock, SHMKIT_FOREVER));
    if (sync_is_semaphore(lock))
        return done_with(sync_semaphore_enter((SyncObject *)lock));
    return done_with(PyObject_CallMethod(lock, "acquire", NULL));
}

int
shmkit_py_lock_leave(PyObject *lock)
{
    newfunc new = Py_TYPE(lock)->tp_new;

    if (new == rlock_new)
        return done_with(rlock_release(lock, NULL));
    if (new == lock_new)
        return done_with(lock_release(lock, NULL));
    if (sync_is_semaphore(lock))
        return done_with(sync_semaphore_leave((SyncObject *)lock));
    return done_with(PyObject_CallMethod(lock, "release", NULL));
}

/* ---- looking at it ---- */

static shmkit_lock *
inner(SyncObject *self)
{
    return sync_kind_of((PyObject *)self) == SYNC_RLOCK ? &AGAIN(self)->lock
                                                        : ONCE(self);
}

static PyObject *
lock_locked(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    return PyBool_FromLong(shmkit_lock_is_locked(inner(self)));
}

static PyObject *
lock_mark_consistent(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    if (!sync_lock_is_mine(self, sync_kind_of(op))) {
        PyErr_SetString(PyExc_AssertionError, "lock is not owned");
        return NULL;
    }
    self->kind->mark(self);
    Py_RETURN_NONE;
}

static PyObject *
lock_get_owner_died(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    if (sync_check(self) < 0)
        return NULL;
    return PyBool_FromLong(
        __atomic_load_n(&inner(self)->died, __ATOMIC_RELAXED) & 1);
}

static PyObject *
lock_stat(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    struct shmkit_lock_stat stat;
    int r;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    if (sync_kind_of(op) == SYNC_RLOCK)
        r = shmkit_rlock_get_stat(self->arena, AGAIN(self), &stat);
    else
        r = shmkit_lock_get_stat(self->arena, ONCE(self), &stat);
    if (r < 0)
        return sync_raise(r);
    return sync_lock_stat(self, &stat, 0);
}

/* Of the standard semaphore object: whether this thread holds it. */
static PyObject *
lock_is_mine(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(
        sync_lock_is_mine((SyncObject *)op, sync_kind_of(op)));
}

/* How often this process holds it, by whichever thread. */
static PyObject *
lock_count(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;
    struct shmkit_lock_stat stat;
    uint32_t depth = 1;
    int r;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    r = shmkit_lock_get_stat(self->arena, inner(self), &stat);
    if (r < 0)
        return sync_raise(r);
    if (stat.owner_pid == 0 || !sync_is_ours(stat.owner_pid))
        return PyLong_FromLong(0);
    if (sync_kind_of(op) == SYNC_RLOCK)
        depth = __atomic_load_n(&AGAIN(self)->depth, __ATOMIC_RELAXED);
    return PyLong_FromUnsignedLong(depth);
}

/* For a thread that goes on with what another of this process acquired. */
static PyObject *
lock_take_over(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    self->owner = sync_me(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, block=True, timeout=None)\n--\n\n"
             "Acquire the lock; True, or False if it could not be had in\n"
             "time.");
PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\nRelease the lock.");
PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nWhether anybody holds it.");
PyDoc_STRVAR(mark_doc,
             "mark_consistent($self, /)\n--\n\n"
             "By the holder: what the lock guards is sound again, so that\n"
             "the next to acquire is not told of the owner's death.");
PyDoc_STRVAR(stat_doc,
             "stat($self, /)\n--\n\nWho holds it, and more: a LockStat.");
PyDoc_STRVAR(died_doc,
             "Whether an owner died holding it and nobody has called\n"
             "mark_consistent() since.");

static PyMethodDef lock_methods[] = {
    {"acquire", SYNC_FASTCALL(lock_acquire), SYNC_FLAGS, acquire_doc},
    {"release", lock_release, METH_NOARGS, release_doc},
    {"__enter__", lock_enter, METH_NOARGS, NULL},
    {"__exit__", SYNC_FASTCALL(lock_exit), METH_FASTCALL, NULL},
    {"locked", lock_locked, METH_NOARGS, locked_doc},
    {"mark_consistent", lock_mark_consistent, METH_NOARGS, mark_doc},
    {"stat", lock_stat, METH_NOARGS, stat_doc},
    {"_is_mine", lock_is_mine, METH_NOARGS, NULL},
    {"_count", lock_count, METH_NOARGS, NULL},
    {"_take_over", lock_take_over, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    {"acquire", SYNC_FASTCALL(rlock_acquire), SYNC_FLAGS, acquire_doc},
    {"release", rlock_release, METH_NOARGS, release_doc},
    {"__enter__", rlock_enter, METH_NOARGS, NULL},
    {"__exit__", SYNC_FASTCALL(rlock_exit), METH_FASTCALL, NULL},
    {"locked", lock_locked, METH_NOARGS, locked_doc},
    {"mark_consistent", lock_mark_consistent, METH_NOARGS, mark_doc},
    {"stat", lock_stat, METH_NOARGS, stat_doc},
    {"_is_mine", lock_is_mine, METH_NOARGS, NULL},
    {"_count", lock_count, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lock_getset[] = {
    {"owner_died", lock_get_owner_died, NULL, died_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_new, lock_new},
    {Py_tp_init, lock_init},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, lock_getset},
    {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_new, rlock_new},
    {Py_tp_init, lock_init},
    {Py_tp_methods, rlock_methods},
    {Py_tp_getset, lock_getset},
    {0, NULL},
};

PyType_Spec lock_spec = {
    .name = "shmkit._core.Lock",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = lock_slots,
};

PyType_Spec rlock_spec = {
    .name = "shmkit._core.RLock",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = rlock_slots,
};
