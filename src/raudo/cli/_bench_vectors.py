"""What the sections of `raudo bench similarity` share: rows, fair timing, and the machine's limits.

`RAUDO_BENCH_VECTORS=FILE.npy` names a float32 matrix of real embeddings to search in; without it
they are made up.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import kernels
from raudo.cli._bench_rows import is_installed
from raudo.cli._bench_timing import interleave

__all__ = ["Outcome", "embeddings", "limited", "measure", "normal", "peak", "share_of_peak"]

Subject = Callable[[], Any]
Check = Callable[[str, Any], None]
"""Raises an AssertionError if what a subject gave is wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Milliseconds a pass by subject, and what those said that failed."""

    median: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure(subjects: Mapping[str, Subject], check: Check, rounds: int) -> Outcome:
    """Time the subjects in turn, and check what each pass gave. One that fails stays out."""
    outcome = Outcome()

    def contender(name: str, subject: Subject) -> Callable[[], float]:
        def once() -> float:
            if name in outcome.failed:
                return float("nan")
            begun = time.perf_counter_ns()
            given = subject()
            taken = (time.perf_counter_ns() - begun) / 1e6
            try:
                check(name, given)
            except AssertionError as error:
                if name.startswith("raudo"):
                    raise
                outcome.failed[name] = " ".join(str(error).split())[:200]
            return taken

        return once

    found = interleave({"": {n: contender(n, s) for n, s in subjects.items()}}, rounds, _nothing)
    for name in subjects:
        if name not in outcome.failed:
            outcome.median[name] = statistics.median(found[name][""])
            outcome.best[name] = min(found[name][""])
    return outcome


def _nothing() -> None:
    pass


@contextlib.contextmanager
def limited(n_threads: int) -> Iterator[None]:
    """Hold the libraries to so many threads (BLAS only where threadpoolctl is installed)."""
    with contextlib.ExitStack() as stack:
        if is_installed("faiss"):
            import faiss

            stack.callback(faiss.omp_set_num_threads, faiss.omp_get_max_threads())
            faiss.omp_set_num_threads(n_threads)
        if is_installed("threadpoolctl"):
            threadpoolctl = importlib.import_module("threadpoolctl")
            stack.enter_context(threadpoolctl.threadpool_limits(n_threads))
        yield


def normal(n: int, d: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    """Return n rows of d normally distributed numbers."""
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def embeddings(n: int, n_queries: int) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Return a base, queries that are not in it, and what they are."""
    path = os.environ.get("RAUDO_BENCH_VECTORS")
    rng = np.random.default_rng(0)
    if path:
        rows = np.load(path, mmap_mode="r")
        chosen = rng.permutation(len(rows))[: n + n_queries]
        found = np.asarray(rows[np.sort(chosen)], np.float32)
        rng.shuffle(found)
        return found[:-n_queries], found[-n_queries:], f"{n:,} real embeddings"
    centres = normal(max(1, n // 50), 256)
    made = centres[rng.integers(len(centres), size=n + n_queries)]
    made += np.float32(0.7) * normal(len(made), 256, 1)
    made /= np.linalg.norm(made, axis=1)[:, None]
    return made[:-n_queries], made[-n_queries:], f"{n:,} made-up embeddings"


def peak() -> float:
    """Return billions of float32 operations a second of one core: a product within its caches."""
    x, y = normal(192, 256), normal(192, 256)
    out, shift = np.empty((192, 192), np.float32), np.zeros(256, np.float32)
    number = kernels.row_kernels().index("inner_f32")
    seconds = []
    for _ in range(200):
        begun = time.perf_counter()
        kernels.pairwise_f32(x, y, out, shift, 0, False, number)
        seconds.append(time.perf_counter() - begun)
    return 2 * 192 * 192 * 256 / min(seconds) / 1e9


def share_of_peak(operations: float, milliseconds: float, threads: int = 1) -> str:
    """Say how many operations a second that is, and what share of what multiply-adds reach."""
    rate = operations / milliseconds / 1e6
    best = peak() * threads
    return f"raudo {rate:.0f} GFLOP/s, {rate / best:.0%} of the {best:.0f} that can be had"
