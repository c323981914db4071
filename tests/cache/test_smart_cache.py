"""SmartCache: what a caller sees of the three levels."""

import asyncio
import math
import os
import sys

import numpy as np
import pytest

from cache.smart_caches import Item, accounts_balance, where
from raudo.cache import CacheStrategy, SmartCache
from raudo.cache.l1 import apportion
from raudo.testing import FakeClock

# --- levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 7, 10, 11, 100, 1000])
@pytest.mark.parametrize(
    "shares", [(0.2, 0.3, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.98, 0.01, 0.01), (0, 1, 1)]
)
def test_the_levels_add_up_to_the_size(total, shares):
    sizes = apportion(total, shares)
    assert sum(sizes) == total
    for size, share in zip(sizes, shares, strict=True):
        assert (size > 0) <= (share > 0)
        if share and total >= 3:
            assert size >= 1


def test_the_example_sizes():
    assert apportion(1000, (0.2, 0.3, 0.5)) == (200, 300, 500)


def test_entries_move_down_on_eviction_and_up_on_a_hit(lru):
    for n in range(6):
        lru.set_nowait(n, {"n": n})
    assert where(lru, *range(6)) == [3, 3, 2, 2, 1, 1]
    assert lru.get_nowait(0) == {"n": 0}
    assert where(lru, *range(6)) == [1, 3, 3, 2, 2, 1]
    assert lru.get_nowait(3) == {"n": 3}
    assert where(lru, *range(6)) == [1, 3, 3, 1, 2, 2]
    lru.set_nowait(6, {"n": 6})
    assert sum(level > 0 for level in where(lru, *range(7))) == 6
    stats = lru.get_stats()
    assert [stats[f"l{n}_size"] for n in (1, 2, 3)] == [2, 2, 2]
    assert stats["promotions"] == 2
    assert accounts_balance(lru)


async def test_a_hit_in_memory_never_suspends():
    async with SmartCache(10, "lru", levels=(1, 1, 0)) as cache:
        for n in range(10):
            with pytest.raises(StopIteration):
                cache.set(n, n).send(None)
        for n in (9, 0, 9):
            with pytest.raises(StopIteration) as stop:
                cache.get(n).send(None)
            assert stop.value.value == n
        assert await asyncio.create_task(cache.get(1)) == 1
        assert await asyncio.gather(cache.get(2), cache.get(77, "none")) == [2, "none"]


@pytest.mark.parametrize(
    "shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)]
)
@pytest.mark.parametrize("strategy", list(CacheStrategy))
async def test_every_choice_of_levels_works(shares, strategy, tmp_path):
    path = tmp_path / "c" if shares[2] else None
    async with SmartCache(9, strategy, levels=shares, path=path) as cache:
        for n in range(30):
            await cache.set(n, [n])
            assert await cache.get(n) == [n]
            assert len(cache) <= 9
        found = await cache.get_many(range(30))
        assert found == {n: [n] for n in found}
        assert len(found) == len(cache) == 9
        assert await cache.touch(next(iter(found)), 5)
        assert await cache.delete(29) == (29 in found)
        assert accounts_balance(cache)
        await cache.clear()
        assert len(cache) == 0
        assert accounts_balance(cache)


async def test_values_come_back_type_for_type_from_every_level():
    values = {
        "tuple": (1, "a", None),
        "set": {1, 2},
        "array": np.arange(500, dtype=np.float32),
        "text": "x" * 5000,
        "bytes": bytes(3000),
        "item": Item(3),
        "none": None,
        "false": False,
        "int": 10**30,
    }
    for shares in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        async with SmartCache(50, levels=shares) as cache:
            await cache.set_many(values)
            for key, value in values.items():
                back = await cache.get(key, "missing")
                assert type(back) is type(value)
                assert np.array_equal(back, value) if key == "array" else back == value


def test_equal_keys_are_one_key_in_every_level(lru):
    lru.set_nowait(1, "one")
    for n in range(10, 14):
        lru.set_nowait(n, n)
    assert where(lru, 1) == [3]
    assert lru.get_nowait(True) == "one"
    for n in range(20, 24):
        lru.set_nowait(n, n)
    lru.set_nowait(1.0, "uno")
    assert lru.get_nowait(1) == "uno"
    assert lru.delete_nowait(True)
    assert lru.get_nowait(1) is None
    assert accounts_balance(lru)


