"""What waits between L1 and the level below: bounded work, and an entry that is never lost."""

import asyncio
import threading

import pytest

from raudo.cache import SmartCache
from raudo.cache.demote import _HEAVY_BYTES, _PER_CALL
from raudo.testing import FakeClock

HEAVY = bytearray(2 * _HEAVY_BYTES)
OUT = ("evictions", "expirations", "deletions", "replaced")


def check_accounts(cache):
    stats = cache.get_stats()
    assert stats["sets"] == stats["size"] + sum(stats[name] for name in OUT)
    assert stats["size"] == stats["l1_size"] + stats["l2_size"] + stats["l3_size"]
    return stats


def keys_of(transit):
    return {parcel.key for parcel in transit}


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

        def noted(value, *args, **options):
            threads.append((type(value), threading.current_thread()))
            return encode(value, *args, **options)

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
        assert "a" not in keys_of(transit)
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

        def taken_back(*args, **options):
            reader = threading.Thread(target=cache.get_nowait, args=("a",))
            reader.start()
            reader.join(20)
            assert not reader.is_alive()
            return encode(*args, **options)

        cache.set_nowait("a", HEAVY)
        for n in range(4):
            cache.set_nowait(n, n)
        assert len(transit) == 1
        monkeypatch.setattr(levels.codec, "encode", taken_back)
        assert levels.down.carry()
        monkeypatch.setattr(levels.codec, "encode", encode)
        assert "a" in set(levels.l1)
        assert "a" not in keys_of(transit)
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


# --- what a lookup leaves waiting -------------------------------------------------------------


def fill(cache, n=1000):
    for k in range(n):
        cache.set_nowait(k, {"n": k})


def test_a_lookup_makes_bytes_of_nothing_until_enough_waits():
    with SmartCache(1000, strategy="fifo", levels=(1, 1, 0)) as cache:
        fill(cache)
        transit, l2 = cache._levels.down.transit, cache._levels.l2
        cache._levels.down.carry_all()
        most = 0
        for k in range(500):
            before = cache.get_stats()["demotions"]
            assert cache.get_nowait(k) == {"n": k}
            after = check_accounts(cache)
            assert after["demotions"] == before or len(transit) == transit.may_stay // 2
            assert after["l2_size"] == len(l2) + len(transit) == 500
            most = max(most, len(transit))
        assert most == transit.may_stay == 500 // 8


def test_waiting_entries_are_counted_in_the_size_of_their_level():
    with SmartCache(100, strategy="fifo", levels=(1, 1, 0)) as cache:
        fill(cache, 100)
        for k in range(50):
            cache.get_nowait(k)
            cache.set_nowait(1000 + k, k)
            assert len(cache) == 100
            assert check_accounts(cache)["l2_size"] == 50


def test_memory_keeps_to_its_bound_with_what_waits():
    with SmartCache(10_000, strategy="lru", levels=(1, 1, 0), max_bytes=1 << 20) as cache:
        for k in range(2000):
            cache.set_nowait(k, [k, "x" * 500])
        for k in range(2000):
            cache.get_nowait(k)
            levels = cache.get_stats()["levels"]
            assert levels["l1"]["bytes"] + levels["l2"]["bytes"] <= 1 << 20


async def test_hits_that_never_suspend_still_have_their_victims_carried_down():
    async with SmartCache(2000, strategy="lru", levels=(1, 1, 0)) as cache:
        fill(cache, 2000)
        transit = cache._levels.down.transit
        for k in [*range(2000)] * 3:
            await cache.get(k)
            assert len(transit) <= 2 * transit.may_stay + 65
        assert len(cache._background) <= 1
        check_accounts(cache)


async def test_a_large_value_comes_up_on_a_thread_and_others_go_on():
    large = [{"n": n} for n in range(60_000)]
    async with SmartCache(8, strategy="fifo", levels=(1, 1, 0)) as cache:
        await cache.set("large", large)
        for n in range(4):
            await cache.set(n, n)
        assert len(cache._levels.l2) == 1
        turns = 0

        async def tick():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        first, second = await asyncio.gather(cache.get("large"), cache.get("large"))
        ticking.cancel()
        assert first == large
        assert second is first
        assert turns > 10
        stats = check_accounts(cache)
        assert (stats["hits"], stats["misses"]) == (2, 0)


@pytest.mark.parametrize("change", ["set", "delete", "clear", "invalidate", "expire"])
async def test_a_large_value_that_changes_while_it_comes_up(monkeypatch, change):
    large, clock = ["x" * 100_000, 1], FakeClock(100.0)
    async with SmartCache(8, strategy="fifo", levels=(1, 1, 0), clock=clock) as cache:
        await cache.set("large", large, ttl=5, tags=["t"])
        for n in range(4):
            await cache.set(n, n)
        levels = cache._levels
        decode = levels.codec.decode

        def decode_late(*args, **options):
            value = decode(*args, **options)
            if change == "set":
                cache.set_nowait("large", "new")
            elif change == "delete":
                assert cache.delete_nowait("large")
            elif change == "clear":
                cache.clear_nowait()
            elif change == "invalidate":
                cache.invalidate_tag_nowait("t")
            else:
                clock.advance(10)
            return value

        monkeypatch.setattr(levels.codec, "decode", decode_late)
        assert await cache.get("large", "gone") == ("new" if change == "set" else "gone")
        stats = check_accounts(cache)
        assert stats["hits"] + stats["misses"] == 1


async def test_flush_finds_what_moves_down_meanwhile(tmp_path, monkeypatch):
    async with SmartCache(20, strategy="fifo", levels=(1, 1, 2), path=tmp_path) as cache:
        for n in range(5):
            await cache.set(n, n)
        levels = cache._levels
        items = levels.l2.items

        def then_all_moves_down():
            found = items()
            for n in range(5):
                cache.set_nowait(100 + n, n)
            return found

        monkeypatch.setattr(levels.l2, "items", then_all_moves_down)
        await cache.flush()
        kept = {data for n in range(5) if levels.cold.keeps(data := levels.encode(n))}
        assert len(kept) == 5
