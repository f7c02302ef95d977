import ctypes
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from ctypes import _CData, _SimpleCData
from multiprocessing.context import BaseContext
from typing import Any, Generic, Protocol, TypeVar, overload
from typing_extensions import Literal, SupportsIndex, TypeAlias

from shmkit import _core, heap

__all__ = ["RawValue", "RawArray", "Value", "Array", "copy", "synchronized"]

_T = TypeVar("_T")
_CT = TypeVar("_CT", bound=_CData)
_C = TypeVar("_C")

class _Lock(Protocol):
    def acquire(self) -> Any: ...
    def release(self) -> Any: ...

_IntCode: TypeAlias = Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]
_FloatCode: TypeAlias = Literal["f", "d"]
_Items: TypeAlias = int | Sequence[Any]
_LockOption: TypeAlias = Literal[True] | _Lock | None

typecode_to_type: dict[str, type[_SimpleCData[Any]]]
prop_cache: dict[str, _core.Field]
class_cache: MutableMapping[type[Any], type[SynchronizedBase[Any]]]

@overload
def RawValue(typecode_or_type: type[_CT], *args: Any) -> _CT: ...
@overload
def RawValue(typecode_or_type: str, *args: Any) -> Any: ...
@overload
def RawArray(
    typecode_or_type: type[_CT], size_or_initializer: _Items
) -> ctypes.Array[_CT]: ...
@overload
def RawArray(typecode_or_type: str, size_or_initializer: _Items) -> Any: ...
@overload
def Value(
    typecode_or_type: _IntCode,
    *args: Any,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> Synchronized[int]: ...
@overload
def Value(
    typecode_or_type: _FloatCode,
    *args: Any,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> Synchronized[float]: ...
@overload
def Value(
    typecode_or_type: Literal["c"],
    *args: Any,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> Synchronized[bytes]: ...
@overload
def Value(
    typecode_or_type: Literal["u"],
    *args: Any,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> Synchronized[str]: ...
@overload
def Value(
    typecode_or_type: type[_SimpleCData[_T]],
    *args: Any,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> Synchronized[_T]: ...
@overload
def Value(
    typecode_or_type: type[_CT],
    *args: Any,
    lock: Literal[False],
    ctx: BaseContext | None = None,
) -> _CT: ...
@overload
def Value(
    typecode_or_type: str | type[_CData],
    *args: Any,
    lock: bool | _Lock | None = True,
    ctx: BaseContext | None = None,
) -> Any: ...
@overload
def Array(
    typecode_or_type: _IntCode,
    size_or_initializer: _Items,
    *,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> SynchronizedArray[int]: ...
@overload
def Array(
    typecode_or_type: _FloatCode,
    size_or_initializer: _Items,
    *,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> SynchronizedArray[float]: ...
@overload
def Array(
    typecode_or_type: Literal["c"] | type[ctypes.c_char],
    size_or_initializer: _Items,
    *,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> SynchronizedString: ...
@overload
def Array(
    typecode_or_type: type[_SimpleCData[_T]],
    size_or_initializer: _Items,
    *,
    lock: _LockOption = True,
    ctx: BaseContext | None = None,
) -> SynchronizedArray[_T]: ...
@overload
def Array(
    typecode_or_type: type[_CT],
    size_or_initializer: _Items,
    *,
    lock: Literal[False],
    ctx: BaseContext | None = None,
) -> ctypes.Array[_CT]: ...
@overload
def Array(
    typecode_or_type: str | type[_CData],
    size_or_initializer: _Items,
    *,
    lock: bool | _Lock | None = True,
    ctx: BaseContext | None = None,
) -> Any: ...
def copy(obj: _CT) -> _CT: ...
@overload
def synchronized(
    obj: _SimpleCData[_T],
    lock: _Lock | None = None,
    ctx: BaseContext | None = None,
) -> Synchronized[_T]: ...
@overload
def synchronized(
    obj: Any, lock: _Lock | None = None, ctx: BaseContext | None = None
) -> Any: ...
def reduce_ctype(obj: _CData) -> tuple[Any, ...]: ...
def rebuild_ctype(
    type_: type[Any], wrapper: heap.BufferWrapper, length: int | None
) -> Any: ...
def make_property(name: str) -> _core.Field: ...

class SynchronizedBase(_core.Synced, Generic[_C]):
    def __init__(
        self,
        obj: _C,
        lock: _Lock | None = None,
        ctx: BaseContext | None = None,
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def get_obj(self) -> _C: ...

class Synchronized(
    _core.SyncedValue, SynchronizedBase[_SimpleCData[_T]], Generic[_T]
):
    value: _T
    def add(self, x: _T, /) -> _T: ...
    def sub(self, x: _T, /) -> _T: ...
    def and_(self, x: _T, /) -> _T: ...
    def or_(self, x: _T, /) -> _T: ...
    def xor(self, x: _T, /) -> _T: ...
    def min(self, x: _T, /) -> _T: ...
    def max(self, x: _T, /) -> _T: ...
    def exchange(self, x: _T, /) -> _T: ...
    def compare_exchange(self, expected: _T, desired: _T, /) -> bool: ...
    def wait(
        self,
        condition: _T | Callable[[_T], object],
        timeout: float | None = None,
    ) -> bool: ...

class SynchronizedArray(_core.SyncedArray, SynchronizedBase[Any], Generic[_T]):
    @overload
    def __getitem__(self, i: SupportsIndex, /) -> _T: ...
    @overload
    def __getitem__(self, i: slice, /) -> list[_T]: ...
    @overload
    def __setitem__(self, i: SupportsIndex, value: _T, /) -> None: ...
    @overload
    def __setitem__(self, i: slice, value: Iterable[_T], /) -> None: ...
    def add(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def sub(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def and_(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def or_(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def xor(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def min(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def max(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def exchange(self, i: SupportsIndex, x: _T, /) -> _T: ...
    def compare_exchange(
        self, i: SupportsIndex, expected: _T, desired: _T, /
    ) -> bool: ...
    def wait(
        self,
        index: SupportsIndex,
        condition: _T | Callable[[_T], object],
        timeout: float | None = None,
    ) -> bool: ...

class SynchronizedString(SynchronizedArray[bytes]):
    def __getitem__(  # type: ignore[override]
        self, i: SupportsIndex | slice, /
    ) -> bytes: ...
    value: bytes
    raw: bytes
