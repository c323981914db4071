"""Maps over processes beside the standard pools and the peers that are installed.

Every tool sees the same work, in interleaved rounds, and makes and closes its pool in each timing,
but for the "warm" cases, whose pools are there already (of raudo an executor). Items are distinct
objects: pickle writes an object that it meets again as a reference, so a list of one array many
times would hardly travel. What peers are asked for is what their users would: their own chunking
where they have one, mpire without joining arrays into one (`concatenate_numpy_output=False`).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from raudo.cli._bench_rows import Row, is_installed, race

__all__ = ["CASES", "rows"]

N_WORKERS = 2

Map = Callable[[Callable[[Any], Any], list[Any]], list[Any]]
Contenders = Mapping[str, Callable[[], float]]


# --- the work ---------------------------------------------------------------------------------


def tiny(x: int) -> int:
    return x + 1


def burn(n: int) -> int:
    total = 0
    for i in range(n):
        total += i * i
    return total


def first_of(array: Any) -> float:
    return float(array[0])


def filled(value: float) -> Any:
    import numpy

    return numpy.full(1_000_000, value)


def _arrays(n: int) -> list[Any]:
    import numpy

    return [numpy.full(1_000_000, float(i)) for i in range(n)]


def _blobs(n: int) -> list[bytes]:
    import numpy

    content = numpy.random.default_rng(1).integers(0, 256, (n, 10_000), dtype=numpy.uint8)
    return [row.tobytes() for row in content]


def _skewed(n: int) -> list[int]:
    """The costly items are neighbours: the first eighth takes nearly all of the time."""
    return [100_000] * (n // 8) + [500] * (n - n // 8)


@dataclass(frozen=True, slots=True)
class Case:
    """A function, and the items it is mapped over."""

    fn: Callable[[Any], Any]
    items: Callable[[int], list[Any]]
    n: int
    times_better: float | None = None
    rivals: tuple[str, ...] = ()
    needs_numpy: bool = False
    is_warm: bool = False
    note: str = ""


def _numbers(n: int) -> list[float]:
    return [float(i) for i in range(n)]


_TABLE = "maps over two processes"
_TIE = 0.91  # what `Row` takes for one
_CHUNKERS = ("futures, chunked", "multiprocessing", "mpire")

CASES: dict[str, Case] = {
    "8 MB arrays in": Case(first_of, _arrays, 24, 4.0, needs_numpy=True),
    "8 MB arrays out": Case(filled, _numbers, 24, 2.0, needs_numpy=True),
    "10 KB blobs in": Case(len, _blobs, 5_000, 2.0, needs_numpy=True),
    "skewed": Case(
        burn,
        _skewed,
        800,
        1.5,
        _CHUNKERS,
        note="costly items are neighbours; the bar is against those that cut equal chunks",
    ),
    "pure CPU": Case(burn, lambda n: [200_000] * n, 40, _TIE),
    "small ints": Case(tiny, lambda n: list(range(n)), 50_000, _TIE),
    "start and close": Case(tiny, lambda n: list(range(n)), 2),
    "warm: 8 MB arrays in": Case(first_of, _arrays, 24, needs_numpy=True, is_warm=True),
    "warm: 8 MB arrays out": Case(filled, _numbers, 24, needs_numpy=True, is_warm=True),
    "warm: 10 KB blobs in": Case(len, _blobs, 5_000, needs_numpy=True, is_warm=True),
    "warm: small ints": Case(tiny, lambda n: list(range(n)), 50_000, is_warm=True),
}


# --- the tools --------------------------------------------------------------------------------


@contextlib.contextmanager
def _raudo() -> Iterator[Map]:
    from raudo import parallel_map

    yield lambda fn, items: parallel_map(fn, items, N_WORKERS, kind="process")


@contextlib.contextmanager
def _raudo_executor() -> Iterator[Map]:
    from raudo import ParallelExecutor

    with ParallelExecutor(N_WORKERS, N_WORKERS, kind="process") as executor:
        yield lambda fn, items: list(executor.map(fn, items))


@contextlib.contextmanager
def _futures() -> Iterator[Map]:
    with concurrent.futures.ProcessPoolExecutor(N_WORKERS) as pool:
        yield lambda fn, items: list(pool.map(fn, items))


@contextlib.contextmanager
def _futures_chunked() -> Iterator[Map]:
    with concurrent.futures.ProcessPoolExecutor(N_WORKERS) as pool:
        yield lambda fn, items: list(
            pool.map(fn, items, chunksize=max(1, len(items) // (4 * N_WORKERS)))
        )


@contextlib.contextmanager
def _multiprocessing() -> Iterator[Map]:
    with multiprocessing.Pool(N_WORKERS) as pool:
        yield pool.map


@contextlib.contextmanager
def _joblib() -> Iterator[Map]:
    joblib = importlib.import_module("joblib")

    def run(fn: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        return list(joblib.Parallel(N_WORKERS)(joblib.delayed(fn)(each) for each in items))

    yield run


@contextlib.contextmanager
def _mpire() -> Iterator[Map]:
    mpire = importlib.import_module("mpire")

    with mpire.WorkerPool(N_WORKERS, keep_alive=True) as pool:
        yield lambda fn, items: list(
            pool.map(fn, [(each,) for each in items], concatenate_numpy_output=False)
        )


@contextlib.contextmanager
def _pebble() -> Iterator[Map]:
    pebble = importlib.import_module("pebble")

    with pebble.ProcessPool(max_workers=N_WORKERS) as pool:
        yield lambda fn, items: list(pool.map(fn, items).result())


Open = Callable[[], AbstractContextManager[Map]]

TOOLS: dict[str, Open] = {
    "raudo": _raudo,
    "raudo executor": _raudo_executor,
    "futures": _futures,
    "futures, chunked": _futures_chunked,
    "multiprocessing": _multiprocessing,
    "joblib": _joblib,
    "mpire": _mpire,
    "pebble": _pebble,
}


# --- timing -----------------------------------------------------------------------------------


def _checked_ms(run: Callable[[], list[Any]], n_wanted: int) -> float:
    begun = time.perf_counter_ns()
    got = run()
    spent = (time.perf_counter_ns() - begun) / 1e6
    if len(got) != n_wanted:
        raise AssertionError(f"{len(got)} results instead of {n_wanted}")
    return spent


@contextlib.contextmanager
def _contenders(case: Case, tools: Sequence[str], n: int) -> Iterator[Contenders]:
    """Give, by tool, a function that does the case once and returns milliseconds."""
    items = case.items(n)

    def cold(open_: Open) -> Callable[[], float]:
        def run() -> list[Any]:
            with open_() as mapped:
                return mapped(case.fn, items)

        return lambda: _checked_ms(run, len(items))

    def warm(mapped: Map) -> Callable[[], float]:
        return lambda: _checked_ms(lambda: mapped(case.fn, items), len(items))

    if not case.is_warm:
        yield {name: cold(TOOLS[name]) for name in tools}
        return
    with contextlib.ExitStack() as stack:
        # What raudo keeps warm is an executor; a `parallel_map` ends its workers.
        opened = {name: TOOLS[name] for name in tools if name != "raudo executor"}
        opened["raudo"] = TOOLS["raudo executor"]
        yield {name: warm(stack.enter_context(open_())) for name, open_ in opened.items()}


def rows(quick: bool) -> list[Row]:
    """Measure maps over two processes; milliseconds a batch."""
    optional = {"joblib", "mpire", "pebble"}
    tools = [name for name in TOOLS if name not in optional or is_installed(name)]
    made = []
    for name, case in CASES.items():
        if case.needs_numpy and not is_installed("numpy"):
            continue
        n = min(case.n, 8) if quick else case.n
        with _contenders(case, tools, n) as contenders:
            values = race(contenders, 1 if quick else 5)
        rivals = tuple(each for each in case.rivals if each in values)
        made.append(
            Row(_TABLE, name, "ms", values, case.times_better, rivals=rivals, note=case.note)
        )
    return made
