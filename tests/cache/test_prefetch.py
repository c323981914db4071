"""What the prefetcher foresees, what it lets be loaded, and how a SmartCache loads ahead."""

import asyncio
import random

import pytest

from raudo.cache import Cache, SmartCache
from raudo.cache.prefetch import Prefetcher


class Replay:
    """An LRU cache that loads ahead at once; counts what each request found."""

    def __init__(self, size, **finders):
        self.prefetcher = Prefetcher(size, **finders)
        self.cache = Cache(size, strategy="lru")
        self.ahead = []
        self.misses = 0

    def ask(self, key):
        was_held = self.cache.get(key, False)
        if was_held and key not in self.prefetcher:
            return
        if not was_held:
            self.misses += 1
            self.cache[key] = True
        for each in self.prefetcher.observe(
            key, was_held=was_held, is_held=self.cache.__contains__
        ):
            assert each not in self.cache
            assert self.prefetcher.begin_load(each)
            self.cache[each] = True
            self.prefetcher.end_load(each)
            self.ahead.append(each)


def test_interleaved_streams_are_told_apart():
    replay = Replay(1000, sequences=False)
    for n in range(100):
        for base, stride in ((0, 1), (10_000, -7), (500_000, 4096)):
            replay.ask(base + n * stride)
    assert {99, 10_000 - 7 * 99, 500_000 + 4096 * 99} <= set(replay.ahead)
    assert replay.misses < 60
    assert replay.prefetcher.precision > 0.9


def test_tuples_that_end_in_an_integer_are_families():
    replay = Replay(1000, sequences=False)
    for n in range(100):
        replay.ask(("page", n))
        replay.ask(("user", 5000 - 3 * n))
    assert ("page", 99) in replay.ahead
    assert ("user", 5000 - 3 * 99) in replay.ahead
    assert replay.misses < 60


@pytest.mark.parametrize("key", [True, 1.5, "a", ("a",), (), (1, True), None])
def test_keys_without_a_number_have_no_stride(key):
    replay = Replay(10, sequences=False)
    for _ in range(50):
        replay.ask(key)
    assert replay.ahead == []


def test_an_order_that_returns_is_known_again():
    order = [f"block {n}" for n in random.Random(1).sample(range(10**6), 500)]
    replay = Replay(100)
    for key in order:
        replay.ask(key)
    assert replay.misses == 500
    assert replay.ahead == []
    for key in order * 3:
        replay.ask(key)
    assert replay.misses < 600  # an LRU cache of 100 would have missed all 2,000
    assert replay.prefetcher.precision > 0.9


def test_streams_without_a_pattern_are_left_alone():
    chance = random.Random(3)
    replay = Replay(100)
    for _ in range(5000):
        replay.ask(chance.randrange(10**6))
        replay.ask(chance.choice("abcdefgh"))
    for _ in range(20_000):
        replay.ask(f"key {int(chance.paretovariate(0.6)) % 5000}")
    assert len(replay.ahead) < 100


def test_what_stops_being_true_stops_being_loaded():
    replay = Replay(100, sequences=False)
    for n in range(200):
        replay.ask(n)
    starts = random.Random(4).sample(range(10**6, 10**12, 1000), 3300)
    for start in starts[:3000]:  # streams of three break off
        for n in range(3):
            replay.ask(start + n)
    n_before = len(replay.ahead)
    for start in starts[3000:]:
        for n in range(3):
            replay.ask(start + n)
    assert len(replay.ahead) - n_before < 20
    for n in range(300):  # and is loaded again once it pays
        replay.ask(-n)
    assert -299 in replay.ahead


def test_the_books_add_up_and_stay_bounded():
    chance = random.Random(5)
    replay = Replay(64)
    for _ in range(300):
        start = chance.randrange(10**6)
        for n in range(chance.randrange(2, 60)):
            replay.ask(start + n)
    prefetcher, ledger = replay.prefetcher, replay.prefetcher._ledger
    pending = sum(each.state >= 2 for each in ledger.awaited.values())
    assert prefetcher.loads == len(replay.ahead) == prefetcher.useful + prefetcher.wasted + pending
    assert len(ledger._open) <= 64 * 16
    assert len(ledger.awaited) <= 64 * 2
    assert len(prefetcher._strides._next) <= 1024
    assert 0.5 < prefetcher.precision <= 1


