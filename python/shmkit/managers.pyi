from collections.abc import Iterable
from multiprocessing import managers as _managers
from multiprocessing.managers import BaseManager as BaseManager
from multiprocessing.managers import BaseProxy as BaseProxy
from multiprocessing.managers import SyncManager as SyncManager
from multiprocessing.managers import Token as Token
from typing import Any

from shmkit import shared_memory as _shared_memory

__all__ = [
    "BaseManager",
    "SyncManager",
    "BaseProxy",
    "Token",
    "SharedMemoryManager",
]

class SharedMemoryManager(_managers.SharedMemoryManager):
    def SharedMemory(  # type: ignore[override]
        self, size: int
    ) -> _shared_memory.SharedMemory: ...
    def ShareableList(  # type: ignore[override]
        self, sequence: Iterable[Any] | None
    ) -> _shared_memory.ShareableList[Any]: ...
