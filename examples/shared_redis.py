"""Two processes over one Redis: one loads a value for both, and sees what the other writes.

redis-server --port 6379 &
python examples/shared_redis.py redis://127.0.0.1:6379/0
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import time

from raudo import SmartCache
from raudo.integrations.redis import RedisTier


def cache_of(url: str) -> SmartCache:
    """What each worker of a service makes for itself: copies in memory, below them Redis."""
    return SmartCache(
        10_000,
        default_ttl=600,
        levels=(1, 0, 0),
        tiers=[RedisTier(url, namespace="example-shared")],
    )


async def load(key: str) -> dict[str, object]:
    await asyncio.sleep(0.2)  # where a database would be asked
    return {"of": key, "by": os.getpid()}


async def other(url: str) -> None:
    async with cache_of(url) as cache:
        found = await cache.get_or_load("report", load)  # the first process is at it, or has it
        print(f"loaded for all by the first process: {found['by'] != os.getpid()}", flush=True)
        await cache.set("report", "rewritten")


def run_other(url: str) -> None:
    asyncio.run(other(url))


async def main(url: str) -> None:
    async with cache_of(url) as cache:
        await cache.clear()
        await cache.get_or_load("report", load)
        worker = multiprocessing.get_context("spawn").Process(target=run_other, args=(url,))
        worker.start()
        until = time.monotonic() + 60
        while (
            await cache.get("report") != "rewritten"
        ):  # a hit in L1, until Redis tells of the write
            if time.monotonic() > until:
                raise TimeoutError("the other process did not write")
            await asyncio.sleep(0.01)
        print("the other process's write is seen")
        await asyncio.to_thread(worker.join)
        print(f"lookups here {cache.get_stats()['hits']}, each but the last few from memory")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0"))
