"""Calls that fail half-way: nothing is lost, nobody is left untold, and the cache goes on."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from core.test_python_policy import PythonLru
from raudo._core.cache import Cache
from raudo._core.curve import Curve


class Value:
    pass


class FailsAt(PythonLru):
    """Raises at the n-th call of a method, and lets no newcomer in."""

    def __init__(self, method: str, nth: int) -> None:
        super().__init__()
        self.method, self.left = method, nth

    def _count(self, method: str) -> None:
        if method == self.method:
            self.left -= 1
            if self.left == 0:
                raise OSError(method)

    def on_insert(self, slot: int, key_hash: int, weight: int) -> None:
        self._count("on_insert")
        super().on_insert(slot, key_hash, weight)

    def victim(self) -> int:
        self._count("victim")
        return super().victim()

    def admits(self, key_hash: int, slot: int) -> bool:
        return False


def test_an_entry_whose_insert_failed_is_not_the_newest() -> None:
    cache: Cache[str, int] = Cache(5, strategy=FailsAt("on_insert", 3))
    cache["a"], cache["b"] = 1, 2
    with pytest.raises(OSError, match="on_insert"):
        cache["c"] = 3
    assert cache.popitem() in [("a", 1), ("b", 2)]
    assert len(cache) == 1


def test_what_left_before_a_failure_is_told_and_dropped() -> None:
    told: list[Any] = []
    cache: Cache[int, Value] = Cache(
        5, strategy=FailsAt("victim", 3), on_evict=lambda key, value, reason: told.append(key)
    )
    refs = []
    for i in range(5):
        value = Value()
        refs.append(weakref.ref(value))
        cache[i] = value
        del value
    with pytest.raises(OSError, match="victim"):
        cache.resize(1)
    assert len(told) == 2
    assert len(cache) == 3
    assert sum(ref() is not None for ref in refs) == 3


def test_a_cache_that_was_not_made_holds_nothing() -> None:
    cache: Cache[str, int] = Cache.__new__(Cache)
    with pytest.raises(ValueError, match="nope"):
        cache.__init__(1, strategy="nope")  # type: ignore[misc]
    cache["a"] = 1
    cache["b"] = 2
    assert len(cache) == 0
    with pytest.raises(RuntimeError, match="before"):
        Cache.__new__(Cache).resize(1)


def test_a_value_refused_in_place_of_another_counts_as_a_removal() -> None:
    cache: Cache[str, int] = Cache(9, max_weight=10, weigher=lambda key, value: value)
    cache["a"] = 5
    cache.reset_stats()
    cache["a"] = 11
    stats = cache.stats()
    assert "a" not in cache
    assert (stats["inserts"], stats["updates"], stats["removals"], stats["refused"]) == (0, 0, 1, 1)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300])
def test_a_timer_out_of_range_is_refused(seconds: float) -> None:
    cache: Cache[str, int] = Cache(9, ttl=5, timer=lambda: seconds)
    with pytest.raises(ValueError, match="timer"):
        cache["a"] = 1
    assert len(cache) == 0


def test_a_time_that_ends_at_nought_is_not_for_ever() -> None:
    now = -5.0
    cache: Cache[str, int] = Cache(9, ttl=5, timer=lambda: now)
    cache["a"] = 1
    assert cache.get("a") == 1
    now = 0.5
    assert cache.get("a") is None


def test_a_curve_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(MemoryError):
        Curve([2**31], followed=2**31)
