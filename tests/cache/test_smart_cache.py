"""SmartCache: what a caller sees of the three levels."""

import asyncio
import gc
import math
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

from raudo import events
from raudo.cache import CacheStrategy, SmartCache
from raudo.cache.keys import encode_key
from raudo.cache.l1 import apportion
from raudo.cache.tiers import DiskTier
from raudo.errors import Closed, TierUnavailable
from raudo.testing import FakeClock
from raudo.types import Blob, TierStats


@dataclass
class Item:
    n: int


def accounts_balance(cache):
    stats = cache.get_stats()
    out = ("evictions", "expirations", "deletions", "replaced")
    return stats["sets"] == stats["size"] + sum(stats[name] for name in out)


def where(cache, *keys):
    """The level each key lives in, 0 for none; without moving anything."""
    levels = cache._levels
    found = []
    for key in keys:
        data = levels.encode(key)
        in_levels = [
            levels.l1.peek(key, None) is not None,
            levels.l2 is not None and levels.l2.peek(data) is not None,
            levels.cold is not None and levels.cold.may_have(data),
        ]
        assert sum(in_levels) <= 1
        found.append(in_levels.index(True) + 1 if any(in_levels) else 0)
    return found


@pytest.fixture
def clock():
    return FakeClock(100.0)


@pytest.fixture
def lru(clock):
    """Two entries in L1, two in L2, two in L3."""
    with SmartCache(6, "lru", levels=(1, 1, 1), clock=clock) as cache:
        yield cache


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


# --- the end ----------------------------------------------------------------------------------


async def test_closing_twice_is_harmless_and_use_after_it_is_refused():
    cache = SmartCache(3)
    await cache.set("a", 1)
    await cache.close()
    await cache.close()
    cache.close_nowait()
    for call in (
        lambda: cache.get("a"),
        lambda: cache.get_nowait("a"),
        lambda: cache.set("a", 1),
        lambda: cache.delete("a"),
        lambda: cache.clear(),
        lambda: cache.flush(),
        lambda: cache.touch("a", 1),
        lambda: cache.contains("a"),
        lambda: cache.invalidate_tag("a"),
        lambda: cache.get_or_load("a", str),
        lambda: cache.__aenter__(),
    ):
        with pytest.raises(Closed):
            found = call()
            await found
    assert "closed" in repr(cache)


def test_a_cache_that_nobody_closes_leaves_nothing():
    cache = SmartCache(3, levels=(0, 0, 1))
    cache.set_nowait(1, 1)
    path = cache._levels.cold.guards[0].tier.path
    assert path.exists()
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None
    assert not path.exists()


def test_the_temporary_folder_is_made_when_it_is_needed():
    with SmartCache(1000) as cache:
        cache.set_nowait(1, 1)
        assert cache._levels.cold.guards == []


def test_it_cannot_be_pickled_and_says_why(lru):
    with pytest.raises(TypeError, match="Make one in each process"):
        pickle.dumps(lru)


def test_one_loop_after_another(tmp_path):
    cache = SmartCache(3, levels=(0, 0, 1), path=tmp_path / "c")

    async def step(n):
        await cache.set(n, n)
        assert await cache.get(n) == n
        return await cache.get_or_load(("load", n % 2), lambda key: key)

    for n in range(4):
        assert asyncio.run(step(n)) == ("load", n % 2)
    asyncio.run(cache.close())


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"max_size": 0}, ValueError),
        ({"max_size": "9"}, TypeError),
        ({"max_size": True}, TypeError),
        ({"default_ttl": 0}, ValueError),
        ({"default_ttl": "x"}, TypeError),
        ({"levels": (1, 2)}, ValueError),
        ({"levels": "abc"}, TypeError),
        ({"max_disk_bytes": 100}, ValueError),
        ({"on_evict": 5}, TypeError),
        ({"compression": None}, TypeError),
        ({"serializer": None}, TypeError),
        ({"tiers": 5}, TypeError),
        ({"levels": (0, 0, 0)}, ValueError),
        ({"levels": (-1, 1, 1)}, ValueError),
        ({"max_bytes": 0}, ValueError),
        ({"compression": "brotli"}, ValueError),
        ({"serializer": "yaml"}, ValueError),
        ({"strategy": "best"}, ValueError),
        ({"tiers": [object()]}, TypeError),
        ({"prefetch": True}, ValueError),
        ({"loader": 5}, TypeError),
        ({"secret": "short"}, ValueError),
        ({"allow": ["x"]}, TypeError),
    ],
    ids=str,
)
def test_bad_arguments_are_named(bad, kind):
    with pytest.raises(kind, match=next(iter(bad))):
        SmartCache(**bad)


