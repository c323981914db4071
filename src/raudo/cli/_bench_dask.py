"""Maps on a Dask cluster: `parallel_map` beside `client.map` and `gather` of the bare client.

Both see the same scheduler and two workers with a thread each, processes on loopback, in
interleaved rounds. raudo sends chunks, the bare client a task an item; what a function is bound to
raudo sends by itself, and for the bare client it is scattered to the workers, as its users would.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from raudo.cli._bench_parallel import burn, tiny
from raudo.cli._bench_rows import Row, is_installed, race
from raudo.cli._bench_servers import dask_cluster
from raudo.concurrency import ParallelExecutor, parallel_map

__all__ = ["rows"]

_TABLE = "on a Dask cluster of two workers"


@dataclass(frozen=True, slots=True)
class _Case:
    """A function, its items, how many when it is quick, and how many times as fast it is to be."""

    fn: Callable[[Any], Any]
    items: Sequence[Any]
    n_quick: int
    times_better: float


# burn(100_000) takes some 5 ms.
_CASES = {
    "2,000 tiny calls": _Case(tiny, range(2_000), 200, 2.0),
    "400 calls of 5 ms": _Case(burn, [100_000] * 400, 20, 1.0),
    "20 calls of 100 ms": _Case(burn, [2_000_000] * 20, 2, 0.9),
}


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)

    return run


def _map_row(client: Any, name: str, case: _Case, quick: bool, rounds: int) -> Row:
    items = list(case.items[: case.n_quick]) if quick else list(case.items)

    def bare() -> None:
        # Items are alike, and Dask would run one call for all: `pure` says that it may not.
        client.gather(client.map(case.fn, items, pure=False))

    ours = _timed(lambda: parallel_map(case.fn, items, backend=client))
    figures = race({"raudo": ours, "client.map": _timed(bare)}, rounds)
    return Row(_TABLE, name, "ms", figures, times_better=case.times_better)


def _sum_with(array: Any, x: int) -> float:
    return float(array[x::1000].sum())


def _shared_row(client: Any, quick: bool, rounds: int) -> Row:
    import numpy

    array = numpy.ones(25_000 if quick else 2_500_000)
    array.flags.writeable = False  # so that raudo's workers need not copy it either
    items = range(10 if quick else 40)

    def bare() -> None:
        shared = client.scatter(array, broadcast=True, hash=False)
        client.gather(
            client.map(partial(_with_keyword, _sum_with), items, shared=shared, pure=False)
        )

    ours = _timed(lambda: parallel_map(partial(_sum_with, array), items, backend=client))
    figures = race({"raudo": ours, "client.map": _timed(bare)}, rounds)
    return Row(_TABLE, "40 calls bound to 20 MB", "ms", figures, times_better=0.9)


def _with_keyword(fn: Callable[..., Any], x: Any, shared: Any) -> Any:
    return fn(shared, x)


def _single_row(client: Any, quick: bool, rounds: int) -> Row:
    n = 5 if quick else 50

    def one_by_one(executor: ParallelExecutor) -> Callable[[], float]:
        return _timed(lambda: [executor.submit(tiny, i).result() for i in range(n)])

    with (
        ParallelExecutor(backend=client) as executor,
        ParallelExecutor(max_processes=2, kind="process") as local,
    ):
        bare = _timed(lambda: [client.submit(tiny, i, pure=False).result() for i in range(n)])
        subjects = {
            "raudo": one_by_one(executor),
            "raudo, a process here": one_by_one(local),
            "client.map": bare,
        }
        figures = race(subjects, rounds)
    figures = {name: figure / n for name, figure in figures.items()}
    note = "each waited for: client.submit of the bare client"
    return Row(_TABLE, "one call, to and fro", "ms", figures, times_better=0.8, note=note)


def rows(quick: bool) -> list[Row]:
    """Measure what a map takes; none where Dask is not installed."""
    if not is_installed("distributed"):
        return []
    rounds = 1 if quick else 5
    with dask_cluster(2) as address:
        client: Any = importlib.import_module("distributed").Client(address, set_as_default=False)
        try:
            client.wait_for_workers(2, timeout=60)
            made = [_map_row(client, name, case, quick, rounds) for name, case in _CASES.items()]
            return [*made, _shared_row(client, quick, rounds), _single_row(client, quick, rounds)]
        finally:
            client.close()
