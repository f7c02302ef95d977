import threading
from collections.abc import Callable
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, TypeVar
from typing_extensions import TypeAlias

from shmkit import _core
from shmkit._core import OwnerDiedError as OwnerDiedError
from shmkit._core import OwnerDiedWarning as OwnerDiedWarning

__all__ = [
    "Lock",
    "RLock",
    "Semaphore",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Barrier",
    "RWLock",
    "OwnerDiedError",
    "OwnerDiedWarning",
]

_T = TypeVar("_T")
_LockLike: TypeAlias = Lock | RLock

RECURSIVE_MUTEX: int
SEMAPHORE: int
SEM_VALUE_MAX: int

class _SemLock:
    SEM_VALUE_MAX: int
    def __init__(self, lock: SemLock) -> None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def handle(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def maxvalue(self) -> int: ...
    acquire: Callable[..., bool]
    release: Callable[[], None]
    _is_mine: Callable[[], bool]
    _count: Callable[[], int]
    def _get_value(self) -> int: ...
    def _is_zero(self) -> bool: ...
    def _after_fork(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...

class _Shared:
    @property
    def _is_fork_ctx(self) -> bool: ...
    def __getstate__(self) -> Any: ...
    def __setstate__(self, state: Any) -> None: ...

class SemLock(_Shared):
    @property
    def _semlock(self) -> _SemLock: ...

class _Async:
    async def acquire_async(self, timeout: float | None = None) -> bool: ...
    async def __aenter__(self) -> bool: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

class Lock(_Async, SemLock, _core.Lock): ...
class RLock(SemLock, _core.RLock): ...

class Semaphore(_Async, SemLock, _core.Semaphore):
    def __init__(
        self,
        value: int = 1,
        *,
        ctx: BaseContext | None = None,
        name: str | None = None,
        recoverable: bool = False,
        on_owner_death: _core._OnOwnerDeath = "warn",
    ) -> None: ...

class BoundedSemaphore(Semaphore): ...

class RWLock(_Shared, _core.RWLock):
    def __init__(
        self,
        *,
        ctx: BaseContext | None = None,
        name: str | None = None,
        on_owner_death: _core._OnOwnerDeath = "warn",
    ) -> None: ...

class Condition(_Shared, _core.Condition):
    def __init__(
        self,
        lock: _LockLike | None = None,
        *,
        ctx: BaseContext | None = None,
        name: str | None = None,
    ) -> None: ...
    def wait_for(
        self, predicate: Callable[[], _T], timeout: float | None = None
    ) -> _T: ...
    async def acquire_async(self, timeout: float | None = None) -> bool: ...
    async def __aenter__(self) -> bool: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...
    async def wait_async(self, timeout: float | None = None) -> bool: ...
    async def wait_for_async(
        self, predicate: Callable[[], _T], timeout: float | None = None
    ) -> _T: ...

class Event(_Shared, _core.Event):
    def __init__(
        self, *, ctx: BaseContext | None = None, name: str | None = None
    ) -> None: ...
    async def wait_async(self, timeout: float | None = None) -> bool: ...

class Barrier(_Shared, _core.Barrier, threading.Barrier):
    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: BaseContext | None = None,
        name: str | None = None,
        regulars: bool = False,
    ) -> None: ...
