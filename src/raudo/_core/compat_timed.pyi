from collections.abc import Callable
from typing import Any, Self, TypeVar

from typing_extensions import disjoint_base

from raudo._core.compat import Node, Plain

_K = TypeVar("_K")
_V = TypeVar("_V")

@disjoint_base
class TimedNode(Node):
    """An entry that expires."""

@disjoint_base
class Timer:
    """Calls a timer; inside a `with` block the time stands still, so that nested steps agree."""

    def __new__(cls, source: Callable[[], Any]) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *error: object) -> None: ...
    def __copy__(self) -> Timer: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Timer: ...
    def __getattr__(self, name: str) -> Any: ...

@disjoint_base
class Timed(Plain[_K, _V]):
    """cachetools' `TTLCache` and `TLRUCache`."""

    def _raudo_start(
        self,
        maxsize: float,
        getsizeof: Callable[[_V], float] | None,
        setting: Any,
        timer: Callable[[], Any] = ...,
    ) -> None: ...
    @property
    def timer(self) -> Timer:
        """The timer; a context manager too, inside which the time stands still."""
    def expire(self, time: Any = None) -> list[tuple[_K, _V]]:
        """Remove and return the items that have expired by `time` (now when None)."""