def test_path_and_a_third_level_that_is_off_contradict(tmp_path):
    with pytest.raises(ValueError, match="path"):
        SmartCache(9, levels=(1, 1, 0), path=tmp_path / "c")
    assert not (tmp_path / "c").exists()


# --- restarts ---------------------------------------------------------------------------------


def test_a_restart_is_warm_and_tags_hold(tmp_path):
    with SmartCache(30, "lru", path=tmp_path / "c") as cache:
        for n in range(30):
            cache.set_nowait(n, [n], tags=[f"t{n % 3}"])
        cache.get_nowait(0)
        asyncio.run(cache.invalidate_tag("t1"))
    with SmartCache(30, "lru", path=tmp_path / "c") as cache:
        assert asyncio.run(cache.get_many(range(30))) == {n: [n] for n in range(30) if n % 3 != 1}
        asyncio.run(cache.invalidate_tag("t2"))
        assert len(cache) <= 30
        assert accounts_balance(cache)
    with SmartCache(30, path=tmp_path / "c") as cache:
        assert asyncio.run(cache.get_many(range(30))) == {n: [n] for n in range(0, 30, 3)}
        assert accounts_balance(cache)


@pytest.mark.parametrize("damage", ["remove", "flip", "cut"])
def test_without_sound_tag_generations_nothing_tagged_is_believed(tmp_path, damage):
    with SmartCache(30, path=tmp_path / "c") as cache:
        cache.set_nowait("tagged", 1, tags=["t"])
        cache.set_nowait("plain", 1)
        asyncio.run(cache.invalidate_tag("u"))
    file = tmp_path / "c" / "tags"
    data = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data[:-3] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with SmartCache(30, path=tmp_path / "c") as cache:
        assert cache.get_nowait("tagged") is None
        assert cache.get_nowait("plain") == 1


def test_expiry_goes_on_while_nobody_runs(tmp_path, clock):
    with SmartCache(9, path=tmp_path / "c", clock=clock) as cache:
        cache.set_nowait("short", 1, ttl=10)
        cache.set_nowait("long", 1, ttl=1000)
    clock.advance(11)
    with SmartCache(9, path=tmp_path / "c", clock=clock) as cache:
        assert cache.get_nowait("short") is None
        assert cache.get_nowait("long") == 1


@pytest.mark.parametrize("was", [10, 1000])
async def test_a_new_time_to_live_survives_a_restart(tmp_path, clock, was):
    async with SmartCache(3, "lru", levels=(1, 1, 1), path=tmp_path / "c", clock=clock) as cache:
        await cache.set("k", 1, ttl=was)
        await cache.set("other", 2)
        assert where(cache, "k") == [2]
        await cache.flush()  # writes a copy with the old time
        assert await cache.touch("k", 1010 - was)
    clock.advance(20)
    async with SmartCache(3, path=tmp_path / "c", clock=clock) as cache:
        assert await cache.get("k") == (1 if was == 10 else None)


def test_a_second_owner_is_told(tmp_path):
    with (
        SmartCache(9, path=tmp_path / "c"),
        pytest.raises(TierUnavailable, match="in use by another cache"),
    ):
        SmartCache(9, path=tmp_path / "c")
    SmartCache(9, path=tmp_path / "c").close_nowait()


KILLED = """
    from raudo.cache import SmartCache
    cache = SmartCache(4000, "lru", levels=(0.001, 0.001, 1), path={path!r})
    for n in range(100):
        for k in range(10):
            cache.set_nowait((n, k), ["v", n, k] * 50)
        cache.set_nowait("same", n)
        cache.flush_nowait()
        print(n, flush=True)
        for old in range(n + 1):  # up and down again, where a crash could lose them
            for k in range(10):
                cache.get_nowait((old, k))
        cache.set_nowait("same", -1)
        cache.set_nowait(("late", n), n)
        cache.delete_nowait("same")
"""


