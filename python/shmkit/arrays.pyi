from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any
from typing_extensions import Literal, Self, SupportsIndex, TypeAlias

from shmkit import _core
from shmkit.shared_memory import SharedMemory

__all__ = ["attach", "from_array", "ndarray"]

_Shape: TypeAlias = SupportsIndex | Iterable[SupportsIndex]

class ndarray(_core.NDArray):
    shm: SharedMemory
    def __init__(
        self,
        shape: _Shape,
        dtype: Any = ...,
        name: str | None = None,
        *,
        order: Literal["C", "F"] = "C",
        label: str = "",
        track: bool = ...,
        mode: int | None = ...,
        lifetime: _core._Lifetime | None = ...,
        sparse: bool = ...,
        prefault: bool = ...,
        exist_ok: bool = ...,
        huge: bool | None = ...,
        lock: bool = ...,
        numa: _core._Numa | None = ...,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def typestr(self) -> str: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def order(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def array(self) -> Any: ...
    def __getitem__(self, key: Any) -> Any: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any: ...
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __arrow_c_array__(
        self, requested_schema: object = None
    ) -> tuple[object, object]: ...
    def close(self) -> None: ...
    def unlink(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

def from_array(
    a: Any,
    name: str | None = None,
    *,
    dtype: Any = None,
    order: Literal["K", "C", "F"] = "K",
    label: str = "",
    track: bool = ...,
    mode: int | None = ...,
    lifetime: _core._Lifetime | None = ...,
    sparse: bool = ...,
    prefault: bool = ...,
    huge: bool | None = ...,
    lock: bool = ...,
    numa: _core._Numa | None = ...,
) -> ndarray: ...
def attach(
    name: str,
    *,
    dtype: Any = None,
    shape: _Shape | None = None,
    order: Literal["C", "F"] | None = None,
    read_only: bool = False,
    private: bool = False,
    prefault: bool = False,
    lock: bool = False,
) -> ndarray: ...
