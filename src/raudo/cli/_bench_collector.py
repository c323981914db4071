"""What the collector's work costs a service: bulk loading, a heap that grows, one that does not.

Each run is a process of its own, as the collector's settings and its heap belong to the process.
Every stop counts: the collections, and for raudo each call at a request's end too.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from time import perf_counter
from typing import Any

from raudo.cli._bench_rows import Row
from raudo.memory import MemoryOptimizer, gc_paused

__all__ = ["rows", "run_here"]

Figures = dict[str, float]

_KEPT = 100  # containers a request leaves behind in the growing heap
_TEMPORARY = 1_000  # and those that it drops, as one that reads some kilobytes of JSON
_CYCLES = 10  # of two objects
_WAYS = {"raudo": "raudo", "Python's default": "default"}


class _Node:
    __slots__ = ("other",)
    other: Any


def _serve(keep: list[Any] | None) -> None:
    """Do what a request does: makes containers, drops most, leaves some cycles."""
    made = [[i] for i in range(_TEMPORARY)]
    for _ in range(_CYCLES):
        a, b = _Node(), _Node()
        a.other, b.other = b, a
    if keep is not None:
        keep.append(made[:_KEPT])


def _requests(n: int, way: str, keep: list[Any] | None, optimizer: MemoryOptimizer) -> Figures:
    stops: list[float] = []
    began = 0.0

    def meter(phase: str, info: dict[str, Any]) -> None:
        nonlocal began
        if phase == "start":
            began = perf_counter()
        else:
            stops.append(perf_counter() - began)

    took: list[float] = []
    ends: list[float] = []
    is_ours = way == "raudo"
    request: Callable[[], Any] = optimizer.request if is_ours else nullcontext
    gc.callbacks.append(meter)
    start = perf_counter()
    for _ in range(n):
        before = perf_counter()
        with request():
            _serve(keep)
            served = perf_counter()
        after = perf_counter()
        took.append(served - before)
        ends.append(after - served)
    total = perf_counter() - start
    gc.callbacks.remove(meter)
    longest = max([*stops, *(ends if is_ours else ()), 0.0])
    took.sort()
    return {
        "longest_ms": 1e3 * longest,
        "slow_us": 1e6 * took[int(len(took) * 0.999)],
        "us": 1e6 * total / n,
    }


def _growing(n: int, way: str) -> Figures:
    with MemoryOptimizer() if way == "raudo" else nullcontext(MemoryOptimizer()) as optimizer:
        return _requests(n // _KEPT, way, [], optimizer)


def _static(n: int, way: str) -> Figures:
    heap = [[i] for i in range(n)]
    gc.collect()
    with MemoryOptimizer() if way == "raudo" else nullcontext(MemoryOptimizer()) as optimizer:
        if way == "raudo":
            optimizer.freeze()
        found = _requests(n // _KEPT, way, None, optimizer)
    del heap
    return found


_LOADS: dict[str, Callable[[Any], object]] = {
    "lists": lambda n: [[i] for i in range(n)],
    "records": lambda n: [{"id": i, "tags": []} for i in range(n // 2)],
    "sets": lambda n: [set() for _ in range(n)],
    "json": json.loads,
    "flat": lambda n: [{"id": i} for i in range(n)],
}


def _bulk(n: int, way: str, load: str) -> Figures:
    """Load once; `after` counts the first collection that follows, too."""
    what: Any = n
    if load == "json":
        what = json.dumps([{"id": i, "tags": ["a"], "at": [1, 2]} for i in range(n // 4)])
    start = perf_counter()
    with gc_paused() if way == "raudo" else nullcontext():
        made = _LOADS[load](what)
        made_s = perf_counter() - start
    next_ones = [[i] for i in range(3_000)]
    after_s = perf_counter() - start
    del made, next_ones
    return {"made": 1e3 * made_s, "after": 1e3 * after_s}


_RUNS: dict[str, Callable[[int, str], Figures]] = {
    "growing": _growing,
    "static": _static,
    **{load: partial(_bulk, load=load) for load in _LOADS},
}


def run_here(what: str, way: str, n: int) -> Figures:
    """Do one run in this process."""
    return _RUNS[what](n, way)


def _medians(what: str, n: int, rounds: int) -> dict[str, Figures]:
    """Run each way in turn, in processes; return the median of each figure."""
    found: dict[str, list[Figures]] = {name: [] for name in _WAYS}
    for _ in range(rounds):
        for name, way in _WAYS.items():
            command = [sys.executable, "-m", __name__, what, way, str(n)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
            found[name].append(json.loads(done.stdout))
    return {
        name: {each: statistics.median(run[each] for run in runs) for each in runs[0]}
        for name, runs in found.items()
    }


def _pick(found: dict[str, Figures], figure: str) -> Figures:
    return {name: figures[figure] for name, figures in found.items()}


def rows(quick: bool) -> list[Row]:
    """Measure this interpreter's collector, left alone and with raudo."""
    n, rounds = (20_000, 1) if quick else (1_000_000, 5)
    made: list[Row] = []
    bulk = {
        "lists": (f"{n:,} lists", 5),
        "records": (f"{n // 2:,} dicts with a list", 5),
        "sets": (f"{n:,} sets", 5),
        "json": (f"{n:,} of JSON", None),  # reading the text takes most of it
        "flat": (f"{n:,} flat dicts", None),  # which the collector never visits
    }
    for load, (case, bar) in bulk.items():
        found = _medians(load, n, rounds)
        made.append(Row("gc_paused", case, "ms", _pick(found, "made"), times_better=bar))
        table = "gc_paused, and the first collection after it"
        made.append(Row(table, case, "ms", _pick(found, "after")))
    grown = _medians("growing", n, rounds)
    table = f"a heap that grows to {n:,} containers"
    made.append(Row(table, "longest stop", "ms", _pick(grown, "longest_ms"), times_better=20))
    static = _medians("static", n, rounds)
    table = f"a request with a heap of {n:,} containers"
    us = "us"
    made.append(Row(table, "growing, mean", us, _pick(grown, "us"), times_better=0.98))
    made.append(Row(table, "static, mean", us, _pick(static, "us"), times_better=0.98))
    made.append(Row(table, "static, slowest 0.1 %", us, _pick(static, "slow_us"), times_better=1))
    stops = _pick(static, "longest_ms")
    made.append(Row("a static heap", "longest stop", "ms", stops, times_better=1))
    return made


def _main(arguments: Sequence[str]) -> None:
    what, way, n = arguments
    print(json.dumps(run_here(what, way, int(n))))


if __name__ == "__main__":
    _main(sys.argv[1:])
