"""Deep nesting, endless recursion and the end of the interpreter do not crash."""

from __future__ import annotations

import gc
import threading
from typing import Any

from raudo._core.cache import Cache


def chain(length: int) -> Any:
    outer: Any = None
    for _ in range(length):
        inner: Any = Cache(1, strategy="lru")
        inner["outer"] = outer
        outer = inner
    return outer


deep = chain(300_000)
del deep  # frees them one inside the other
deep = chain(300_000)
deep["cycle"] = deep
del deep
gc.collect()


class Endless:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return cache.get(Endless()) is None


cache: Cache[Any, Any] = Cache(4, strategy="lru")
cache[Endless()] = 1
try:
    cache.get(Endless())
except RecursionError:
    pass
else:
    raise AssertionError("a comparison without end must end in RecursionError")
assert len(cache) == 1


class Last:
    def __del__(self) -> None:
        # Runs while the interpreter goes down, from inside the cache that goes with it.
        at_exit.get("x")
        at_exit["grave"] = 1


at_exit: Cache[Any, Any] = Cache(8, on_evict=lambda *report: None)
for number in range(20):
    at_exit[number] = Last()

forever = threading.Event()


def spin() -> None:
    number = 0
    while not forever.is_set():
        number += 1
        at_exit[number % 50] = number
        at_exit.get((number * 7) % 50)


for _ in range(4):
    threading.Thread(target=spin, daemon=True).start()
forever.wait(0.05)  # and the interpreter ends with the threads at work
