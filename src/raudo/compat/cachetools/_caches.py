"""The public cache classes: ordinary Python classes over the compiled ones, which do the work.

Python classes, so that they are mutable mappings by inheritance, take part in any class hierarchy,
and their attributes can be assigned, as in cachetools. Only constructors are Python code here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, TypeVar

from raudo._core.compat import Ordered, Plain, Timed

__all__ = ["Cache", "FIFOCache", "LFUCache", "LRUCache", "RRCache", "TLRUCache", "TTLCache"]

K = TypeVar("K")
V = TypeVar("V")


class Cache(Plain[K, V], MutableMapping[K, V]):
    """A mapping whose sizes sum up to no more than `maxsize`; evicts what was inserted longest ago.

    Args:
        maxsize: Bound on the sum of the sizes; may be a float, `math.inf` for no bound.
        getsizeof: Size of a value, a number >= 0; each counts 1 when None.
    """

    _raudo_kind = "any"


class FIFOCache(Ordered[K, V], Cache[K, V]):
    """Evicts what was set longest ago; setting a key again makes it the newest."""

    _raudo_kind = "fifo"


class LFUCache(Ordered[K, V], Cache[K, V]):
    """Evicts what was used least often; of several the one used longest ago.

    A new key counts one use; reading it or setting it again one more.
    """

    _raudo_kind = "lfu"


class LRUCache(Ordered[K, V], Cache[K, V]):
    """Evicts what was read or set longest ago."""

    _raudo_kind = "lru"


class RRCache(Ordered[K, V], Cache[K, V]):
    """Evicts a key that `choice` picks from the list of them, at random by default."""

    _raudo_kind = "rr"

    def __init__(
        self,
        maxsize: float,
        choice: Callable[[Sequence[K]], K] = random.choice,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        self._raudo_start(maxsize, getsizeof, choice, None)

    @property
    def choice(self) -> Callable[[Sequence[K]], K]:
        """The function that picks whom to evict."""
        return self._raudo_setting  # type: ignore[no-any-return]


class TTLCache(Timed[K, V], Cache[K, V]):
    """Evicts what was used longest ago; an item expires `ttl` after it was set.

    Times are whatever `timer` returns, as long as a `ttl` can be added to them.
    """

    _raudo_kind = "ttl"

    def __init__(
        self,
        maxsize: float,
        ttl: Any,
        timer: Callable[[], Any] = time.monotonic,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        self._raudo_start(maxsize, getsizeof, ttl, timer)

    @property
    def ttl(self) -> Any:
        """How long an item lives, in the timer's units."""
        return self._raudo_setting


class TLRUCache(Timed[K, V], Cache[K, V]):
    """Evicts what was used longest ago; an item expires when `ttu(key, value, now)` says."""

    _raudo_kind = "tlru"

    def __init__(
        self,
        maxsize: float,
        ttu: Callable[[K, V, Any], Any],
        timer: Callable[[], Any] = time.monotonic,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        self._raudo_start(maxsize, getsizeof, ttu, timer)

    @property
    def ttu(self) -> Callable[[K, V, Any], Any]:
        """The function that says when an item expires."""
        return self._raudo_setting  # type: ignore[no-any-return]
