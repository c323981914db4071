"""Prints object and byte hit ratios of caches that are bounded by bytes, beside GDSF's.

    python benchmarks/bench_cache_weights.py --traces DIR [--quick]

Replays each trace of the folder that has sizes, and seeded synthetic ones, through caches with
`weigher` = size of 0.1, 1, 5, 10 and 25 % of the bytes of all objects, those that hold the largest
object. Two ratios: requests answered (what counts where every miss costs the same) and bytes
answered (what counts where the line does).

GDSF is here as the short reference below; where libCacheSim is installed (`pip install
libcachesim`), its GDSF, which the reference must agree with, and others of its policies are printed
too. Its Belady evicts what is needed last whatever its size, so it is no bound of the object hit
ratio.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from raudo import Cache, CacheStrategy
from traces import arguments, sized_traces_in, synthetic_sized

SHARES = (0.001, 0.01, 0.05, 0.1, 0.25)
STRATEGIES = [each.value for each in CacheStrategy if each.value != "ttl"]  # without ttl: fifo
PEERS = ("GDSF", "LRU", "S3FIFO", "Belady")  # its BeladySize does not end in small caches

Ratios = tuple[float, float]
"""Object and byte hit ratio in per cent."""


def ratios(sizes: Sequence[int], hits: Iterable[bool]) -> Ratios:
    n_hits = n_bytes = 0
    for size, hit in zip(sizes, hits, strict=True):
        if hit:
            n_hits += 1
            n_bytes += size
    return 100.0 * n_hits / len(sizes), 100.0 * n_bytes / sum(sizes)


def size_of(key: int, size: int) -> int:
    return size


def replay(keys: Sequence[int], sizes: Sequence[int], limit_bytes: int, strategy: str) -> Ratios:
    cache = Cache[int, int](None, strategy=strategy, weigher=size_of, max_weight=limit_bytes)
    hits = []
    for key, size in zip(keys, sizes, strict=True):
        hits.append(cache.get(key) is not None)
        if not hits[-1]:
            cache.set(key, size)
    if cache.weight > limit_bytes or cache.weight != sum(cache.values()):
        raise AssertionError(f"{strategy}: holds {cache.weight} bytes, told {limit_bytes}")
    return ratios(sizes, hits)


def gdsf(keys: Sequence[int], sizes: Sequence[int], limit_bytes: int) -> Ratios:
    """Greedy-Dual-Size with Frequency, every miss of the same cost.

    Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy",
    HP Labs HPL-98-69R1, 1998: the least of `age + uses / size` leaves, and age becomes what it had.
    """
    uses: dict[int, int] = {}
    value: dict[int, tuple[float, int]] = {}  # and since when: of two alike the older leaves
    held: dict[int, int] = {}
    heap: list[tuple[float, int, int]] = []  # (*value, key), stale ones included
    age, used, hits = 0.0, 0, []
    for i, (key, size) in enumerate(zip(keys, sizes, strict=True)):
        hits.append(key in held)
        if not hits[-1]:
            if size > limit_bytes:
                continue
            held[key] = size
            used += size
        uses[key] = uses.get(key, 0) + 1
        value[key] = age + uses[key] / size, i
        heapq.heappush(heap, (*value[key], key))
        while used > limit_bytes:  # the newcomer may be the least itself
            least, since, victim = heapq.heappop(heap)
            if value.get(victim) == (least, since):
                age = least
                used -= held.pop(victim)
                del value[victim], uses[victim]
    return ratios(sizes, hits)


def lib_cache_sim(
    keys: Sequence[int], sizes: Sequence[int]
) -> dict[str, Callable[[int], Ratios]] | None:
    """Return a replay for each of `PEERS`, or None where libCacheSim is not installed."""
    try:
        import libcachesim
    except ImportError:
        return None
    never = 2**62
    following, last = [never] * len(keys), dict[int, int]()
    for i in range(len(keys) - 1, -1, -1):
        following[i] = last.get(keys[i], never)
        last[keys[i]] = i

    def runs(kind: Any) -> Callable[[int], Ratios]:
        def run(limit_bytes: int) -> Ratios:
            cache = kind(limit_bytes, hashpower=18)
            request = libcachesim.Request()
            hits = []
            for i, (key, size) in enumerate(zip(keys, sizes, strict=True)):
                request.obj_id, request.obj_size = key, size
                request.clock_time = i
                request.next_access_vtime = following[i]
                hits.append(cache.get(request))
            return ratios(sizes, hits)

        return run

    return {f"{name}*": runs(getattr(libcachesim, name)) for name in PEERS}


def main() -> None:
    args = arguments(__doc__, "20,000 requests: no figures to quote").parse_args()
    limit = 20_000 if args.quick else args.limit
    workloads = list(synthetic_sized(min(limit, 200_000)))
    if args.traces is not None:
        workloads += sized_traces_in(args.traces, limit)
    totals: dict[str, list[Ratios]] = {}
    for name, keys, sizes in workloads:
        biggest = dict[int, int]()
        for key, size in zip(keys, sizes, strict=True):
            biggest[key] = max(size, biggest.get(key, 0))
        total = sum(biggest.values())
        print(f"\n{name}: {len(keys):,} requests, {len(biggest):,} objects of {total:,} bytes")
        peers = lib_cache_sim(keys, sizes) or {}
        for share in SHARES:
            limit_bytes = int(total * share)
            if limit_bytes < max(biggest.values()):
                print(f"{share:5.1%} {limit_bytes:>11,} B does not hold the largest object")
                continue  # libCacheSim ends the process there
            row = {each: replay(keys, sizes, limit_bytes, each) for each in STRATEGIES}
            row["gdsf"] = gdsf(keys, sizes, limit_bytes)
            row |= {each: run(limit_bytes) for each, run in peers.items()}
            for i, what in enumerate(("object", "byte")):
                if i == 0:
                    print(f"{share:5.1%} {limit_bytes:>11,} B " + heading(row))
                print(f"{what:>19} " + cells(each[i] for each in row.values()), flush=True)
            for each, found in row.items():
                totals.setdefault(each, []).append(found)
    if not totals:
        return
    print(
        f"\nmean of {len(next(iter(totals.values())))} cases" + (" (* libCacheSim)" * bool(peers))
    )
    print(" " * 20 + heading(totals))
    for i, what in enumerate(("object", "byte")):
        means = (sum(each[i] for each in column) / len(column) for column in totals.values())
        print(f"{what:>19} " + cells(means))


def heading(names: Iterable[str]) -> str:
    return " ".join(f"{name:>10}" for name in names)


def cells(values: Iterable[float]) -> str:
    return " ".join(f"{value:10.2f}" for value in values)


if __name__ == "__main__":
    main()
