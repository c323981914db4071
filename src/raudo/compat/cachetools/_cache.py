"""The bounded mappings that know no time: `Cache`, `FIFOCache`, `LRUCache`, `RRCache`.

A subclass may override any step, so every step that one could have overridden goes through `self`.
Where nothing is overridden, a look-up or a store is one Python call over a dict and an
`OrderedDict`. `dict` alone will not do for the order: finding the first key of one whose head has
been deleted is linear.

Attributes are named `_raudo_*`: a subclass of a user's owns all other names.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from raudo._core.cache import Cache as Table

__all__ = ["Cache", "FIFOCache", "LRUCache", "RRCache"]

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Any = object()
_PACKAGE = "raudo.compat.cachetools."
_HOOKS = ("popitem", "__delitem__", "expire", "timer")  # what an eviction or a store may call


class Cache(MutableMapping[K, V]):
    """A mapping whose sizes sum up to no more than `maxsize`; evicts in no particular order.

    Args:
        maxsize: Bound on the sum of the sizes; may be a float, `math.inf` for no bound.
        getsizeof: Size of a value, a number >= 0; each counts 1 when None.
    """

    # Whether the hooks are this package's own, so that evicting and expiring may inline them.
    _raudo_plain: ClassVar[bool] = True
    _raudo_sizes: dict[K, float] | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        home = next(base for base in cls.__mro__ if base.__module__.startswith(_PACKAGE))
        cls._raudo_plain = all(
            getattr(cls, hook, None) is getattr(home, hook, None) for hook in _HOOKS
        )

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        if maxsize < 0:
            raise ValueError(f"maxsize must not be negative, got {maxsize!r}")
        if getsizeof is not None:
            self.getsizeof = getsizeof  # type: ignore[method-assign, assignment]
        self._raudo_sizes = None if self.getsizeof is Cache.getsizeof else {}
        self._raudo_data: dict[K, V] = {}
        self._raudo_sum: float = 0
        self._raudo_maxsize = maxsize

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._raudo_data!r}, "
            f"maxsize={self._raudo_maxsize!r}, currsize={self.currsize!r})"
        )

    def __getitem__(self, key: K) -> V:
        try:
            return self._raudo_data[key]
        except KeyError:
            return self.__missing__(key)

    def __setitem__(self, key: K, value: V) -> None:
        data = self._raudo_data
        if self._raudo_sizes is not None:
            self._raudo_set_sized(key, value)
        elif key in data:
            data[key] = value
        else:
            maxsize = self._raudo_maxsize
            if maxsize < 1:
                raise ValueError("value too large")
            while len(data) + 1 > maxsize:
                self.popitem()
            data[key] = value

    def _raudo_set_sized(self, key: K, value: V) -> None:
        data, sizes, maxsize = self._raudo_data, self._raudo_sizes, self._raudo_maxsize
        assert sizes is not None
        size = self.getsizeof(value)
        if size > maxsize:
            raise ValueError("value too large")
        if size < 0:
            raise ValueError(f"getsizeof must not return a negative size, got {size!r}")
        growth = size - sizes[key] if key in data else size
        while self._raudo_sum + growth > maxsize:
            self.popitem()
            if key not in data:  # the entry to be replaced was the one evicted
                growth = size
        data[key] = value
        sizes[key] = size
        self._raudo_sum += growth

    def __delitem__(self, key: K) -> None:
        sizes = self._raudo_sizes
        if sizes is None:
            del self._raudo_data[key]
        else:
            size = sizes.pop(key)
            del self._raudo_data[key]
            self._raudo_sum -= size

    def __contains__(self, key: object) -> bool:
        return key in self._raudo_data

    def __missing__(self, key: K) -> V:
        """Answer a look-up of an absent key; raises KeyError unless overridden."""
        raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self._raudo_data)

    def __len__(self) -> int:
        return len(self._raudo_data)

    def __copy__(self) -> Self:
        """Return a cache of its own entries; other attributes are shared with this one."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._raudo_data = self._raudo_data.copy()
        if self._raudo_sizes is not None:
            twin._raudo_sizes = self._raudo_sizes.copy()
        return twin

    # The mixin's methods rest on `__getitem__` raising KeyError, which one with a `__missing__`
    # need not do.

    def get(self, key: K, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401, this is `get`

    def pop(self, key: K, default: Any = _MISSING) -> Any:
        if key in self:
            value = self[key]
            del self[key]
            return value
        if default is _MISSING:
            raise KeyError(key)
        return default

    def setdefault(self, key: K, default: Any = None) -> Any:
        if key in self:
            return self[key]
        self[key] = default
        return default

    def clear(self) -> None:
        if self._raudo_sizes is not None:
            self._raudo_sizes.clear()
        self._raudo_data.clear()
        self._raudo_sum = 0

    @property
    def maxsize(self) -> float:
        """Bound on the sum of the sizes."""
        return self._raudo_maxsize

    @property
    def currsize(self) -> float:
        """Sum of the sizes."""
        return len(self._raudo_data) if self._raudo_sizes is None else self._raudo_sum

    @staticmethod
    def getsizeof(value: Any) -> float:
        """Return the size of a value: 1 unless overridden."""
        return 1

    def _raudo_nothing(self) -> NoReturn:
        raise KeyError(f"{type(self).__name__} is empty") from None


class _OrderedCache(Cache[K, V]):
    """A cache that evicts the first key of `_raudo_order`."""

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        Cache.__init__(self, maxsize, getsizeof)
        self._raudo_order: OrderedDict[K, None] = OrderedDict()

    def __setitem__(self, key: K, value: V, cache_setitem: Any = None) -> None:
        order = self._raudo_order
        data = self._raudo_data
        if cache_setitem is not None or self._raudo_sizes is not None:
            (cache_setitem or Cache.__setitem__)(self, key, value)
        elif key in data:
            data[key] = value
        else:
            maxsize = self._raudo_maxsize
            if maxsize < 1:
                raise ValueError("value too large")
            if len(data) + 1 > maxsize:
                if self._raudo_plain and "popitem" not in self.__dict__:
                    while len(data) + 1 > maxsize:
                        del data[order.popitem(last=False)[0]]
                else:
                    while len(data) + 1 > maxsize:
                        self.popitem()
            data[key] = value
            order[key] = None
            return
        if key in order:
            order.move_to_end(key)
        else:
            order[key] = None

    def __delitem__(self, key: K, cache_delitem: Any = None) -> None:
        if cache_delitem is None and self._raudo_sizes is None:
            del self._raudo_data[key]
        else:
            (cache_delitem or Cache.__delitem__)(self, key)
        del self._raudo_order[key]

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._raudo_order = self._raudo_order.copy()
        return twin

    def popitem(self) -> tuple[K, V]:
        try:
            key = next(iter(self._raudo_order))
        except StopIteration:
            self._raudo_nothing()
        value = Cache.__getitem__(self, key)
        del self[key]
        return key, value

    def clear(self) -> None:
        Cache.clear(self)
        self._raudo_order.clear()


class FIFOCache(_OrderedCache[K, V]):
    """Evicts what was set longest ago; setting a key again makes it the newest."""

    def popitem(self) -> tuple[K, V]:
        """Remove and return the item set longest ago; KeyError when empty."""
        return super().popitem()


class LRUCache(_OrderedCache[K, V]):
    """Evicts what was read or set longest ago.

    Where there is nothing to override, that is in an instance of this very class whose values have
    no sizes, a compiled table holds the items in order of use, and `_raudo_order` is only there to
    iterate in the order of insertion.
    """

    _raudo_compiled = False

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        _OrderedCache.__init__(self, maxsize, getsizeof)
        if type(self) is LRUCache and self._raudo_sizes is None:
            self._raudo_compiled = True
            self._raudo_data: Any = Table(None, strategy="lru")

    def __getitem__(self, key: K, cache_getitem: Any = None) -> V:
        if self._raudo_compiled and cache_getitem is None:
            try:
                return self._raudo_data[key]  # type: ignore[no-any-return]
            except KeyError:
                return self.__missing__(key)
        value: V = (cache_getitem or Cache.__getitem__)(self, key)
        if key in self._raudo_order and not self._raudo_compiled:  # `__missing__` may not store it
            self._raudo_order.move_to_end(key)
        return value

    def __setitem__(self, key: K, value: V, cache_setitem: Any = None) -> None:
        if cache_setitem is not None or not self._raudo_compiled:
            _OrderedCache.__setitem__(self, key, value, cache_setitem)
            return
        data, order = self._raudo_data, self._raudo_order
        if key not in order:
            maxsize = self._raudo_maxsize
            if maxsize < 1:
                raise ValueError("value too large")
            while len(order) + 1 > maxsize:
                if "popitem" in self.__dict__:
                    self.popitem()
                else:
                    del order[data.popitem()[0]]
            order[key] = None
        data[key] = value

    def __iter__(self) -> Iterator[K]:
        return iter(self._raudo_order if self._raudo_compiled else self._raudo_data)

    def __repr__(self) -> str:
        if not self._raudo_compiled:
            return super().__repr__()
        items = {key: self._raudo_data.peek(key) for key in self._raudo_order}
        return (
            f"{type(self).__name__}({items!r}, "
            f"maxsize={self._raudo_maxsize!r}, currsize={len(items)!r})"
        )

    def get(self, key: K, default: Any = None) -> Any:
        if self._raudo_compiled:
            return self._raudo_data.get(key, default)
        return Cache.get(self, key, default)

    def popitem(self) -> tuple[K, V]:
        """Remove and return the item used longest ago; KeyError when empty."""
        if not self._raudo_compiled:
            return super().popitem()
        if not self._raudo_order:
            self._raudo_nothing()
        item: tuple[K, V] = self._raudo_data.popitem()
        del self._raudo_order[item[0]]
        return item


class RRCache(Cache[K, V]):
    """Evicts a key that `choice` picks from the list of them, at random by default."""

    def __init__(
        self,
        maxsize: float,
        choice: Callable[[Sequence[K]], K] = random.choice,
        getsizeof: Callable[[V], float] | None = None,
    ) -> None:
        Cache.__init__(self, maxsize, getsizeof)
        self._raudo_choice = choice
        self._raudo_keys: list[K] = []
        self._raudo_places: dict[K, int] = {}

    @property
    def choice(self) -> Callable[[Sequence[K]], K]:
        """The function that picks whom to evict."""
        return self._raudo_choice

    def __setitem__(self, key: K, value: V, cache_setitem: Any = Cache.__setitem__) -> None:
        cache_setitem(self, key, value)
        if key not in self._raudo_places:
            self._raudo_places[key] = len(self._raudo_keys)
            self._raudo_keys.append(key)

    def __delitem__(self, key: K, cache_delitem: Any = Cache.__delitem__) -> None:
        cache_delitem(self, key)
        keys, places = self._raudo_keys, self._raudo_places
        place, last = places.pop(key), keys.pop()
        if place < len(keys):  # the last one fills the gap
            keys[place] = last
            places[last] = place

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._raudo_keys = self._raudo_keys.copy()
        twin._raudo_places = self._raudo_places.copy()
        return twin

    def popitem(self) -> tuple[K, V]:
        """Remove and return the item that `choice` picks; KeyError when empty."""
        if not self._raudo_keys:
            self._raudo_nothing()
        key = self._raudo_choice(self._raudo_keys)
        value = Cache.__getitem__(self, key)
        del self[key]
        return key, value

    def clear(self) -> None:
        Cache.clear(self)
        self._raudo_keys.clear()
        self._raudo_places.clear()
