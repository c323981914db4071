"""What the levels below cost a hit on L1, and how long the cache holds up an event loop.

    python benchmarks/bench_cache_levels.py [--seconds 5] [--quick]

First the time of a hit: of the one-level core, and of SmartCache with one level and with three.
Then a load that keeps all levels moving (small records, texts of 20 KB, now and then a value of
2 MB and one of 30,000 objects), with a probe that is called once in every turn of the event loop: a
gap is what one operation held it up. The same gaps without a cache show what the machine adds.
Last, p50 and p99 of a hit by level beside what it should take at most.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from raudo import Cache, SmartCache

N_KEYS = 100


def nanoseconds(work: Callable[[list[str]], object], keys: list[str], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter_ns()
        work(keys)
        times.append((time.perf_counter_ns() - started) / len(keys))
    return statistics.median(times)


def calls(get: Callable[[str], object]) -> Callable[[list[str]], object]:
    def work(keys: list[str]) -> None:
        for key in keys:
            get(key)

    return work


def awaits(get: Callable[[str], Awaitable[Any]]) -> Callable[[list[str]], object]:
    async def work(keys: list[str]) -> None:
        for key in keys:
            await get(key)

    return lambda keys: asyncio.run(work(keys))


def print_hits(n: int, rounds: int) -> None:
    # Of followed keys each lookup is noted for `advise`: the mean over all keys has its share.
    keys = [f"key {i % N_KEYS}" for i in range(n)]
    core = Cache[str, int](10_000)
    for key in keys[:N_KEYS]:
        core[key] = 1
    subjects: list[tuple[str, Callable[[list[str]], object]]] = [("Cache.get", calls(core.get))]
    caches = []
    for name, levels in (("1 level", (1.0, 0.0, 0.0)), ("3 levels", (0.2, 0.3, 0.5))):
        smart = SmartCache(50_000, levels=levels)
        caches.append(smart)
        for key in keys[:N_KEYS]:
            smart.set_nowait(key, 1)
        subjects += [
            (f"get_nowait, {name}", calls(smart.get_nowait)),
            (f"await get, {name}", awaits(smart.get)),
            (f"await get_or_load, {name}", awaits(lambda key, c=smart: c.get_or_load(key, str))),
        ]
    for name, work in subjects:
        print(f"{name:30} {nanoseconds(work, keys, rounds):7.0f} ns")
    for smart in caches:
        smart.close_nowait()


class Probe:
    """Measures each turn of the event loop."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now
        self._handle = self._loop.call_soon(self._turn)

    def stop(self, name: str) -> None:
        self._handle.cancel()
        gaps = sorted(self.gaps)
        at = [1e6 * gaps[min(len(gaps) - 1, int(len(gaps) * q))] for q in (0.5, 0.99, 0.999)]
        n_long = sum(gap > 0.001 for gap in gaps)
        print(
            f"{name:22} {len(gaps):9,} turns  p50 {at[0]:6.1f}  p99 {at[1]:6.1f}  p99.9 "
            f"{at[2]:6.1f}  longest {1e6 * gaps[-1]:7.1f} us, {n_long} over 1 ms"
        )


def value_for(chance: random.Random) -> object:
    kind = chance.random()
    if kind < 0.0005:
        return bytes(2 << 20)
    if kind < 0.001:
        return [{"n": n} for n in range(30_000)]
    if kind < 0.1:
        return "text of some words " * 1000
    return {"id": chance.random(), "tags": ["a", "b"]}


async def keep_busy(cache: SmartCache, chance: random.Random, until: float) -> None:
    values = [value_for(chance) for _ in range(5000)]
    while time.perf_counter() < until:
        key = int(chance.paretovariate(0.4)) % 20_000
        if chance.random() < 0.4:
            await cache.set(key, chance.choice(values), tags=("t",) if key % 50 == 0 else ())
        else:
            await cache.get(key)
        await asyncio.sleep(0)


async def print_lag(seconds: float) -> dict[str, Any]:
    probe, until = Probe(), time.perf_counter() + seconds / 2
    while time.perf_counter() < until:  # noqa: ASYNC110  turns of the loop are what is wanted
        await asyncio.sleep(0)
    probe.stop("no cache")
    async with SmartCache(3000, max_bytes=64 << 20) as cache:
        chance = random.Random(1)
        await keep_busy(cache, chance, time.perf_counter() + 0.2)
        probe, until = Probe(), time.perf_counter() + seconds
        await keep_busy(cache, chance, until)
        probe.stop("sets and gets")
        return cache.get_stats()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of load on the event loop")
    parser.add_argument("--quick", action="store_true", help="no figures to quote")
    args = parser.parse_args()
    print_hits(2_000 if args.quick else 200_000, 1 if args.quick else 7)
    print()
    stats = asyncio.run(print_lag(0.2 if args.quick else args.seconds))
    print()
    for name, level in stats["levels"].items():
        print(
            f"{name}  {level['hits']:8,} hits  p50 {1e6 * level['p50_latency_s']:7.1f} us  "
            f"p99 {1e6 * level['p99_latency_s']:8.1f} us, at most "
            f"{1e3 * level['target_latency_s']:g} ms wanted"
        )


if __name__ == "__main__":
    main()
