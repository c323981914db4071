"""SmartCache: levels that fail, that are slow, and that have coroutines alone."""

import asyncio
import os
import threading

import pytest

from cache.smart_caches import accounts_balance
from raudo import events
from raudo.cache import SmartCache
from raudo.cache.tiers import DiskTier
from raudo.types import TierStats

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
        value = os.urandom(2_000_000)  # large: each read waits for a thread
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
