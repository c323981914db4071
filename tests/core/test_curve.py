"""The miss-ratio curve: exact against a plain model, near with a sample, and inside a cache."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo import Cache
from raudo._core.curve import Curve, advise, sizes_around
from raudo.testing import FakeClock
from reference.lru_stack_model import LruStackModel

STEPS = st.lists(st.tuples(st.sampled_from("LLLSF"), st.integers(0, 12)), min_size=1, max_size=200)


def skewed(n: int, universe: int, seed: int = 1) -> list[int]:
    chance = random.Random(seed)
    return [int(chance.paretovariate(0.7)) % universe for _ in range(n)]


def fill(cache: Cache[Any, Any], keys: list[int]) -> Cache[Any, Any]:
    for key in keys:
        if cache.get(key) is None:
            cache[key] = key
    return cache


@given(st.sets(st.integers(1, 14), min_size=1), STEPS)
def test_a_full_sample_is_exact(sizes: set[int], steps: list[tuple[str, int]]) -> None:
    curve, model = Curve(sorted(sizes)), LruStackModel(sorted(sizes))
    for what, key in [*steps, ("L", 0)]:
        for each in (curve, model):
            {"L": each.look_up, "S": each.store, "F": each.forget}[what](key)
    assert curve.hit_rates() == pytest.approx(model.hit_rates())


@given(
    st.sets(st.integers(1, 40), min_size=1),
    st.lists(
        st.tuples(st.sampled_from("LLLSF"), st.integers(0, 12), st.integers(0, 9)),
        min_size=1,
        max_size=200,
    ),
)
def test_weights_count_in_place_of_keys(sizes: set[int], steps: list[tuple[str, int, int]]) -> None:
    curve = Curve(sorted(sizes), weighted=True)
    model = LruStackModel(sorted(sizes), weighted=True)
    for what, key, weight in [*steps, ("L", 0, 1)]:
        for each in (curve, model):
            if what == "S":
                each.store(key, weight)
            else:
                {"L": each.look_up, "F": each.forget}[what](key)
    assert curve.hit_rates() == pytest.approx(model.hit_rates())


def test_too_many_keys_of_a_weight_are_thinned_out() -> None:
    keys = skewed(200_000, 50_000)
    weight_of = {key: key * 7 % 40 for key in keys}
    sizes = [10_000, 20_000, 40_000, 80_000, 160_000]
    exact = Curve(sizes, followed=60_000, weighted=True)
    thinned = Curve(sizes, followed=1000, weighted=True)
    for key in keys:
        for curve in (exact, thinned):
            curve.look_up(key)
            curve.store(key, weight_of[key])
    assert exact.share == 1.0
    assert thinned.share < 0.3
    assert thinned.hit_rates(len(keys)) == pytest.approx(exact.hit_rates(), abs=0.03)


def test_a_curve_takes_over_what_another_knows() -> None:
    before = Curve([2, 4])
    for key in [1, 2, 3, 4]:
        before.look_up(key)
    after = Curve([3, 6])
    after.take_over(before)
    assert after.n_lookups == 0
    for key in [2, 1, 9]:
        after.look_up(key)
    assert after.hit_rates() == pytest.approx([1 / 3, 2 / 3])


def test_a_sample_is_near() -> None:
    keys = skewed(200_000, 50_000)
    sizes = [500, 1000, 2000, 4000, 8000]
    exact, sampled = Curve(sizes), Curve(sizes, followed=1000)
    for key in keys:
        exact.look_up(key)
        sampled.look_up(key)
    assert sampled.share == pytest.approx(0.125)
    assert sampled.hit_rates(len(keys)) == pytest.approx(exact.hit_rates(), abs=0.02)


@pytest.mark.parametrize("stride", [1, 8, 89, 4096, 2**20, 2**32])
def test_no_stride_is_favoured(stride: int) -> None:
    curve = Curve([1000], followed=100)
    n_followed = sum(curve.follows(n * stride) for n in range(20_000))
    assert n_followed == pytest.approx(2000, rel=0.15)


def test_since_leaves_out_what_was_before() -> None:
    curve = Curve([2, 4])
    for key in [1, 1, 1, 1]:
        curve.look_up(key)
    before = curve.counts()
    for key in [2, 3, 4, 1, 2]:
        curve.look_up(key)
    assert curve.hit_rates(since=before) == [0.0, pytest.approx(2 / 5)]
    curve.reset()
    assert curve.hit_rates() == [0.0, 0.0]
    curve.look_up(2)
    assert curve.hit_rates() == [1.0, 1.0]


@pytest.mark.parametrize("sizes", [[], [0, 1], [3, 3], [4, 2]])
def test_sizes_that_do_not_ascend_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="sizes: wanted"):
        Curve(sizes)
    with pytest.raises(ValueError, match="followed: wanted"):
        Curve([1], followed=0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 12_345])
def test_sizes_around_hold_all_factors(size: int) -> None:
    sizes = sizes_around(size)
    assert sizes == sorted(set(sizes))
    assert {max(1, round(size * factor)) for factor in (0.5, 1, 2, 4)} <= set(sizes)
    assert sizes[0] >= 1
    wider = sizes_around(size, 1, 10 * size)
    assert wider[0] == 1
    assert wider[-1] >= 10 * size


# --- inside a cache ---------------------------------------------------------------------------


def test_a_cache_advises_what_lru_caches_of_other_sizes_have() -> None:
    keys = skewed(20_000, 1000)
    advice = fill(Cache(100, strategy="lru", advise=True), keys).advise()
    assert list(advice) == ["0.5x", "1x", "2x", "4x"]
    for each in advice.values():
        other = fill(Cache(each.max_size, strategy="lru"), keys)
        assert each.hit_rate == pytest.approx(other.stats()["hit_rate"], abs=1e-9)
    assert [each.max_size for each in advice.values()] == [50, 100, 200, 400]
    assert advice["2x"].bytes == pytest.approx(2 * advice["1x"].bytes, abs=1)
    assert advice["1x"].bytes > 100 * 32
    assert advice["1x"].cost_per_hour is None


def test_a_cache_bound_by_weight_advises_by_weight() -> None:
    keys = skewed(20_000, 1000)

    def weigh(key: int, value: int) -> int:
        return 1 + key * 7 % 20

    def bound_by(weight: int, **options: Any) -> Cache[Any, Any]:
        return fill(Cache(None, strategy="lru", max_weight=weight, weigher=weigh, **options), keys)

    cache = bound_by(1000, advise=True)
    advice = cache.advise(cost_per_gb_hour=1.0, cost_per_miss=1e-9)
    for each in (advice["0.5x"], advice["1x"], advice["2x"], advice["4x"]):
        other = bound_by(each.max_size)
        # That one has room to spare where the next entry was too large; the model fills it.
        assert each.hit_rate == pytest.approx(other.stats()["hit_rate"], abs=0.01)
    assert [advice[name].max_size for name in ("0.5x", "4x")] == [500, 4000]
    assert advice["1x"].bytes > 60 * len(cache)
    assert advice["2x"].bytes == pytest.approx(2 * advice["1x"].bytes, abs=1)
    assert advice["cheapest"].cost_per_hour is not None
    cache.resize(10)
    assert cache.advise()["1x"].max_size == 1000


def test_a_weigher_alone_changes_nothing_of_the_advice() -> None:
    keys = skewed(20_000, 1000)
    plain = fill(Cache(100, strategy="lru", advise=True), keys)
    weighed = fill(Cache(100, strategy="lru", advise=True, weigher=lambda k, v: 7), keys)
    assert [each.hit_rate for each in plain.advise().values()] == [
        each.hit_rate for each in weighed.advise().values()
    ]


def test_every_kind_of_lookup_counts_once() -> None:
    cache = Cache[Any, Any](10, advise=True)
    cache.get(1)
    cache.get("a", 0)
    cache.get((1, 2))
    with pytest.raises(KeyError):
        cache[2]
    cache.get_many([1, 2, 3.5])
    cache.setdefault(3, 0)
    cache.get_or_load(4, str)
    assert cache[4] == "4"
    stats = cache.stats()
    assert stats["hits"] + stats["misses"] == 10
    assert cache.advise()["4x"].hit_rate == pytest.approx(3 / 10)  # 1, 2 and 4 came twice
    assert 9 not in cache
    assert cache.peek(9) is None
    assert cache.advise()["4x"].hit_rate == pytest.approx(3 / 10)


def test_what_was_set_would_be_found_and_what_was_deleted_would_not() -> None:
    cache = Cache[int, int](10, advise=True)
    cache[1] = 1
    cache.set(2, 2)
    cache.update({3: 3})
    assert all(cache.get(key) for key in (1, 2, 3))
    assert cache.advise()["4x"].hit_rate == 1.0
    del cache[1]
    cache.pop(2)
    cache.clear()
    assert not any(cache.get(key) for key in (1, 2, 3))
    assert cache.advise()["4x"].hit_rate == 0.5


def test_what_has_expired_would_not_be_found() -> None:
    clock = FakeClock()
    cache = Cache[int, int](10, ttl=5, timer=clock, advise=True)
    cache[1] = 1
    clock.advance(6)
    assert cache.get(1) is None
    assert cache.advise()["4x"].hit_rate == 0.0


@pytest.mark.parametrize("strategy", ["adaptive", "lru", "lfu", "fifo", "sieve", "s3fifo", "ttl"])
def test_a_watched_cache_does_what_any_other_does(strategy: str) -> None:
    chance = random.Random(7)
    # 3,000 entries: of 12,000 keys a share is followed, so that both ways are gone
    plain, watched = (
        Cache[Any, int](3000, strategy=strategy, advise=advises) for advises in (False, True)
    )
    for _ in range(60_000):
        key: Any = int(chance.paretovariate(0.4)) % 9000
        key = str(key) if key % 3 == 0 else float(key) + 0.5 if key % 3 == 1 else key
        act = chance.random()
        for cache in (plain, watched):
            if act < 0.9:
                if cache.get(key) is None:
                    cache[key] = 1
            elif act < 0.95:
                cache.pop(key, None)
            else:
                cache.set(key, 2, 1000)
    assert plain.stats() == watched.stats()
    assert list(plain.items()) == list(watched.items())


def test_a_resize_and_a_reset_start_the_curve_over() -> None:
    cache = fill(Cache(10, strategy="lru", advise=True), [1, 1, 1, 1])
    assert cache.advise()["1x"].hit_rate == 0.75
    cache.resize(20)
    assert [each.max_size for each in cache.advise().values()] == [10, 20, 40, 80]
    assert cache.advise()["1x"].hit_rate == 0.0
    cache.get(1)
    assert cache.advise()["1x"].hit_rate == 1.0  # what was known of keys still is
    cache.get(2)
    assert cache.advise()["1x"].hit_rate == 0.5
    cache.reset_stats()
    assert cache.advise()["1x"].hit_rate == 0.0
    cache.get(1)
    assert cache.advise()["1x"].hit_rate == 1.0


def test_copies_advise_too() -> None:
    cache = fill(Cache(10, advise=True), [1, 2])
    for other in (copy.copy(cache), pickle.loads(pickle.dumps(cache))):
        assert other.advise()["1x"].max_size == 10
        assert sorted(other) == [1, 2]


def test_advice_that_cannot_be_given_is_refused() -> None:
    with pytest.raises(RuntimeError, match="advise=True"):
        Cache[int, int](9).advise()
    for maxsize in (None, 0):
        with pytest.raises(ValueError, match="maxsize: wanted a number >= 1, as advise=True"):
            Cache(maxsize, advise=True)
    cache = Cache[int, int](9, advise=True)
    with pytest.raises(ValueError, match="maxsize: wanted a number >= 1"):
        cache.resize(None)
    assert cache.maxsize == 9
    with pytest.raises(TypeError, match="advise: wanted True or False, got 'yes'"):
        Cache(9, advise="yes")  # type: ignore[arg-type]


# --- money ------------------------------------------------------------------------------------


def test_the_cheapest_size_is_found() -> None:
    clock = FakeClock()
    cache = Cache[int, int](100, strategy="lru", timer=clock, advise=True)
    fill(cache, [n % 150 for n in range(6000)])  # a loop: all or nothing
    clock.advance(3600)
    advice = cache.advise(cost_per_gb_hour=1.0, cost_per_miss=1.0)
    assert advice["cheapest"].max_size == 200
    at_200 = advice["2x"]
    assert advice["cheapest"] == at_200
    assert at_200.cost_per_hour == pytest.approx(150 + at_200.bytes / 1e9, rel=1e-6)
    dear = cache.advise(cost_per_gb_hour=1e12, cost_per_miss=1e-12)
    assert dear["cheapest"].max_size == 12  # an eighth
    assert dear["cheapest"].cost_per_hour < dear["1x"].cost_per_hour


def test_without_lookups_the_present_size_is_the_cheapest() -> None:
    cache = Cache[int, int](100, advise=True)
    assert cache.advise(cost_per_gb_hour=1, cost_per_miss=1)["cheapest"].max_size == 100


@pytest.mark.parametrize(
    ("prices", "error", "says"),
    [
        ({"cost_per_miss": 1}, ValueError, "cost_per_gb_hour: wanted too"),
        ({"cost_per_gb_hour": 1}, ValueError, "cost_per_miss: wanted too"),
        ({"cost_per_gb_hour": -1, "cost_per_miss": 1}, ValueError, "cost_per_gb_hour: wanted a"),
        ({"cost_per_gb_hour": 1, "cost_per_miss": float("nan")}, ValueError, "cost_per_miss"),
        ({"cost_per_gb_hour": "1", "cost_per_miss": 1}, TypeError, "got '1'"),
    ],
)
def test_wrong_prices_are_refused(
    prices: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Cache[int, int](9, advise=True).advise(**prices)


def test_a_size_between_two_lies_on_the_line() -> None:
    curve = Curve([10, 20])
    for key in [*range(15), *range(15)]:
        curve.look_up(key)
    advice = advise(curve, 15, 1.0)
    assert advice["1x"].hit_rate == pytest.approx(0.25)
    assert advice["4x"].hit_rate == 0.5


def test_threads_may_feed_one_curve() -> None:
    curve = Curve([64, 1000])
    keys = array("Q", skewed(600_000, 5000))
    threads = [threading.Thread(target=curve.feed, args=(keys,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    lookups, hits = curve.counts()
    assert lookups == 4 * len(keys)
    assert 0 < sum(hits) < lookups
