"""Bytes an entry of each strategy once it evicts, ghosts and miniatures included.

    python benchmarks/bench_cache_memory.py

By `sys.getsizeof` of caches that took twice as many int keys as they hold; keys and values are not
counted. `raudo bench cache` has the growth of a process before anything is evicted, beside peers.
"""

from __future__ import annotations

import sys
from typing import Any

from raudo import Cache

STRATEGIES = ("adaptive", "lru", "lfu", "fifo", "sieve", "s3fifo", "ttl")
SIZES = (1_000, 100_000)


def bytes_an_entry(strategy: str, size: int) -> float:
    cache: Cache[Any, Any] = Cache(size, strategy=strategy)
    for i in range(2 * size):
        cache[i] = i
    return sys.getsizeof(cache) / size


if __name__ == "__main__":
    print(f"{'bytes an entry':16}" + "".join(f"{size:>12,}" for size in SIZES))
    for strategy in STRATEGIES:
        print(f"{strategy:16}" + "".join(f"{bytes_an_entry(strategy, n):12.1f}" for n in SIZES))
