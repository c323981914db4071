"""Workers of one machine: what a read, a write and a load cost by the level that they share.

`raudo` is `RedisTier` on the loopback, `raudo socket` the same by a Unix socket, `raudo lmdb` an
`LmdbTier` in one folder, `raudo alone` a cache of each worker's own. What "the other worker" did
another process has done. Values are dicts that pickle to some 260 bytes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from raudo.cache import SmartCache
from raudo.cli._bench_rows import Row, is_installed
from raudo.cli._bench_servers import redis_server

__all__ = ["rows"]

_VALUE = {"id": 1, "name": "x" * 200, "tags": ["a", "b"]}
_COSTS = "sharing: what a worker pays for a call (raudo: RedisTier, loopback)"
_LOADS = "sharing: loads made while two workers ask for 50 missing keys at once"
_LOAD_S = 0.05


def rows(quick: bool) -> list[Row]:
    """Measure with servers and folders of our own; nothing where Redis or lmdb is missing."""
    if not (is_installed("redis") and is_installed("lmdb")):
        return []
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder, "redis.sock"))
        with redis_server("--unixsocket", socket) as url:
            if url is None:
                return []
            places = {
                "raudo": url,
                "raudo socket": f"unix://{socket}",
                "raudo lmdb": str(Path(folder, "lmdb")),
                "raudo alone": "",
            }
            return _rows(places, 200 if quick else 2000)


def _cache(place: str) -> SmartCache:
    """Return a worker's cache over what is shared at the place."""
    if "://" in place:
        from raudo.integrations.redis import RedisTier

        tier = RedisTier(place, namespace="sharing", timeout=5)
        tier.wait_until_ready()
        return SmartCache(10_000, levels=(1, 0, 0), tiers=[tier])
    if place:
        from raudo.cache.tiers.lmdb import LmdbTier

        return SmartCache(10_000, levels=(0, 0, 1), tiers=[LmdbTier(place)])
    return SmartCache(10_000, levels=(1, 0, 0))


def _rows(places: dict[str, str], n: int) -> list[Row]:
    copies, others, sets, loads = {}, {}, {}, {}
    for name, place in places.items():
        if place:
            _in_another(_fill, place, n)
        cache = _cache(place)
        if place:
            others[name] = _median_us(cache.get_nowait, n)
        sets[name] = _median_us(partial(_set, cache), n)
        if name != "raudo lmdb":  # which is read in place of copies
            copies[name] = _median_us(partial(_get, cache), n)
        cache.close_nowait()
        loads[name] = float(_loads_of_two(place, name))
    return [
        Row(_COSTS, "get: a copy in L1", "us", copies),
        Row(_COSTS, "get: what the other worker set", "us", others),
        Row(_COSTS, "set", "us", sets, note="Redis: when it returns, all workers see it"),
        Row(_LOADS, f"loads of {_LOAD_S * 1000:.0f} ms", "loads", loads),
    ]


def _set(cache: SmartCache, i: int) -> None:
    cache.set_nowait(("new", i), _VALUE)


def _get(cache: SmartCache, i: int) -> object:
    return cache.get_nowait(("new", i))


def _median_us(call: Callable[[int], object], n: int) -> float:
    times = []
    for i in range(n):
        began = time.perf_counter_ns()
        call(i)
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def _in_another(work: Callable[..., object], *args: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a worker ended with {process.exitcode}")


def _fill(place: str, n: int) -> None:
    with _cache(place) as cache:
        for i in range(n):
            cache.set_nowait(i, _VALUE)


def _loads_of_two(place: str, name: str) -> int:
    context = multiprocessing.get_context("spawn")
    barrier, counts = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_ask, args=(place, name, barrier, counts)) for _ in range(2)]
    for worker in workers:
        worker.start()
    n_loads: int = sum(counts.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return n_loads


def _ask(place: str, name: str, barrier: Any, counts: Any) -> None:
    n_loads = 0

    async def load(key: int) -> dict[str, object]:
        nonlocal n_loads
        n_loads += 1
        await asyncio.sleep(_LOAD_S)
        return _VALUE

    async def ask() -> None:
        await asyncio.gather(*(cache.get_or_load((name, n), load) for n in range(50)))

    with _cache(place) as cache:
        barrier.wait(60)
        asyncio.run(ask())
    counts.put(n_loads)
