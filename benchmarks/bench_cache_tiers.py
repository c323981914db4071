"""Time of a hit and a set in each level of SmartCache, beside diskcache where it is installed.

    python benchmarks/bench_cache_tiers.py [--n 20000] [--bytes 1024] [--rounds 5]

Prints the median over interleaved rounds of microseconds an operation, p50 and p99 of single hits
by level beside the user's 0.1, 1 and 10 ms, what L2 takes of the live objects' memory, and the
seconds to reopen a folder of n entries. Figures of a machine that does other work mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raudo.cache import SmartCache
from raudo.cache.codecs import BlobCodec
from raudo.cache.tiers import CompressedTier, DiskTier
from raudo.types import Blob

USER_MS = {"l1": 0.1, "l2": 1.0, "l3": 10.0}


def record(n: int, size: int) -> dict[str, Any]:
    """Return a JSON-like record whose serialised form has about `size` bytes."""
    chance = random.Random(n)
    words = ["alpha", "beta", "gamma", "delta", "status", "active", "pending", "closed"]
    found: dict[str, Any] = {"id": n, "name": f"item {n}", "score": chance.random(), "tags": []}
    while len(json.dumps(found)) < size:
        found["tags"].append({"word": chance.choice(words), "n": chance.randrange(1000)})
    return found


def per_operation(n: int, work: Callable[[], object]) -> float:
    """Return the microseconds that one of the `n` operations of `work` takes."""
    gc.collect()
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / n * 1e6


def cases(n: int, size: int, folder: Path) -> dict[str, Callable[[], float]]:
    """Return the measurements by name; each makes what it needs and cleans up."""
    values = [record(k, size) for k in range(min(n, 2000))]
    payload = json.dumps(values[0]).encode().ljust(size, b" ")[:size]
    blob = Blob(payload, "bytes", len(payload))
    keys = [b"s%d" % k for k in range(n)]
    codec = BlobCodec()
    packed = codec.encode(values[0])

    def l1_get() -> float:
        with SmartCache(n, "lru", levels=(1, 0, 0)) as cache:
            for k in range(n):
                cache.set_nowait(k, values[k % len(values)])

            async def work() -> None:
                get = cache.get
                for k in range(n):
                    await get(k)

            return per_operation(n, lambda: asyncio.run(work()))

    def l2_hit() -> float:
        """Each hit promotes, and so demotes another: two moves of the record."""
        with SmartCache(n, "lru", levels=(0.01, 0.99, 0)) as cache:
            for k in range(n):
                cache.set_nowait(k, values[k % len(values)])

            async def work() -> None:
                for k in range(n):
                    await cache.get(k)

            return per_operation(n, lambda: asyncio.run(work()))

    def l2_read() -> float:
        tier = CompressedTier(n)
        for key in keys:
            tier.put_nowait(key, packed)

        def work() -> None:
            for key in keys:
                found = tier.get_nowait(key)
                assert found is not None
                codec.decode(found, trusted=True)

        return per_operation(n, work)

    def disk_set() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            tier = DiskTier(Path(place) / "t")
            spent = per_operation(n, lambda: [tier.put_nowait(key, blob) for key in keys])
            tier.close()
        return spent

    def disk_get() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            tier = DiskTier(Path(place) / "t")
            for key in keys:
                tier.put_nowait(key, blob)
            spent = per_operation(n, lambda: [tier.read_ready(key) for key in keys])
            tier.close()
        return spent

    found = {
        "L1 await get": l1_get,
        "L2 await get, promoted": l2_hit,
        "L2 read and decode": l2_read,
        "L3 put": disk_set,
        "L3 get": disk_get,
    }
    if importlib.util.find_spec("diskcache") is not None:
        found.update(diskcache_cases(min(n, 2000), payload, folder))
    return found


def diskcache_cases(n: int, payload: bytes, folder: Path) -> dict[str, Callable[[], float]]:
    import diskcache

    def both(reads: bool) -> float:
        with (
            tempfile.TemporaryDirectory(dir=folder) as place,
            diskcache.Cache(place, eviction_policy="none") as cache,
        ):
            spent = per_operation(n, lambda: [cache.set(k, payload) for k in range(n)])
            if reads:
                spent = per_operation(n, lambda: [cache.get(k) for k in range(n)])
        return spent

    return {"diskcache set": lambda: both(False), "diskcache get": lambda: both(True)}


def quantiles_by_level(n: int, size: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Return p50 and p99 of single hits, in milliseconds."""
    values = [record(k, size) for k in range(n)]
    spent: dict[str, list[float]] = {level: [] for level in USER_MS}

    async def work() -> None:
        async with SmartCache(n, "lru", path=folder / "quantiles") as cache:
            for k in range(n):
                await cache.set(k, values[k])
            for k in random.Random(1).choices(range(n), k=n):
                before = [cache.get_stats()["levels"][level]["hits"] for level in USER_MS]
                started = time.perf_counter()
                await cache.get(k)
                took = time.perf_counter() - started
                after = [cache.get_stats()["levels"][level]["hits"] for level in USER_MS]
                for level, old, new in zip(USER_MS, before, after, strict=True):
                    if new > old:
                        spent[level].append(took * 1e3)

    asyncio.run(work())
    return {
        level: (statistics.quantiles(each, n=100)[49], statistics.quantiles(each, n=100)[98])
        for level, each in spent.items()
        if len(each) > 1
    }


def memory_of_l2(n: int, size: int) -> float:
    """Return the bytes of n records in L2 by those of the live objects."""

    def traced(make: Callable[[], object]) -> int:
        gc.collect()
        tracemalloc.start()
        kept = make()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del kept
        return used

    def in_l2() -> CompressedTier:
        tier, codec = CompressedTier(n), BlobCodec()
        for k in range(n):
            tier.put_nowait(b"s%d" % k, codec.encode(record(k, size)))
        return tier

    return traced(in_l2) / traced(lambda: {k: record(k, size) for k in range(n)})


def reopening(n: int, folder: Path) -> float:
    """Return the seconds to open a folder of n entries of 100 bytes."""
    blob = Blob(bytes(100), "bytes", 100)
    tier = DiskTier(folder / "reopened", max_bytes=1 << 32)
    for k in range(n):
        tier.put_nowait(b"s%d" % k, blob)
    tier.close()
    started = time.perf_counter()
    tier = DiskTier(folder / "reopened", max_bytes=1 << 32)
    spent = time.perf_counter() - started
    assert len(tier) == n
    tier.close()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="entries")
    parser.add_argument("--bytes", type=int, default=1024, help="size of a record")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = cases(options.n, options.bytes, folder)
        times: dict[str, list[float]] = {case: [] for case in found}
        for _ in range(options.rounds):
            for case, measure in found.items():
                times[case].append(measure())
        print(f"{options.n} entries of {options.bytes} bytes, median of {options.rounds} rounds")
        for case, each in times.items():
            print(f"{case:28}{statistics.median(each):10.2f} us")
        print(f"\n{'level':8}{'p50 ms':>10}{'p99 ms':>10}{'the bar':>10}")
        for level, (p50, p99) in quantiles_by_level(
            min(options.n, 3000), options.bytes, folder
        ).items():
            print(f"{level:8}{p50:10.4f}{p99:10.4f}{USER_MS[level]:10.1f}")
        share = memory_of_l2(min(options.n, 2000), options.bytes)
        print(f"\nL2 takes {share:.2f} of the live objects' memory")
        print(f"reopening {options.n} entries takes {reopening(options.n, folder):.2f} s")


if __name__ == "__main__":
    main()
