"""Groups of near-duplicates: the connected components of "similarity reaches the threshold".

Documents with the same set of words are folded into one first, so that ten thousand copies cost
one. Then, for Jaccard similarity, one of two ways is taken, by what the first would cost:

* exact: prefix filtering (`csrc/likeness/join.h`); nothing is missed, whatever the size;
* MinHash bands, where low thresholds and common words make the exact way quadratic: each pair at
  the threshold is proposed with a probability of at least `RECALL`, pairs above it with a higher
  one.

Either way a pair counts only when its exact similarity reaches the threshold: no group is wrong.
Components are chained: two members may differ by more than the threshold where others link them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import likeness, text
from raudo.analysis.copies import Copies, fold, fold_vectors
from raudo.analysis.neighbours import EXACT_LIMIT, Searcher

__all__ = ["RECALL", "Components", "choose_bands", "similar_sets", "similar_vectors"]

RECALL = 0.99
MOST_COMPONENTS = 256
# Postings that are always visited, about a second of two cores; more only where bands would take a
# third of the time or more.
EXACT_VISITS = 300_000_000
_VISIT_S, _COMPONENT_S, _BUCKET_S = 4e-9, 1.5e-10, 1.5e-7
_CHUNK = 512
# What float32 inner products of unit vectors may be off by.
COSINE_SLACK = 1e-6

Ints = NDArray[np.int64]
Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Components:
    """`labels[i]` is the least member of i's component; alone, it is i. `method` says how they were
    found.
    """

    labels: Ints
    method: str


def choose_bands(threshold: float) -> tuple[int, int]:
    """Return (bands, rows): the most selective rows whose bands keep the recall within the
    budget.
    """
    best = (1, 1)
    for rows in range(1, 33):
        one_band = threshold**rows
        misses = math.log1p(-one_band) if one_band < 1 else -math.inf
        bands = max(1, math.ceil(math.log(1 - RECALL) / misses))
        if bands * rows > MOST_COMPONENTS:
            break
        best = (bands, rows)
    return best


def similar_sets(
    offsets: Ints,
    words: NDArray[np.uint64],
    threshold: float,
    n_jobs: int,
    tick: Tick = lambda n: None,
    exact_visits: float | None = None,
) -> Components:
    """Find the components of sets whose Jaccard similarity reaches the threshold, in (0, 1].

    A set without members is similar to nothing. `exact_visits` is how many postings may be visited
    before bands are taken instead.
    """
    sizes = np.diff(offsets)
    copies = fold(text.set_keys(offsets, words), sizes > 0)
    n_distinct = len(copies)
    order = np.argsort(sizes[copies.first], kind="stable")
    starts, members = text.take_rows(offsets, words, copies.first[order])
    terms, n_terms = text.vocabulary(members)
    by_rarity = np.argsort(np.bincount(terms, minlength=n_terms), kind="stable")
    rank_of = np.empty(n_terms, np.uint32)
    rank_of[by_rarity] = np.arange(n_terms, dtype=np.uint32)
    join = likeness.SetJoin(
        starts, likeness.rank_terms(starts, terms, rank_of, n_jobs=n_jobs), threshold
    )
    n_visits = join.build_index(n_terms)
    bands, rows = choose_bands(threshold)
    if exact_visits is None:
        bands_s = bands * (rows * len(members) * _COMPONENT_S + n_distinct * _BUCKET_S)
        exact_visits = max(EXACT_VISITS, 3 * bands_s / _VISIT_S)
    if n_visits <= exact_visits:
        forest = _in_parallel(
            join.n, n_jobs, tick, lambda lo, hi, mine: join.join(lo, hi, mine), n_distinct
        )
        method = "exact"
    else:
        forest = _join_bands(join, starts, members, bands, rows, n_jobs, tick)
        method = f"minhash, {bands} bands of {rows}, recall >= {RECALL}"
    return Components(_labels(copies, order, forest.roots()), method)


def _labels(copies: Copies, order: Ints, roots: Ints) -> Ints:
    """Return the least document of each one's component; `order` is that of the roots' places."""
    least = np.full(len(copies), len(copies.of), np.int64)
    np.minimum.at(least, roots, copies.first[order])
    of_distinct = np.empty(len(copies), np.int64)
    of_distinct[order] = least[roots]
    labels = np.arange(len(copies.of), dtype=np.int64)
    kept = copies.of >= 0
    labels[kept] = of_distinct[copies.of[kept]]
    return labels


def _in_parallel(
    n: int,
    n_jobs: int,
    tick: Tick,
    work: Callable[[int, int, likeness.Forest], None],
    n_members: int,
) -> likeness.Forest:
    """Do `work` on [0, n) in chunks, each thread on a forest of its own; return them merged."""
    chunks = [(lo, min(lo + _CHUNK, n)) for lo in range(0, n, _CHUNK)]
    n_jobs = max(1, min(n_jobs, len(chunks)))
    stop = threading.Event()

    def share(job: int) -> likeness.Forest:
        forest = likeness.Forest(n_members)
        for lo, hi in chunks[job::n_jobs]:
            if stop.is_set():
                break
            work(lo, hi, forest)
            tick(hi - lo)
        return forest

    if n_jobs == 1:
        return share(0)
    with ThreadPoolExecutor(n_jobs, thread_name_prefix="raudo-join") as pool:
        try:
            forests = list(pool.map(share, range(n_jobs)))
        except BaseException:
            stop.set()
            raise
    for other in forests[1:]:
        forests[0].merge(other)
    return forests[0]


def _join_bands(
    join: likeness.SetJoin,
    offsets: Ints,
    words: NDArray[np.uint64],
    bands: int,
    rows: int,
    n_jobs: int,
    tick: Tick,
) -> likeness.Forest:
    forest = likeness.Forest(join.n)
    for band in range(bands):
        numbers = range(band * rows, (band + 1) * rows)
        seeds = np.array(
            [text.hash_bytes(bytes([j & 255, j >> 8])) >> 32 for j in numbers], np.uint32
        )
        signatures = likeness.minhash(offsets, words, seeds, n_jobs=n_jobs)
        bucket = np.zeros(join.n, np.uint64)
        for column in signatures.T:
            bucket = (bucket ^ column) * np.uint64(0x9E3779B97F4A7C15)
            bucket ^= bucket >> np.uint64(29)
        members = np.argsort(bucket, kind="stable").astype(np.int64)
        cuts = np.flatnonzero(np.diff(bucket[members])) + 1
        starts = np.concatenate([[0], cuts, [join.n]]).astype(np.int64)
        _join_buckets(join, starts, members, forest, n_jobs)
        tick(join.n // bands)
    return forest


def _join_buckets(
    join: likeness.SetJoin, starts: Ints, members: Ints, forest: likeness.Forest, n_jobs: int
) -> None:
    sizes = np.diff(starts)
    crowded = np.flatnonzero(sizes > 1)
    kept, flat = text.take_rows(starts, members, crowded)
    found = _in_parallel(
        len(crowded),
        n_jobs,
        lambda n: None,
        lambda lo, hi, mine: join.join_buckets(kept, flat, lo, hi, mine),
        join.n,
    )
    forest.merge(found)


def similar_vectors(
    vectors: NDArray[np.float32],
    threshold: float,
    n_jobs: int,
    tick: Tick = lambda n: None,
    exact_limit: int = EXACT_LIMIT,
    backend: object = None,
) -> Components:
    """Find the components of unit vectors whose cosine reaches the threshold; a zero row is alone.

    By asking for more and more of the nearest while all of them are near enough: of so many vectors
    as `Searcher` takes all pairs of this is exact; above, lists find most pairs, and every pair
    that is found reaches the threshold.
    """
    copies = fold_vectors(vectors)
    n, k = len(copies), 16
    forest = likeness.Forest(n)
    active = np.arange(n)
    searcher = Searcher(vectors, copies.first, n_jobs, exact_limit, backend) if n else None
    while searcher is not None and len(active):
        k = min(k, n)
        if len(active) == n:
            ids, cosines = searcher.of_all(k)
        else:
            ids, cosines = searcher.of_some(active, k)
        near = (cosines >= threshold - COSINE_SLACK) & (ids >= 0)
        left = np.repeat(active, k).reshape(-1, k)[near]
        forest.unite(left, ids[near])
        tick(int(np.count_nonzero(~near[:, -1])))
        if k == n:
            break
        active, k = active[near[:, -1]], k * 4
    labels = _labels(copies, np.arange(n), forest.roots())
    return Components(labels, "exact" if searcher is None else searcher.method)
