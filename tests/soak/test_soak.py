"""A SmartCache at full load, by tasks and threads at once, while its disk fails at random.

Seconds by default; `RAUDO_SOAK_SECONDS=600 python -m pytest tests/soak --timeout 1200`, or
`make soak`, takes longer. At every quiet moment the accounts are exact, and no value is ever wrong.
"""

import asyncio
import os
import random
import threading
import time

import pytest

from raudo.cache import SmartCache
from raudo.cache.tiers import DiskTier

SECONDS = float(os.environ.get("RAUDO_SOAK_SECONDS", "2"))
SEED = int(os.environ.get("RAUDO_SOAK_SEED", "1"))
N_WORKERS = 4  # tasks, and as many threads, each with keys of its own
MISS = object()
OUT = ("evictions", "expirations", "deletions", "replaced")


class Hasty:
    """A clock on which a level's rest of up to a minute is soon over."""

    SPEED = 200

    def __init__(self):
        self._start, self._start_ns = time.monotonic(), time.time_ns()

    def monotonic(self):
        return (time.monotonic() - self._start) * self.SPEED

    def time_ns(self):
        return self._start_ns + int(self.monotonic() * 1e9)


class FailingDisk(DiskTier):
    """Fails now and then, in bad times at every second call."""

    chance = random.Random(SEED)
    rate = 0.0

    def _fail_maybe(self, name):
        if self.chance.random() < self.rate:
            raise OSError(f"injected: {name}")


def _failing(name):
    plain = getattr(DiskTier, name)

    def call(self, *args, **kwargs):
        self._fail_maybe(name)
        return plain(self, *args, **kwargs)

    return call


# What reads or writes files; the rest happens in memory and cannot fail.
for _name in ("put_nowait", "get_nowait", "read_ready", "stage", "keep", "flush"):
    setattr(FailingDisk, _name, _failing(_name))


class Unpicklable(list):
    def __reduce__(self):
        raise TypeError("stays in L1")


class Worker:
    """Uses keys of its own, so that it knows what each may be found as: set, or loaded ahead."""

    def __init__(self, cache, number):
        self.cache = cache
        self.number = number
        self.chance = random.Random(SEED * 100 + number)
        self.model = {}
        self.shared_loads = 0
        self.operations = 0

    def value(self):
        stamp = [self.number, self.chance.random()]
        kind = self.chance.random()
        if kind < 0.002:
            return [*stamp, bytearray(400_000)]
        if kind < 0.005:  # made again by a thread, where it is in L2
            return [*stamp, "y" * 100_000]
        if kind < 0.02:
            return Unpicklable(stamp)
        return [*stamp, "x" * self.chance.randrange(300)]

    def key(self):
        n = int(self.chance.paretovariate(0.5)) % 400
        return (self.number, n) if n % 3 else f"{self.number}:{n}"

    def check(self, key, found):
        assert found is MISS or found in (self.model.get(key, MISS), str(key)), (key, found)
        self.operations += 1

    async def load(self, key):
        self.shared_loads += 1
        if self.chance.random() < 0.1:
            raise LookupError(key)
        await asyncio.sleep(0)
        return key * 2


class Task(Worker):
    """Through the event loop."""

    async def step(self):
        key, what = self.key(), self.chance.random()
        if what < 0.35:
            value = self.value()
            tags = [f"tag {self.number}"] if self.chance.random() < 0.2 else []
            ttl = self.chance.choice([None, None, None, 0.2, 10, 9000])
            self.model[key] = value
            await self.cache.set(key, value, ttl, tags=tags)
        elif what < 0.4:
            self.model.pop(key, None)
            await self.cache.delete(key)
        elif what < 0.405:
            await self.cache.invalidate_tag(f"tag {self.number}")
        elif what < 0.42:
            await self.cache.touch(key, 6000)
        elif what < 0.5:
            wanted = self.chance.randrange(10**6, 10**6 + 500)
            try:
                found = await self.cache.get_or_load(
                    wanted, self.load, 10, stale=4, early=1.0, negative_ttl=2
                )
            except LookupError:
                return
            assert found in (wanted * 2, str(wanted))
        elif what < 0.501:
            await self.cache.flush()
        else:
            self.check(key, await self.cache.get(key, MISS))

    async def run(self, until):
        while time.monotonic() < until:
            for _ in range(20):
                await self.step()
            await asyncio.sleep(0)


class Thread(Worker):
    """Without an event loop."""

    def step(self):
        key, what = self.key(), self.chance.random()
        if what < 0.4:
            value = self.value()
            self.model[key] = value
            self.cache.set_nowait(key, value, self.chance.choice([None, None, 2]))
        elif what < 0.45:
            self.model.pop(key, None)
            self.cache.delete_nowait(key)
        else:
            self.check(key, self.cache.get_nowait(key, MISS))

    def run(self, until, errors):
        try:
            while time.monotonic() < until:
                self.step()
        except BaseException as error:
            errors.append(error)


def check_accounts(cache):
    stats = cache.get_stats()
    assert stats["sets"] == stats["size"] + sum(stats[name] for name in OUT), stats
    assert stats["misses"] >= 0
    assert len(cache) == stats["size"] <= cache.max_size
    pending = stats["prefetch_loads"] - stats["prefetch_useful"] - stats["prefetch_wasted"]
    assert pending >= 0
    return stats


async def soak(cache, workers, seconds):
    """Let all workers run, in bad times and good, and stop for the accounts in between."""
    tasks, threads = workers[:N_WORKERS], workers[N_WORKERS:]
    end = time.monotonic() + seconds
    round_ = 0
    while time.monotonic() < end:
        FailingDisk.rate = (0.0, 0.02, 0.5)[round_ % 3]
        round_ += 1
        until = min(end, time.monotonic() + max(0.1, seconds / 12))
        errors = []
        running = [threading.Thread(target=each.run, args=(until, errors)) for each in threads]
        for thread in running:
            thread.start()
        await asyncio.gather(*(each.run(until) for each in tasks))
        for thread in running:
            await asyncio.to_thread(thread.join)
        assert errors == []
        FailingDisk.rate = 0.0
        await asyncio.gather(*cache._background._tasks, return_exceptions=True)
        check_accounts(cache)


@pytest.mark.parametrize("strategy", ["adaptive", "lru"])
def test_accounts_are_exact_after_a_soak(tmp_path, monkeypatch, strategy):
    clock = Hasty()
    monkeypatch.setattr("raudo.cache.assemble.DiskTier", FailingDisk)
    settings = {"max_bytes": 4 << 20, "max_loads": 4, "loader": str, "prefetch": True}
    cache = SmartCache(600, strategy, path=tmp_path / "cache", clock=clock, **settings)
    workers = [Task(cache, n) for n in range(N_WORKERS)]
    workers += [Thread(cache, N_WORKERS + n) for n in range(N_WORKERS)]
    try:
        asyncio.run(soak(cache, workers, SECONDS / 2))
        stats = check_accounts(cache)
        assert stats["tier_failures"] > 0
        assert all(worker.operations for worker in workers)
        cache.flush_nowait()
        check_accounts(cache)
    finally:
        FailingDisk.rate = 0.0
        cache.close_nowait()
    # What is found after a restart is right, too.
    with SmartCache(600, strategy, path=tmp_path / "cache", clock=clock) as reopened:
        n_found = 0
        for worker in workers:
            for key, value in worker.model.items():
                found = reopened.get_nowait(key, MISS)
                if found is not MISS:
                    assert found in (value, str(key))
                    n_found += 1
        assert n_found > 0
        check_accounts(reopened)
