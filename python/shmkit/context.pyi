import multiprocessing.context as _context
from collections.abc import Callable
from multiprocessing.context import AuthenticationError as AuthenticationError
from multiprocessing.context import BufferTooShort as BufferTooShort
from multiprocessing.context import ForkProcess as ForkProcess
from multiprocessing.context import ForkServerProcess as ForkServerProcess
from multiprocessing.context import Process as Process
from multiprocessing.context import ProcessError as ProcessError
from multiprocessing.context import SpawnProcess as SpawnProcess
from multiprocessing.context import TimeoutError as TimeoutError
from multiprocessing.context import assert_spawning as assert_spawning
from multiprocessing.context import get_spawning_popen as get_spawning_popen
from multiprocessing.context import set_spawning_popen as set_spawning_popen
from typing import Any

from shmkit import synchronize
from shmkit._core import _OnOwnerDeath

__all__ = ()

class BaseContext(_context.BaseContext):
    def get_context(self, method: str | None = None) -> Any: ...
    def Lock(  # type: ignore[override]
        self, *, name: str | None = None, on_owner_death: _OnOwnerDeath = "warn"
    ) -> synchronize.Lock: ...
    def RLock(  # type: ignore[override]
        self, *, name: str | None = None, on_owner_death: _OnOwnerDeath = "warn"
    ) -> synchronize.RLock: ...
    def RWLock(
        self, *, name: str | None = None, on_owner_death: _OnOwnerDeath = "warn"
    ) -> synchronize.RWLock: ...
    def Condition(  # type: ignore[override]
        self,
        lock: synchronize.Lock | synchronize.RLock | None = None,
        *,
        name: str | None = None,
    ) -> synchronize.Condition: ...
    def Semaphore(  # type: ignore[override]
        self,
        value: int = 1,
        *,
        name: str | None = None,
        recoverable: bool = False,
        on_owner_death: _OnOwnerDeath = "warn",
    ) -> synchronize.Semaphore: ...
    def BoundedSemaphore(  # type: ignore[override]
        self,
        value: int = 1,
        *,
        name: str | None = None,
        recoverable: bool = False,
        on_owner_death: _OnOwnerDeath = "warn",
    ) -> synchronize.BoundedSemaphore: ...
    def Event(  # type: ignore[override]
        self, *, name: str | None = None
    ) -> synchronize.Event: ...
    def Barrier(  # type: ignore[override]
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
        regulars: bool = False,
    ) -> synchronize.Barrier: ...

class ForkContext(BaseContext, _context.ForkContext): ...
class SpawnContext(BaseContext, _context.SpawnContext): ...
class ForkServerContext(
    BaseContext, _context.ForkServerContext
): ...

class DefaultContext(BaseContext, _context.DefaultContext):
    def __init__(self, standard: _context.DefaultContext) -> None: ...
    def get_context(self, method: str | None = None) -> Any: ...
    def set_start_method(self, method: str | None, force: bool = False) -> None: ...
    def get_start_method(self, allow_none: bool = False) -> str: ...

_default_context: DefaultContext
