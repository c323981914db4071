"""What waits between L1 and the level below: bounded work, and an entry that is never lost."""

import asyncio
import threading

import pytest

from raudo.cache import SmartCache
from raudo.cache.demote import _HEAVY_BYTES, _PER_CALL
from raudo.cache.stats import Latency
from raudo.testing import FakeClock

HEAVY = bytearray(2 * _HEAVY_BYTES)
OUT = ("evictions", "expirations", "deletions", "replaced")


def check_accounts(cache):
    stats = cache.get_stats()
    assert stats["sets"] == stats["size"] + sum(stats[name] for name in OUT)
    assert stats["size"] == stats["l1_size"] + stats["l2_size"] + stats["l3_size"]
    return stats


def hold_up(cache, monkeypatch):
    """Keep what leaves L1 in transit, as if no thread came to carry it."""

    async def nothing(_):
        pass

    monkeypatch.setattr("raudo.cache.smart_cache.settle", nothing)
    monkeypatch.setattr("raudo.cache.smart_cache.settle_now", lambda levels: levels.deliver())
    return cache._levels.down.transit


async def test_a_heavy_value_is_serialised_by_another_thread(monkeypatch):
    async with SmartCache(8, strategy="fifo", levels=(1, 1, 0)) as cache:
        encode, threads = cache._levels.codec.encode, []

        def noted(value, *args):
            threads.append((type(value), threading.current_thread()))
            return encode(value, *args)

        monkeypatch.setattr(cache._levels.codec, "encode", noted)
        await cache.set("light", 1)
        await cache.set("heavy", HEAVY)
        for n in range(4):
            await cache.set(n, n)
        main = threading.current_thread()
        assert [kind for kind, thread in threads if thread is not main] == [bytearray]
        assert check_accounts(cache)["l2_size"] == 2
        assert await cache.get("heavy") == HEAVY


@pytest.mark.parametrize("levels", [(1, 1, 0), (1, 0, 1), (1, 1, 1)])
def test_in_transit_it_is_an_entry_like_any_other(monkeypatch, levels):
    clock = FakeClock(100.0)
    with SmartCache(12, strategy="fifo", levels=levels, clock=clock) as cache:
        transit = hold_up(cache, monkeypatch)
        n_top = cache._levels.sizes[0]

        def push_out(key, value, **options):
            cache.set_nowait(key, value, **options)
            for n in range(n_top):
                cache.set_nowait(n, n)
            assert len(transit) == 1
            check_accounts(cache)

        push_out("a", HEAVY)
        assert asyncio.run(_await(cache.contains("a")))
        assert cache.get_nowait("a") is HEAVY  # the object itself
        assert len(transit) == 0
        cache.delete_nowait("a")

        push_out("b", HEAVY)
        assert cache.delete_nowait("b")
        assert not cache.delete_nowait("b")

        push_out("c", HEAVY)
        cache.set_nowait("c", "new")
        assert cache.get_nowait("c") == "new"

        push_out("d", HEAVY, ttl=5)
        assert asyncio.run(cache.touch("d", 50))
        clock.advance(10)
        assert cache.get_nowait("d") is HEAVY
        clock.advance(50)
        assert cache.get_nowait("d") is None

        push_out("e", HEAVY, ttl=5)
        clock.advance(10)
        assert not asyncio.run(_await(cache.contains("e")))
        cache._levels.down.carry_all()
        push_out("f", HEAVY, tags=["t"])
        asyncio.run(cache.invalidate_tag("t"))
        assert cache.get_nowait("f") is None

        push_out("g", HEAVY)
        asyncio.run(cache.clear())
        assert len(cache) == len(transit) == transit.n_bytes == 0
        check_accounts(cache)


def test_bytes_of_what_was_taken_back_meanwhile_are_thrown_away(monkeypatch):
    with SmartCache(8, strategy="fifo", levels=(1, 1, 0)) as cache:
        levels = cache._levels
        transit = hold_up(cache, monkeypatch)
        encode = levels.codec.encode

        def taken_back(*args):
            assert cache.get_nowait("a") is HEAVY
            return encode(*args)

        cache.set_nowait("a", HEAVY)
        for n in range(4):
            cache.set_nowait(n, n)
        assert len(transit) == 1
        monkeypatch.setattr(levels.codec, "encode", taken_back)
        assert levels.down.carry()
        monkeypatch.setattr(levels.codec, "encode", encode)
        assert "a" in set(levels.l1)
        assert "a" not in {parcel.key for parcel in transit._parcels.values()}
        check_accounts(cache)


def test_what_cannot_be_pickled_is_counted_when_its_turn_comes():
    class Stays(bytearray):
        def __reduce_ex__(self, protocol):
            raise TypeError("no")

    gone = []
    with SmartCache(
        8, strategy="fifo", levels=(1, 1, 0), on_evict=lambda *args: gone.append(args[::2])
    ) as cache:
        cache.set_nowait("a", Stays(HEAVY))
        for n in range(4):
            cache.set_nowait(n, n)
        stats = check_accounts(cache)
        assert (stats["unpicklable_values"], stats["evictions"]) == (1, 1)
        assert gone == [("a", "capacity")]


def test_one_call_serialises_a_few_values_itself(monkeypatch):
    with SmartCache(1000, strategy="fifo", levels=(1, 1, 0), max_bytes=400_000) as cache:
        transit = hold_up(cache, monkeypatch)
        for n in range(400):
            cache.set_nowait(n, [n])
        n_below = len(cache._levels.l2)
        cache.set_nowait("big", bytes(150_000))  # pushes out most of them
        assert len(cache._levels.l2) - n_below <= _PER_CALL
        assert len(transit) > 50
        check_accounts(cache)
        assert transit.n_bytes <= 100_000
        cache._levels.down.carry_all()
        assert len(transit) == 0
        check_accounts(cache)


async def test_the_loop_goes_on_between_slices_of_many_demotions():
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async with SmartCache(10_000, strategy="fifo", levels=(1, 1, 0), max_bytes=4 << 20) as cache:
        for n in range(3000):
            await cache.set(n, [n, "x" * 100])
        ticking = asyncio.ensure_future(tick())
        await asyncio.sleep(0)
        ticks = 0
        await cache.set("big", bytes(1_900_000))
        ticking.cancel()
        assert ticks > 1
        check_accounts(cache)


def test_quantiles_are_within_an_eighth():
    latency = Latency()
    assert latency.quantile_s(0.5) == latency.mean_s == 0.0
    for ns in range(1, 100_001):
        latency.add(ns)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact_s = share * 1e5 / 1e9
        assert exact_s <= latency.quantile_s(share) <= exact_s * 1.13
    assert latency.mean_s == pytest.approx(5e-5, rel=1e-3)


async def test_stats_have_the_latency_of_each_level_beside_its_target():
    async with SmartCache(30, levels=(1, 1, 1)) as cache:
        for n in range(30):
            await cache.set(n, n)
        for n in range(30):
            await cache.get(n)
        levels = cache.get_stats()["levels"]
        for name, target_s in (("l1", 0.0001), ("l2", 0.001), ("l3", 0.01)):
            of_level = levels[name]
            assert of_level["target_latency_s"] == target_s
            assert 0 <= of_level["p50_latency_s"] <= of_level["p99_latency_s"]
        assert levels["l3"]["p50_latency_s"] > 0
        names = {sample.name for sample in cache.samples()}
        assert "raudo_cache_level_latency_quantile_seconds" in names


async def _await(awaitable):
    return await awaitable
