from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Any, ClassVar, TypeVar, overload
from typing_extensions import Self

from shmkit._core import Block, List, _Lifetime
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

class ShareableList(List[_T]):
    _types_mapping: ClassVar[dict[type, str]]
    _alignment: ClassVar[int]
    _back_transforms_mapping: ClassVar[dict[int, Callable[[Any], Any]]]
    shm: SharedMemory
    @overload
    def __init__(
        self,
        sequence: None = None,
        *,
        name: str | None = None,
        read_only: bool = False,
        lifetime: _Lifetime | None = None,
        mode: int | None = None,
        track: bool = True,
    ) -> None: ...
    @overload
    def __init__(
        self,
        sequence: Iterable[_T],
        *,
        name: str | None = None,
        read_only: bool = False,
        lifetime: _Lifetime | None = None,
        mode: int | None = None,
        track: bool = True,
    ) -> None: ...
    def close(self) -> None: ...
    def unlink(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @property
    def format(self) -> str: ...
    @staticmethod
    def _extract_recreation_code(value: object) -> int: ...
    def _get_back_transform(self, position: int) -> Callable[[Any], Any]: ...
    def _set_packing_format_and_transform(
        self, position: int, fmt_as_str: str, value: object
    ) -> None: ...
    @property
    def _list_len(self) -> int: ...
    @property
    def _allocated_offsets(self) -> list[int]: ...
    @property
    def _format_size_metainfo(self) -> str: ...
    @property
    def _format_packing_metainfo(self) -> str: ...
    @property
    def _format_back_transform_codes(self) -> str: ...
    @property
    def _offset_data_start(self) -> int: ...
    @property
    def _offset_packing_formats(self) -> int: ...
    @property
    def _offset_back_transform_codes(self) -> int: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