def test_what_cannot_go_down_is_counted_and_dropped(lru):
    key = object()
    lru.set_nowait("lambda", lambda: 1)
    lru.set_nowait(key, 1)
    assert lru.get_nowait("lambda")() == 1
    for n in range(4):
        lru.set_nowait(n, n)
    assert lru.get_nowait("lambda") is lru.get_nowait(key) is None
    stats = lru.get_stats()
    assert (stats["unpicklable_values"], stats["unencodable_keys"]) == (1, 1)
    assert accounts_balance(lru)


def test_unhashable_keys_are_refused(lru):
    for call in (lru.get_nowait, lambda key: lru.set_nowait(key, 1), lru.delete_nowait):
        with pytest.raises(TypeError):
            call([])
    assert lru.get_stats()["sets"] == 0


def test_mutable_values_are_shared_in_l1_alone(lru):
    value = [1]
    lru.set_nowait("a", value)
    assert lru.get_nowait("a") is value
    for n in range(2):
        lru.set_nowait(n, n)
    assert lru.get_nowait("a") == value
    assert lru.get_nowait("a") is not value


# --- time -------------------------------------------------------------------------------------


def test_entries_expire_in_every_level(lru, clock):
    for n in range(6):
        lru.set_nowait(n, n, ttl=10)
    assert where(lru, *range(6)) == [3, 3, 2, 2, 1, 1]
    clock.advance(9.9)
    assert [lru.get_nowait(n) for n in (5, 3, 1)] == [5, 3, 1]
    clock.advance(0.1)
    assert [lru.get_nowait(n) for n in range(6)] == [None] * 6
    assert lru.get_stats()["expirations"] == 6
    assert len(lru) == 0
    assert accounts_balance(lru)


def test_expiry_is_kept_on_the_way_down_and_up(lru, clock):
    lru.set_nowait("a", 1, ttl=10)
    for n in range(4):
        lru.set_nowait(n, n)
    assert where(lru, "a") == [3]
    clock.advance(6)
    assert lru.get_nowait("a") == 1
    assert where(lru, "a") == [1]
    clock.advance(3.9)
    assert lru.get_nowait("a") == 1
    clock.advance(0.2)
    assert lru.get_nowait("a") is None


def test_the_default_ttl_counts_unless_told_otherwise(clock):
    with SmartCache(9, default_ttl=5, clock=clock) as cache:
        cache.set_nowait("default", 1)
        cache.set_nowait("long", 1, ttl=50)
        cache.set_nowait("forever", 1, ttl=math.inf)
        clock.advance(6)
        assert [cache.get_nowait(k) for k in ("default", "long", "forever")] == [None, 1, 1]
        clock.advance(10**9)
        assert [cache.get_nowait(k) for k in ("long", "forever")] == [None, 1]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_touch_gives_new_time_in_every_level(lru, clock, level):
    for n in range(6):
        lru.set_nowait(n, n, ttl=10, tags=["t"])
    key = {1: 5, 2: 3, 3: 1}[level]

    async def main():
        assert await lru.touch(key, 100)
        assert not await lru.touch("missing", 1)
        clock.advance(50)
        assert not await lru.touch(0, 1)

    asyncio.run(main())
    assert lru.get_nowait(key) == key
    assert accounts_balance(lru)
    asyncio.run(lru.invalidate_tag("t"))
    assert lru.get_nowait(key) is None


def test_sweeping_counts_what_has_expired(lru, clock):
    for n in range(6):
        lru.set_nowait(n, n, ttl=10)
    clock.advance(20)
    lru.flush_nowait()
    assert len(lru) == 0
    assert lru.get_stats()["expirations"] == 6
    assert accounts_balance(lru)


# --- removing ---------------------------------------------------------------------------------


def test_delete_reaches_every_level(lru):
    for n in range(6):
        lru.set_nowait(n, n)
    assert [lru.delete_nowait(n) for n in range(7)] == [True] * 6 + [False]
    assert len(lru) == 0
    assert lru.get_stats()["deletions"] == 6


def test_set_replaces_in_every_level(lru):
    for n in range(6):
        lru.set_nowait(n, n)
    for n in range(6):
        lru.set_nowait(n, -n)
    assert [lru.get_nowait(n) for n in range(6)] == [-n for n in range(6)]
    assert lru.get_stats()["replaced"] == 6
    assert accounts_balance(lru)


