"""The public cache classes: ordinary Python classes over the compiled ones, which do the work.

Python classes, so that they are mutable mappings by inheritance, take part in any class hierarchy,
and their attributes can be assigned, as in cachetools. Only what makes, copies and pickles a cache
is Python code here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Self, TypeVar

from raudo._core.compat import Ordered, Plain
from raudo._core.compat_copy import restore, snapshot
from raudo._core.compat_timed import Timed

__all__ = ["Cache", "FIFOCache", "LFUCache", "LRUCache", "RRCache", "TLRUCache", "TTLCache"]

K = TypeVar("K")
V = TypeVar("V")

_STATE = "_raudo_state"


def _new(kind: type[Cache[Any, Any]]) -> Cache[Any, Any]:
    """Make what `__setstate__` fills."""
    return kind.__new__(kind)


class Cache(Plain[K, V], MutableMapping[K, V]):
    """A mapping whose sizes sum up to no more than `maxsize`; evicts what was inserted longest ago.

    Args:
        maxsize: Bound on the sum of the sizes; may be a float, `math.inf` for no bound.
        getsizeof: Size of a value, a number >= 0; each counts 1 when None.
    """

    _raudo_kind = "any"

    def __copy__(self) -> Self:
        """Return a cache of its own entries; other attributes are shared with this one."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        restore(twin, snapshot(self))
        return twin

    def __getstate__(self) -> Any:
        return self._with_entries(object.__getstate__(self))

    def _with_entries(self, state: Any) -> Any:
        """Add the entries to what the class's own `__getstate__` gave, where they are not in it."""
        slots = None
        if type(state) is tuple and len(state) == 2:
            state, slots = state
        if state is None or (type(state) is dict and _STATE not in state):
            state = {**(state or {}), _STATE: snapshot(self)}
        return state if slots is None else (state, slots)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _new, (type(self),), self._with_entries(self.__getstate__())

    def __setstate__(self, state: Any) -> None:
        slots: dict[str, Any] = {}
        if type(state) is tuple:
            state, slots = state
        state = dict(state)
        core = state.pop(_STATE)
        self.__dict__.update(state)
        for name, value in slots.items():
            setattr(self, name, value)
        restore(self, core)
        if isinstance(self, Timed):
            self.expire(self.timer())


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
        self._raudo_start(maxsize, getsizeof, choice)

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
