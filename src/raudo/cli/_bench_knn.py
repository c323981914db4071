"""Exact search for the ten nearest beside faiss, NumPy, scikit-learn and usearch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.cli._bench_rows import Row, is_installed
from raudo.cli._bench_vectors import embeddings, limited, measure, share_of_peak
from raudo.similarity import FlatIndex, nearest

__all__ = ["rows", "rows_of"]

K = 10


def _by_blocks(queries: Any, base: Any) -> Any:
    """Search by whole products, as many queries at a time as fit 100 MB or so."""
    found = []
    for i in range(0, len(queries), 256):
        products = queries[i : i + 256] @ base.T
        part = np.argpartition(-products, K - 1, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(products, part, axis=1), axis=1)
        found.append(np.take_along_axis(part, order, axis=1))
    return np.vstack(found)


def _index_ids(index: FlatIndex, queries: Any, threads: int) -> Any:
    return index.search(queries, K, n_jobs=threads).ids


def _subjects(base: Any, threads: int) -> dict[str, Callable[[Any], Any]]:
    """Return what finds the ids of the nearest by inner product."""
    found: dict[str, Callable[[Any], Any]] = {
        "raudo": lambda x: nearest(x, base, K, "inner", n_jobs=threads).ids,
        "numpy": lambda x: _by_blocks(x, base),
    }
    for storage in ("float32", "bfloat16", "int8"):
        index = FlatIndex(base.shape[1], "inner", storage=storage)
        index.add(base)
        found[f"raudo {storage} index"] = partial(_index_ids, index, threads=threads)
    if is_installed("faiss"):
        import faiss

        flat = faiss.IndexFlatIP(base.shape[1])
        flat.add(base)
        found["faiss"] = lambda x: flat.search(x, K)[1]
        metric = faiss.METRIC_INNER_PRODUCT
        codes = faiss.IndexScalarQuantizer(base.shape[1], faiss.ScalarQuantizer.QT_8bit, metric)
        codes.train(base)
        codes.add(base)
        found["faiss SQ8"] = lambda x: codes.search(x, K)[1]
    if is_installed("sklearn"):
        sklearn = importlib.import_module("sklearn.neighbors")
        neighbours = sklearn.NearestNeighbors(
            n_neighbors=K, algorithm="brute", metric="cosine", n_jobs=threads
        ).fit(base)
        found["sklearn"] = lambda x: neighbours.kneighbors(x, return_distance=False)
    if is_installed("usearch"):
        usearch: Any = importlib.import_module("usearch.index")

        found["usearch exact"] = lambda x: (
            usearch.search(base, x, K, usearch.MetricKind.IP, exact=True, threads=threads).keys
        )
    return found


def _checker(queries: NDArray[Any], base: NDArray[Any]) -> Callable[[str, Any], None]:
    """Return a check of recall, by distance, as bases hold the same row twice."""
    some = queries[: min(len(queries), 100)].astype(np.float64)
    products = some @ base.T.astype(np.float64)
    worst = np.sort(np.partition(products, -K, axis=1)[:, -K:], axis=1)[:, 0]

    def check(name: str, given: Any) -> None:
        ids = np.asarray(given, np.int64).reshape(len(queries), K)[: len(some)]
        assert all(len(set(row)) == K for row in ids.tolist()), f"{name} gave an id twice"
        reached = np.take_along_axis(products, ids, axis=1) >= worst[:, None] - 1e-6
        least = 0.85 if "SQ8" in name else 0.999
        assert reached.mean() >= least, f"{name} finds {reached.mean():.2%} of the nearest"

    return check


def _bars(q: int, threads: int) -> dict[str, float]:
    if threads == 1:
        return {"faiss": 1.15} if q >= 100 else {}
    return {"faiss": 4.0} if 2 <= q <= 19 else {}


def _rows_of_case(
    q: int, n: int, all_queries: Any, subjects: Any, base: Any, rounds: int, threads: int, what: str
) -> list[Row]:
    queries = np.ascontiguousarray(all_queries[:q])
    bound = {
        name: partial(subject, queries)
        for name, subject in subjects.items()
        if q <= 100 or name not in ("sklearn", "usearch exact")
    }
    outcome = measure(bound, _checker(queries, base), rounds)
    shown = "one thread" if threads == 1 else f"{threads} threads"
    table = f"10 nearest of {what} by inner product, {shown}"
    case = f"{q} queries" if q > 1 else "1 query"
    operations = 2.0 * q * n * base.shape[1]
    made = [
        Row(
            table,
            case,
            "ms",
            outcome.median,
            times_better=_bars(q, threads),
            note=share_of_peak(operations, outcome.median["raudo float32 index"], threads),
            failed=outcome.failed,
            best=outcome.best,
        )
    ]
    for storage, bars in (
        ("bfloat16", {"faiss": 2.0} if q >= 100 else {}),
        ("int8", {"faiss": 3.0} if q >= 100 else {"faiss SQ8": 1.0} if q == 1 else {}),
    ):
        values = {"raudo": outcome.median[f"raudo {storage} index"]}
        values |= {name: outcome.median[name] for name in bars if name in outcome.median}
        if bars:
            made.append(Row(f"{table}, {storage} and rerank", case, "ms", values, bars))
    return made


def rows_of(quick: bool, threads: int, sizes: tuple[int, ...]) -> list[Row]:
    """Measure batches of these sizes; milliseconds each."""
    n, rounds = (2003, 1) if quick else (100_000, 5)
    base, queries, what = embeddings(n, max(sizes))
    found = []
    with limited(threads):
        subjects = _subjects(base, threads)
        for q in sizes:
            n_rounds = rounds if q > 100 else 3 * rounds
            found += _rows_of_case(q, n, queries, subjects, base, n_rounds, threads, what)
    return found


def rows(quick: bool) -> list[Row]:
    """Measure one thread."""
    return rows_of(quick, 1, (1, 100) if quick else (1, 8, 19, 20, 100, 1000))
