"""`raudo.compat.cachetools` beside cachetools itself: ns an operation, interleaved, and the ratio.

    python benchmarks/bench_compat_cachetools.py [--number 100000] [--repeats 7]

CPU time, medians of repeats that alternate between the two: a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import cachetools

import raudo.compat.cachetools as ours

N = 1000  # entries; all look-ups hit
KEYS = list(range(N))


def make_cache(library: ModuleType, name: str) -> Any:
    kind = getattr(library, name)
    cache = kind(N, 3600) if name == "TTLCache" else kind(N)
    for key in KEYS:
        cache[key] = key
    return cache


def hit(library: ModuleType, name: str, number: int) -> float:
    cache = make_cache(library, name)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            cache[key]
    return time.thread_time() - start


def get(library: ModuleType, name: str, number: int) -> float:
    get = make_cache(library, name).get
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            get(key)
    return time.thread_time() - start


def update(library: ModuleType, name: str, number: int) -> float:
    cache = make_cache(library, name)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            cache[key] = key
    return time.thread_time() - start


def insert(library: ModuleType, name: str, number: int) -> float:
    cache = make_cache(library, name)
    keys = range(N, N + max(number, N))
    start = time.thread_time()
    for key in keys:
        cache[key] = key
    return time.thread_time() - start


def memo(library: ModuleType, name: str, number: int) -> float:
    function = library.cached(make_cache(library, name))(abs)
    for key in KEYS:
        function(key)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            function(key)
    return time.thread_time() - start


def function_cache(library: ModuleType, name: str, number: int) -> float:
    func = importlib.import_module(f"{library.__name__}.func")
    function = getattr(func, name)(N)(abs)
    for key in KEYS:
        function(key)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            function(key)
    return time.thread_time() - start


CASES: list[tuple[str, Callable[[ModuleType, str, int], float], tuple[str, ...]]] = [
    ("c[k] hit", hit, ("LRUCache", "TTLCache", "LFUCache", "FIFOCache", "RRCache")),
    ("get(k) hit", get, ("LRUCache", "TTLCache", "LFUCache", "FIFOCache")),
    ("c[k] = v update", update, ("LRUCache", "TTLCache", "LFUCache", "FIFOCache")),
    ("insert + evict", insert, ("LRUCache", "TTLCache", "LFUCache", "FIFOCache", "RRCache")),
    ("@cached hit", memo, ("LRUCache", "TTLCache", "LFUCache")),
    ("func hit", function_cache, ("lru_cache", "ttl_cache")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(f"{'operation':18} {'class':11} {'cachetools':>10} {'raudo':>8}  ratio")
    for label, measure, names in CASES:
        for name in names:
            times: dict[str, list[float]] = {"theirs": [], "ours": []}
            for _ in range(options.repeats):
                times["theirs"].append(measure(cachetools, name, options.number))
                times["ours"].append(measure(ours, name, options.number))
            theirs, own = (
                statistics.median(times[side]) / max(options.number, N) * 1e9
                for side in ("theirs", "ours")
            )
            print(f"{label:18} {name:11} {theirs:8.0f}ns {own:6.0f}ns  {theirs / own:4.1f}x")


if __name__ == "__main__":
    main()
