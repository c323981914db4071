"""What callers of a cache meet while a master of its Redis Cluster dies: worst call, hit rate.

    python benchmarks/bench_redis_failover.py [--rounds N] [--timeout S] [--hang]

A cluster of three masters and three replicas on loopback, made anew each round. Two caches look
keys up and set them all the time; then a master is killed (`kill -9`) or, with `--hang`, stopped so
that connections to it stay and nobody answers, and its replica takes over.
An exception that reached a caller would end the benchmark. Beside the worst call stands how late
the event loop itself came in the same time: what the machine adds, or other work in the process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from raudo import SmartCache
from raudo.integrations.redis import RedisTier

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from integrations.redis_load import Load, eventually
from redis_servers import Cluster

N_KEYS = 600


class Pulse:
    """How late an event loop comes, at worst, to what asked for a millisecond of sleep."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def beat(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.worst_s = max(self.worst_s, time.perf_counter() - began - 0.001)


async def fail_over(cluster: Cluster, timeout: float, hangs: bool) -> dict[str, float]:
    """Let a master fail under load; return the figures of the table."""
    tiers = [RedisTier(cluster.url, cluster=True, timeout=timeout) for _ in range(2)]
    assert all(tier.wait_until_ready(30) for tier in tiers)
    caches = [SmartCache(2_000, levels=(1, 0, 0), tiers=[tier]) for tier in tiers]

    async def all_are_set() -> bool:
        await caches[0].set_many({n: [n] for n in range(N_KEYS)})
        return len(await caches[1].get_many(range(N_KEYS))) == N_KEYS

    await eventually(all_are_set)
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat())
    async with Load(caches, N_KEYS) as load:
        await asyncio.sleep(1)
        well_s, load.worst_s, pulse.worst_s = load.worst_s, 0.0, 0.0
        before = len(load.hits)
        master = cluster.pairs()[0][0]
        failed = time.perf_counter()
        master.pause() if hangs else master.kill()
        await eventually(load.all_miss_some)
        await eventually(load.all_hit)
        recovered_s = time.perf_counter() - failed
        during = load.hits[before:]
    beating.cancel()
    failures = sum(cache.get_stats()["tier_failures"] for cache in caches)
    for cache in caches:
        await cache.close()
    return {
        "worst call before, ms": well_s * 1e3,
        "worst call after, ms": load.worst_s * 1e3,
        "worst of the loop, ms": pulse.worst_s * 1e3,
        "hits until all hit again, %": 100 * sum(during) / len(during),
        "all hit again after, s": recovered_s,
        "calls": float(2 * len(during)),
        "operations that failed": float(failures),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=0.2, help="seconds, of the tier")
    parser.add_argument("--hang", action="store_true", help="stop the master, do not kill it")
    options = parser.parse_args()
    rounds = []
    for n in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            cluster = Cluster(Path(folder))
            try:
                rounds.append(asyncio.run(fail_over(cluster, options.timeout, options.hang)))
            finally:
                cluster.stop()
        print(f"round {n + 1} of {options.rounds}", file=sys.stderr)
    how = "hangs" if options.hang else "is killed"
    print(f"a master {how}: {options.rounds} rounds, timeout {options.timeout * 1e3:.0f} ms")
    print(f"{'':34}{'median':>10}{'least':>10}{'most':>10}")
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"{name:34}{statistics.median(values):10.1f}{min(values):10.1f}{max(values):10.1f}")


if __name__ == "__main__":
    main()
