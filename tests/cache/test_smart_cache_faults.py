"""A disk that fails at random, under threads: no wrong value, no exception, exact accounts."""

import asyncio
import errno
import os
import random
import threading

import pytest

from raudo.cache import SmartCache
from raudo.cache.tiers import DiskTier
from raudo.types import TierStats

MISS = object()


class Faults:
    """Replaces the system calls of the disk tier by ones that fail now and then."""

    def __init__(self, monkeypatch, seed, rate):
        self._chance = random.Random(seed)
        self._rate = rate
        for name in ("pwritev", "pwrite", "pread", "preadv", "unlink", "ftruncate", "fsync"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name, call):
        def maybe(*args, **kwargs):
            if self._chance.random() < self._rate:
                raise OSError(self._chance.choice([errno.ENOSPC, errno.EIO]), f"injected: {name}")
            if name == "pwritev" and self._chance.random() < self._rate:
                fd, parts, offset = args
                return call(fd, [b"".join(parts)[: self._chance.randrange(1, 60)]], offset)
            return call(*args, **kwargs)

        return maybe


def check_accounts(cache):
    stats = cache.get_stats()
    out = ("evictions", "expirations", "deletions", "replaced")
    assert stats["sets"] == stats["size"] + sum(stats[name] for name in out)
    assert len(cache) <= cache.max_size


class Restless:
    """A clock whose seconds pass with each look at it, so that a level's rest soon ends."""

    def __init__(self):
        self._now = 0.0

    def monotonic(self):
        self._now += 0.5
        return self._now

    def time_ns(self):
        return int(self.monotonic() * 1e9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_a_failing_disk_never_gives_a_wrong_value(tmp_path, monkeypatch, seed, rate):
    chance = random.Random(seed)
    settings = {"max_size": 12, "strategy": "lru", "levels": (1, 1, 2), "path": tmp_path / "c"}
    model = {}
    for _round in range(3):
        cache = SmartCache(clock=Restless(), max_disk_bytes=8192, **settings)
        with monkeypatch.context() as patch:
            Faults(patch, seed, rate)
            for n in range(250):
                key = chance.randrange(20)
                what = chance.random()
                if what < 0.5:
                    value = [n, "x" * chance.randrange(900)]
                    cache.set_nowait(key, value)
                    model[key] = value
                elif what < 0.6:
                    cache.delete_nowait(key)
                    model.pop(key, None)
                elif what < 0.62:
                    cache.flush_nowait()
                else:
                    found = cache.get_nowait(key, MISS)
                    assert found is MISS or found == model[key]
                if n % 10 == 0:
                    check_accounts(cache)
        cache.close_nowait()
    cache = SmartCache(**settings)
    for key in range(20):
        found = cache.get_nowait(key, MISS)
        assert found is MISS or found == model[key]
    check_accounts(cache)
    cache.close_nowait()


@pytest.mark.parametrize("durable", [False, True])
def test_a_failing_disk_under_threads(tmp_path, monkeypatch, durable):
    wrong = []
    path = tmp_path / "c" if durable else None
    cache = SmartCache(30, levels=(1, 1, 2), path=path, max_disk_bytes=16_384, clock=Restless())

    def work(mine):
        chance = random.Random(mine)
        mine_now = {}
        try:
            for n in range(200):
                key = (mine, chance.randrange(12))
                if chance.random() < 0.5:
                    mine_now[key] = [mine, n, "x" * chance.randrange(600)]
                    cache.set_nowait(key, mine_now[key])
                elif chance.random() < 0.2:
                    cache.delete_nowait(key)
                    mine_now.pop(key, None)
                else:
                    found = cache.get_nowait(key, MISS)
                    if found is not MISS and found != mine_now.get(key):
                        wrong.append((key, found, mine_now.get(key)))
                cache.get_nowait(((mine + 1) % 4, chance.randrange(12)))
        except Exception as error:
            wrong.append(error)

    with monkeypatch.context() as patch:
        Faults(patch, 1, 0.05)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    check_accounts(cache)
    cache.close_nowait()


class Remote:
    """A tier of coroutines that takes its time, and fails now and then."""

    name = "remote"
    survives_restart = False
    trusted = True

    def __init__(self, rate):
        self._chance, self._rate, self.blobs = random.Random(2), rate, {}

    async def _travel(self):
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        if self._chance.random() < self._rate:
            raise ConnectionError("injected")

    async def get(self, key):
        await self._travel()
        blob = self.blobs.get(key)
        await self._travel()
        return blob

    async def put(self, key, blob):
        await self._travel()
        self.blobs[key] = blob
        await self._travel()

    async def drop(self, key):
        await self._travel()
        return self.blobs.pop(key, None) is not None

    async def sweep(self, now_ns):
        return 0

    def stats(self):
        return TierStats(len(self.blobs), 0)

    async def aclose(self):
        pass


@pytest.mark.parametrize(("kind", "rate"), [("remote", 0.0), ("remote", 0.1), ("disk", 0.0)])
async def test_tasks_see_their_newest_value_or_none(tmp_path, kind, rate):
    tier = Remote(rate) if kind == "remote" else DiskTier(tmp_path / "t")
    async with SmartCache(
        24, "lru", levels=(1, 1, 2), tiers=[tier], compression=False, clock=Restless()
    ) as cache:

        async def work(mine):
            chance, now = random.Random(mine), {}
            for n in range(60):
                key = (mine, chance.randrange(8))
                what = chance.random()
                if what < 0.5:
                    size = chance.choice([1, 10, 70_000])
                    now[key] = (n, "x" * size)
                    await cache.set(key, now[key])
                elif what < 0.6:
                    await cache.delete(key)
                    now.pop(key, None)
                else:
                    found = await cache.get(key, MISS)
                    assert found is MISS or found == now.get(key)
                await cache.get(((mine + 1) % 6, chance.randrange(8)))

        await asyncio.gather(*(work(n) for n in range(6)))


@pytest.mark.parametrize(("path", "error"), [("", ValueError), (b"x", TypeError), (7, TypeError)])
def test_a_path_that_is_none_is_refused(path, error):
    with pytest.raises(error, match="path"):
        SmartCache(9, path=path)
