from collections.abc import Callable, Iterable
from multiprocessing import managers as _managers
from multiprocessing.managers import BaseManager as BaseManager
from multiprocessing.managers import BaseProxy as BaseProxy
from multiprocessing.managers import SyncManager as SyncManager
from multiprocessing.managers import Token as Token
from typing import Any
from typing_extensions import Literal, SupportsIndex

from shmkit import arrays as _arrays
from shmkit import shared_memory as _shared_memory
from shmkit._core import _Numa

__all__ = [
    "BaseManager",
    "SyncManager",
    "BaseProxy",
    "Token",
    "SharedMemoryManager",
]

class SharedMemoryServer(_managers.SharedMemoryServer):
    parent: Any
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def accepter(self) -> None: ...

class SharedMemoryManager(_managers.SharedMemoryManager):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __del__(self) -> None: ...
    def start(
        self,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def SharedMemory(  # type: ignore[override]
        self,
        size: SupportsIndex,
        name: str | None = None,
        *,
        mode: int | None = 0o600,
        sparse: bool = False,
        prefault: bool = False,
        huge: bool | None = None,
        lock: bool = False,
        numa: _Numa | None = None,
    ) -> _shared_memory.SharedMemory: ...
    def ShareableList(  # type: ignore[override]
        self, sequence: Iterable[Any] | None, name: str | None = None
    ) -> _shared_memory.ShareableList[Any]: ...
    def ndarray(
        self,
        shape: _arrays._Shape,
        dtype: Any = ...,
        name: str | None = None,
        *,
        order: Literal["C", "F"] = "C",
        label: str = "",
        mode: int | None = ...,
        sparse: bool = ...,
        prefault: bool = ...,
        huge: bool | None = ...,
        lock: bool = ...,
        numa: _Numa | None = ...,
    ) -> _arrays.ndarray: ...
    def from_array(
        self,
        a: Any,
        name: str | None = None,
        *,
        dtype: Any = None,
        order: Literal["K", "C", "F"] = "K",
        label: str = "",
        mode: int | None = ...,
        sparse: bool = ...,
        prefault: bool = ...,
        huge: bool | None = ...,
        lock: bool = ...,
        numa: _Numa | None = ...,
    ) -> _arrays.ndarray: ...
    def names(self) -> list[str]: ...
    def attach(self, name: str) -> _shared_memory.SharedMemory: ...
