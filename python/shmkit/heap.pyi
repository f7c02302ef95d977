from multiprocessing.heap import Arena as Arena
from multiprocessing.heap import Heap as Heap
from typing import Any

from shmkit import _core

__all__ = ["BufferWrapper"]

class BufferWrapper(_core.Memory):
    def __reduce__(self) -> tuple[Any, ...]: ...

def keep_until_reaped(obj: object) -> None: ...
