"""Approximate indexes at equal recall: what they take to build, and to answer one query or many.

Each is asked with growing effort until it finds 95 % of the ten nearest, judged by distance, as a
base may hold the same row twice. `benchmarks/bench_similarity_ivf.py` does the same at any size.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.cli._bench_rows import Row, is_installed, race
from raudo.cli._bench_vectors import embeddings, limited
from raudo.similarity import FlatIndex, IVFIndex

__all__ = ["rows"]

K = 10
RECALL = 0.95
_EFFORTS = (20, 40, 80, 120, 160, 240, 320, 480, 640)

Search = Callable[[NDArray[Any]], Any]


def rows(quick: bool) -> list[Row]:
    """Measure on one thread; built on one as well, in processor seconds."""
    n, n_queries, rounds = (6_000, 50, 1) if quick else (50_000, 1_000, 5)
    base, queries, what = embeddings(n, n_queries)
    recall_of = _judge(queries[:200], base)
    built: dict[str, float] = {}
    chosen: dict[str, Search] = {}
    notes = []
    with limited(1):
        for name, make in _SUBJECTS.items():
            if name.partition(" ")[0] not in (
                "raudo",
                *filter(is_installed, ("hnswlib", "usearch")),
            ):
                continue
            begun = time.process_time()
            efforts = make(base)
            built[name] = time.process_time() - begun
            chosen[name], reached = _least(efforts, queries[:200], recall_of)
            notes.append(f"{name} {reached:.3f}")
        many = race({k: partial(_many, f, queries) for k, f in chosen.items()}, rounds)
        single = race(
            {k: partial(_one_by_one, f, queries[:200]) for k, f in chosen.items()}, rounds
        )
    table = f"10 nearest of {what}, indexes at a recall of {RECALL} or more, one thread"
    bars = {name: 1.5 for name in ("hnswlib",) if name in chosen}
    build_bars = dict.fromkeys(bars, 20.0)
    note = "recall: " + ", ".join(notes)
    return [
        Row(f"{table} (us a query)", f"{n_queries} at once", "us", many, bars, note=note),
        Row(f"{table} (us a query)", "one", "us", single, bars),
        Row(f"{table} (build, processor seconds)", f"{n:,} rows", "s", built, build_bars),
    ]


def _judge(queries: NDArray[Any], base: NDArray[Any]) -> Callable[[Any], float]:
    products = queries.astype(np.float64) @ base.T.astype(np.float64)
    worst = np.partition(products, -K, axis=1)[:, -K:].min(axis=1, keepdims=True)

    def recall_of(given: Any) -> float:
        ids = np.asarray(given, np.int64).reshape(len(queries), K)
        reached = np.take_along_axis(products, ids, axis=1) >= worst - 1e-6
        return float((reached & (ids >= 0)).mean())

    return recall_of


def _least(
    efforts: list[Search], queries: NDArray[Any], recall_of: Callable[[Any], float]
) -> tuple[Search, float]:
    """Return the first that finds enough, else the last, and what it finds."""
    for search in efforts:
        reached = recall_of(search(queries))
        if reached >= RECALL:
            break
    return search, reached


def _many(search: Search, queries: NDArray[Any]) -> float:
    begun = time.perf_counter()
    search(queries)
    return (time.perf_counter() - begun) / len(queries) * 1e6


def _one_by_one(search: Search, queries: NDArray[Any]) -> float:
    begun = time.perf_counter()
    for i in range(len(queries)):
        search(queries[i : i + 1])
    return (time.perf_counter() - begun) / len(queries) * 1e6


def _raudo(base: NDArray[Any]) -> list[Search]:
    index = IVFIndex(base.shape[1], "inner", recall=RECALL)
    index.add(base)
    return [lambda x: index.search(x, K, n_jobs=1).ids]


def _flat(base: NDArray[Any]) -> list[Search]:
    index = FlatIndex(base.shape[1], "inner", storage="int8")
    index.add(base)
    return [lambda x: index.search(x, K, n_jobs=1).ids]


def _hnswlib(base: NDArray[Any]) -> list[Search]:
    hnswlib: Any = importlib.import_module("hnswlib")
    index = hnswlib.Index("ip", base.shape[1])
    index.init_index(len(base), M=16, ef_construction=200)
    index.set_num_threads(1)
    index.add_items(base)

    def search(effort: int, x: NDArray[Any]) -> Any:
        index.set_ef(effort)
        return index.knn_query(x, K, num_threads=1)[0]

    return [partial(search, effort) for effort in _EFFORTS]


def _usearch(base: NDArray[Any]) -> list[Search]:
    usearch: Any = importlib.import_module("usearch.index")

    index = usearch.Index(ndim=base.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(base)), base, threads=1)

    def search(effort: int, x: NDArray[Any]) -> Any:
        index.expansion_search = effort
        return index.search(x, K, threads=1).keys

    return [partial(search, effort) for effort in _EFFORTS]


_SUBJECTS: dict[str, Callable[[NDArray[Any]], list[Search]]] = {
    "raudo": _raudo,
    "raudo flat, exact": _flat,
    "hnswlib": _hnswlib,
    "usearch": _usearch,
}
