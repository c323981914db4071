"""Hamming and Jaccard distances of packed bits beside faiss, NumKong and SciPy; one thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.cli._bench_rows import Row, is_installed
from raudo.cli._bench_vectors import limited, measure
from raudo.similarity import nearest, pairwise_distances

__all__ = ["rows"]


def _bytes(n: int, d: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, d // 8), np.uint8)


def _faiss_matrix(x: NDArray[np.uint8], y: NDArray[np.uint8]) -> NDArray[np.int32]:
    faiss: Any = importlib.import_module("faiss")
    found = np.empty((len(x), len(y)), np.int32)
    a, b, out = (faiss.swig_ptr(each) for each in (x, y, found))
    faiss.hammings(a, b, len(x), len(y), x.shape[1], out)
    return found


def _numkong_matrix(x: NDArray[np.uint8], y: NDArray[np.uint8], metric: str) -> Any:
    import numkong

    packed = numkong.hammings_pack(y, dtype="uint1")
    compute = numkong.hammings_packed if metric == "hamming" else numkong.jaccards_packed
    return compute(x, packed)


def _matrix_subjects(metric: str, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        "raudo": partial(pairwise_distances, x, y, metric, n_jobs=1)
    }
    if metric == "hamming" and is_installed("faiss"):
        found["faiss"] = partial(_faiss_matrix, x, y)
    if is_installed("numkong"):
        found["numkong"] = partial(_numkong_matrix, x, y, metric)
    return found


def _reference(metric: str, x: NDArray[np.uint8], y: NDArray[np.uint8]) -> NDArray[np.float64]:
    a, b = np.unpackbits(x, axis=1).astype(np.float64), np.unpackbits(y, axis=1).astype(np.float64)
    both = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1) - both
    if metric == "hamming":
        return np.asarray((either - both) / a.shape[1])
    return np.asarray(1 - both / np.maximum(either, 1))


def _matrix_row(metric: str, d: int, n: int, rounds: int, bars: dict[str, float]) -> Row:
    x, y = _bytes(n, d, 0), _bytes(n, d, 1)
    some = np.arange(0, n, max(1, n // 40))
    wanted = _reference(metric, x[some], y)

    def check(name: str, given: Any) -> None:
        given = np.asarray(given)[some].astype(np.float64)
        if metric == "hamming" and not name.startswith("raudo"):
            given /= d  # counts
        assert np.abs(given - wanted).max() < 1e-6, f"{name} is off"

    outcome = measure(_matrix_subjects(metric, x, y), check, rounds)
    return Row(
        f"{n} x {n} {metric} of bits, one thread",
        f"{d} bits",
        "ms",
        outcome.median,
        times_better=bars,
        note=f"raudo {n * n / outcome.median['raudo'] / 1e6:.2f} Gpair/s",
        failed=outcome.failed,
        best=outcome.best,
    )


def _search_row(d: int, n: int, n_queries: int, rounds: int) -> Row:
    base, queries = _bytes(n, d, 0), _bytes(n_queries, d, 1)
    wanted = np.sort(_reference("hamming", queries, base), axis=1)[:, :10]
    subjects: dict[str, Callable[[], Any]] = {
        "raudo": lambda: nearest(queries, base, 10, "hamming", n_jobs=1).distances
    }
    if is_installed("faiss"):
        import faiss

        flat = faiss.IndexBinaryFlat(d)
        flat.add(base)
        subjects["faiss"] = lambda: flat.search(queries, 10)[0] / d

    def check(name: str, given: Any) -> None:
        assert np.abs(given - wanted).max() < 1e-6, f"{name} is off"

    outcome = measure(subjects, check, rounds)
    pairs = float(n) * n_queries
    return Row(
        f"10 nearest of {n:,} by hamming of bits, one thread",
        f"{d} bits, {n_queries} {'query' if n_queries == 1 else 'queries'}",
        "ms",
        outcome.median,
        times_better={"faiss": 4.0},
        note=f"raudo {pairs / outcome.median['raudo'] / 1e6:.2f} Gpair/s",
        failed=outcome.failed,
        best=outcome.best,
    )


def rows(quick: bool) -> list[Row]:
    """Measure matrices and searches; milliseconds each."""
    n, rounds = (203, 1) if quick else (3001, 9)
    n_base = 1_003 if quick else 100_003
    with limited(1):
        return [
            *(_matrix_row("hamming", d, n, rounds, {"faiss": 4.0}) for d in (64, 256, 1024)),
            *(_matrix_row("jaccard", d, n, rounds, {}) for d in (256, 1024)),
            *(_search_row(d, n_base, q, rounds) for d in (256, 1024) for q in (1, 100)),
        ]
