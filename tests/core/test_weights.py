"""`max_weight` is a bound on the sum of the weights: exact at every moment, whatever is set."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from core.strategies import COMPILED
from core.test_python_policy import Bypassing, PythonLru
from raudo._core.cache import Cache

STRATEGIES: list[Callable[[], Any]] = [
    *(lambda name=name: name for name in COMPILED),
    PythonLru,
    Bypassing,
]
pytestmark = pytest.mark.parametrize(
    "make", STRATEGIES, ids=[*COMPILED, PythonLru.name, Bypassing.name]
)


def weigh_value(key: Any, value: int) -> int:
    return value


def weighing(make: Callable[[], Any], limit: int, **settings: Any) -> Cache[Any, int]:
    return Cache(None, strategy=make(), weigher=weigh_value, max_weight=limit, **settings)


def test_the_sum_is_exact_and_never_over_the_limit(make: Callable[[], Any]) -> None:
    heard: list[tuple[int, int, str]] = []
    cache = weighing(make, 100, on_evict=lambda *report: heard.append(report))
    chance = random.Random(0)
    n_sets = 0
    for _ in range(2_000):
        key = chance.randrange(60)
        act = chance.randrange(10)
        if act < 7:
            weight = chance.choice((0, 1, 3, 10, 40, 100, 101))
            cache[key] = weight
            n_sets += 1
            assert (key in cache) is (weight <= 100)
        elif act < 8:
            cache.pop(key, None)
        else:
            cache.get(key)
        assert cache.weight == sum(cache.values()) <= 100
        assert cache.stats()["weight"] == cache.weight
    assert n_sets == len(cache) + len(heard)
    refused = [report for report in heard if report[1] > 100]
    assert refused
    assert {reason for _, _, reason in refused} == {"capacity"}
    assert cache.stats()["refused"] == len(refused)


def test_an_entry_of_exactly_the_limit_takes_the_place_of_all_others(
    make: Callable[[], Any],
) -> None:
    cache = weighing(make, 10)
    cache.update({1: 4, 2: 6})
    assert cache == {1: 4, 2: 6}
    cache["all"] = 10
    assert cache == {"all": 10}


def test_what_weighs_nothing_needs_no_room(make: Callable[[], Any]) -> None:
    cache = weighing(make, 0)
    cache.update(dict.fromkeys(range(50), 0))
    assert len(cache) == 50
    cache["heavy"] = 1
    assert "heavy" not in cache
    assert len(cache) == 50


def test_an_entry_that_grows_pushes_out_others_and_not_itself(make: Callable[[], Any]) -> None:
    heard: list[tuple[Any, int, str]] = []
    cache = weighing(make, 10, on_evict=lambda *report: heard.append(report))
    cache.update({"a": 3, "b": 3, "c": 3})
    cache["b"] = 9
    assert cache == {"b": 9}
    assert sorted(heard) == [("a", 3, "capacity"), ("b", 3, "replaced"), ("c", 3, "capacity")]
    cache["b"] = 2  # and one that shrinks pushes out none
    cache["d"] = 8
    assert cache == {"b": 2, "d": 8}


def test_both_bounds_hold_together(make: Callable[[], Any]) -> None:
    cache: Cache[Any, int] = Cache(
        4, strategy=make(), weigher=weigh_value, max_weight=100, ttl=1000.0
    )
    for i in range(200):
        cache[i % 17] = i % 37
        assert len(cache) <= 4
        assert cache.weight == sum(cache.values()) <= 100
    cache.resize(2)
    assert len(cache) == 2
    assert cache.weight == sum(cache.values())
    cache.clear()
    assert cache.weight == 0
