"""Approximate search in lists beside hnswlib and faiss.

    python benchmarks/bench_similarity_ivf.py                       synthetic clusters; --quick
    python benchmarks/bench_similarity_ivf.py --vectors FILE.npy    (n, d) float32, shuffled

Each subject is set to find the wanted share of the 10 nearest (a found row that is as near as the
10th counts), then all are timed by turns: medians, in queries a second. The last 1,000 rows of the
file are the queries, the first `--rows` the base. One thread; BENCH_THREADS=n sets another number.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # pytest does not put it there

import numpy as np

from bench_similarity_distances import THREADS, has
from raudo._core import kernels
from raudo.similarity import FlatIndex, IVFIndex

K = 10
RECALL = 0.95
Search = Callable[[Any], Any]


def clusters(n: int, d: int = 256) -> Any:
    """Return unit vectors in clusters of all sizes, in forty dimensions and a little in all."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(8, n // 100), 40))
    owners = (len(centres) * random.random(n) ** 2).astype(int)
    low = centres[owners] + 0.7 * random.standard_normal((n, 40))
    rows = low @ random.standard_normal((40, d)) + 0.5 * random.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def recall_of(ids: Any, base: Any, queries: Any, tenth: Any) -> float:
    ids = np.asarray(ids).astype(np.int64)
    scores = np.einsum("qkd,qd->qk", base[np.maximum(ids, 0)], queries)
    return float(((scores >= tenth - 1e-5) & (ids >= 0)).mean())


def raudo(base: Any) -> list[Search]:
    index = IVFIndex(base.shape[1], "inner", recall=RECALL)
    index.add(base)
    return [lambda queries: index.search(queries, K, n_jobs=THREADS).ids]


def hnswlib(base: Any) -> list[Search]:
    import hnswlib

    index = hnswlib.Index("ip", base.shape[1])
    index.init_index(len(base), M=16, ef_construction=200)
    index.set_num_threads(THREADS)
    index.add_items(base)

    def search(queries: Any, ef: int) -> Any:
        index.set_ef(ef)
        return index.knn_query(queries, K, num_threads=THREADS)[0]

    return [
        lambda queries, ef=ef: search(queries, ef)
        for ef in (20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 250, 300, 400, 600)
    ]


def faiss(base: Any) -> list[Search]:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    n_lists = 512 if len(base) >= 50_000 else 64
    d = base.shape[1]
    index = faiss.index_factory(d, f"IVF{n_lists},PQ{d // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT)
    index.train(base)
    index.add(base)

    def search(queries: Any, n_probe: int, factor: int) -> Any:
        lists = faiss.IVFSearchParameters(nprobe=n_probe)
        options = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists)
        return index.search(queries, K, params=options)[1]

    return [
        lambda queries, n_probe=n_probe, factor=factor: search(queries, n_probe, factor)
        for n_probe in (8, 16, 32, 64, 96, 112, 128, 144, 160, 200, 256)
        if n_probe <= n_lists
        for factor in (2, 4, 8, 16)
    ]


def flat(base: Any) -> list[Search]:
    index = FlatIndex(base.shape[1], "inner", storage="int8")
    index.add(base)
    return [lambda queries: index.search(queries, K, n_jobs=THREADS).ids]


def seconds_of(search: Search, queries: Any) -> float:
    start = time.perf_counter()
    search(queries)
    return time.perf_counter() - start


def chosen(settings: list[Search], base: Any, queries: Any, tenth: Any) -> tuple[Search, float]:
    """Return the fastest setting that finds enough, or the last one, and what it finds."""
    enough = []
    for search in settings:
        recall = recall_of(search(queries), base, queries, tenth)
        if recall >= RECALL:
            enough.append((seconds_of(search, queries), recall, search))
    if not enough:
        return settings[-1], recall
    _, recall, search = min(enough, key=lambda each: each[0])
    return search, recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="show that it runs, not figures")
    parser.add_argument("--vectors", help="(n, d) float32 unit rows, .npy")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    n, n_queries, n_rounds = (6_000, 50, 2) if options.quick else (options.rows, 1_000, 5)
    rows = np.load(options.vectors, mmap_mode="r") if options.vectors else clusters(n + n_queries)
    base = np.ascontiguousarray(rows[: min(n, len(rows) - n_queries)])
    queries = np.ascontiguousarray(rows[-n_queries:])
    makers = {"raudo": raudo, "raudo flat": flat}
    makers |= {name: maker for name, maker in (("hnswlib", hnswlib), ("faiss", faiss)) if has(name)}

    built, build_seconds = {}, {}
    for name, maker in makers.items():
        start = time.perf_counter()
        built[name] = maker(base)
        build_seconds[name] = time.perf_counter() - start
    exact = built["raudo flat"][0](queries)
    tenth = np.einsum("qd,qd->q", base[exact[:, -1]], queries)[:, None]
    subjects = {name: chosen(s, base, queries, tenth) for name, s in built.items()}

    batch: dict[str, list[float]] = {name: [] for name in subjects}
    single: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(n_rounds):
        for name, (search, recall) in subjects.items():
            batch[name].append(seconds_of(search, queries) / n_queries)
            # What is timed is what was checked.
            again = recall_of(search(queries[:50]), base, queries[:50], tenth[:50])
            assert again > recall - 0.15, f"{name} finds {again:.1%}, {recall:.1%} before"
    for i in range(min(200, n_queries)):
        for name, (search, _) in subjects.items():
            single[name].append(seconds_of(search, queries[i : i + 1]))

    print(f"{len(base)} x {base.shape[1]}, k={K}, {THREADS} thread(s), {kernels.isa()}")
    columns = f"{'recall':>8}{'build s':>9}{f'{n_queries} at once':>15}{'one':>8}"
    print(f"{'':<12}{columns}  queries a second")
    for name, (_, recall) in subjects.items():
        together = 1 / statistics.median(batch[name])
        # The mean: hard queries look into more lists.
        alone = 1 / statistics.fmean(single[name])
        print(f"{name:<12}{recall:>8.3f}{build_seconds[name]:>9.2f}{together:>15.0f}{alone:>8.0f}")


if __name__ == "__main__":
    main()
