from typing import Any, Protocol
from typing_extensions import final

class _Handle(Protocol):
    def detach(self) -> int: ...

@final
class Ticket:
    def __reduce__(self) -> tuple[Any, ...]: ...

ticket: Ticket

def arrive(handle: _Handle | None = None) -> Ticket: ...
