"""No error path of a cache leaks."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from counting import STRATEGIES, assert_no_growth

from raudo._core.cache import Cache


class Bad:
    """Hashes well, and fails when it is compared."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


class Unhashable:
    def __hash__(self) -> int:
        raise ZeroDivisionError


def fail(*args: Any) -> Any:
    raise ZeroDivisionError


def work(strategy: str) -> None:
    cache: Cache[Any, Any] = Cache(4, strategy=strategy)
    cache[Bad()] = [1]
    cache[2] = [2]
    for key in (Bad(), Unhashable(), [], object()):
        for call in (
            lambda key: cache[key],
            lambda key: cache.get(key, [1]),
            lambda key: cache.peek(key),
            lambda key: cache.set(key, [1], "bad"),
            lambda key: cache.set(key, [1], -1),
            lambda key: cache.pop(key),
            lambda key: cache.__delitem__(key),
            lambda key: cache.touch(key, "bad"),
            lambda key: cache.expires_in(key),
            lambda key: cache.get_many([2, key, fail]),
            lambda key: cache.set_many([(2, [3]), (key, [1]), fail]),
            lambda key: cache.get_or_load(key, fail),
            lambda key: cache.setdefault(key, [1]),
            lambda key: cache.get(key, 1, 2, 3),
            lambda key: cache.get(key, nonsense=[1]),
            lambda key: cache.set(key, value=[1], nonsense=[1]),
            lambda key: cache.resize("bad"),
            lambda key: Cache("bad", strategy=strategy),
            lambda key: Cache(4, strategy=[key]),
            lambda key: Cache(4, strategy=strategy, ttl=-1, on_evict=fail),
        ):
            with suppress(ZeroDivisionError, TypeError, ValueError, KeyError):
                call(key)  # type: ignore[no-untyped-call]
    listening: Cache[Any, Any] = Cache(2, strategy=strategy, on_evict=fail)
    weighing: Cache[Any, Any] = Cache(2, strategy=strategy, weigher=fail, max_weight=9)
    timing: Cache[Any, Any] = Cache(2, strategy=strategy, ttl=1.0, timer=fail)
    for i in range(6):
        listening[i] = [i]
        for failing in (weighing, timing):
            with suppress(ZeroDivisionError):
                failing[i] = [i]


sys.unraisablehook = lambda info: None
for each in STRATEGIES:
    assert_no_growth(each, lambda strategy=each: work(strategy))  # type: ignore[misc]
