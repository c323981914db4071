"""Caches in cycles go with everything they hold, by the collector alone."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from counting import assert_no_growth

from raudo._core.cache import Cache


class Thing:
    def __init__(self, held: Any) -> None:
        self.held = held


class Sub(Cache):  # type: ignore[type-arg]
    pass


def work(strategy: str) -> None:
    refs = []
    for kind in (Cache, Sub):
        by_value = kind(9, strategy=strategy)
        by_key = kind(9, strategy=strategy)
        holder: list[Any] = []
        by_listener = kind(9, strategy=strategy, on_evict=lambda *report, held=holder: held)
        holder.append(by_listener)
        for i in range(12):
            by_value[i] = Thing(by_value)
            by_key[Thing(by_key)] = i
            by_listener[i] = [i]
        by_value["other"] = by_key
        by_key["other"] = by_value
        refs += [weakref.ref(by_value), weakref.ref(by_key), weakref.ref(by_listener)]
        del by_value, by_key, by_listener, holder
    gc.collect()
    assert [ref() for ref in refs] == [None] * 6


for each in ("adaptive", "lfu", "lru", "ttl"):
    assert_no_growth(each, lambda strategy=each: work(strategy))  # type: ignore[misc]
