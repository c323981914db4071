"""Hot keys: found in the right order and share, on every way to look up; nothing when off."""

from __future__ import annotations

import gc
import random
import sys
import weakref

import pytest

from raudo import Cache, SmartCache
from raudo._core.hot import HotKeys


def zipf(n, seed=1):
    rng = random.Random(seed)
    keys = list(range(50))
    return rng.choices(keys, [1 / (key + 1) for key in keys], k=n)


def check(found, n_lookups):
    total = sum(1 / (key + 1) for key in range(50))
    assert [key for key, _ in found[:2]] == [0, 1]
    for key, share in found[:4]:
        exact = 1 / (key + 1) / total
        assert abs(share - exact) < 5 * (exact / min(n_lookups / 8, 4096)) ** 0.5


def test_shares_are_found():
    hot = HotKeys()
    for key in zipf(40_000):
        hot.look_up(key)
    assert len(hot) == 4096
    check(hot.top(5), 40_000)


def test_lookups_in_a_rhythm_are_sampled_alike():
    hot = HotKeys()
    for n in range(80_000):
        hot.look_up(n % 8)
    assert all(abs(share - 1 / 8) < 0.03 for _, share in hot.top(8))


def test_old_lookups_are_forgotten():
    hot = HotKeys()
    for key, n in (("old", 50_000), ("new", 70_000)):
        for _ in range(n):
            hot.look_up(key)
    assert hot.top(3) == [("new", 1.0)]


@pytest.mark.parametrize("way", ["get", "[]", "get_many", "get_or_load"])
def test_every_way_to_look_up_is_seen(way):
    cache = Cache(30)
    cache.follow_hot_keys()
    for key in range(30):
        cache[key] = key
    calls = {
        "get": cache.get,
        "[]": lambda key: cache[key] if key < 20 else cache.get(key),
        "get_many": lambda key: cache.get_many([key]),
        "get_or_load": lambda key: cache.get_or_load(key, lambda key: key),
    }
    for key in zipf(20_000):
        calls[way](key)
    check(cache.hot_keys(4), 20_000)


@pytest.mark.parametrize("advise", [False, True])
def test_following_changes_nothing_else(advise):
    caches = [Cache(20, strategy="lru", advise=advise) for _ in range(2)]
    caches[0].follow_hot_keys()
    for key in zipf(5_000):
        for cache in caches:
            if cache.get(key) is None:
                cache[key] = str(key)
    assert caches[0].stats() == caches[1].stats()
    assert list(caches[0]) == list(caches[1])
    if advise:
        assert caches[0].advise() == caches[1].advise()
    assert caches[1].hot_keys() == []


async def test_smart_cache_knows_its_hot_keys():
    async with SmartCache(30) as cache:
        cache.follow_hot_keys()
        for key in zipf(20_000):
            if await cache.get(key) is None:
                await cache.set(key, key + 1)
        check(cache.hot_keys(4), 20_000)
    async with SmartCache(30, levels=(0, 1, 0)) as cache:
        cache.follow_hot_keys()
        assert cache.hot_keys() == []


def test_keys_are_let_go():
    class Key:
        pass

    cache = Cache(10)
    cache.follow_hot_keys()
    key = Key()
    for _ in range(100):
        cache.get(key)
    ref = weakref.ref(key)
    del key
    for _ in range(60_000):
        cache.get(1)
    assert ref() is None
    base = sys.getrefcount(None)
    for _ in range(10_000):
        cache.get(None)
    del cache
    gc.collect()
    assert sys.getrefcount(None) - base < 10


def test_key_whose_end_looks_up_again():
    cache = Cache(10)
    cache.follow_hot_keys()

    class Key:
        def __del__(self):
            for n in range(20):
                cache.get(n)

    for _ in range(80_000):
        cache.get(Key())
    assert len(cache.hot_keys(3)) == 3
