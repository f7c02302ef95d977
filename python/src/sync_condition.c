/* SPDX-License-Identifier: MIT */
/* sync_condition.c - Condition and Event.
 *
 * A condition in shared memory is 16 bytes beside its lock; who waits stands
 * in the waiters' lanes.  A named one lies in an arena with an rlock of its
 * own, root "lock": programs that know nothing of each other find both.
 *
 * `lock` is set once, before the place is made, and stays until the object
 * dies.  Condition and lock lie in one arena, as the library asks.
 *
 * wait() returns with the lock held, whatever it returns or raises. */
#include "core.h"
#include "sync.h"

#include <errno.h>

#define CONDITION(self) ((shmkit_condition *)(self)->place)
#define EVENT(self) ((shmkit_event *)(self)->place)
#define INNER(self) ((SyncObject *)(self)->lock)

/* ---- kind ---- */

static size_t
condition_size_of(SyncObject *self, const void *place)
{
    (void)self;
    (void)place;
    return sizeof(shmkit_condition);
}

static void
condition_place_init(void *place, void *arg)
{
    (void)arg;
    shmkit_condition_init(place);
}

static const struct sync_kind condition_kind = {
    "Condition",       SHMKIT_OBJECT_CONDITION, sizeof(shmkit_condition),
    condition_size_of, condition_place_init,    NULL,
};

static PyObject *
condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &condition_kind);
}

static int
set_lock(SyncObject *self, PyObject *lock)
{
    if (sync_kind_of(lock) == SYNC_NO_LOCK ||
        sync_check((SyncObject *)lock) < 0) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError,
                         "a Condition of shmkit takes a Lock or an RLock of "
                         "shmkit, not %.100s",
                         Py_TYPE(lock)->tp_name);
        return -1;
    }
    if (self->lock != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the condition has its lock");
        return -1;
    }
    self->lock = Py_NewRef(lock);
    return 0;
}

