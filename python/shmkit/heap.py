# SPDX-License-Identifier: MIT
"""Anonymous shared memory for Value and Array.

BufferWrapper(size) is `size` zero bytes that every process of the family can
use which inherited the object or was given it when it was started.  They lie
in the family's arena, or, above 1 MiB, in a block of their own, and are given
up when the last process has dropped the object and every view of it.

Arena and Heap, the standard library's allocator, are still to be had here, but
nothing of shmkit uses them.
"""

from multiprocessing import context

from shmkit import _core
from shmkit import _family  # noqa: F401  (the arena is the family's)

__all__ = ["BufferWrapper"]


def __getattr__(name):
    if name in ("Arena", "Heap"):
        from multiprocessing import heap
        return getattr(heap, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BufferWrapper(_core.Memory):
    """Shared bytes, all zero; offers the buffer protocol.

    Pickled only while a process is being started.
    """

    __slots__ = ("__weakref__",)

    def __reduce__(self):
        context.assert_spawning(self)
        keep_until_reaped(self)
        return self._adopt, (self._send(),)


def keep_until_reaped(obj):
    """Keep obj until the process that is being started has ended.

    What it is sent it takes over only when it unpickles, which may be after
    the sender has dropped its own reference.
    """
    popen = context.get_spawning_popen()
    vars(popen).setdefault("_shmkit_kept", []).append(obj)
