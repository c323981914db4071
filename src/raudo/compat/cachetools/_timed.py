"""The caches whose items expire: `TTLCache`, `TLRUCache`.

Times are whatever the timer returns, as long as they can be added to and compared: seconds,
ticks, datetimes. All items of a `TTLCache` live equally long, so the order in which they were set
is the order in which they expire and an `OrderedDict` is all it needs; a `TLRUCache` keeps a heap.
"""

from __future__ import annotations

import copy
import heapq
import time as clock
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from raudo.compat.cachetools._cache import Cache

__all__ = ["TLRUCache", "TTLCache"]

K = TypeVar("K")
V = TypeVar("V")


class _Timer:
    """Calls a timer; inside a `with` block the time stands still, so that nested steps agree."""

    __slots__ = ("depth", "now", "source")

    def __init__(self, source: Callable[[], Any]) -> None:
        self.source = source
        self.depth = 0
        self.now: Any = None

    def __call__(self) -> Any:
        return self.now if self.depth else self.source()

    def __enter__(self) -> Any:
        if not self.depth:
            self.now = self.source()
        self.depth += 1
        return self.now

    def __exit__(self, *error: object) -> None:
        self.depth -= 1

    def __copy__(self) -> _Timer:
        return _Timer(self.source)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Timer:
        return _Timer(copy.deepcopy(self.source, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Timer, (self.source,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


class _TimedCache(Cache[K, V]):
    """What the two have in common: a timer, an order of use, and `expire`.

    `_raudo_order` holds the keys, least recently used first; `_raudo_expires(key)` when one ends.
    """

    _raudo_order: OrderedDict[K, Any]

    def __init__(
        self,
        maxsize: float,
        timer: Callable[[], Any],
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        Cache.__init__(self, maxsize, getsizeof)
        self._raudo_timer = _Timer(timer)

    def _raudo_expires(self, key: K) -> Any:
        raise KeyError(key)

    def _raudo_forget(self, key: K) -> None:
        """Drop what is kept of a key besides its value and size."""

    def expire(self, time: Any = None) -> list[tuple[K, V]]:
        """Remove and return the items that have expired by `time` (now when None)."""
        return []

    @property
    def timer(self) -> _Timer:
        """The timer; a context manager too, inside which the time stands still."""
        return self._raudo_timer

    def __contains__(self, key: object) -> bool:
        try:
            expires = self._raudo_expires(key)  # type: ignore[arg-type]
        except KeyError:
            return False
        return bool(self.timer() < expires)

    def __getitem__(self, key: K, cache_getitem: Any = Cache.__getitem__) -> V:
        try:
            expires = self._raudo_expires(key)
        except KeyError:
            expires = None
        else:
            self._raudo_order.move_to_end(key)
            if not self.timer() < expires:
                return self.__missing__(key)
        value: V = cache_getitem(self, key)
        return value

    def __delitem__(self, key: K, cache_delitem: Any = Cache.__delitem__) -> None:
        with self.timer as time:
            cache_delitem(self, key)
        expires = self._raudo_expires(key)
        self._raudo_forget(key)
        if not time < expires:  # gone already, as far as a caller can tell
            raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys of this moment that have not expired when their turn comes."""
        for key in list(Cache.__iter__(self)):
            with self.timer as time:
                try:
                    expires = self._raudo_expires(key)
                except KeyError:
                    continue
                if time < expires:
                    yield key

    def __len__(self) -> int:
        with self.timer as time:
            self.expire(time)
            return Cache.__len__(self)

    def __repr__(self) -> str:
        with self.timer as time:
            self.expire(time)
            return Cache.__repr__(self)

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._raudo_timer = copy.copy(self._raudo_timer)
        twin._raudo_order = self._raudo_order.copy()
        return twin

    @property
    def currsize(self) -> float:
        """Sum of the sizes of the items that have not expired."""
        with self.timer as time:
            self.expire(time)
            return super().currsize

    def get(self, key: K, default: Any = None) -> Any:
        with self.timer:
            return Cache.get(self, key, default)

    def pop(self, key: K, *default: Any, **named: Any) -> Any:
        with self.timer:
            return Cache.pop(self, key, *default, **named)

    def setdefault(self, key: K, default: Any = None) -> Any:
        with self.timer:
            return Cache.setdefault(self, key, default)

    def popitem(self) -> tuple[K, V]:
        """Remove and return the item used longest ago that has not expired; KeyError when empty."""
        with self.timer as time:
            self.expire(time)
            try:
                key = next(iter(self._raudo_order))
            except StopIteration:
                self._raudo_nothing()
            value = Cache.__getitem__(self, key)
            del self[key]
            return key, value


class TTLCache(_TimedCache[K, V]):
    """Evicts what was used longest ago; an item expires `ttl` after it was set."""

    def __init__(
        self,
        maxsize: float,
        ttl: Any,
        timer: Callable[[], Any] = clock.monotonic,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        _TimedCache.__init__(self, maxsize, timer, getsizeof)
        self._raudo_ttl = ttl
        self._raudo_order = OrderedDict()
        self._raudo_ends: OrderedDict[K, Any] = OrderedDict()  # in the order of expiry

    @property
    def ttl(self) -> Any:
        """How long an item lives, in the timer's units."""
        return self._raudo_ttl

    def _raudo_expires(self, key: K) -> Any:
        return self._raudo_ends[key]

    def _raudo_forget(self, key: K) -> None:
        del self._raudo_ends[key]
        del self._raudo_order[key]

    def __contains__(self, key: object) -> bool:
        try:
            expires = self._raudo_ends[key]  # type: ignore[index]
        except KeyError:
            return False
        return bool(self.timer() < expires)

    def __getitem__(self, key: K, cache_getitem: Any = None) -> V:
        if cache_getitem is None:
            try:
                expires = self._raudo_ends[key]
            except KeyError:
                return Cache.__getitem__(self, key)
            self._raudo_order.move_to_end(key)
            timer = self._raudo_timer
            if (timer.now if timer.depth else timer.source()) < expires:
                return self._raudo_data[key]
            return self.__missing__(key)
        return _TimedCache.__getitem__(self, key, cache_getitem)

    def __setitem__(self, key: K, value: V, cache_setitem: Any = None) -> None:
        order, ends = self._raudo_order, self._raudo_ends
        if (
            cache_setitem is None
            and self._raudo_plain
            and self._raudo_sizes is None
            and "popitem" not in self.__dict__
        ):
            data, timer, maxsize = self._raudo_data, self._raudo_timer, self._raudo_maxsize
            time = timer.now if timer.depth else timer.source()
            expires = time + self._raudo_ttl
            for first in ends.values():
                if not time < first:
                    self.expire(time)
                break
            if maxsize < 1:
                raise ValueError("value too large")
            if key not in data:
                while len(data) + 1 > maxsize:
                    oldest = order.popitem(last=False)[0]
                    del data[oldest], ends[oldest]
            data[key] = value
        else:
            with self.timer as time:
                expires = time + self._raudo_ttl
                self.expire(time)
                (cache_setitem or Cache.__setitem__)(self, key, value)
        ends[key] = expires
        ends.move_to_end(key)
        order[key] = None
        order.move_to_end(key)

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._raudo_ends = self._raudo_ends.copy()
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.expire(self.timer())

    def expire(self, time: Any = None) -> list[tuple[K, V]]:
        """Remove and return the items that have expired by `time` (now when None)."""
        if time is None:
            time = self.timer()
        expired: list[tuple[K, V]] = []
        ends = self._raudo_ends
        while ends:
            key, expires = next(iter(ends.items()))
            if time < expires:
                break
            expired.append((key, Cache.__getitem__(self, key)))
            Cache.__delitem__(self, key)
            self._raudo_forget(key)
        return expired

    def clear(self) -> None:
        Cache.clear(self)
        self._raudo_order.clear()
        self._raudo_ends.clear()


class TLRUCache(_TimedCache[K, V]):
    """Evicts what was used longest ago; an item expires when `ttu(key, value, now)` says."""

    def __init__(
        self,
        maxsize: float,
        ttu: Callable[[K, V, Any], Any],
        timer: Callable[[], Any] = clock.monotonic,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        _TimedCache.__init__(self, maxsize, timer, getsizeof)
        self._raudo_ttu = ttu
        # A heap entry is stale unless its serial number is the one that the key has now.
        self._raudo_order: OrderedDict[K, tuple[Any, int]] = OrderedDict()
        self._raudo_heap: list[tuple[Any, int, K]] = []
        self._raudo_serial = 0

    @property
    def ttu(self) -> Callable[[K, V, Any], Any]:
        """The function that says when an item expires."""
        return self._raudo_ttu

    def _raudo_expires(self, key: K) -> Any:
        return self._raudo_order[key][0]

    def _raudo_forget(self, key: K) -> None:
        del self._raudo_order[key]

    def __setitem__(self, key: K, value: V, cache_setitem: Any = Cache.__setitem__) -> None:
        with self.timer as time:
            self.expire(time)
            expires = self._raudo_ttu(key, value, time)
            if not time < expires:  # expired before it came: the old value must go nonetheless
                if key in self._raudo_order:
                    Cache.__delitem__(self, key)
                    self._raudo_forget(key)
                return
            cache_setitem(self, key, value)
        self._raudo_serial += 1
        self._raudo_order[key] = (expires, self._raudo_serial)
        self._raudo_order.move_to_end(key)
        heapq.heappush(self._raudo_heap, (expires, self._raudo_serial, key))

    def _raudo_is_stale(self, entry: tuple[Any, int, K]) -> bool:
        now = self._raudo_order.get(entry[2])
        return now is None or now[1] != entry[1]

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._raudo_heap = self._raudo_heap.copy()
        return twin

    def expire(self, time: Any = None) -> list[tuple[K, V]]:
        """Remove and return the items that have expired by `time` (now when None)."""
        if time is None:
            time = self.timer()
        heap = self._raudo_heap
        if len(heap) > 2 * len(self._raudo_order):  # most are stale: keep the heap linear in size
            heap[:] = [entry for entry in heap if not self._raudo_is_stale(entry)]
            heapq.heapify(heap)
        expired: list[tuple[K, V]] = []
        while heap:
            stale = self._raudo_is_stale(heap[0])
            if not stale and time < heap[0][0]:
                break
            key = heapq.heappop(heap)[2]
            if not stale:
                expired.append((key, Cache.__getitem__(self, key)))
                Cache.__delitem__(self, key)
                self._raudo_forget(key)
        return expired

    def clear(self) -> None:
        Cache.clear(self)
        self._raudo_order.clear()
        self._raudo_heap.clear()
