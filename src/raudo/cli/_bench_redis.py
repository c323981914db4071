"""The Redis tier beside redis-py: pipelines, single calls, how soon others' writes are seen.

The tier's figures are those of the level itself; a SmartCache above it adds what `cache` rows say.
Values are dicts that pickle to some 260 bytes; redis-py is given those bytes, with hiredis.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable, Coroutine
from typing import Any

from raudo.cache import SmartCache
from raudo.cache.codecs import BlobCodec
from raudo.cli._bench_rows import Row, is_installed, race
from raudo.cli._bench_servers import redis_server

__all__ = ["rows"]

_VALUE = {"id": 1, "name": "x" * 200, "tags": ["a", "b"]}
_BATCH = 512
_PIPELINES = "redis: pipelines of 512"
_SINGLE = "redis: one call at a time on an event loop"
_SEEN = "redis: from a write until another cache has forgotten its copy"


def rows(quick: bool) -> list[Row]:
    """Measure on a redis-server of our own; nothing where it or redis-py is missing."""
    if not is_installed("redis"):
        return []
    with redis_server() as url:
        return [] if url is None else _rows(url, 1_000 if quick else 10_000, 1 if quick else 7)


def _rows(url: str, n: int, rounds: int) -> list[Row]:
    import redis

    from raudo.integrations.redis import RedisTier

    tier, bare = RedisTier(url, timeout=5), redis.Redis.from_url(url)
    cache = SmartCache(n, levels=(1, 0, 0), tiers=[tier])
    tier.wait_until_ready()
    codec, payload = BlobCodec(), pickle.dumps(_VALUE)
    blobs = [(b"i%d" % i, codec.encode(_VALUE)) for i in range(n)]
    keys = [key for key, _ in blobs]

    def piped(fill: Callable[[Any, int], Any]) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, n, _BATCH):
            pipe = bare.pipeline(transaction=False)
            for i in range(start, min(n, start + _BATCH)):
                fill(pipe, i)
            answers += pipe.execute()
        return answers

    def cache_get() -> float:
        cache._levels.forget(None)  # as if another process had changed them all
        return _timed(lambda: asyncio.run(_all(cache.get_many(range(n)), n)), n)

    sets = {
        "raudo": lambda: _timed(lambda: tier.put_many_nowait(blobs), n),
        "raudo cache": lambda: _timed(
            lambda: asyncio.run(cache.set_many(dict.fromkeys(range(n), _VALUE))), n
        ),
        "redis-py": lambda: _timed(lambda: piped(lambda p, i: p.set(f"k{i}", payload)), n),
    }
    gets = {
        "raudo": lambda: _timed(lambda: asyncio.run(_all(tier.get_many(keys), n)), n),
        "raudo cache": cache_get,
        "redis-py": lambda: _timed(lambda: piped(lambda p, i: p.get(f"k{i}")), n),
    }
    factor = 0.8
    found = [
        Row(_PIPELINES, "set_many", "us", race(sets, rounds), factor, rivals=["redis-py"]),
        Row(_PIPELINES, "get_many", "us", race(gets, rounds), factor, rivals=["redis-py"]),
        asyncio.run(_single(url, tier, keys[: n // 5], rounds)),
        _seen(url, n // 10),
    ]
    cache.close_nowait()
    bare.close()
    return found


def _timed(work: Callable[[], object], n: int) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / n * 1e6


async def _all(work: Coroutine[Any, Any, Any], n: int) -> None:
    found = await work
    if len(found) != n or any(each is None for each in found):
        raise AssertionError("entries are missing")


async def _single(url: str, tier: Any, keys: list[bytes], rounds: int) -> Row:
    from redis import asyncio as aioredis

    client = aioredis.Redis.from_url(url)
    times: dict[str, list[float]] = {"raudo": [], "redis-py": []}
    for turn in range(rounds * len(keys)):
        key = keys[turn % len(keys)]
        for name, call in (("raudo", tier.get), ("redis-py", client.get)):
            began = time.perf_counter()
            await call(key)
            times[name].append((time.perf_counter() - began) * 1e6)
    await client.aclose()
    medians = {name: sorted(each)[len(each) // 2] for name, each in times.items()}
    return Row(_SINGLE, "get, p50", "us", medians)


def _seen(url: str, n: int) -> Row:
    """Write by one cache, look at the L1 of another; one process, sockets of their own."""
    from raudo.integrations.redis import RedisTier

    caches = [SmartCache(100, tiers=[RedisTier(url, namespace="seen", timeout=5)]) for _ in "ab"]
    for cache in caches:
        cache._levels.shared.tier.wait_until_ready()  # type: ignore[union-attr]
    writer, reader = caches
    times = []
    for turn in range(n):
        writer.set_nowait("k", turn)
        reader.get_nowait("k")
        began = time.perf_counter()
        writer.set_nowait("k", -turn)
        while "k" in reader._levels.l1:
            time.sleep(0)
        times.append((time.perf_counter() - began) * 1e3)
    for cache in caches:
        cache.close_nowait()
    times.sort()
    return Row(
        _SEEN,
        "p99",
        "ms",
        {"raudo": times[int(0.99 * (len(times) - 1))]},
        at_most=50.0,
        note=f"median {times[len(times) // 2]:.2f} ms; the write itself is in it",
    )
