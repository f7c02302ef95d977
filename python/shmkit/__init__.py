# SPDX-License-Identifier: MIT
"""Shared memory for processes, with the words of multiprocessing.

Replace the word multiprocessing by shmkit in a program and it runs: every
name of that package is here, and so is every module of it.  What shmkit has
not made anew is the standard library's own object:

    shmkit.shared_memory   ours: blocks that never leak
    shmkit.synchronize     ours: locks that outlive a killed holder
    shmkit.sharedctypes    ours: values and arrays, with atomic operations
    shmkit.context         ours: contexts that make our objects, and queues
                           and pools with our locks in them
    shmkit.managers        ours: SharedMemoryManager hands out our blocks
    shmkit.arrays          new: ndarray(), from_array() and attach()
    everything else        shmkit.pool is multiprocessing.pool, and so on

Importing shmkit puts this process on the list of those that a family of
processes consists of (see _family.py) and removes what dead families have
left behind; that takes a fraction of a millisecond.
"""

import importlib
import multiprocessing
from multiprocessing import *  # noqa: F401,F403

from shmkit import _core, _mirror, _replace
from shmkit import _family  # noqa: F401
from shmkit._replace import install  # noqa: F401

from shmkit import context
from shmkit.synchronize import OwnerDiedError, OwnerDiedWarning  # noqa: F401

__all__ = [*multiprocessing.__all__, "RWLock"]  # noqa: F405
__version__ = _core.version()

_ARRAYS = frozenset({"ndarray", "from_array", "attach"})  # of shmkit.arrays
_OURS = frozenset({*_replace.OURS, "arrays", "context", "heap"})

# As multiprocessing does: the methods of the default context are functions of
# the package.
globals().update(
    (name, getattr(context._default_context, name))
    for name in __all__ if hasattr(context._default_context, name))

_mirror.install(__name__)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _ARRAYS:
        module = importlib.import_module(f"{__name__}.arrays")
        return globals().setdefault(name, getattr(module, name))
    if name not in _OURS:
        try:
            return getattr(multiprocessing, name)
        except AttributeError:
            pass
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name not in (f"{__name__}.{name}", f"multiprocessing.{name}"):
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *dir(multiprocessing), *_OURS, *_ARRAYS})