def test_the_log_forgets_what_is_too_old(monkeypatch):
    monkeypatch.setattr("raudo.cache.prefetch.sequences._MIN_LOG", 64)
    replay = Replay(4, strides=False)
    order = [f"k{n}" for n in random.Random(2).sample(range(1000), 100)]
    for key in order * 4:  # each key returns after the log has lost it
        replay.ask(key)
    log = replay.prefetcher._sequences
    assert replay.ahead == []
    assert len(log._keys) == len(log._last) == 64


def test_a_load_that_comes_too_late_or_fails_is_counted():
    prefetcher = Prefetcher(100, sequences=False)

    def observe(key):
        return prefetcher.observe(key, was_held=False, is_held=lambda _: False)

    n = 0
    while len(prefetcher._ledger.awaited) < 3:
        observe(n)
        n += 1
    first, second, third = list(prefetcher._ledger.awaited)[:3]
    assert prefetcher.begin_load(first)
    assert not prefetcher.begin_load(first)
    observe(first)  # asked for during the load: of use, though it was waited for
    assert (prefetcher.useful, prefetcher.wasted) == (1, 0)
    assert prefetcher.begin_load(second)
    prefetcher.give_up(second)
    assert (prefetcher.useful, prefetcher.wasted) == (1, 1)
    assert prefetcher.begin_load(third)
    prefetcher.end_load(third)
    observe(third)  # a miss: the cache has let go of it again
    assert (prefetcher.useful, prefetcher.wasted) == (1, 2)
    prefetcher.give_up("never chosen")
    assert prefetcher.precision == pytest.approx(1 / 3)


# --- in a SmartCache --------------------------------------------------------------------------


async def replay_whole(cache, keys):
    for key in keys:
        assert await cache.get_or_load(key) == str(key)


@pytest.mark.parametrize("levels", [(1, 0, 0), (1, 1, 1)])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_cache_loads_ahead_of_its_callers(levels, kind):
    calls = []

    async def load(key):
        calls.append(key)
        return str(key)

    def load_in_thread(key):
        calls.append(key)
        return str(key)

    loader = load if kind == "async" else load_in_thread
    async with SmartCache(600, levels=levels, loader=loader, prefetch=True) as cache:
        await replay_whole(cache, range(0, 900, 3))
        await asyncio.gather(*cache._background._tasks)
        stats = cache.get_stats()
    assert len(calls) == len(set(calls)) == stats["loads"]
    assert stats["loads"] - stats["prefetch_loads"] < 60
    assert stats["prefetch_useful"] > 200
    assert stats["prefetch_precision"] > 0.9
    assert stats["sets"] == stats["size"] + stats["evictions"] + stats["replaced"]


async def test_a_failing_loader_ahead_harms_nobody():
    async def load(key):
        if key >= 100:
            raise KeyError(key)
        return str(key)

    async with SmartCache(500, loader=load, prefetch=True) as cache:
        await replay_whole(cache, range(100))
        with pytest.raises(KeyError):
            await cache.get_or_load(100)
        stats = cache.get_stats()
    assert stats["prefetch_wasted"] <= stats["load_failures"]


async def test_callers_come_before_loads_ahead():
    running = most = 0

    async def load(key):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return str(key)

    async with SmartCache(500, loader=load, prefetch=True, max_loads=2) as cache:
        await replay_whole(cache, range(300))
        assert cache.get_stats()["prefetch_useful"] > 50
    assert most == 2


def test_without_a_loop_it_only_learns():
    with SmartCache(100, loader=str, prefetch=True) as cache:
        for n in range(100):
            assert cache.get_nowait(n) is None
            cache.set_nowait(n, str(n))
        stats = cache.get_stats()
        assert stats["prefetch_loads"] == 0
        assert stats["size"] == 100
