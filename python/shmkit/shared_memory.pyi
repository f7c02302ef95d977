from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Any, ClassVar, Generic, TypeVar, overload

from shmkit._core import Block
from shmkit._core import BlockStat as BlockStat


__all__ = ["SharedMemory", "ShareableList"]

O_CREAT: int
O_EXCL: int
O_CREX: int

_USE_POSIX: bool
_O_CREX: int
_SHM_SAFE_NAME_LENGTH: int
_SHM_NAME_PREFIX: str
_encoding: str

def _make_filename() -> str: ...

class SharedMemory(Block):
    _flags: int
    _mode: int
    _prepend_leading_slash: bool
    _track: bool
    _home: ClassVar[tuple[dict[str, Any], Callable[[], str]]]
    def __reduce__(self) -> tuple[Any, ...]: ...

_T = TypeVar("_T")

class ShareableList(Generic[_T]):
    shm: SharedMemory
    @overload
    def __init__(
        self, sequence: None = None, *, name: str | None = None
    ) -> None: ...
    @overload
    def __init__(
        self, sequence: Iterable[_T], *, name: str | None = None
    ) -> None: ...
    def __getitem__(self, position: int) -> _T: ...
    def __setitem__(self, position: int, value: _T) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __len__(self) -> int: ...
    @property
    def format(self) -> str: ...
    def count(self, value: _T) -> int: ...
    def index(self, value: _T) -> int: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