/* _init(lock, ctx). */
static PyObject *
condition_setup(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncObject *self = (SyncObject *)op;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_init() takes two arguments");
        return NULL;
    }
    if (set_lock(self, args[0]) < 0 ||
        sync_take_options(self, args[1], NULL, NULL) < 0 ||
        sync_make(self, sizeof(shmkit_condition), NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
condition_set_lock(PyObject *op, PyObject *lock)
{
    if (set_lock((SyncObject *)op, lock) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- its lock's methods ---- */

static int
check(SyncObject *self)
{
    if (sync_check(self) < 0)
        return -1;
    if (self->lock != NULL)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "a Condition without a lock");
    return -1;
}

static PyObject *
condition_acquire(PyObject *op, PyObject *const *args, Py_ssize_t count,
                  PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    int64_t deadline = SHMKIT_FOREVER;

    if (check(self) < 0)
        return NULL;
    if ((count != 0 || names != NULL) &&
        sync_parse_acquire(self->state, args, count, names, &deadline) < 0)
        return NULL;
    return sync_lock_acquire_for(INNER(self), sync_kind_of(self->lock),
                                 deadline);
}

static PyObject *
condition_release(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (check(self) < 0)
        return NULL;
    return sync_lock_release_for(INNER(self), sync_kind_of(self->lock));
}

static PyObject *
condition_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return condition_acquire(op, NULL, 0, NULL);
}

static PyObject *
condition_exit(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return condition_release(op, NULL);
}

/* ---- wait ---- */

static int
check_mine(SyncObject *self, const char *text)
{
    if (check(self) < 0)
        return -1;
    if (sync_lock_is_mine(INNER(self), sync_kind_of(self->lock)))
        return 0;
    PyErr_SetString(PyExc_AssertionError, text);
    return -1;
}

static const char wait_text[] = "must acquire() condition before using wait()";

/* Whether this thread waits on a condition.  It has one place to stand while
 * it does, so a signal's handler that runs meanwhile cannot wait as well. */
static _Thread_local int waiting __attribute__((tls_model("initial-exec")));

static int
check_not_waiting(void)
{
    if (!waiting)
        return 0;
    PyErr_SetString(PyExc_RuntimeError,
                    "a signal handler cannot wait on a condition while the "
                    "thread it interrupted does");
    return -1;
}

/* Another thread may use the same Lock object meanwhile: `owner` is its own
 * while it holds the lock, and ours again when we do. */
static int
wait_on(SyncObject *self, int64_t deadline)
{
    SyncObject *lock = INNER(self);
    int r = 0;

    if (sync_kind_of(self->lock) == SYNC_RLOCK) {
        SYNC_BLOCK(r = shmkit_condition_wait_rlock(
                       self->arena, CONDITION(self), lock->place, deadline));
        return r;
    }
    lock->owner = 0;
    SYNC_BLOCK(r = shmkit_condition_wait(self->arena, CONDITION(self),
                                         lock->place, deadline));
    if (r != -EPERM)
        lock->owner = sync_me(lock);
    return r;
}

static PyObject *
condition_wait(PyObject *op, PyObject *const *args, Py_ssize_t count,
               PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    PyObject *timeout = NULL;
    int64_t deadline;
    int r;

    if ((count != 0 || names != NULL) &&
        sync_parse_timeout(self->state, args, count, names, &timeout) < 0)
        return NULL;
    if (check_mine(self, wait_text) < 0 ||
        sync_deadline(NULL, timeout, &deadline) < 0)
        return NULL;
    if (check_not_waiting() < 0)
        return NULL;
    waiting = 1;
    r = wait_on(self, deadline);
    waiting = 0;
    if (r == -EPERM) {
        PyErr_SetString(PyExc_AssertionError, wait_text);
        return NULL;
    }
    if (r == SHMKIT_OWNER_DIED && sync_report_death(INNER(self)) < 0)
        return NULL;
    return sync_result(self, r == SHMKIT_OWNER_DIED ? 0 : r, NULL);
}

/* ---- notify ---- */

static PyObject *
notify(SyncObject *self, uint32_t n)
{
    int r = 0;

    if (check_mine(self, "lock is not owned") < 0)
        return NULL;
    if (n > 0)
        r = shmkit_condition_notify(self->arena, CONDITION(self), n);
    if (r < 0)
        return sync_raise(r);
    Py_RETURN_NONE;
}

static int
number_of(PyObject *object, uint32_t *ret)
{
    long long n = PyLong_AsLongLong(object);

    if (n == -1 && PyErr_Occurred())
        return -1;
    if (n < 0)
        n = 0;
    *ret = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    return 0;
}

static PyObject *
condition_notify(PyObject *op, PyObject *const *args, Py_ssize_t count,
                 PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    Py_ssize_t given = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    uint32_t n = 1;

    if (count + given > 1 ||
        (given == 1 && PyUnicode_Compare(PyTuple_GET_ITEM(names, 0),
                                         self->state->str_n) != 0)) {
        PyErr_SetString(PyExc_TypeError, "notify() takes one argument, n");
        return NULL;
    }
    if (count + given == 1 && number_of(args[0], &n) < 0)
        return NULL;
    return notify(self, n);
}

static PyObject *
condition_notify_all(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return notify((SyncObject *)op, UINT32_MAX);
}

static PyObject *
condition_count_waiting(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(
        shmkit_condition_count_waiting(self->arena, CONDITION(self)));
}

static PyObject *
condition_get_lock(PyObject *op, void *closure)
{
    SyncObject *self = (SyncObject *)op;

    (void)closure;
    return Py_NewRef(self->lock == NULL ? Py_None : self->lock);
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, block=True, timeout=None)\n--\n\n"
             "Acquire the lock of the condition.");
PyDoc_STRVAR(release_doc,
             "release($self, /)\n--\n\nRelease the lock of the condition.");
PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Release the lock, wait to be notified, acquire it again: True,\n"
             "or False when not notified in time.");
PyDoc_STRVAR(notify_doc,
             "notify($self, /, n=1)\n--\n\n"
             "Let the n who have waited longest go on.");
PyDoc_STRVAR(notify_all_doc,
             "notify_all($self, /)\n--\n\nLet all who wait go on.");

