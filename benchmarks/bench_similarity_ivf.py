"""Approximate search in lists beside hnswlib and faiss.

    python benchmarks/bench_similarity_ivf.py                       synthetic clusters; --quick
    python benchmarks/bench_similarity_ivf.py --vectors FILE.npy    (n, d) float32, shuffled

Each subject is set to find the wanted share of the 10 nearest (a found row that is as near as the
10th counts), then all are timed by turns: medians, in queries a second. The last 1,000 rows of the
file are the queries, the first `--rows` the base. One thread searches; BENCH_THREADS=n sets another
number. All cores build, and what they do is counted: processor seconds, which are the same on a
machine that others use.

Of a million rows an index takes minutes to build: `--cache DIR` keeps them there, and `--build`
stops when they are built, or after about a minute, to go on in the next run. `--only raudo,faiss`
leaves out the others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # pytest does not put it there

import numpy as np

from bench_similarity_distances import THREADS, has
from raudo._core import kernels
from raudo.similarity import FlatIndex, IVFIndex, nearest

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


@dataclass
class Cache:
    """A folder of built indexes, and the processor seconds that each took."""

    folder: Path | None
    deadline: float

    def file(self, name: str, n: int) -> Path | None:
        return self.folder / f"{name}-{n}" if self.folder else None

    def seconds(self, name: str, n: int) -> float:
        file = self.file(name, n)
        noted = file and file.with_suffix(".seconds")
        return float(noted.read_text()) if noted and noted.exists() else 0.0

    def spent(self, name: str, n: int, seconds: float) -> float:
        file, total = self.file(name, n), self.seconds(name, n) + seconds
        if file:
            file.with_suffix(".seconds").write_text(str(total))
        return total


class Unfinished(Exception):
    """An index is built in part."""


def kept(
    name: str,
    base: Any,
    cache: Cache,
    load: Callable[[str], Any],
    make: Callable[[], Any],
    save: Callable[[Any, str], None],
) -> tuple[Any, float]:
    """Return an index and the processor seconds that it took."""
    file = cache.file(name, len(base))
    if file and file.exists():
        return load(str(file)), cache.seconds(name, len(base))
    begun = time.process_time()
    index = make()
    seconds = time.process_time() - begun
    if file:
        save(index, str(file))
        cache.spent(name, len(base), seconds)
    return index, seconds


def raudo(base: Any, cache: Cache) -> tuple[list[Search], float]:
    def make() -> IVFIndex:
        index = IVFIndex(base.shape[1], "inner", recall=RECALL)
        index.add(base)
        return index

    index, seconds = kept("raudo", base, cache, IVFIndex.load, make, IVFIndex.save)
    return [lambda queries: index.search(queries, K, n_jobs=THREADS).ids], seconds


def hnswlib(base: Any, cache: Cache) -> tuple[list[Search], float]:
    import hnswlib

    index = hnswlib.Index("ip", base.shape[1])
    file = cache.file("hnswlib", len(base))
    if file and file.exists():
        index.load_index(str(file), max_elements=len(base))
    else:
        index.init_index(len(base), M=16, ef_construction=200)
    begun, done = time.process_time(), index.element_count
    step = 20_000
    while done < len(base) and time.perf_counter() < cache.deadline:
        index.add_items(base[done : done + step], np.arange(done, min(done + step, len(base))))
        done = index.element_count
    seconds = time.process_time() - begun
    if file and seconds > 1:
        index.save_index(str(file))
        seconds = cache.spent("hnswlib", len(base), seconds)
    else:
        seconds += cache.seconds("hnswlib", len(base))
    if done < len(base):
        raise Unfinished(f"hnswlib holds {done} of {len(base)} rows")

    def search(queries: Any, ef: int) -> Any:
        index.set_ef(ef)
        return index.knn_query(queries, K, num_threads=THREADS)[0]

    settings = [
        lambda queries, ef=ef: search(queries, ef)
        for ef in (40, 60, 80, 100, 120, 140, 160, 180, 200, 250, 300, 400, 600)
    ]
    return settings, seconds


def faiss(base: Any, cache: Cache) -> tuple[list[Search], float]:
    """IVF, PQ fast scan and rows: as many lists as raudo has; of 100,000 rows 512 too."""
    import faiss

    d, settings, total = base.shape[1], [], 0.0

    def make(n_lists: int) -> Any:
        faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
        index = faiss.index_factory(
            d, f"IVF{n_lists},PQ{d // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT
        )
        clustering = faiss.downcast_index(index.base_index).cp
        clustering.niter, clustering.max_points_per_centroid = 10, 64
        index.train(base)
        index.add(base)
        return index

    def search(index: Any, queries: Any, n_probe: int, factor: int) -> Any:
        lists = faiss.IVFSearchParameters(nprobe=n_probe)
        options = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists)
        return index.search(queries, K, params=options)[1]

    of_many = int(4 * np.sqrt(len(base)))
    for n_lists in (512, of_many) if 50_000 <= len(base) < 200_000 else (of_many,):
        index, seconds = kept(
            f"faiss{n_lists}",
            base,
            cache,
            faiss.read_index,
            lambda n_lists=n_lists: make(n_lists),
            faiss.write_index,
        )
        faiss.omp_set_num_threads(THREADS)
        total = max(total, seconds)
        settings += [
            lambda queries, index=index, n_probe=n_probe, factor=factor: search(
                index, queries, n_probe, factor
            )
            for n_probe in (32, 64, 96, 128, 160, 200, 256, 320, 400)
            if n_probe <= n_lists
            for factor in (4, 8, 16)
        ]
    return settings, total


def flat(base: Any, cache: Cache) -> tuple[list[Search], float]:
    index = FlatIndex(base.shape[1], "inner", storage="int8")
    begun = time.process_time()
    index.add(base)
    seconds = time.process_time() - begun
    return [lambda queries: index.search(queries, K, n_jobs=THREADS).ids], seconds


def seconds_of(search: Search, queries: Any) -> float:
    start = time.perf_counter()
    search(queries)
    return time.perf_counter() - start


def chosen(settings: list[Search], base: Any, queries: Any, tenth: Any) -> tuple[Search, float]:
    """Return the fastest setting that finds enough, or the last one, and what it finds."""
    enough = []
    for search in settings:
        begun = time.perf_counter()
        found = search(queries)
        seconds = time.perf_counter() - begun
        recall = recall_of(found, base, queries, tenth)
        if recall >= RECALL:
            enough.append((seconds, recall, search))
    if not enough:
        return settings[-1], recall
    _, recall, search = min(enough, key=lambda each: each[0])
    return search, recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="show that it runs, not figures")
    parser.add_argument("--vectors", help="(n, d) float32 unit rows, .npy")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", help="subjects, of raudo, flat, hnswlib, faiss")
    parser.add_argument("--cache", type=Path, help="a folder to keep built indexes in")
    parser.add_argument("--build", action="store_true", help="build into --cache, and stop")
    options = parser.parse_args()
    n, n_queries, n_rounds = (6_000, 50, 2) if options.quick else (options.rows, 1_000, 5)
    rows = np.load(options.vectors, mmap_mode="r") if options.vectors else clusters(n + n_queries)
    base = np.ascontiguousarray(rows[: min(n, len(rows) - n_queries)])
    queries = np.ascontiguousarray(rows[-n_queries:])
    makers = {"raudo": raudo, "flat": flat}
    makers |= {name: maker for name, maker in (("hnswlib", hnswlib), ("faiss", faiss)) if has(name)}
    if options.only:
        makers = {name: makers[name] for name in options.only.split(",")}
    deadline = time.perf_counter() + (60 if options.build else np.inf)
    cache = Cache(options.cache, deadline)

    subjects, build_seconds = {}, {}
    tenth = exact_tenth(base, queries)
    for name, maker in makers.items():
        try:
            settings, build_seconds[name] = maker(base, cache)
        except Unfinished as error:
            print(error)
            continue
        if not options.build:
            subjects[name] = chosen(settings, base, queries, tenth)
    if options.build:
        return

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
    columns = f"{'recall':>8}{'build cpu s':>13}{f'{n_queries} at once':>15}{'one':>8}"
    print(f"{'':<12}{columns}  queries a second")
    for name, (_, recall) in subjects.items():
        together = 1 / statistics.median(batch[name])
        # The mean: hard queries look into more lists.
        alone = 1 / statistics.fmean(single[name])
        print(f"{name:<12}{recall:>8.3f}{build_seconds[name]:>13.2f}{together:>15.0f}{alone:>8.0f}")


def exact_tenth(base: Any, queries: Any) -> Any:
    """Return the K-th largest inner product of each query (q, 1)."""
    exact = nearest(queries, base, K, metric="inner").ids
    return np.einsum("qd,qd->q", base[exact[:, -1]], queries)[:, None]


if __name__ == "__main__":
    main()
