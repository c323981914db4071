"""Caches under load while a server fails: what both a cluster's and Sentinel's tests do."""

import asyncio
import time

__all__ = ["Load", "eventually", "holds", "set_and_hold"]


async def eventually(check, seconds=30.0):
    until = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < until
        await asyncio.sleep(0.002)


async def holds(cache, key, value):
    return await cache.get(key) == value


async def set_and_hold(witness, cache, key, value):
    """Write until the servers have it: on a loaded machine a write may end by its timeout."""

    async def is_there():
        await cache.set(key, value)
        witness._levels.forget(None)
        return await witness.get(key) == value

    await eventually(is_there)


class Load:
    """Looks up and sets keys all the time by each cache; `hits` has what each look-up found."""

    def __init__(self, caches, n_keys):
        self.caches, self.n_keys = caches, n_keys
        self.worst_s, self.hits = 0.0, []
        self._is_over = False

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._work(cache)) for cache in self.caches]
        await eventually(self.all_hit)
        return self

    async def __aexit__(self, *error):
        self._is_over = True
        await asyncio.gather(*self._tasks)  # no exception reached a caller

    async def all_hit(self):
        return len(self.hits) > 50 and all(self.hits[-50:])

    async def all_miss_some(self):
        return not all(self.hits[-50:])

    async def _work(self, cache):
        n = 0
        while not self._is_over:
            n = (n * 5 + 1) % self.n_keys
            cache._levels.forget(None)  # so that each look-up is one of the server
            began = time.perf_counter()
            found = await cache.get(n)
            middle = time.perf_counter()
            await cache.set(n, [n])
            self.worst_s = max(self.worst_s, middle - began, time.perf_counter() - middle)
            self.hits.append(found is not None)
            await asyncio.sleep(0.001)
