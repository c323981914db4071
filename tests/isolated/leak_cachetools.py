"""The stand-in for cachetools leaks nothing."""

from __future__ import annotations

import copy
from typing import Any

from counting import assert_no_growth

import raudo.compat.cachetools as cachetools
from raudo.testing import FakeClock


def expires(key: Any, value: Any, now: float) -> float:
    return now + 2.0


def work() -> None:
    clock = FakeClock()
    for cache in (
        cachetools.Cache(9),
        cachetools.FIFOCache(9),
        cachetools.LFUCache(9),
        cachetools.LRUCache(9),
        cachetools.RRCache(9),
        cachetools.TTLCache(9, ttl=3.0, timer=clock),
        cachetools.TLRUCache(9, ttu=expires, timer=clock),
    ):
        target: Any = cache
        for i in range(40):
            target[i % 13] = [i]
            target.get(i % 7)
            target.pop(i % 11, None)
            if i % 8 == 0:
                clock.advance(1.0)
                copy.copy(target)
        target["self"] = target
        remember = cachetools.cached(target)(lambda x: [x])
        for i in range(20):
            remember(i)
        target.clear()


assert_no_growth("cachetools", work)
