"""ML, ADAPTIVE and TINYLFU: what they compute beside slow references, and how they behave."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import random
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from raudo._core.cache import Cache
from raudo._core.learned import worth_of
from raudo._core.tinylfu import sketch_counts
from reference.gdsf_model import gdsf_hit_ratio
from reference.sketch_model import SketchModel, fold
from reference.tinylfu_model import TinyLfuModel

LEARNED = ["adaptive", "ml"]
NEW = ["adaptive", "ml", "tinylfu"]
N_CELLS = 52


def replay(cache: Cache[Any, Any], keys: Iterator[int]) -> float:
    """Return the share of hits of get, and set on a miss."""
    hits = n = 0
    for key in keys:
        n += 1
        if cache.get(key) is None:
            cache[key] = key + 1
        else:
            hits += 1
    return hits / n


def zipf(n: int, universe: int, seed: int = 1) -> Iterator[int]:
    weights = [1 / rank for rank in range(1, universe + 1)]
    yield from random.Random(seed).choices(range(universe), weights, k=n)


# --- worth ---


def best_ratio(hazards: list[float], widths: list[float], at: int) -> float:
    """Try every time to give up."""
    stays, gain, wait, best = 1.0, 0.0, 0.0, 0.0
    for hazard, width in zip(hazards[at:], widths[at:], strict=True):
        gain += stays * hazard
        wait += stays * width * (1 - hazard / 2)
        stays *= 1 - hazard
        best = max(best, gain / wait)
    return best


@pytest.mark.parametrize("seed", range(20))
def test_worth_is_the_best_ratio_over_all_times_to_give_up(seed: int) -> None:
    rng = random.Random(seed)
    top = rng.choice([0.02, 0.3, 1.0])
    hazards = [rng.choice([0.0, rng.uniform(0, top)]) + 1e-4 for _ in range(N_CELLS)]
    hazards = [min(hazard, 1.0) for hazard in hazards]
    widths = [1.19**cell * rng.uniform(0.9, 1.1) for cell in range(N_CELLS)]
    expected = [best_ratio(hazards, widths, at) for at in range(N_CELLS)]
    assert worth_of(hazards, widths) == pytest.approx(expected, rel=1e-4)


def test_worth_of_a_loop_grows_towards_its_return() -> None:
    hazards = [0.001] * N_CELLS
    hazards[30] = 0.99
    worth = worth_of(hazards, [1.19**cell for cell in range(N_CELLS)])
    assert all(a < b for a, b in itertools.pairwise(worth[10:31]))
    assert worth[31] < worth[10]


@pytest.mark.parametrize("n", [0, 51, 53])
def test_worth_takes_one_hazard_and_width_a_cell(n: int) -> None:
    with pytest.raises(ValueError, match=f"wanted 52 hazards and widths, got {n} and 52"):
        worth_of([0.1] * n, [1.0] * N_CELLS)


# --- sketch, climber ---


@pytest.mark.parametrize("capacity", [1, 7, 8, 100])
def test_sketch_counts_as_its_model(capacity: int) -> None:
    keys = list(zipf(5000, 300, seed=capacity))
    model = SketchModel(capacity)
    for key in keys:
        model.add(fold(key))
    asked = list(range(400))
    expected = [model.count(fold(key)) for key in asked]
    assert sketch_counts(capacity, [fold(key) for key in keys], asked) == expected
    assert max(expected) <= 15


@pytest.mark.parametrize(("maxsize", "seed"), [(10, 0), (64, 1), (150, 2)])
def test_tinylfu_keeps_what_its_model_keeps(maxsize: int, seed: int) -> None:
    cache: Cache[int, int] = Cache(maxsize, strategy="tinylfu")
    model = TinyLfuModel()
    model.resize(maxsize)
    keys = [key + shift for shift in (0, 500) for key in zipf(25 * maxsize, 1000, seed)]
    for key in keys:
        if cache.get(key) is not None:
            model.hit(key)
            continue
        if len(model) == maxsize:
            model.evict(model.victim())
        cache[key] = key + 1
        model.insert(key)
        assert set(cache) == set(model.order())
    assert cache.policy.window_share == model.share
    assert model.last_ratio >= 0  # it climbed


# --- hit ratios that only such a policy reaches ---


@pytest.mark.parametrize("strategy", LEARNED)
def test_learns_to_keep_a_part_of_a_loop(strategy: str) -> None:
    cache: Cache[int, int] = Cache(400, strategy=strategy)
    keys = [i % 1000 for i in range(60_000)]
    replay(cache, iter(keys))
    assert replay(cache, iter(keys[:5000])) > 0.3  # LRU: 0, the best possible: 0.4


@pytest.mark.parametrize("strategy", LEARNED)
def test_learns_to_follow_a_moving_window(strategy: str) -> None:
    cache: Cache[int, int] = Cache(500, strategy=strategy)
    rng = random.Random(3)
    keys = [i // 4 - rng.randrange(400) for i in range(40_000)]
    lru: Cache[int, int] = Cache(500, strategy="lru")
    assert replay(cache, iter(keys)) > 0.97 * replay(lru, iter(keys))


@pytest.mark.parametrize("strategy", NEW)
def test_keeps_the_hot_ones_through_a_scan(strategy: str) -> None:
    cache: Cache[int, int] = Cache(200, strategy=strategy)
    replay(cache, zipf(20_000, 2000))
    hot = range(20)
    for key in range(10_000, 12_000):
        cache[key] = key
    assert sum(key in cache for key in hot) >= 18


def test_adaptive_changes_its_order_with_the_workload() -> None:
    cache: Cache[int, int] = Cache(1000, strategy="adaptive")
    replay(cache, iter(range(2000)))
    assert cache.policy.expert == "seniority"
    assert cache.policy.switches == 0
    rng = random.Random(5)
    replay(cache, (i // 8 - rng.randrange(900) for i in range(60_000)))
    assert cache.policy.expert == "worth"
    assert cache.policy.switches >= 1


def test_adaptive_judges_nothing_where_it_is_too_small() -> None:
    cache: Cache[int, int] = Cache(50, strategy="adaptive")
    replay(cache, zipf(20_000, 500))
    assert cache.policy.expert == "worth"
    assert cache.policy.switches == 0


@pytest.mark.parametrize("strategy", LEARNED)
def test_small_ones_are_worth_more(strategy: str) -> None:
    cache: Cache[int, int] = Cache(
        None, strategy=strategy, max_weight=10_000, weigher=lambda key, _: 100 if key % 2 else 1
    )
    replay(cache, zipf(30_000, 4000))
    assert sum(key % 2 for key in cache) < len(cache) / 4


@pytest.mark.parametrize("strategy", LEARNED)
def test_sizes_that_differ_a_lot_are_weighed_about_as_well_as_gdsf_does(strategy: str) -> None:
    rng = random.Random(3)
    sizes = [1 + int(rng.lognormvariate(5, 1.5)) for _ in range(4000)]
    limit = max(max(sizes), sum(sizes) // 20)
    cache: Cache[int, int] = Cache(
        None, strategy=strategy, max_weight=limit, weigher=lambda key, _: sizes[key]
    )
    keys = list(zipf(30_000, 4000))
    known = gdsf_hit_ratio(((key, sizes[key]) for key in keys), limit)
    assert replay(cache, iter(keys)) > known - 0.01  # so short a stream teaches little


@pytest.mark.parametrize("strategy", NEW)
def test_bounded_by_weight_alone_it_is_no_mere_queue(strategy: str) -> None:
    ratios = []
    for each in (strategy, "lru"):
        cache: Cache[int, int] = Cache(
            None, strategy=each, max_weight=400, weigher=lambda _key, _value: 1
        )
        ratios.append(replay(cache, zipf(40_000, 8000)))
    assert ratios[0] > ratios[1] + 0.02


# --- bounds ---


@pytest.mark.parametrize("strategy", NEW)
def test_costs_at_most_32_bytes_an_entry(strategy: str) -> None:
    n = 20_000
    plain: Cache[int, int] = Cache(n, strategy="fifo")
    cache: Cache[int, int] = Cache(n, strategy=strategy)
    for key in range(3 * n):
        plain[key] = key
        cache[key] = key
    assert cache.__sizeof__() - plain.__sizeof__() <= 32 * n


@pytest.mark.parametrize("strategy", NEW)
def test_a_cache_that_never_fills_pays_for_no_policy(strategy: str) -> None:
    plain: Cache[int, int] = Cache(10_000, strategy="fifo")
    cache: Cache[int, int] = Cache(10_000, strategy=strategy)
    for key in range(2_000):
        plain[key] = cache[key] = key
    assert cache.__sizeof__() - plain.__sizeof__() == 0


@pytest.mark.parametrize("strategy", NEW)
@pytest.mark.parametrize("maxsize", [1, 2, 3, 7, 64, 65])
def test_holds_its_bound_and_its_newest(strategy: str, maxsize: int) -> None:
    cache: Cache[int, int] = Cache(maxsize, strategy=strategy)
    for key in range(2_000):
        cache[key] = key
        assert cache[key] == key
        assert len(cache) == min(key + 1, maxsize)


@pytest.mark.parametrize("strategy", NEW)
def test_shrinks_and_grows(strategy: str) -> None:
    cache: Cache[int, int] = Cache(20_000, strategy=strategy)
    replay(cache, zipf(60_000, 50_000))
    for maxsize in (50, 3, 5_000, 1, 10_000):
        cache.resize(maxsize)
        assert len(cache) <= maxsize
        replay(cache, zipf(8_000, 50_000, seed=maxsize))
        assert len(cache) <= maxsize


@pytest.mark.parametrize("strategy", NEW)
def test_finds_victims_among_free_slots(strategy: str) -> None:
    cache: Cache[int, int] = Cache(20_000, strategy=strategy)
    for key in range(30_000):
        cache[key] = key
    left = list(cache)[::4000]
    for key in list(cache):
        if key not in left:
            del cache[key]
    while len(cache):
        cache.popitem()
    replay(cache, zipf(1_000, 100))
    assert len(cache) <= 100


@pytest.mark.parametrize("strategy", NEW)
def test_survives_keys_that_collide(strategy: str) -> None:
    cache: Cache[int, int] = Cache(100, strategy=strategy)
    step = 2**61 - 1  # all of them hash to 0
    for i in range(300):
        cache[i * step] = i
        cache.get((i // 2) * step)
    assert len(cache) == 100


@pytest.mark.parametrize("strategy", NEW)
def test_the_clock_of_usage_survives_a_reset_of_the_counters(strategy: str) -> None:
    cache: Cache[int, int] = Cache(500, strategy=strategy)
    before = replay(cache, zipf(20_000, 2000))
    cache.reset_stats()
    assert replay(cache, zipf(20_000, 2000, seed=2)) > before - 0.05


# --- life ---


@pytest.mark.parametrize("strategy", NEW)
def test_travels_by_name_and_starts_afresh(strategy: str) -> None:
    cache: Cache[int, int] = Cache(100, strategy=strategy)
    replay(cache, zipf(3_000, 1000))
    for other in (pickle.loads(pickle.dumps(cache)), copy.copy(cache), copy.deepcopy(cache)):
        assert other.strategy == strategy
        assert dict(other.items()) == dict(cache.items())
        replay(other, zipf(3_000, 1000))


@pytest.mark.parametrize("strategy", NEW)
def test_a_cycle_through_it_is_collected(strategy: str) -> None:
    class Node:
        pass

    cache: Cache[int, Any] = Cache(50, strategy=strategy)
    for i in range(200):
        node = Node()
        node.cache = cache  # type: ignore[attr-defined]
        cache[i] = node
    seen = weakref.ref(node)
    del cache, node
    gc.collect()
    assert seen() is None
