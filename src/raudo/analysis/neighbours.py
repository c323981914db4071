"""The k most similar documents of each, by the cosine of their vectors.

Up to `EXACT_LIMIT` documents every pair is compared: by int8 copies that sift for float32, or where
most numbers of a vector are zero, as in the hashing TF-IDF of short texts, by those that are not
(`csrc/sparse/nearest.h`). That takes a tenth of the time or less, and so is done for ten times as
many. Above, an index of lists is made and searched (`raudo.similarity.IVFIndex`), which for a
million short texts would take as long. Equal vectors are folded into one first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import sparse
from raudo.analysis.copies import fold_vectors
from raudo.types import Matches

__all__ = ["EXACT_LIMIT", "RECALL", "Neighbours", "find_neighbours", "is_sparse"]

EXACT_LIMIT = 100_000
# Share of the nearest that the index is made to find.
RECALL = 0.95
# Documents of more numbers than this share are compared faster by dense products.
_SPARSE_SHARE = 0.25
_SPARSE_GAIN = 10
_SAMPLED = 1_000
_BLOCK = 4096

Tick = Callable[[int], None]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`ids` (n, k) int64 places of documents, best first, -1 where there are fewer; `similarities`
    (n, k) float32 cosines, NaN there. `method` says how they were found."""

    ids: Ints
    similarities: Floats
    method: str

    @classmethod
    def none(cls, n: int, method: str) -> Neighbours:
        return cls(np.empty((n, 0), np.int64), np.empty((n, 0), np.float32), method)


def find_neighbours(
    vectors: Floats,
    k: int,
    n_jobs: int,
    tick: Tick = lambda n: None,
    exact_limit: int = EXACT_LIMIT,
    backend: object = None,
) -> Neighbours:
    """Find the k nearest of each unit vector; one of zeros has no neighbours and is nobody's.

    Equal cosines are ordered by place. `tick` hears how many documents are done, copies not
    counted. On a `backend` all pairs of dense vectors are compared, if they are.
    """
    if k == 0 or not len(vectors):
        return Neighbours.none(len(vectors), "exact")
    copies = fold_vectors(vectors)
    method = "exact"
    has_gaps = is_sparse(vectors[copies.first[:: max(1, len(copies) // _SAMPLED)]])
    if len(copies) > exact_limit * (_SPARSE_GAIN if has_gaps else 1):
        method = f"in lists, for a recall of {RECALL}"
        near, cosines = _by_index(vectors, copies.first, k, n_jobs, tick)
    elif has_gaps:
        rows = sparse.SparseRows([(vectors, copies.first)], n_jobs=n_jobs)
        near, cosines = rows.nearest(k + 1, n_jobs=n_jobs, tick=tick)
    else:
        near, cosines = _by_products(vectors, copies.first, k, n_jobs, tick, backend)
    starts, members = copies.members()
    ids, similarities = sparse.spread_copies(
        near, cosines, copies.of, starts, members, k, n_jobs=n_jobs
    )
    return Neighbours(ids, similarities, method)


def is_sparse(sample: Floats) -> bool:
    """Tell, by some rows of many, whether to multiply only their numbers other than zero."""
    n_numbers = int(np.count_nonzero(sample))
    return sample.shape[1] <= sparse.MOST_DIMENSIONS and n_numbers <= _SPARSE_SHARE * sample.size


def _by_products(
    vectors: Floats, rows: Ints, k: int, n_jobs: int, tick: Tick, backend: object
) -> tuple[Ints, Floats]:
    from raudo.similarity import nearest

    base = vectors if len(rows) == len(vectors) else vectors[rows]
    if backend is not None:
        found = nearest(base, base, k + 1, "inner", backend=backend)
        tick(len(base))
        return found.ids, found.distances.astype(np.float32, copy=False)
    return _in_blocks(
        len(rows), k + 1, tick, lambda lo, hi: nearest(base[lo:hi], base, k + 1, "inner", n_jobs)
    )


def _by_index(vectors: Floats, rows: Ints, k: int, n_jobs: int, tick: Tick) -> tuple[Ints, Floats]:
    from raudo.similarity import IVFIndex

    index = IVFIndex(vectors.shape[1], "inner", recall=RECALL)
    index.add(vectors if len(rows) == len(vectors) else vectors[rows])
    return _in_blocks(
        len(rows),
        k + 1,
        tick,
        lambda lo, hi: index.search(vectors[rows[lo:hi]], k + 1, n_jobs=n_jobs),
    )


def _in_blocks(
    n: int, k: int, tick: Tick, search: Callable[[int, int], Matches]
) -> tuple[Ints, Floats]:
    """Return (ids, cosines), (n, k), of a search for [lo, hi) that is done block by block."""
    ids = np.empty((n, k), np.int64)
    cosines = np.empty((n, k), np.float32)
    for lo in range(0, n, _BLOCK):
        hi = min(lo + _BLOCK, n)
        ids[lo:hi], cosines[lo:hi] = search(lo, hi)
        tick(hi - lo)
    return ids, cosines