def test_tags_are_invalidated_in_every_level(lru):
    for n in range(6):
        lru.set_nowait(n, n, tags=["even" if n % 2 == 0 else "odd", "all"])
    asyncio.run(lru.invalidate_tag("even"))
    assert asyncio.run(lru.get_many(range(6))) == {1: 1, 3: 3, 5: 5}
    lru.set_nowait(0, "new", tags=["even"])
    assert lru.get_nowait(0) == "new"
    asyncio.run(lru.invalidate_tag("all"))
    assert asyncio.run(lru.get_many(range(6))) == {0: "new"}
    assert accounts_balance(lru)
    with pytest.raises(TypeError, match="tags"):
        lru.set_nowait(1, 1, tags="even")


async def test_contains_counts_nothing(lru):
    for n in range(6):
        await lru.set(n, n)
    before = where(lru, *range(6)), lru.get_stats()["hits"]
    assert [await lru.contains(n) for n in range(7)] == [True] * 6 + [False]
    assert (where(lru, *range(6)), lru.get_stats()["hits"]) == before


def test_the_listener_hears_what_the_cache_lets_go(clock):
    heard = []
    with SmartCache(
        3, "lru", levels=(1, 1, 1), clock=clock, on_evict=lambda *args: heard.append(args)
    ) as cache:
        for n in range(5):
            cache.set_nowait(("k", n), [n], ttl=10 if n == 4 else None)
        assert heard == [(("k", 0), [0], "capacity"), (("k", 1), [1], "capacity")]
        clock.advance(11)
        assert cache.get_nowait(("k", 4)) is None
        assert heard[2:] == [(("k", 4), [4], "expired")]


def test_what_the_listener_raises_reaches_no_caller(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: told.append(each.exc_type))
    heard = []

    def fail(*args):
        heard.append(args)
        raise ZeroDivisionError

    async def main():
        async with SmartCache(2, "lru", levels=(1, 0, 0), on_evict=fail) as cache:
            for n in range(4):
                await cache.set(n, n)
                cache.set_nowait(("now", n), n)
            cache.resize(1)
            cache.get_stats()

    asyncio.run(main())
    assert len(heard) == 7
    assert told == [ZeroDivisionError] * 7


@pytest.mark.parametrize("secret", [None, b"0123456789abcdef"])
def test_the_listener_is_given_values_from_the_disk(tmp_path, secret):
    heard = []
    with SmartCache(
        2, levels=(0, 0, 1), path=tmp_path / "c", secret=secret, on_evict=lambda *a: heard.append(a)
    ) as cache:
        for n in range(4):
            cache.set_nowait(n, [n])
    assert heard == [(0, [0], "capacity"), (1, [1], "capacity")]


# --- bytes ------------------------------------------------------------------------------------


def test_max_bytes_bounds_memory():
    with SmartCache(1000, "lru", max_bytes=100_000, levels=(0.5, 0.4, 0.1)) as cache:
        for n in range(300):
            cache.set_nowait(n, os.urandom(2000))
            stats = cache.get_stats()["levels"]
            assert stats["l1"]["bytes"] + stats["l2"]["bytes"] <= 100_000
        cache.set_nowait("huge", bytes(200_000))
        assert cache.get_nowait("huge") == bytes(200_000)
        assert cache.get_stats()["levels"]["l1"]["size"] > 5
        assert accounts_balance(cache)


# --- stats ------------------------------------------------------------------------------------


def test_stats_are_true(lru):
    for n in range(6):
        lru.set_nowait(n, n)
    for key in (5, 5, 3, 0, 99, 98):
        lru.get_nowait(key)
    stats = lru.get_stats()
    assert (stats["hits"], stats["misses"]) == (4, 2)
    assert stats["hit_rate"] == pytest.approx(4 / 6)
    assert [stats["levels"][f"l{n}"]["hits"] for n in (1, 2, 3)] == [2, 1, 1]
    assert all(stats["levels"][f"l{n}"]["bytes"] > 0 for n in (1, 2, 3))
    assert all(stats["levels"][f"l{n}"]["mean_latency_s"] > 0 for n in (2, 3))


