"""Prints the hit ratio of every strategy, by the compiled caches themselves.

    python benchmarks/bench_cache_hit_ratio.py --traces DIR [--quick]

Replays each trace of the folder and a few seeded synthetic ones (get, and set on a miss) through
caches of 0.1, 1, 5, 10 and 25 % of the trace's unique keys, those of at least 100 entries. The
summary has the mean hit ratio, the share of the gap between LRU and Belady's optimum that is closed
(pooled), and ADAPTIVE's regret: how far it is behind the best fixed strategy of each case.
"""

from __future__ import annotations

import numpy as np

from raudo import Cache, CacheStrategy
from raudo.cache.replay import belady_hits
from traces import arguments, synthetic, traces_in

SHARES = (0.001, 0.01, 0.05, 0.1, 0.25)
FIXED = [each.value for each in CacheStrategy if each is not CacheStrategy.ADAPTIVE]
STRATEGIES = [*(name for name in FIXED if name != "ttl"), "adaptive"]  # without ttl it is fifo


def hit_ratio(keys: list[int], capacity: int, strategy: str) -> float:
    cache = Cache[int, int](capacity, strategy=strategy)
    get, put = cache.get, cache.set
    for key in keys:
        if get(key) is None:
            put(key, 1)
    return 100.0 * cache.stats()["hit_rate"]


def main() -> None:
    args = arguments(__doc__, "20,000 requests: no figures to quote").parse_args()
    limit = 20_000 if args.quick else args.limit
    workloads = list(synthetic(min(limit, 200_000)))
    if args.traces is not None:
        workloads += traces_in(args.traces, limit)
    columns = [*STRATEGIES, "belady"]
    print(f"{'workload':20} {'share':>6} {'size':>7} " + " ".join(f"{c:>8}" for c in columns))
    rows = []
    for name, keys in workloads:
        n_unique = len(set(keys))
        for share in SHARES:
            capacity = int(n_unique * share)
            if capacity < 100:
                continue
            row = [hit_ratio(keys, capacity, strategy) for strategy in STRATEGIES]
            row.append(100.0 * belady_hits(keys, capacity) / len(keys))
            rows.append(row)
            cells = " ".join(f"{value:8.2f}" for value in row)
            print(f"{name:20} {share:6.1%} {capacity:7} {cells}", flush=True)
    if not rows:
        return
    table = np.array(rows)
    mean = table.mean(axis=0)
    lru, best = table[:, STRATEGIES.index("lru")], table[:, -1]
    room = (best - lru).sum()
    print(f"\n{len(rows)} cases")
    print(f"{'mean hit ratio %':35} " + " ".join(f"{value:8.2f}" for value in mean))
    closed = [100 * (table[:, i] - lru).sum() / room if room else 0.0 for i in range(len(columns))]
    print(f"{'LRU-to-Belady gap closed %':35} " + " ".join(f"{value:8.2f}" for value in closed))
    adaptive = table[:, STRATEGIES.index("adaptive")]
    regret = table[:, : len(STRATEGIES) - 1].max(axis=1) - adaptive
    print(
        f"adaptive's regret to the best fixed: mean {regret.mean():.2f}, worst {regret.max():.2f}"
    )


if __name__ == "__main__":
    main()
