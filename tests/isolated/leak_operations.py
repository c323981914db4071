"""No operation of a cache leaks, whatever the strategy."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

from counting import STRATEGIES, assert_no_growth

from raudo._core.cache import Cache
from raudo.testing import FakeClock


class Key:
    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return self.name % 3

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.name == self.name


def heavy(key: Any, value: Any) -> int:
    return 3


def work(strategy: str) -> None:
    clock = FakeClock()
    heard: list[Any] = []
    for settings in (
        {},
        {"ttl": 5.0, "timer": clock},
        {"weigher": heavy, "max_weight": 40},
        {"on_evict": lambda *report: heard.append(report)},
    ):
        cache: Cache[Any, Any] = Cache(9, strategy=strategy, **settings)  # type: ignore[arg-type]
        for i in range(30):
            key: Any = (i % 15, "x") if i % 2 else Key(i % 15)
            cache[key] = [i]
            cache.get(key)
            cache.get(object(), [i])
            cache.set(key, [i], 1.0 if i % 3 else math.inf)
            cache.set(key=key, value=[i], ttl=2.0)
            cache.touch(key, 3.0)
            cache.expires_in(key)
            cache.peek(key)
            cache.get_or_load(Key(i), lambda key: [key.name])
            if i % 7 == 0:
                cache.pop(key, None)
                cache.setdefault(key, [i])
                cache.get_many([key, Key(i + 1), "none"])
                cache.set_many({Key(i + 2): [i]}, ttl=1.0)
                cache.update([(Key(i + 3), [i])], named=[i])
                clock.advance(1.0)
            if i % 10 == 0:
                list(cache)
                list(cache.items())
                list(cache.values())
                cache.resize(5 + i % 7)
                cache.expire()
                cache.stats()
                repr(cache)
        assert cache == cache.copy()
        copy.copy(cache)
        cache.popitem()
        del cache[next(iter(cache))]
        cache.clear()
        cache["last"] = cache  # a cycle through itself


def pickling(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(9, strategy=strategy, ttl=50.0)
    for i in range(12):
        cache[i] = [i]
    pickle.loads(pickle.dumps(cache))
    copy.deepcopy(cache)


for each in STRATEGIES:
    assert_no_growth(each, lambda strategy=each: pickling(strategy))  # type: ignore[misc]
    assert_no_growth(each, lambda strategy=each: work(strategy))  # type: ignore[misc]