@pytest.mark.parametrize("rounds", [2, 7])
def test_sigkill_loses_nothing_that_was_flushed(tmp_path, rounds):
    code = textwrap.dedent(KILLED.format(path=str(tmp_path / "c")))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, bufsize=0
    ) as worker:
        said = b""
        while said.count(b"\n") < rounds:
            said += worker.stdout.read(64)
        worker.kill()
        while more := worker.stdout.read(64):
            said += more
    n = int(said[: said.rindex(b"\n")].split(b"\n")[-1])
    with SmartCache(4000, path=tmp_path / "c") as cache:
        for old in range(n + 1):
            for k in range(10):
                assert cache.get_nowait((old, k)) == ["v", old, k] * 50
        # Set or deleted since the flush: never an older value than the last one flushed.
        assert cache.get_nowait("same") in (None, n, n + 1, -1)
        stats = cache.get_stats()
        assert stats["corrupt"] == stats["tier_failures"] == 0


def test_a_forked_child_goes_on_without_the_disk(tmp_path):
    code = f"""
        import os
        from raudo.cache import SmartCache
        cache = SmartCache(9, "lru", levels=(1, 1, 1), path={str(tmp_path / "c")!r})
        for n in range(9):
            cache.set_nowait(n, n)
        pid = os.fork()
        if not pid:
            found = [cache.get_nowait(n) for n in range(9)]
            assert found[:3] == [None] * 3 and found[3:] == list(range(3, 9)), found
            for n in range(20, 29):
                cache.set_nowait(n, -n)
            cache.close_nowait()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [cache.get_nowait(n) for n in range(9)] == list(range(9))
        cache.close_nowait()
        with SmartCache(9, path={str(tmp_path / "c")!r}) as cache:
            assert [cache.get_nowait(n) for n in range(9)] == list(range(9))
            assert cache.get_stats()["corrupt"] == 0
        print("well")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "well", done.stderr


# --- trust ------------------------------------------------------------------------------------


def test_a_class_that_may_not_travel_stays_above_the_disk(tmp_path):
    with SmartCache(3, "lru", levels=(1, 1, 1), path=tmp_path / "c") as cache:
        cache.set_nowait("item", Item(1))
        cache.set_nowait("plain", 1)
        assert where(cache, "item") == [2]
        assert cache.get_nowait("item") == Item(1)
        for n in range(3):
            cache.set_nowait(n, n)
        assert cache.get_nowait("item") is None
        assert cache.get_stats()["forbidden"] == 1
        assert accounts_balance(cache)


@pytest.mark.parametrize("trust", [{"allow": [Item]}, {"secret": b"0123456789abcdef"}], ids=str)
def test_allowed_or_signed_classes_survive(tmp_path, trust):
    with SmartCache(3, levels=(1, 1, 1), path=tmp_path / "c", **trust) as cache:
        cache.set_nowait("item", Item(1))
    with SmartCache(3, path=tmp_path / "c", **trust) as cache:
        assert cache.get_nowait("item") == Item(1)
    with SmartCache(3, path=tmp_path / "c") as cache:
        assert cache.get_nowait("item") is None
        assert cache.get_stats()["forbidden"] + cache.get_stats()["corrupt"] == 1


class Evil:
    def __reduce__(self):
        return os.system, ("exit 3",)


def test_a_hostile_pickle_in_the_folder_is_never_loaded(tmp_path, monkeypatch):
    payload = pickle.dumps(Evil())
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("called"))
    with SmartCache(9, path=tmp_path / "c") as cache:
        data = cache._levels.encode("k")
    for codec in ("plain", "pickle", "plain+signed"):
        tier = DiskTier(tmp_path / "c")
        tier.put_nowait(data, Blob(payload, codec, len(payload)))
        tier.close()
        for secret in (None, b"0123456789abcdef"):
            with SmartCache(9, path=tmp_path / "c", secret=secret) as cache:
                assert cache.get_nowait("k", "miss") == "miss"
                stats = cache.get_stats()
                if secret is None and codec != "plain+signed":
                    assert stats["forbidden"] == 1
                assert accounts_balance(cache)


class MakesFolder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("codec", ["plain", "pickle"])
def test_a_hostile_pickle_is_not_loaded_for_the_listener(tmp_path, codec):
    trap, heard = tmp_path / "trap", []
    payload = pickle.dumps(MakesFolder(str(trap)))
    tier = DiskTier(tmp_path / "c")
    tier.put_nowait(encode_key("bad"), Blob(payload, codec, len(payload)))
    tier.put_nowait(encode_key("late"), Blob(payload, codec, len(payload), expires_ns=1))
    tier.close()
    with SmartCache(2, path=tmp_path / "c", on_evict=lambda *args: heard.append(args)) as cache:
        for n in range(9):
            cache.set_nowait(n, n)
    assert sorted(heard[:2], key=str) == [("bad", None, "capacity"), ("late", None, "expired")]
    assert not trap.exists()


async def test_a_hostile_pickle_is_not_loaded_after_a_touch(tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    payload = pickle.dumps([bytes(100_000), MakesFolder(str(trap))])
    async with SmartCache(9, levels=(0, 0, 1), path=tmp_path / "c") as cache:
        await cache.set("k", "good")
        tier = cache._levels.cold.guards[0].tier
        fetch, n_fetched = cache._levels.cold.fetch_async, 0

        async def swap(key):  # the record is changed once it was looked at
            nonlocal n_fetched
            n_fetched += 1
            if n_fetched == 2:
                tier.put_nowait(key, Blob(payload, "plain", len(payload)))
            return await fetch(key)

        monkeypatch.setattr(cache._levels.cold, "fetch_async", swap)
        assert not await cache.touch("k", 60)
        assert await cache.get("k") is None
    assert not trap.exists()


def test_signed_records_that_are_swapped_are_misses(tmp_path):
    secret = b"0123456789abcdef"
    with SmartCache(9, path=tmp_path / "c", secret=secret) as cache:
        cache.set_nowait("a", 1)
        cache.set_nowait("b", 2)
        a, b = cache._levels.encode("a"), cache._levels.encode("b")
    tier = DiskTier(tmp_path / "c")
    blobs = {key: tier.get_nowait(key) for key in (a, b)}
    tier.put_nowait(a, blobs[b])
    tier.put_nowait(b, blobs[a])
    tier.close()
    with SmartCache(9, path=tmp_path / "c", secret=secret) as cache:
        assert cache.get_nowait("a") is cache.get_nowait("b") is None
        assert cache.get_stats()["corrupt"] == 2
        assert accounts_balance(cache)


# --- levels that fail -------------------------------------------------------------------------


class Flaky:
    """A tier that only has coroutines, and fails when told to."""

    name = "flaky"
    survives_restart = False
    trusted = True

    def __init__(self):
        self.blobs, self.fails, self.calls = {}, False, []

    async def _do(self, what):
        self.calls.append(what)
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError("gone")

    async def get(self, key):
        await self._do("get")
        return self.blobs.get(key)

    async def put(self, key, blob):
        await self._do("put")
        self.blobs[key] = blob

    async def drop(self, key):
        await self._do("drop")
        return self.blobs.pop(key, None) is not None

    async def sweep(self, now_ns):
        return 0

    def stats(self):
        return TierStats(len(self.blobs), 0)

    async def aclose(self):
        pass


async def test_a_tier_of_coroutines_holds_what_comes_down():
    tier = Flaky()
    async with SmartCache(6, "lru", levels=(1, 1, 1), tiers=[tier]) as cache:
        for n in range(6):
            await cache.set(n, n)
        assert len(tier.blobs) == 2
        assert [await cache.get(n) for n in range(6)] == list(range(6))
        assert await cache.delete(0) in (True, False)
        assert await cache.get(0) is None
        cache.set_nowait(1, "new")
        assert await cache.get(1) == "new"


async def test_a_tier_that_fails_is_counted_rested_and_skipped(clock):
    tier, failures = Flaky(), []
    unsubscribe = events.subscribe(events.TierFailed, failures.append)
    try:
        async with SmartCache(
            6, "lru", levels=(1, 1, 1), tiers=[tier], clock=clock, name="c"
        ) as cache:
            for n in range(6):
                await cache.set(n, n)
            tier.fails = True
            assert await cache.get(0) is None
            assert [(f.cache, f.tier, f.operation) for f in failures] == [("c", "flaky", "get")]
            n_calls = len(tier.calls)
            assert await cache.get(1) is None
            assert len(tier.calls) == n_calls
            await cache.set("x", 1)
            assert await cache.get("x") == 1
            assert cache.get_stats()["tier_failures"] >= 1
            tier.fails = False
            clock.advance(60)
            assert await cache.get(1) == 1
    finally:
        unsubscribe()


def test_a_full_disk_is_counted_and_the_cache_goes_on(tmp_path, monkeypatch, clock):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    with SmartCache(6, "lru", levels=(1, 1, 1), path=tmp_path / "c", clock=clock) as cache:
        for n in range(6):
            cache.set_nowait(n, n)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", refuse)
            for n in range(10, 20):
                cache.set_nowait(n, n)
                assert cache.get_nowait(n) == n
            assert [cache.get_nowait(n) for n in (0, 1)] == [0, 1]
        assert cache.get_stats()["tier_failures"] >= 1
        clock.advance(100)
        for n in range(20, 26):
            cache.set_nowait(n, n)
        assert [cache.get_nowait(n) for n in range(20, 26)] == list(range(20, 26))
        assert accounts_balance(cache)


def test_no_temporary_folder_is_survived(monkeypatch):
    import tempfile

    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with SmartCache(6, "lru", levels=(1, 1, 1)) as cache:
        for n in range(8):
            cache.set_nowait(n, n)
        assert len(cache) == 4
        assert cache.get_stats()["tier_failures"] >= 1
        assert accounts_balance(cache)


async def test_large_blobs_go_down_by_a_thread_and_can_be_found_on_the_way(tmp_path):
    threads, in_balance = set(), []

    class Watching(DiskTier):
        def stage(self, key, blob):
            super().stage(key, blob)
            threads.add(threading.current_thread())
            in_balance.append(accounts_balance(cache) and len(cache) <= 9)

    tier = Watching(tmp_path / "t")
    async with SmartCache(9, "lru", levels=(1, 1, 1), tiers=[tier], compression=False) as cache:
        values = {n: os.urandom(100_000) for n in range(9)}
        await cache.set_many(values)
        assert await cache.get_many(values) == values
        assert threads
        assert threading.main_thread() not in threads
        assert all(in_balance)
        assert len(cache) == 9


async def test_many_who_read_one_key_from_the_disk_read_it_once_each(monkeypatch):
    async with SmartCache(9, levels=(0, 0, 1), compression=False) as cache:
        value = os.urandom(400_000)  # large: each read waits for a thread
        await cache.set("k", value)
        cold, n_reads = cache._levels.cold, 0
        fetch = cold.fetch_async

        async def counting(key):
            nonlocal n_reads
            n_reads += 1
            return await fetch(key)

        monkeypatch.setattr(cold, "fetch_async", counting)
        assert await asyncio.gather(*(cache.get("k") for _ in range(30))) == [value] * 30
        assert n_reads == 30
        assert not cache._levels.up.reads


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_large_blobs_on_their_way_count_against_the_size(size):
    async with SmartCache(size, compression=False) as cache:
        for n in range(9):
            await cache.set(n, os.urandom(100_000))
            assert len(cache) <= size
            assert accounts_balance(cache)


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["lru", "adaptive"])
def test_many_threads_see_whole_and_newest_values(strategy, tmp_path):
    wrong = []
    with SmartCache(24, strategy, levels=(1, 1, 1), path=tmp_path / "c") as cache:

        def work(mine):
            for n in range(250):
                key = (mine, n % 8)
                cache.set_nowait(key, (key, n))
                found = cache.get_nowait(key)
                if found is not None and found != (key, n):
                    wrong.append((key, n, found))
                other = cache.get_nowait(((mine + 1) % 4, n % 8))
                if other is not None and other[0] != ((mine + 1) % 4, n % 8):
                    wrong.append(other)
                if n % 11 == 0:
                    cache.delete_nowait(key)
                    if cache.get_nowait(key) is not None:
                        wrong.append(key)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert len(cache) <= 24
        assert accounts_balance(cache)


async def test_threads_beside_a_loop(tmp_path):
    async with SmartCache(12, "lru", levels=(1, 1, 1), path=tmp_path / "c") as cache:

        def work():
            for n in range(200):
                cache.set_nowait(n % 12, n % 12)
                assert cache.get_nowait(n % 12) in (None, n % 12)

        async def beside():
            for n in range(200):
                assert await cache.get(n % 12) in (None, n % 12)
                await cache.set(n % 12, n % 12)
                await asyncio.sleep(0)

        await asyncio.gather(asyncio.to_thread(work), beside(), beside())
        assert accounts_balance(cache)