def test_samples_are_named_for_the_cache():
    with SmartCache(9, name="docs") as cache:
        cache.set_nowait(1, 1)
        cache.get_nowait(1)
        samples = {(s.name, s.labels): s.value for s in cache.samples()}
    assert samples["raudo_cache_hits_total", (("cache", "docs"),)] == 1
    assert samples["raudo_cache_entries", (("cache", "docs"), ("level", "l1"))] == 1
    assert {"raudo_cache_misses_total", "raudo_cache_hit_ratio"} <= {name for name, _ in samples}


def test_advice_tells_a_loop_that_does_not_fit():
    with SmartCache(100, "lru", levels=(1, 0, 0)) as cache:
        for n in range(6000):
            key = n % 150
            if cache.get_nowait(key) is None:
                cache.set_nowait(key, "x" * 100)
        advice = cache.advise()
    assert advice["1x"].hit_rate < 0.05
    assert advice["2x"].hit_rate > 0.9
    assert advice["2x"].max_size == 200
    assert advice["2x"].bytes == pytest.approx(2 * advice["1x"].bytes, rel=0.01)


def test_writing_ahead_counts_as_being_there():
    with SmartCache(100, levels=(1, 0, 0)) as cache:
        for n in range(50):
            cache.set_nowait(n, n)
        assert all(cache.get_nowait(n) is not None for n in range(50))
        assert cache.advise()["1x"].hit_rate == 1.0
        cache.delete_nowait(7)
        cache.get_nowait(7)
        assert cache.advise()["1x"].hit_rate == pytest.approx(50 / 51)


def loop_through(cache, n_keys, n_lookups, clock, seconds):
    for n in range(n_lookups):
        if cache.get_nowait(n % n_keys) is None:
            cache.set_nowait(n % n_keys, "x" * 100)
    clock.advance(seconds)
    cache.set_nowait("now", 1)


@pytest.mark.parametrize("levels", [(1, 0, 0), (0.2, 0.8, 0), (0.2, 0.3, 0.5)])
def test_the_size_follows_what_is_cheapest(levels, tmp_path):
    clock = FakeClock()
    with SmartCache(
        200,
        "lru",
        levels=levels,
        path=tmp_path if levels[2] else None,
        auto_resize=(50, 1000),
        cost_per_gb_hour=100.0,
        cost_per_miss=0.001,
        clock=clock,
    ) as cache:
        loop_through(cache, 300, 9000, clock, 30)
        assert cache.max_size == 200  # within the minute
        loop_through(cache, 300, 9000, clock, 60)
        assert cache.max_size == 400  # the loop fits, at no more than twice the size
        assert cache.get_stats()["max_size"] == 400
        loop_through(cache, 300, 9000, clock, 60)
        assert cache.max_size == 400
        assert sum(1 for n in range(300) if cache.get_nowait(n) is not None) > 250
        assert cache.advise()["cheapest"].cost_per_hour is not None
        for _ in range(5):
            loop_through(cache, 20, 9000, clock, 60)
        assert cache.max_size == 50  # 20 keys are all that is asked for
        assert len(cache) <= 50
        stats = cache.get_stats()
        gone = sum(stats[name] for name in ("evictions", "expirations", "deletions", "replaced"))
        assert stats["sets"] == len(cache) + gone


def test_an_open_end_of_prices_or_bounds_is_refused():
    prices = {"cost_per_gb_hour": 1.0, "cost_per_miss": 1.0}
    for bounds, says in [
        ((50, 80), "lowest <= max_size <= highest, got 50, 100, 80"),
        ((1, 200), r"auto_resize\[0\] must be at least 3, got 1"),
    ]:
        with pytest.raises(ValueError, match=says):
            SmartCache(100, auto_resize=bounds, **prices)
    for bounds in (5, (1,), ("a", "b"), (1.5, 200)):
        with pytest.raises(TypeError, match="auto_resize"):
            SmartCache(100, auto_resize=bounds, **prices)
    with pytest.raises(ValueError, match="auto_resize: needs cost_per_gb_hour and cost_per_miss"):
        SmartCache(100, auto_resize=(50, 200))
    with pytest.raises(ValueError, match="cost_per_miss: wanted too"):
        SmartCache(100, cost_per_gb_hour=1.0)
    with SmartCache(100) as cache, pytest.raises(ValueError, match="cost_per_gb_hour: wanted too"):
        cache.advise(cost_per_miss=1.0)
