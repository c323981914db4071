"""Short of memory at every place in turn, a cache raises MemoryError and keeps its books."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:
    print("no _testcapi in this Python")
    sys.exit(77)

from raudo._core.cache import Cache

N_PLACES = 40


def fresh(strategy: str) -> Cache[Any, Any]:
    cache: Cache[Any, Any] = Cache(8, strategy=strategy, ttl=1000.0)
    for i in range(8):
        cache[f"key {i}"] = i
    return cache


def load(key: str) -> list[str]:
    return [key]


# No operation makes a function: CPython 3.13.0 frees its code twice when it has no memory for it.
OPERATIONS: dict[str, Callable[[Cache[Any, Any]], object]] = {
    "get": lambda cache: cache.get("key 3"),
    "subscript": lambda cache: cache["key 4"],
    "set": lambda cache: cache.set("key 3", 3, 5.0),
    "insert": lambda cache: cache.__setitem__(("new", 1), 1),
    "pop": lambda cache: cache.pop("key 2", None),
    "popitem": lambda cache: cache.popitem(),
    "list": lambda cache: list(cache),
    "items": lambda cache: list(cache.items()),
    "copy": lambda cache: cache.copy(),
    "get_many": lambda cache: cache.get_many(["key 1", "key 2", "none"]),
    "load": lambda cache: cache.get_or_load("loaded", load),
    "resize": lambda cache: cache.resize(3),
    "expires_in": lambda cache: cache.expires_in("key 1"),
    "clear": lambda cache: cache.clear(),
    "stats": lambda cache: cache.stats(),
    "make": lambda cache: Cache(5, strategy=cache.strategy),
}

for strategy in ("adaptive", "lru", "lfu", "s3fifo", "ttl"):
    for name, operation in OPERATIONS.items():
        failures = 0
        for place in range(N_PLACES):
            cache = fresh(strategy)
            failed = False
            set_nomemory(place, place + 1)
            try:
                operation(cache)
            except MemoryError:
                failed = True
            except RuntimeError as error:  # what threading says when it has no memory for a lock
                remove_mem_hooks()
                if str(error) != "can't allocate lock":
                    raise
                failed = True
            except BaseException as error:
                remove_mem_hooks()
                raise AssertionError(f"{strategy} {name} at {place}: {error!r}") from error
            finally:
                remove_mem_hooks()
            failures += failed
            assert len(list(cache)) == len(cache) <= 8, (strategy, name, place)
            for key, value in cache.items():
                assert cache.peek(key) == value
            assert cache.get_or_load("loaded", lambda key: "again") in ("again", ["loaded"])
            for i in range(20):
                cache[i] = i
                assert cache[i] == i
