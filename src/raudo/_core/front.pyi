from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from typing_extensions import disjoint_base

from raudo._core.cache import Cache

@disjoint_base
class Front:
    """The first level of a `SmartCache` as `get` and `get_nowait` meet it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Front: ...
    def get(self, key: Hashable, default: Any = None) -> Awaitable[Any]:
        """Return the value, or `default` on a miss. A hit in memory never suspends."""
    def get_nowait(self, key: Hashable, default: Any = None) -> Any:
        """Return the value without an event loop, waiting for the disk where need be.

        Levels that only have coroutines are not asked.
        """
    def _open(
        self,
        first: Cache[Any, Any] | None,
        timed: type,
        watched: type,
        missing: object,
        note: Callable[[Hashable], object],
    ) -> None:
        """Answer from `first` from now on; None leaves everything to `_get` and
        `_get_now`."""