static PyMethodDef condition_methods[] = {
    {"_init", SYNC_FASTCALL(condition_setup), METH_FASTCALL, NULL},
    {"_set_lock", condition_set_lock, METH_O, NULL},
    {"acquire", SYNC_FASTCALL(condition_acquire), SYNC_FLAGS, acquire_doc},
    {"release", condition_release, METH_NOARGS, release_doc},
    {"__enter__", condition_enter, METH_NOARGS, NULL},
    {"__exit__", SYNC_FASTCALL(condition_exit), METH_FASTCALL, NULL},
    {"wait", SYNC_FASTCALL(condition_wait), SYNC_FLAGS, wait_doc},
    {"notify", SYNC_FASTCALL(condition_notify), SYNC_FLAGS, notify_doc},
    {"notify_all", condition_notify_all, METH_NOARGS, notify_all_doc},
    {"_count_waiting", condition_count_waiting, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef condition_getset[] = {
    {"_lock", condition_get_lock, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_new, condition_new},
    {Py_tp_methods, condition_methods},
    {Py_tp_getset, condition_getset},
    {0, NULL},
};

PyType_Spec condition_spec = {
    .name = "shmkit._core.Condition",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = condition_slots,
};

/* ---- event ---- */

static size_t
event_size_of(SyncObject *self, const void *place)
{
    (void)self;
    (void)place;
    return sizeof(shmkit_event);
}

static void
event_place_init(void *place, void *arg)
{
    (void)arg;
    shmkit_event_init(place);
}

static const struct sync_kind event_kind = {
    "Event",       SHMKIT_OBJECT_EVENT, sizeof(shmkit_event),
    event_size_of, event_place_init,    NULL,
};

static PyObject *
event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    return sync_new(type, &event_kind);
}

/* _init(ctx, name). */
static PyObject *
event_setup(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    SyncObject *self = (SyncObject *)op;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_init() takes two arguments");
        return NULL;
    }
    if (sync_take_options(self, args[0], args[1], NULL) < 0 ||
        sync_make(self, sizeof(shmkit_event), NULL) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
event_is_set(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    return PyBool_FromLong(shmkit_event_is_set(EVENT(self)));
}

static PyObject *
event_set(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    shmkit_event_set(EVENT(self));
    Py_RETURN_NONE;
}

static PyObject *
event_clear(PyObject *op, PyObject *ignored)
{
    SyncObject *self = (SyncObject *)op;

    (void)ignored;
    if (sync_check(self) < 0)
        return NULL;
    shmkit_event_clear(EVENT(self));
    Py_RETURN_NONE;
}

static PyObject *
event_wait(PyObject *op, PyObject *const *args, Py_ssize_t count,
           PyObject *names)
{
    SyncObject *self = (SyncObject *)op;
    PyObject *timeout = NULL;
    int64_t deadline = SHMKIT_FOREVER;
    int r = 0;

    if ((count != 0 || names != NULL) &&
        (sync_parse_timeout(self->state, args, count, names, &timeout) < 0 ||
         sync_deadline(NULL, timeout, &deadline) < 0))
        return NULL;
    if (sync_check(self) < 0)
        return NULL;
    if (shmkit_event_is_set(EVENT(self)))
        Py_RETURN_TRUE;
    if (deadline == SHMKIT_TRY)
        Py_RETURN_FALSE;
    SYNC_BLOCK(r = shmkit_event_wait(EVENT(self), deadline));
    return sync_result(self, r, NULL);
}

PyDoc_STRVAR(is_set_doc, "is_set($self, /)\n--\n\nWhether it is set.");
PyDoc_STRVAR(set_doc,
             "set($self, /)\n--\n\nSet it, and let all who wait go on.");
PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nMake it unset.");
PyDoc_STRVAR(
    event_wait_doc,
    "wait($self, /, timeout=None)\n--\n\n"
    "Until it is set: True, or False when not set in time.  One that\n"
    "is set and cleared at once lets all who waited go, too.");

static PyMethodDef event_methods[] = {
    {"_init", SYNC_FASTCALL(event_setup), METH_FASTCALL, NULL},
    {"is_set", event_is_set, METH_NOARGS, is_set_doc},
    {"set", event_set, METH_NOARGS, set_doc},
    {"clear", event_clear, METH_NOARGS, clear_doc},
    {"wait", SYNC_FASTCALL(event_wait), SYNC_FLAGS, event_wait_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_new, event_new},
    {Py_tp_methods, event_methods},
    {0, NULL},
};

PyType_Spec event_spec = {
    .name = "shmkit._core.Event",
    .basicsize = sizeof(SyncObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = event_slots,
};
