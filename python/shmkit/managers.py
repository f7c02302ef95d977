# SPDX-License-Identifier: MIT
"""multiprocessing.managers, with blocks of shmkit.

All is the standard library's but SharedMemoryManager, which makes its
SharedMemory and ShareableList objects from shmkit.shared_memory.
"""

from multiprocessing import managers as _managers
from multiprocessing.managers import *  # noqa: F401,F403
from multiprocessing.managers import dispatch

from shmkit import shared_memory

__all__ = list(_managers.__all__)


def __getattr__(name):
    return getattr(_managers, name)


class SharedMemoryManager(_managers.SharedMemoryManager):
    """A manager that owns blocks: it unlinks them all at its shutdown.

    Use it as a context manager, or call start() and shutdown().  A block is
    made in the calling process and belongs to its family as well: it goes even
    if the manager is killed.
    """

    def _track(self, block):
        try:
            with self._Client(self._address, authkey=self._authkey) as conn:
                dispatch(conn, None, "track_segment", (block.name,))
        except BaseException:
            block.close()
            block.unlink()
            raise

    def SharedMemory(self, size):
        """A new block of `size` bytes that the manager will unlink."""
        self._check_started()
        block = shared_memory.SharedMemory(None, create=True, size=size)
        self._track(block)
        return block

    def ShareableList(self, sequence):
        """A new list with the items of `sequence` that it will unlink."""
        self._check_started()
        items = shared_memory.ShareableList(sequence)
        self._track(items.shm)
        return items

    def _check_started(self):
        if self._address is None:
            raise ValueError("the manager has not been started")
