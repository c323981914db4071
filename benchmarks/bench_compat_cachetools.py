"""`raudo.compat.cachetools` beside cachetools itself: ns an operation, interleaved, and the ratio.

    python benchmarks/bench_compat_cachetools.py [--number 50000] [--repeats 5] [--only PREFIX]

CPU time, medians of repeats that alternate between the two: a busy machine slows both alike. The
time of the loop around the operation is measured on its own and taken off. A dict's own `d[k]` is
printed for comparison: cachetools' `FIFOCache` and `RRCache` are one Python frame around it.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import cachetools

import raudo.compat.cachetools as ours

N = 1000  # entries; all look-ups but those of a miss hit
KEYS = list(range(N))
ABSENT = list(range(N, 2 * N))
BOUNDED = ("LRUCache", "LFUCache", "FIFOCache", "RRCache", "TTLCache", "TLRUCache")
MEMOS = {
    "plain": {},
    "info": {"info": True},
    "lock": {"lock": threading.Lock},
    "lock+info": {"lock": threading.Lock, "info": True},
    "condition": {"condition": threading.Condition},
    "cond.+info": {"condition": threading.Condition, "info": True},
}


def in_an_hour(key: Any, value: Any, now: float) -> float:
    return now + 3600


def make_cache(library: ModuleType, name: str) -> Any:
    kind = getattr(library, name)
    more = {"TTLCache": {"ttl": 3600}, "TLRUCache": {"ttu": in_an_hour}}
    cache = kind(N, **more.get(name, {}))
    for key in KEYS:
        cache[key] = key
    return cache


def timed_calls(call: Callable[[Any], Any], keys: Sequence[Any], number: int) -> float:
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in keys:
            call(key)
    return time.thread_time() - start


def empty_loop(number: int) -> float:
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for _key in KEYS:
            pass
    return time.thread_time() - start


def dict_hits(number: int) -> float:
    plain = dict.fromkeys(KEYS)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            plain[key]
    return time.thread_time() - start


def hit(library: ModuleType, name: str, number: int) -> float:
    cache = make_cache(library, name)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            cache[key]
    return time.thread_time() - start


def get(library: ModuleType, name: str, number: int) -> float:
    return timed_calls(make_cache(library, name).get, KEYS, number)


def get_miss(library: ModuleType, name: str, number: int) -> float:
    return timed_calls(make_cache(library, name).get, ABSENT, number)


def contains(library: ModuleType, name: str, number: int) -> float:
    cache = make_cache(library, name)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            key in cache  # noqa: B015
    return time.thread_time() - start


def miss(library: ModuleType, name: str, number: int) -> float:
    cache = make_cache(library, name)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in ABSENT:
            try:  # noqa: SIM105
                cache[key]
            except KeyError:
                pass
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


def settings(variant: str) -> dict[str, Any]:
    return {name: value if value is True else value() for name, value in MEMOS[variant].items()}


def memo(library: ModuleType, name: str, number: int) -> float:
    name, variant = name.split(" ")
    function = library.cached(make_cache(library, name), **settings(variant))(abs)
    for key in KEYS:
        function(key)
    return timed_calls(function, KEYS, number)


def method(library: ModuleType, name: str, number: int) -> float:
    name, variant = name.split(" ")
    cache = make_cache(library, name)
    given: dict[str, Any] = {
        name: value if value is True else lambda self, value=value: value
        for name, value in settings(variant).items()
    }

    class Service:
        @library.cachedmethod(lambda self: cache, **given)  # type: ignore[untyped-decorator]
        def double(self, x: int) -> int:
            return 2 * x

    service = Service()
    for key in KEYS:
        service.double(key)
    rounds = range(max(number // N, 1))
    start = time.thread_time()
    for _ in rounds:
        for key in KEYS:
            service.double(key)
    return time.thread_time() - start


def function_cache(library: ModuleType, name: str, number: int) -> float:
    func = importlib.import_module(f"{library.__name__}.func")
    function = getattr(func, name)(N)(abs)
    for key in KEYS:
        function(key)
    return timed_calls(function, KEYS, number)


DECORATED = tuple(f"LRUCache {variant}" for variant in MEMOS) + tuple(
    f"{name} plain" for name in BOUNDED[1:]
)
CASES: list[tuple[str, Callable[[ModuleType, str, int], float], tuple[str, ...]]] = [
    ("c[k] hit", hit, BOUNDED),
    ("get(k) hit", get, BOUNDED),
    ("get(k) miss", get_miss, BOUNDED),
    ("c[k] miss", miss, BOUNDED),
    ("k in c", contains, BOUNDED),
    ("c[k] = v update", update, BOUNDED),
    ("insert + evict", insert, BOUNDED),
    ("@cached hit", memo, DECORATED),
    ("@cachedmethod hit", method, DECORATED),
    ("func hit", function_cache, ("lru_cache", "lfu_cache", "fifo_cache", "rr_cache", "ttl_cache")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose label begins so")
    options = parser.parse_args()
    loop = min(empty_loop(options.number) for _ in range(2 * options.repeats + 1))
    of_dict = min(dict_hits(options.number) for _ in range(options.repeats)) - loop
    per_ns = 1e9 / max(options.number, N)
    print(f"the loop: {loop * per_ns:.1f} ns; d[k] of a dict: {of_dict * per_ns:.1f} ns")
    print(f"{'operation':18} {'class':20} {'cachetools':>10} {'raudo':>8}  ratio")
    ratios = []
    for label, measure, names in CASES:
        for name in names if label.startswith(options.only) else ():
            times: dict[str, list[float]] = {"theirs": [], "ours": []}
            for _ in range(options.repeats):
                times["theirs"].append(measure(cachetools, name, options.number))
                times["ours"].append(measure(ours, name, options.number))
            theirs, own = (
                (statistics.median(times[side]) - loop) * per_ns for side in ("theirs", "ours")
            )
            ratios.append(theirs / own)
            print(f"{label:18} {name:20} {theirs:8.0f}ns {own:6.0f}ns  {theirs / own:4.1f}x")
    if ratios:
        print(f"{len(ratios)} rows: {min(ratios):.1f}x to {max(ratios):.1f}x")


if __name__ == "__main__":
    main()
