from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from typing import Any

from shmkit.synchronize import Condition, Event, Lock

FIRST_TICK: float
LAST_TICK: float
LINGER: float

class Request:
    loop: AbstractEventLoop
    future: Future[bool]
    accept: Callable[[], object]
    undo: Callable[[], object]
    def __init__(
        self, accept: Callable[[], object], undo: Callable[[], object]
    ) -> None: ...
    mutex: Any
    granted: tuple[bool, BaseException | None]
    gone: bool
    def grant(
        self, result: bool, error: BaseException | None = None
    ) -> bool: ...
    async def result(self, timeout: float | None) -> bool: ...

class Helper:
    changed: Any
    queues: dict[Any, Any]
    running: bool
    def add(
        self,
        key: object,
        attempt: Callable[[bool, float], bool],
        for_all: bool,
        request: Request,
    ) -> None: ...
    def run(self) -> None: ...

helper: Helper

async def acquire(
    lock: Any, timeout: float | None, method: Callable[..., bool] | None = None
) -> bool: ...
async def wait_event(event: Event, timeout: float | None) -> bool: ...
def lock_of(condition: Condition) -> Lock: ...

class Stand:
    condition: Condition
    pid: int
    requests: list[Request]
    standing: bool
    def __init__(self, condition: Condition) -> None: ...
    def join(self, request: Request) -> None: ...
    def run(self) -> None: ...

async def wait(condition: Condition, timeout: float | None) -> bool: ...
