# SPDX-License-Identifier: MIT
"""Numbers, arrays and Structures of ctypes in shared memory.

A drop-in for multiprocessing.sharedctypes.  Value() and Array() wrap a ctypes
object and a lock; RawValue() and RawArray() give the bare ctypes object.  The
children of this process share them, by inheritance or as arguments.

More than the standard: atomic operations that need no lock (v.add(1),
a.compare_exchange(i, 0, 1), ...), wait() for a value, the buffer protocol on
every wrapper, and slices copied as a whole.  The lock is an RLock of shmkit:
when a process dies holding it, the next one gets it and is warned.
"""

import ctypes
import weakref
from multiprocessing import get_context
from multiprocessing.context import BaseContext, assert_spawning, reduction

from shmkit import _core, heap

__all__ = ["RawValue", "RawArray", "Value", "Array", "copy", "synchronized"]

_ForkingPickler = reduction.ForkingPickler

typecode_to_type = {
    "c": ctypes.c_char, "u": ctypes.c_wchar,
    "b": ctypes.c_byte, "B": ctypes.c_ubyte,
    "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint,
    "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
}


def _number_of(type_):
    """The library's number of a ctypes integer type."""
    sign = "INT" if type_(-1).value < 0 else "UINT"
    return getattr(_core, f"{sign}{8 * ctypes.sizeof(type_)}")


# The types that the extension reads and writes without ctypes: these and no
# subclasses, nor those of the other byte order.
_numbers = {
    ctypes.c_bool: _core.BOOL,
    ctypes.c_char: _core.CHAR,
    ctypes.c_wchar: _core.WCHAR,
    ctypes.c_float: _core.FLOAT,
    ctypes.c_double: _core.DOUBLE,
    **{type_: _number_of(type_) for type_ in (
        ctypes.c_byte, ctypes.c_short, ctypes.c_int, ctypes.c_long,
        ctypes.c_longlong, ctypes.c_ubyte, ctypes.c_ushort, ctypes.c_uint,
        ctypes.c_ulong, ctypes.c_ulonglong)},
}


def _new_value(type_):
    wrapper = heap.BufferWrapper(ctypes.sizeof(type_))
    return rebuild_ctype(type_, wrapper, None)


def RawValue(typecode_or_type, *args):
    """A ctypes object in shared memory, without a lock."""
    type_ = typecode_to_type.get(typecode_or_type, typecode_or_type)
    obj = _new_value(type_)
    if args:
        obj.__init__(*args)
    return obj


def RawArray(typecode_or_type, size_or_initializer):
    """A ctypes array in shared memory, without a lock."""
    type_ = typecode_to_type.get(typecode_or_type, typecode_or_type)
    if isinstance(size_or_initializer, int):
        return _new_value(type_ * size_or_initializer)
    result = _new_value(type_ * len(size_or_initializer))
    number = _numbers.get(type_, 0)
    if not result._wrapper._fill(number, size_or_initializer):
        result.__init__(*size_or_initializer)
    return result


def Value(typecode_or_type, *args, lock=True, ctx=None):
    """A ctypes object in shared memory and a lock that guards it.

    lock   True or None makes an RLock, an object with acquire() and release()
           is taken as it is, False gives the bare object as RawValue() does.
    """
    return _wrapped(RawValue(typecode_or_type, *args), lock, ctx)


def Array(typecode_or_type, size_or_initializer, *, lock=True, ctx=None):
    """A ctypes array in shared memory and a lock that guards it.

    An initializer is a number of elements, all zero, or a sequence of them.
    lock as for Value().
    """
    return _wrapped(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def _wrapped(obj, lock, ctx):
    if lock is False:
        return obj
    if lock in (True, None):
        lock = _new_lock(ctx or get_context())
    if not hasattr(lock, "acquire"):
        raise AttributeError("%r has no method 'acquire'" % lock)
    return synchronized(obj, lock, ctx)


def _new_lock(ctx):
    """An RLock of ours, unless the context has one of its own."""
    if type(ctx).RLock is not BaseContext.RLock:
        return ctx.RLock()
    from shmkit import synchronize
    return synchronize.RLock(ctx=ctx.get_context())


def copy(obj):
    """A copy of a ctypes object, in shared memory."""
    new_obj = _new_value(type(obj))
    ctypes.pointer(new_obj)[0] = obj
    return new_obj


def synchronized(obj, lock=None, ctx=None):
    """A wrapper that guards a ctypes object by a lock; None makes an RLock."""
    assert not isinstance(obj, SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        if obj._type_ is ctypes.c_char:
            return SynchronizedString(obj, lock, ctx)
        return SynchronizedArray(obj, lock, ctx)
    return _class_for(type(obj))(obj, lock, ctx)


def _class_for(cls):
    """The wrapper class of a Structure or Union: a property for each field."""
    try:
        return class_cache[cls]
    except KeyError:
        pass
    cls._fields_  # AttributeError: not a Structure
    names = [field[0] for base in reversed(cls.__mro__)
             for field in vars(base).get("_fields_", ())]
    scls = type("Synchronized" + cls.__name__, (SynchronizedBase,),
                {name: make_property(name) for name in names})
    class_cache[cls] = scls
    return scls


# ---- pickling, while a process is being started ----

def reduce_ctype(obj):
    assert_spawning(obj)
    if isinstance(obj, ctypes.Array):
        return rebuild_ctype, (obj._type_, obj._wrapper, obj._length_)
    return rebuild_ctype, (type(obj), obj._wrapper, None)


def rebuild_ctype(type_, wrapper, length):
    if length is not None:
        type_ = type_ * length
    _ForkingPickler.register(type_, reduce_ctype)
    if isinstance(wrapper, _core.Memory):
        obj = type_.from_buffer(wrapper)
    else:
        obj = type_.from_buffer(wrapper.create_memoryview())
    obj._wrapper = wrapper
    return obj


# ---- the wrappers ----

def make_property(name):
    """A property that is an attribute of the ctypes object, under the lock."""
    try:
        return prop_cache[name]
    except KeyError:
        return prop_cache.setdefault(name, _core.Field(name))


prop_cache = {}
class_cache = weakref.WeakKeyDictionary()


class SynchronizedBase(_core.Synced):
    """A ctypes object and the lock that guards it.

    get_obj() and get_lock() give the two.  As a context manager it holds the
    lock.  It offers the buffer protocol of the ctypes object, unlocked.
    """

    def __init__(self, obj, lock=None, ctx=None):
        if not lock:
            lock = _new_lock(ctx or get_context())
        if isinstance(obj, ctypes.Array):
            type_ = obj._type_
        else:
            type_ = type(obj)
        self._bind(obj, lock, _numbers.get(type_, 0))

    def __reduce__(self):
        assert_spawning(self)
        return synchronized, (self._obj, self._lock)

    def __repr__(self):
        return f"<{type(self).__name__} wrapper for {self._obj}>"


class Synchronized(_core.SyncedValue, SynchronizedBase):
    """A number: value, read and written under the lock, and atomics."""


class SynchronizedArray(_core.SyncedArray, SynchronizedBase):
    """An array: elements and slices, under the lock, and atomics."""


class SynchronizedString(SynchronizedArray):
    """An array of c_char: its text up to the first NUL, and all its bytes."""

    value = make_property("value")
    raw = make_property("raw")
