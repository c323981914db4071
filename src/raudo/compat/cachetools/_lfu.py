"""`LFUCache`: keys in groups by how often they were used, the groups chained in ascending order.

A chain by use count instead of by object keeps pickling and deep copies from recursing once for
each group.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from raudo.compat.cachetools._cache import Cache

__all__ = ["LFUCache"]

K = TypeVar("K")
V = TypeVar("V")


class _Group(Generic[K]):
    """The keys of one use count, least recently used first; `below` and `above` are use counts."""

    __slots__ = ("above", "below", "count", "keys")

    def __init__(self, count: int, below: int, above: int) -> None:
        self.count = count
        self.below = below
        self.above = above
        self.keys: OrderedDict[K, None] = OrderedDict()


class _Use(Generic[K]):
    """The group that a key is in, and that key itself.

    Groups are searched with the very object that they hold: an equal one would call its `__eq__`
    again, which may use the cache.
    """

    __slots__ = ("group", "key")

    def __init__(self, key: K, group: _Group[K]) -> None:
        self.key = key
        self.group = group


class LFUCache(Cache[K, V]):
    """Evicts what was used least often; of several the one used longest ago.

    A new key counts one use; reading it or setting it again one more.
    """

    def __init__(self, maxsize: float, getsizeof: Callable[[V], float] | None = None) -> None:
        Cache.__init__(self, maxsize, getsizeof)
        self._raudo_uses: dict[K, _Use[K]] = {}
        self._raudo_groups: dict[int, _Group[K]] = {0: _Group(0, 0, 0)}  # 0: the chain's two ends

    def __getitem__(self, key: K, cache_getitem: Any = Cache.__getitem__) -> V:
        value: V = cache_getitem(self, key)
        use = self._raudo_uses.get(key)
        if use is not None:  # `__missing__` need not have stored it
            self._raudo_move_up(use)
        return value

    def __setitem__(self, key: K, value: V, cache_setitem: Any = Cache.__setitem__) -> None:
        cache_setitem(self, key, value)
        use = self._raudo_uses.get(key)
        if use is not None:
            self._raudo_move_up(use)
            return
        group = self._raudo_groups.get(1)
        if group is None:
            group = self._raudo_new_group(1, self._raudo_groups[0])
        group.keys[key] = None
        self._raudo_uses[key] = _Use(key, group)

    def __delitem__(self, key: K, cache_delitem: Any = Cache.__delitem__) -> None:
        cache_delitem(self, key)
        use = self._raudo_uses.pop(key)
        self._raudo_leave(use.group, use.key)

    def _raudo_new_group(self, count: int, below: _Group[K]) -> _Group[K]:
        groups = self._raudo_groups
        group: _Group[K] = _Group(count, below.count, below.above)
        groups[count] = group
        groups[below.above].below = count
        below.above = count
        return group

    def _raudo_leave(self, group: _Group[K], key: K) -> None:
        del group.keys[key]
        if not group.keys:
            groups = self._raudo_groups
            groups[group.below].above = group.above
            groups[group.above].below = group.below
            del groups[group.count]

    def _raudo_move_up(self, use: _Use[K]) -> None:
        group = use.group
        count = group.count + 1
        if group.above == count:
            above = self._raudo_groups[count]
        elif len(group.keys) == 1:  # alone: the group itself moves up
            groups = self._raudo_groups
            del groups[count - 1]
            groups[count] = group
            group.count = groups[group.below].above = groups[group.above].below = count
            return
        else:
            above = self._raudo_new_group(count, group)
        key = use.key
        above.keys[key] = None
        use.group = above
        if len(group.keys) > 1:
            del group.keys[key]
        else:
            self._raudo_leave(group, key)

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._raudo_groups = {}
        for count, group in self._raudo_groups.items():
            own: _Group[K] = _Group(count, group.below, group.above)
            own.keys = group.keys.copy()
            twin._raudo_groups[count] = own
        twin._raudo_uses = {
            key: _Use(use.key, twin._raudo_groups[use.group.count])
            for key, use in self._raudo_uses.items()
        }
        return twin

    def popitem(self) -> tuple[K, V]:
        """Remove and return the item used least often; KeyError when empty."""
        lowest = self._raudo_groups[0].above
        if lowest == 0:
            self._raudo_nothing()
        key = next(iter(self._raudo_groups[lowest].keys))
        value = Cache.__getitem__(self, key)
        del self[key]
        return key, value

    def clear(self) -> None:
        Cache.clear(self)
        self._raudo_uses.clear()
        self._raudo_groups = {0: _Group(0, 0, 0)}
