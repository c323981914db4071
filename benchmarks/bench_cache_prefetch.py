"""Prints how many misses prefetching takes away, and how many of its loads are of use.

    python benchmarks/bench_cache_prefetch.py [--traces DIR] [--whole] [--quick]

Replays each trace through an LRU cache of a tenth of its unique keys, alone and with what the
prefetcher says loaded at once: with strides alone (`stride`), with keys that have no order, so that
only sequences can be known (`opaque`), and with both. `removed` is the share of the LRU cache's
misses that are none any more, `precision` the useful ones among the loads made ahead, `points` the
gain in hit ratio. With `--whole` a SmartCache does it instead, through `get_or_load` and its event
loop, all its parts at work; that takes a hundred times longer.

Keys that a trace numbers by first appearance make new keys a stride that means nothing: look at
`opaque` there.
"""

from __future__ import annotations

import asyncio
import time

from raudo import Cache, SmartCache
from raudo.cache.prefetch import Prefetcher
from traces import arguments, synthetic, traces_in

MODES = {"stride": (True, False), "opaque": (False, True), "both": (True, True)}


def lru_misses(keys: list[int], size: int) -> int:
    cache = Cache[int, bool](size, strategy="lru")
    for key in keys:
        if not cache.get(key, False):
            cache.set(key, True)
    return int(cache.stats()["misses"])


def replay(keys: list[int], size: int, mode: str) -> tuple[int, int, int]:
    """Return misses, loads made ahead, and how many of those were hit before they were evicted."""
    strides, sequences = MODES[mode]
    prefetcher = Prefetcher(size, strides=strides, sequences=sequences)
    ahead: set[int] = set()

    def gone(key: int, value: bool, reason: str) -> None:
        ahead.discard(key)

    cache = Cache[int, bool](size, strategy="lru", on_evict=gone)
    misses = loads = useful = 0
    for key in keys:
        was_held = cache.get(key, False)
        if was_held:
            if key not in prefetcher:
                continue
            useful += key in ahead
            ahead.discard(key)
        else:
            misses += 1
            cache.set(key, True)
        for each in prefetcher.observe(key, was_held=was_held, is_held=cache.__contains__):
            prefetcher.begin_load(each)
            loads += 1
            cache.set(each, True)
            prefetcher.end_load(each)
            ahead.add(each)
    return misses, loads, useful


async def run_whole(keys: list[int], size: int, mode: str) -> tuple[int, int, int]:
    """Do the same by a SmartCache; loads made ahead that a caller had to wait for count as hits."""
    waited = 0

    async def load(key: object) -> bool:
        return True

    names = [f"key {key}" for key in keys] if mode == "opaque" else keys
    async with SmartCache(
        size, strategy="lru", levels=(1, 0, 0), loader=load, prefetch=True
    ) as cache:
        for name in names:
            await cache.get_or_load(name)
        stats = cache.get_stats()
    waited = stats["loads"] - stats["prefetch_loads"]
    return waited, stats["prefetch_loads"], stats["prefetch_useful"]


def main() -> None:
    parser = arguments(__doc__, "20,000 requests: no figures to quote")
    parser.add_argument("--share", type=float, default=0.1, help="of the unique keys, cached")
    parser.add_argument("--only", nargs="*", help="names of traces")
    parser.add_argument("--whole", action="store_true", help="by a SmartCache")
    args = parser.parse_args()
    limit = 20_000 if args.quick else args.limit
    workloads = list(synthetic(min(limit, 100_000))) if args.traces is None else []
    if args.traces is not None:
        workloads += traces_in(args.traces, limit)
    print(
        f"{'trace':20} {'size':>7} {'lru miss':>8} {'mode':>7} {'removed':>8} {'points':>7} "
        f"{'precision':>9} {'loads':>8} {'us/req':>6}"
    )
    for name, keys in workloads:
        if args.only and name not in args.only:
            continue
        size = max(4, int(len(set(keys)) * args.share))
        before = lru_misses(keys, size)
        for mode in ("opaque", "both") if args.whole else MODES:
            started = time.process_time()
            if args.whole:
                misses, loads, useful = asyncio.run(run_whole(keys, size, mode))
            else:
                misses, loads, useful = replay(keys, size, mode)
            micros = 1e6 * (time.process_time() - started) / len(keys)
            print(
                f"{name:20} {size:7} {before / len(keys):8.2%} {mode:>7} "
                f"{(before - misses) / before:8.1%} {100 * (before - misses) / len(keys):7.2f} "
                f"{useful / loads if loads else 0:9.3f} {loads:8} {micros:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
