# SPDX-License-Identifier: MIT
"""Shared memory for processes, with the words of multiprocessing.

Replace the word multiprocessing by shmkit in a program and it runs: every
name of that package is here, and so is every module of it.  What shmkit has
not made anew is the standard library's own object:

    shmkit.shared_memory   ours: blocks that never leak
    shmkit.managers        ours: SharedMemoryManager hands out our blocks
    everything else        shmkit.pool is multiprocessing.pool, and so on

Importing shmkit puts this process on the list of those that a family of
processes consists of (see _family.py) and removes what dead families have
left behind; that takes a fraction of a millisecond.
"""

import importlib
import multiprocessing
from multiprocessing import *  # noqa: F401,F403

from shmkit import _core, _mirror
from shmkit import _family  # noqa: F401

__all__ = multiprocessing.__all__
__version__ = _core.version()

_OURS = frozenset({"shared_memory", "managers"})

_mirror.install(__name__)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
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
    return sorted({*globals(), *dir(multiprocessing), *_OURS})
