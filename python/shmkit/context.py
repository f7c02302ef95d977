# SPDX-License-Identifier: MIT
"""multiprocessing.context, whose contexts make objects of shmkit.

Each context is a subclass of the standard one of that name: the processes it
starts are the standard library's, and so are queues and pools, but the locks
inside them are ours.  Which start method is the default is one decision for
both packages: multiprocessing.context keeps it, whoever took it.
"""

from multiprocessing import context as _context

from shmkit import synchronize as _synchronize
from shmkit.synchronize import Lock as _Lock
from shmkit.synchronize import RLock as _RLock

__all__ = ()


def __getattr__(name):
    return getattr(_context, name)


class BaseContext(_context.BaseContext):
    """The methods that make objects of shmkit.

    Options beyond those of the standard library are those of the classes in
    shmkit.synchronize: name=, on_owner_death=, recoverable=, regulars=.
    """

    def get_context(self, method=None):
        if method is None:
            return self
        try:
            ctx = _concrete_contexts[method]
        except KeyError:
            raise ValueError("cannot find context for %r" % method) from None
        ctx._check_available()
        return ctx

    def Lock(self, **options):
        """A non-recursive lock."""
        return _synchronize.Lock(ctx=self.get_context(), **options)

    def RLock(self, **options):
        """A recursive lock."""
        return _synchronize.RLock(ctx=self.get_context(), **options)

    def RWLock(self, **options):
        """A lock for many readers or one writer."""
        return _synchronize.RWLock(ctx=self.get_context(), **options)

    def Condition(self, lock=None, **options):
        """A condition."""
        return _synchronize.Condition(lock, ctx=self.get_context(), **options)

    def Semaphore(self, value=1, **options):
        """A semaphore."""
        return _synchronize.Semaphore(value, ctx=self.get_context(),
                                      **options)

    def BoundedSemaphore(self, value=1, **options):
        """A bounded semaphore."""
        return _synchronize.BoundedSemaphore(value, ctx=self.get_context(),
                                             **options)

    def Event(self, **options):
        """An event."""
        return _synchronize.Event(ctx=self.get_context(), **options)

    def Barrier(self, parties, action=None, timeout=None, **options):
        """A barrier."""
        return _synchronize.Barrier(parties, action, timeout,
                                    ctx=self.get_context(), **options)

    def RawValue(self, typecode_or_type, *args):
        """A shared object."""
        from shmkit.sharedctypes import RawValue
        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type, size_or_initializer):
        """A shared array."""
        from shmkit.sharedctypes import RawArray
        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type, *args, lock=True):
        """A shared object with a lock."""
        from shmkit.sharedctypes import Value
        return Value(typecode_or_type, *args, lock=lock,
                     ctx=self.get_context())

    def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
        """A shared array with a lock."""
        from shmkit.sharedctypes import Array
        return Array(typecode_or_type, size_or_initializer, lock=lock,
                     ctx=self.get_context())


class ForkContext(BaseContext, _context.ForkContext):
    pass


class SpawnContext(BaseContext, _context.SpawnContext):
    pass


class ForkServerContext(BaseContext, _context.ForkServerContext):
    pass


class DefaultContext(BaseContext, _context.DefaultContext):
    """The context of the default start method, as it is at each call."""

    def __init__(self, standard):
        self._standard = standard

    @property
    def _default_context(self):
        return self._standard._default_context

    @property
    def _actual_context(self):
        return self._standard._actual_context

    def get_context(self, method=None):
        if method is None:
            return _concrete_contexts[self._standard.get_context()._name]
        return super().get_context(method)

    def set_start_method(self, method, force=False):
        self._standard.set_start_method(method, force)

    def get_start_method(self, allow_none=False):
        return self._standard.get_start_method(allow_none)

    # What programs make by the thousand: the same as above, by a shorter way.
    def Lock(self, **options):
        """A non-recursive lock."""
        if options or _standard._actual_context not in _ours:
            return super().Lock(**options)
        return _Lock(ctx=_ours[_standard._actual_context])

    def RLock(self, **options):
        """A recursive lock."""
        if options or _standard._actual_context not in _ours:
            return super().RLock(**options)
        return _RLock(ctx=_ours[_standard._actual_context])


_concrete_contexts = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}
_standard = _context._default_context
_default_context = DefaultContext(_standard)
_ours = {_context._concrete_contexts[name]: ours
         for name, ours in _concrete_contexts.items()}
