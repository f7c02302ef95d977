from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

class MirrorFinder:
    prefix: str
    def __init__(self, package: str) -> None: ...
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None: ...

class MirrorLoader:
    real: str
    def __init__(self, real: str) -> None: ...
    def create_module(self, spec: ModuleSpec) -> None: ...
    def exec_module(self, module: ModuleType) -> None: ...

def install(package: str) -> None: ...
