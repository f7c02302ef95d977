# SPDX-License-Identifier: MIT
"""Locks and their kin that outlive a killed holder.

The names, arguments, results, errors and words of
multiprocessing.synchronize; what a program may notice is on
docs/differences.md.  More than there:

    lock.owner_died, lock.mark_consistent(), OwnerDiedWarning,
    on_owner_death=      a holder that was killed does not hang the others
    lock.locked(), lock.stat()
    Lock(name="jobs")    one lock for programs that know nothing of each other
    RWLock               many readers or one writer
    async with lock      and acquire_async(), wait_async()

The methods that count are in C (python/src/sync*.c); a class here adds what
is seldom called: repr(), pickling, asyncio, and the private names of the
standard classes that other code has come to use.

Pickling: an unnamed object crosses only while a process is being started.  It
travels as its place in the family's arena, and stays alive, by a reference on
the Popen object, until that process has taken a share of its own.  A named one
travels as its name, at any time.
"""

import os
import tempfile
import threading
import time
import weakref
from multiprocessing import context, process

from shmkit import _core
from shmkit._core import OwnerDiedError, OwnerDiedWarning

__all__ = [
    "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event",
    "Barrier", "RWLock", "OwnerDiedError", "OwnerDiedWarning",
]

RECURSIVE_MUTEX, SEMAPHORE = 0, 1
SEM_VALUE_MAX = 2 ** 31 - 1

_homes = weakref.WeakValueDictionary()  # arenas of names, by name
_homes_lock = threading.Lock()


def _after_fork():
    global _homes_lock
    _homes_lock = threading.Lock()
    _core._sync_after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _open_home(name, create=True):
    """The arena of a name: one in this process, however many objects."""
    if not name:
        raise ValueError("a name cannot be empty")
    with _homes_lock:
        home = _homes.get(name)
        if home is None:
            home = _homes[name] = _core.Arena(f"shmkit.{name}", create)
        return home


class _Shared:
    """What all objects have besides their C half."""

    _open_home = staticmethod(_open_home)

    @staticmethod
    def _default_context():
        return context._default_context.get_context()

    @property
    def _is_fork_ctx(self):
        return self._ctx is not None and \
            self._ctx.get_start_method() == "fork"

    def __getstate__(self):
        if self.name is not None:
            return self.name, None, self._get_settings()
        context.assert_spawning(self)
        if self._is_fork_ctx:
            raise RuntimeError(
                "A SemLock created in a fork context is being shared with a "
                "process in a spawn context. This is not supported. Please "
                "use the same context to create multiprocessing objects and "
                "Process.")
        kept = vars(context.get_spawning_popen())
        kept.setdefault("_shmkit_kept", []).append(self)
        return None, self._send(), self._get_settings()

    def __setstate__(self, state):
        name, place, settings = state
        if name is None:
            self._adopt(self._get_home(settings), *place)
        else:
            self._join(_open_home(name, False), "object", name)
        self._set_settings(settings)

    def _get_home(self, settings):
        return None  # the family's

    def _get_settings(self):
        return self.on_owner_death

    def _set_settings(self, settings):
        self.on_owner_death = settings


class _SemLock:
    """The standard library's C object, as others look at it."""

    SEM_VALUE_MAX = SEM_VALUE_MAX

    def __init__(self, lock):
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release
        self._is_mine = lock._is_mine
        self._count = lock._count

    name = property(lambda self: self._lock.name)
    handle = property(lambda self: self._lock._offset)
    kind = property(lambda self: self._lock._kind)
    maxvalue = property(lambda self: self._lock._max)

    def _get_value(self):
        return self._lock._value()

    def _is_zero(self):
        return self._lock._value() == 0

    def _after_fork(self):
        pass

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)


class SemLock(_Shared):
    """Base of Lock, RLock, Semaphore and BoundedSemaphore."""

    _rand = tempfile._RandomNameSequence()
    _kind = SEMAPHORE
    _max = 1

    @property
    def _semlock(self):
        return _SemLock(self)

    @staticmethod
    def _make_name():
        return "%s-%s" % (process.current_process()._config["semprefix"],
                          next(SemLock._rand))

    def _value(self):
        return 0 if self.locked() else 1

    def _get_owner(self):
        """(name of the owner, how often), as repr() has them."""
        try:
            if self._is_mine():
                name = process.current_process().name
                if threading.current_thread().name != "MainThread":
                    name += "|" + threading.current_thread().name
                return name, self._count()
            if not self.locked():
                return "None", 0
            if self._count() > 0:
                return "SomeOtherThread", "nonzero"
            return "SomeOtherProcess", "nonzero"
        except Exception:
            return "unknown", "unknown"


class _Async:
    """acquire() for tasks: see _async.py."""

    async def acquire_async(self, timeout=None):
        """Acquire without holding up the event loop; True, or False if that
        was not possible within `timeout` seconds."""
        from shmkit import _async
        return await _async.acquire(self, timeout)

    async def __aenter__(self):
        return await self.acquire_async()

    async def __aexit__(self, *args):
        self.release()


class Lock(_Async, SemLock, _core.Lock):
    """One holder at a time; any thread or process may release."""

    def __repr__(self):
        return "<%s(owner=%s)>" % (type(self).__name__, self._get_owner()[0])


class RLock(SemLock, _core.RLock):
    """Its owner, a thread, may acquire it again."""

    _kind = RECURSIVE_MUTEX

    def __repr__(self):
        return "<%s(%s, %s)>" % (type(self).__name__, *self._get_owner())


