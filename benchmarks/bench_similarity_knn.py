"""Exact k-nearest search beside NumPy, scikit-learn, SciPy and faiss.

    python benchmarks/bench_similarity_knn.py             a table; --quick shows that it runs
    python -m pytest benchmarks/bench_similarity_knn.py --benchmark-sort=mean

Interleaved, medians, results checked (see bench_similarity_distances). Figures are queries a
second. One thread; BENCH_THREADS=n sets another number for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # pytest does not put it there

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from bench_similarity_distances import (
    THREADS,
    Subject,
    has,
    numpy_matrix,
    print_row,
    rounds_of,
    rows,
)
from raudo._core import kernels
from raudo.similarity import FlatIndex, nearest

K = 10


def best(distances: Any) -> Any:
    """Return the ids of the K smallest of each row, best first."""
    part = np.argpartition(distances, K - 1, axis=1)[:, :K]
    order = np.argsort(np.take_along_axis(distances, part, axis=1), axis=1)
    return np.take_along_axis(part, order, axis=1)


def in_blocks(matrix: Callable[[Any], Any], queries: Any) -> Any:
    """Search by whole matrices, as many queries at a time as fit 256 MB or so."""
    return np.vstack([best(matrix(queries[i : i + 256])) for i in range(0, len(queries), 256)])


def _ids(index: FlatIndex, queries: Any) -> Any:
    return index.search(queries, K, n_jobs=THREADS).ids


def subjects_of(metric: str, queries: Any, base: Any) -> dict[str, Subject]:
    sign = -1 if metric == "inner" else 1
    subjects: dict[str, Subject] = {
        "raudo": lambda: nearest(queries, base, K, metric, n_jobs=THREADS).ids,
        "numpy": lambda: in_blocks(lambda x: sign * numpy_matrix(x, base, metric), queries),
    }
    for storage in ("int8", "bfloat16"):
        index = FlatIndex(base.shape[1], metric, storage=storage)
        index.add(base)
        subjects[storage] = partial(_ids, index, queries)
    if metric != "inner":
        subjects["scipy"] = lambda: in_blocks(lambda x: cdist(x, base, metric), queries)
    if has("sklearn") and metric != "inner":
        from sklearn.neighbors import NearestNeighbors

        found = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric, n_jobs=THREADS)
        found.fit(base)
        subjects["sklearn"] = lambda: found.kneighbors(queries, return_distance=False)
    if has("faiss") and metric in ("inner", "sqeuclidean"):
        import faiss

        faiss.omp_set_num_threads(THREADS)
        flat = (faiss.IndexFlatIP if metric == "inner" else faiss.IndexFlatL2)(base.shape[1])
        flat.add(base)
        subjects["faiss"] = lambda: flat.search(queries, K)[1]
    return subjects


def check(metric: str, subjects: Mapping[str, Subject], queries: Any, base: Any) -> None:
    """Every subject must find the same rows, but for a few that rounding puts in another order."""
    some = queries[: min(len(queries), 50)]
    if metric == "inner":
        wanted = best(-(some.astype(float) @ base.T.astype(float)))
    else:
        wanted = best(cdist(some, base, metric))
    for name, subject in subjects.items():
        share = (np.asarray(subject())[: len(some)] == wanted).mean()
        assert share > 0.99, f"{name} finds {share:.1%} of the nearest rows"


@pytest.mark.parametrize("metric", ["inner", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("q", [1, 16, 256])
@pytest.mark.parametrize("subject", ["raudo", "numpy", "scipy", "sklearn", "faiss"])
def bench_search(
    benchmark: Any, sized: Callable[[int], int], metric: str, q: int, subject: str
) -> None:
    queries, base = rows(q, 256), rows(max(500, sized(20_000)), 256, 1)
    subjects = subjects_of(metric, queries, base)
    if subject not in subjects:
        pytest.skip(f"{subject} is not installed, or has no {metric}")
    benchmark.group = f"{metric}, {q} queries, {len(base)} x 256 float32, k={K}"
    check(metric, {subject: subjects[subject]}, queries, base)
    benchmark(subjects[subject])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="show that it runs, not figures")
    quick = parser.parse_args().quick
    n, n_rounds = (1000, 2) if quick else (100_000, 7)
    base = rows(n, 256, 1)
    names = ["raudo", "int8", "bfloat16", "numpy", "faiss", "sklearn", "scipy"]
    print(f"{n} x 256 float32, k={K}, {THREADS} thread(s), {kernels.isa()}, queries a second")
    print(f"{'':<28}{''.join(f'{name:>12}' for name in names)}")
    for metric in ("inner", "sqeuclidean", "cosine"):
        for q in (1, 4, 19, 20, 100) if quick else (1, 4, 5, 19, 20, 100, 1000):
            queries = rows(q, 256, 2)
            subjects = subjects_of(metric, queries, base)
            check(metric, subjects, queries, base)
            seconds = rounds_of(subjects, n_rounds)
            figures = {name: q / taken for name, taken in seconds.items()}
            print_row(f"{metric}, {q} queries", names, figures, "q/s")


if __name__ == "__main__":
    main()
