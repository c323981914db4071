"""Maps by threads and by choice beside the standard pools and whatever peers are installed.

    python benchmarks/bench_concurrency_parallel.py   # the table, medians of 5 rounds
    python benchmarks/bench_concurrency_parallel.py --scale 0.02 --rounds 1
    python benchmarks/bench_concurrency_parallel.py --only sleep --peers raudo,multiprocessing

Tools are interleaved within a round and see the same work; pools are made and closed in each
timing, but for "warm" rows. Milliseconds a batch; the last column is the best peer's time over
raudo's. Maps over processes are `raudo bench concurrency --only processes`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import math
import multiprocessing
import multiprocessing.pool
import statistics
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from raudo import ParallelExecutor, parallel_map

Runner = Callable[[Callable[[Any], Any], list[Any], int], list[Any]]
WORKERS = 2


# --- the work ---------------------------------------------------------------------------------


def tiny(x: int) -> int:
    return x + 1


def wait(x: float) -> float:
    time.sleep(x)
    return x


def burn(n: int) -> int:
    total = 0
    for i in range(n):
        total += i * i
    return total


def compress(blob: bytes) -> int:
    return len(zlib.compress(blob, 1))


def workloads(scale: float) -> dict[str, tuple[str, Callable[[Any], Any], list[Any], int]]:
    """Return name -> (kind, function, items, workers)."""

    def n(count: int) -> int:
        return max(2, math.ceil(count * scale))

    blob = np.random.default_rng(1).integers(0, 64, 10_000, dtype=np.uint8).tobytes()
    return {
        "tiny, threads": ("thread", tiny, list(range(n(100_000))), 16),
        "sleep 1 ms, threads": ("thread", wait, [0.001] * n(1_000), 16),
        "sleep 1 ms, auto": ("auto", wait, [0.001] * n(1_000), 16),
        "tiny, auto": ("auto", tiny, list(range(n(100_000))), 16),
        "zlib 10 KB, auto": ("auto", compress, [blob] * n(2_000), WORKERS),
        "compute 10 ms, auto": ("auto", burn, [100_000] * n(100), WORKERS),
    }


# --- the tools --------------------------------------------------------------------------------


def with_raudo(kind: str) -> Runner:
    return lambda fn, items, n: parallel_map(fn, items, n, kind=kind)  # type: ignore[arg-type]


def with_executor(kind: str) -> Runner:
    def run(fn: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
        with ParallelExecutor(n, n, kind=kind) as executor:  # type: ignore[arg-type]
            return list(executor.map(fn, items))

    return run


def with_futures(kind: str) -> Runner:
    pool: Any = (
        concurrent.futures.ThreadPoolExecutor
        if kind == "thread"
        else concurrent.futures.ProcessPoolExecutor
    )

    def run(fn: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
        chunksize = max(1, len(items) // (4 * n)) if kind != "thread" else 1
        with pool(n) as executor:
            return list(executor.map(fn, items, chunksize=chunksize))

    return run


def with_multiprocessing(kind: str) -> Runner:
    pool: Any = multiprocessing.pool.ThreadPool if kind == "thread" else multiprocessing.Pool

    def run(fn: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
        with pool(n) as opened:
            return list(opened.map(fn, items))

    return run


def with_joblib(kind: str) -> Runner:
    import joblib

    def run(fn: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
        prefer = "threads" if kind == "thread" else "processes"
        return list(joblib.Parallel(n, prefer=prefer)(joblib.delayed(fn)(each) for each in items))

    return run


def with_mpire(kind: str) -> Runner:
    import mpire

    def run(fn: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
        start_method = "threading" if kind == "thread" else "fork"
        with mpire.WorkerPool(n, start_method=start_method) as pool:
            arguments = [(each,) for each in items]
            return list(pool.map(fn, arguments, concatenate_numpy_output=False))

    return run


def with_pebble(kind: str) -> Runner:
    import pebble

    def run(fn: Callable[[Any], Any], items: list[Any], n: int) -> list[Any]:
        pool: Any = pebble.ThreadPool if kind == "thread" else pebble.ProcessPool
        with pool(max_workers=n) as opened:
            return list(opened.map(fn, items).result())

    return run


TOOLS: dict[str, Callable[[str], Runner]] = {
    "raudo": with_raudo,
    "raudo executor": with_executor,
    "futures": with_futures,
    "multiprocessing": with_multiprocessing,
    "joblib": with_joblib,
    "mpire": with_mpire,
    "pebble": with_pebble,
}


def installed() -> list[str]:
    optional = {"joblib", "mpire", "pebble"}
    return [
        name for name in TOOLS if name not in optional or importlib.util.find_spec(name) is not None
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full work")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--peers", default="", help="tools, by name, joined by commas")
    given = parser.parse_args()
    tools = given.peers.split(",") if given.peers else installed()
    print(f"{'ms a batch':28s}" + "".join(f"{name:>16s}" for name in tools) + f"{'ratio':>8s}")
    for name, (kind, fn, items, n) in workloads(given.scale).items():
        if given.only not in name:
            continue
        spent: dict[str, list[float]] = {tool: [] for tool in tools}
        for _ in range(given.rounds):
            for tool in tools:
                run = TOOLS[tool](kind)
                begun = time.perf_counter()
                got = run(fn, items, n)
                spent[tool].append((time.perf_counter() - begun) * 1e3)
                assert len(got) == len(items)
        medians = {tool: statistics.median(times) for tool, times in spent.items()}
        peers = [t for tool, t in medians.items() if not tool.startswith("raudo")]
        ratio = f"{min(peers) / medians['raudo']:8.2f}" if peers and "raudo" in medians else ""
        print(f"{name:28s}" + "".join(f"{medians[tool]:16.1f}" for tool in tools) + ratio)


if __name__ == "__main__":
    main()