class Semaphore(_Async, SemLock, _core.Semaphore):
    """A number of units, to be taken and given back.

    `with` takes one that comes back when its holder dies.  acquire() takes
    one that anybody may give back; it stays taken when the process dies,
    unless the semaphore was made with recoverable=True.
    """

    _bounded = False
    _value = _core.Semaphore.get_value
    _max = _core.Semaphore._max

    def __init__(self, value=1, *, ctx=None, name=None, recoverable=False,
                 on_owner_death="warn"):
        self._init(value, self._bounded, recoverable, ctx, name,
                   on_owner_death)

    def __repr__(self):
        return "<%s(value=%s)>" % (type(self).__name__, self._value_for_repr())

    def _value_for_repr(self):
        try:
            return self.get_value()
        except Exception:
            return "unknown"

    async def __aenter__(self):
        from shmkit import _async
        return await _async.acquire(self, None, self.acquire_owned)

    def _get_settings(self):
        return self.on_owner_death, self.recoverable

    def _set_settings(self, settings):
        self.on_owner_death, self.recoverable = settings
        if self._bounded:
            self._set_bounded()


class BoundedSemaphore(Semaphore):
    """A semaphore that never has more units than it started with."""

    _bounded = True

    def __repr__(self):
        return "<%s(value=%s, maxvalue=%s)>" % (
            type(self).__name__, self._value_for_repr(), self._max)


class RWLock(_Shared, _core.RWLock):
    """Many readers or one writer; a waiting writer goes first.

    `with rwlock.reader:` and `with rwlock.writer:`, or the methods.
    """

    def __init__(self, *, ctx=None, name=None, on_owner_death="warn"):
        self._init(ctx, name, on_owner_death)

    def __repr__(self):
        stat = self.stat()
        return f"<{type(self).__name__}(writer={stat.owner_pid}, " \
            f"readers={stat.readers})>"


class _Number:
    """A semaphore of the standard Condition, to be looked at only."""

    def __init__(self, get_value):
        self.get_value = self._get_value = get_value

    def _is_zero(self):
        return self.get_value() == 0

    @property
    def _semlock(self):
        return self


class Condition(_Shared, _core.Condition):
    """Wait until somebody says that something has changed.

    `lock` is a Lock or an RLock of shmkit, by default a new RLock.  A named
    condition brings its lock along.
    """

    def __init__(self, lock=None, *, ctx=None, name=None):
        if name is not None:
            if lock is not None:
                raise ValueError("a named Condition has a lock of its own")
            self._join_named(_open_home(name), name)
            return
        if ctx is None:
            ctx = self._default_context()
        self._init(lock or RLock(ctx=ctx), ctx)

    def _join_named(self, home, name):
        lock = RLock.__new__(RLock)
        lock._join(home, "lock", name)
        self._set_lock(lock)
        self._join(home, "object", name)

    def __setstate__(self, state):
        name, place, settings = state
        if name is not None:
            self._join_named(_open_home(name, False), name)
            return
        self._set_lock(settings)
        super().__setstate__(state)

    def _get_settings(self):
        return self._lock if self.name is None else None

    def _set_settings(self, settings):
        pass

    def _get_home(self, lock):
        return lock._home

    def __repr__(self):
        try:
            waiting = self._count_waiting()
        except Exception:
            waiting = "unknown"
        return "<%s(%s, %s)>" % (type(self).__name__, self._lock, waiting)

    # The standard class counts in semaphores; here is what they would say.
    @property
    def _sleeping_count(self):
        return _Number(self._count_waiting)

    @property
    def _woken_count(self):
        return _Number(lambda: 0)

    _wait_semaphore = _woken_count

    def wait_for(self, predicate, timeout=None):
        """Wait until predicate() is true, or for `timeout` seconds: its last
        value."""
        end = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    async def acquire_async(self, timeout=None):
        """Acquire the lock without holding up the event loop."""
        from shmkit import _async
        return await _async.acquire(_async.lock_of(self), timeout)

    async def __aenter__(self):
        return await self.acquire_async()

    async def __aexit__(self, *args):
        self.release()

    async def wait_async(self, timeout=None):
        """wait() without holding up the event loop.  It may return True
        without a notification: ask again for what you wait for."""
        from shmkit import _async
        return await _async.wait(self, timeout)

    async def wait_for_async(self, predicate, timeout=None):
        """wait_for() without holding up the event loop."""
        end = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            await self.wait_async(left)
            result = predicate()
        return result


class Event(_Shared, _core.Event):
    """Set or not; many may wait until it is set."""

    def __init__(self, *, ctx=None, name=None):
        self._init(ctx, name)

    def __repr__(self):
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"

    async def wait_async(self, timeout=None):
        """wait() without holding up the event loop.  Unlike wait() it may
        miss a set() that a clear() follows at once."""
        from shmkit import _async
        return await _async.wait_event(self, timeout)


class Barrier(_Shared, _core.Barrier, threading.Barrier):
    """Parties that wait for each other, again and again.

    A party that is killed while it waits breaks the barrier for the others;
    with regulars=True, for barriers that the same processes use each time,
    also one that is killed between two waits.
    """

    def __init__(self, parties, action=None, timeout=None, *, ctx=None,
                 name=None, regulars=False):
        self._init(parties, action, timeout, regulars, ctx, name)

    def _get_settings(self):
        return self._action, self._timeout

    def _set_settings(self, settings):
        self._set(*settings)

    def __repr__(self):
        if self.broken:
            state = "broken"
        else:
            state = f"waiters={self.n_waiting}/{self.parties}"
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__} at {id(self):#x}: " \
            f"{state}>"
