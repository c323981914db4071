"""A cache that follows its cheapest size: it grows, shrinks, and does not swing."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
from collections.abc import Iterable
from typing import Any

import pytest

from raudo import Cache
from raudo._core.curve import Curve
from raudo._core.resizer import Resizer
from raudo.testing import FakeClock

# An entry of a small int costs about 1e-7 an hour, a miss 1e-6.
PRICES = {"cost_per_gb_hour": 1.0, "cost_per_miss": 1e-6}


def cache_of(clock: FakeClock, size: int = 100, **options: Any) -> Cache[Any, Any]:
    options = {"strategy": "lru", "auto_resize": (50, 1000), **PRICES, **options}
    return Cache(size, timer=clock, **options)


def minute(cache: Cache[Any, Any], clock: FakeClock, keys: Iterable[int]) -> None:
    for key in keys:
        if cache.get(key) is None:
            cache[key] = key
    clock.advance(61)


def loop(n_keys: int, n: int = 12_000) -> list[int]:
    return [i % n_keys for i in range(n)]


def test_it_grows_until_the_loop_fits_and_stays() -> None:
    clock = FakeClock()
    cache = cache_of(clock)
    sizes = []
    for _ in range(20):
        minute(cache, clock, loop(600))
        sizes.append(cache.maxsize or 0)
    assert sizes == sorted(sizes)
    assert 600 <= sizes[-1] <= 1000
    assert len(set(sizes[10:])) == 1
    assert cache.advise()["1x"].max_size == sizes[-1]


def test_it_shrinks_when_less_is_asked_for() -> None:
    clock = FakeClock()
    cache = cache_of(clock, 1000, cost_per_gb_hour=1000.0)
    for _ in range(30):
        minute(cache, clock, loop(60))
    assert cache.maxsize is not None
    assert 60 <= cache.maxsize < 120
    assert len(cache) <= cache.maxsize
    assert cache.stats()["hit_rate"] > 0.99


@pytest.mark.parametrize("strategy", ["adaptive", "lru", "s3fifo", "lfu"])
def test_noise_moves_nothing(strategy: str) -> None:
    clock = FakeClock()
    chance = random.Random(4)
    cache = cache_of(clock, 500, strategy=strategy, auto_resize=(50, 5000))
    sizes = []
    for _ in range(60):
        keys = (int(chance.paretovariate(0.6)) % 20_000 for _ in range(8000))
        minute(cache, clock, keys)
        sizes.append(cache.maxsize)
    steps = [b - a for a, b in itertools.pairwise(sizes) if a != b]  # type: ignore[operator]
    turns = sum(a * b < 0 for a, b in itertools.pairwise(steps))
    assert turns <= 1
    assert len(set(sizes[30:])) <= 2


def test_what_comes_and_goes_does_not_drag_the_size_along() -> None:
    clock = FakeClock()
    cache = cache_of(clock, 100, cost_per_gb_hour=300.0)
    sizes = []
    for i in range(80):
        minute(cache, clock, loop(700 if i % 2 else 60))
        sizes.append(cache.maxsize)
    changes = sum(a != b for a, b in itertools.pairwise(sizes))
    assert changes <= 8


def test_a_step_is_no_more_than_twice_or_half() -> None:
    clock = FakeClock()
    cache = cache_of(clock, 60)
    sizes = [60]
    for n_keys in (900, 900, 900, 900, 900, 60, 60, 60, 60):
        for _ in range(3):
            minute(cache, clock, loop(n_keys))
            sizes.append(cache.maxsize or 0)
    assert all(a / 2 - 1 <= b <= 2 * a for a, b in itertools.pairwise(sizes))


def test_a_minute_and_enough_lookups_have_to_pass() -> None:
    clock = FakeClock()
    cache = cache_of(clock)
    for key in loop(600, 60_000):
        if cache.get(key) is None:
            cache[key] = key
    assert cache.maxsize == 100  # no time has passed
    clock.advance(3600)
    minute(cache, clock, loop(600, 2))
    minute(cache, clock, loop(600, 1000))
    assert cache.maxsize != 100


def test_against_the_last_step_it_takes_two() -> None:
    curve = Curve([50, 100, 200, 400], followed=1000)
    resizer = Resizer((50, 400), 1.0, 1.0)
    resizer.follow(curve, 0, 0.0, is_warm=True)
    now_s, size, lookups = 0.0, 100, 0

    def decide(keys: list[int], bytes_per_entry: float) -> int:
        nonlocal now_s, size, lookups
        for key in keys:
            curve.look_up(key)
        lookups, now_s = lookups + len(keys), now_s + 61
        assert resizer.is_due(now_s)
        size = resizer.wanted(size, lookups, bytes_per_entry, now_s)
        return size

    dear = 1e12
    assert decide(loop(150), 1.0) == 200
    assert decide(loop(40), dear) == 200
    assert decide(loop(150), 1.0) == 200  # it was right to wait
    assert decide(loop(40), dear) == 200
    assert decide(loop(40), dear) == 100
    assert decide(loop(40), dear) == 50


def test_what_leaves_is_told_and_may_call_back() -> None:
    clock = FakeClock()
    left: list[int] = []

    def told(key: int, value: int, reason: str) -> None:
        assert reason == "capacity"
        left.append(key)
        cache.get(key)

    cache = cache_of(clock, 1000, cost_per_gb_hour=1e6, on_evict=told)
    minute(cache, clock, loop(900))
    for _ in range(20):
        minute(cache, clock, loop(60))
    assert cache.maxsize is not None
    assert cache.maxsize < 200
    assert len(left) >= 700


def test_a_listener_that_fails_does_not_reach_the_lookup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    cache = cache_of(clock, 1000, cost_per_gb_hour=1e6, on_evict=lambda *_: 1 / 0)
    minute(cache, clock, loop(900))
    for _ in range(6):
        minute(cache, clock, loop(60))
    assert reported
    assert cache.maxsize is not None
    assert cache.maxsize < 1000


def test_copies_go_on_following() -> None:
    clock = FakeClock()
    cache = cache_of(clock)
    other = copy.copy(cache)
    for _ in range(8):
        minute(other, clock, loop(600))
    assert cache.maxsize == 100
    assert other.maxsize != 100
    plain = Cache[int, int](100, auto_resize=(50, 1000), **PRICES)  # type: ignore[arg-type]
    revived = pickle.loads(pickle.dumps(plain))
    with pytest.raises(ValueError, match="auto_resize: wanted"):
        revived.resize(2000)
    assert revived.maxsize == 100
    revived.resize(1000)
    assert revived.advise()["cheapest"].cost_per_hour is not None


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"auto_resize": 7}, TypeError, r"wanted a pair \(lowest, highest\) or None, got 7"),
        ({"auto_resize": (1, 2.5)}, TypeError, "wanted two whole numbers"),
        ({"auto_resize": (0, 200)}, ValueError, "wanted 1 <= lowest <= maxsize <= highest, got 0"),
        ({"auto_resize": (50, 99)}, ValueError, "got 50, 100, 99"),
        ({"max_weight": 9, "weigher": max}, ValueError, "cannot go with max_weight"),
        ({"cost_per_miss": None}, ValueError, "cost_per_miss: wanted too"),
        (
            {"cost_per_miss": None, "cost_per_gb_hour": None},
            ValueError,
            "needs cost_per_gb_hour and cost_per_miss",
        ),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        cache_of(FakeClock(), **options)
