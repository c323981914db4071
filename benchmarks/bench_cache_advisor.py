"""Prints how near `Cache.advise()` is to the truth, and what keeping its curve costs.

    python benchmarks/bench_cache_advisor.py [--traces DIR] [--cost] [--quick]

Each workload goes through caches of 0.1, 1, 5, 10 and 25 % of its unique keys, those of at least
100 entries, with `advise=True`; the hit rates given for 0.5, 1, 2 and 4 times the size are compared
with those of LRU caches of these sizes, simulated one by one. Then the time of a get and of a miss
with its set, with the curve and without, and of a get that is recorded.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raudo import Cache
from traces import arguments, synthetic, traces_in

SHARES = (0.001, 0.01, 0.05, 0.1, 0.25)


def lru_hit_rate(keys: list[int], size: int) -> float:
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
        else:
            kept[key] = None
            if len(kept) > size:
                kept.popitem(last=False)
    return hits / len(keys)


def replay(cache: Cache[int, int], keys: list[int]) -> None:
    get, put = cache.get, cache.set
    for key in keys:
        if get(key) is None:
            put(key, 1)


def errors(keys: list[int], size: int) -> list[float]:
    """Return how far each advised hit rate is from the simulated one, in points."""
    cache = Cache[int, int](size, advise=True)
    replay(cache, keys)
    return [
        100 * (advice.hit_rate - lru_hit_rate(keys, advice.max_size))
        for advice in cache.advise().values()
    ]


def costs(size: int, n: int, ways: list[dict[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    """Yield an operation's name and its ns with each of the options: medians, and all in turn."""
    keys = {"get, hit": list(range(size)), "miss and set": list(range(10 * size, 20 * size))}
    for name, each in keys.items():
        rounds: list[list[float]] = [[] for _ in ways]
        n_times = max(1, n // len(each))
        for _ in range(15):
            for options, times in zip(ways, rounds, strict=True):
                cache = Cache[int, int](size, **options)
                replay(cache, list(range(size)))
                started = time.perf_counter()
                for _ in range(n_times):
                    replay(cache, each)
                times.append((time.perf_counter() - started) / (n_times * len(each)))
        yield name, [statistics.median(times) * 1e9 for times in rounds]


def main() -> None:
    parser = arguments(__doc__, "10,000 requests: no figures to quote")
    parser.add_argument("--cost", action="store_true", help="nanoseconds alone")
    args = parser.parse_args()
    limit = 10_000 if args.quick else args.limit
    workloads = [] if args.cost else list(synthetic(min(limit, 200_000)))
    if args.traces is not None and not args.cost:
        workloads += traces_in(args.traces, limit)
    print(f"{'workload':20} {'sizes':>16} {'mean error':>11} {'worst':>7}   points")
    found: list[float] = []
    for name, keys in workloads:
        sizes = [int(len(set(keys)) * share) for share in SHARES]
        sizes = [size for size in sizes if size >= 100]
        mine = [abs(each) for size in sizes for each in errors(keys, size)]
        if mine:
            found += mine
            span = f"{sizes[0]:,} to {sizes[-1]:,}"
            print(
                f"{name:20} {span:>16} {statistics.mean(mine):11.3f} {max(mine):7.2f}", flush=True
            )
    if found:
        found.sort()
        print(
            f"\n{len(found)} hit rates: mean error {statistics.mean(found):.3f} points, "
            f"95 % below {found[int(0.95 * len(found))]:.2f}, worst {found[-1]:.2f}"
        )
    sizes = (1_000,) if args.quick else (1_000, 10_000, 100_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recording")
        ways = {
            "neither": {},
            "advise": {"advise": True},
            "record": {"record": path},
            "keys": {"record": path, "record_keys": True},
        }
        print(f"\n{'ns, the loop included':32} " + " ".join(f"{name:>8}" for name in ways))
        for size in sizes:
            for name, each in costs(size, 20_000 if args.quick else 100_000, [*ways.values()]):
                print(f"{f'{size:,} entries: {name}':32} " + " ".join(f"{ns:8.1f}" for ns in each))


if __name__ == "__main__":
    main()
