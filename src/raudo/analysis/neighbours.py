"""The k most similar documents of each, by the cosine of their vectors.

Up to `EXACT_LIMIT` documents every pair is compared: by int8 copies that sift for float32, or where
most numbers of a vector are zero, as in the hashing TF-IDF of short texts, by those that are not
(`csrc/sparse/nearest.h`). That takes a tenth of the time or less, and so is done for ten times as
many. Above, an index of lists is made and searched (`raudo.similarity.IVFIndex`), which for a
million short texts would take as long; it holds a byte a number. Equal vectors are folded into one
first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raudo._core import sparse
from raudo.analysis.copies import fold_vectors

if TYPE_CHECKING:
    from raudo.similarity import IVFIndex

__all__ = ["EXACT_LIMIT", "RECALL", "Neighbours", "Searcher", "find_neighbours", "is_sparse"]

EXACT_LIMIT = 100_000
# Share of the nearest that the index is made to find.
RECALL = 0.95
# It is asked for more: it counts each row among its own 10 nearest, and is tuned by a sample.
_ASKED_RECALL = 0.97
_SPARE = 5
# Documents of more numbers than this share are compared faster by dense products.
_SPARSE_SHARE = 0.25
_SPARSE_GAIN = 10
_SAMPLED = 1_000
_BLOCK = 1024

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
    searcher = Searcher(vectors, copies.first, n_jobs, exact_limit, backend)
    near, cosines = searcher.of_all(k + 1, tick)
    starts, members = copies.members()
    ids, similarities = sparse.spread_copies(
        near, cosines, copies.of, starts, members, k, n_jobs=n_jobs
    )
    return Neighbours(ids, similarities, searcher.method)


class Searcher:
    """Finds the nearest among the rows `rows` of `vectors`, in the way that suits their number.

    `method` says which: `"exact"`, or by lists. Dense products of all pairs may be shared among
    the workers of a `backend` (see `nearest`).
    """

    def __init__(
        self, vectors: Floats, rows: Ints, n_jobs: int, exact_limit: int, backend: object = None
    ) -> None:
        self._vectors, self._rows, self._n_jobs = vectors, rows, n_jobs
        self._backend = backend
        self._is_sparse = is_sparse(vectors[rows[:: max(1, len(rows) // _SAMPLED)]])
        self.method = "exact"
        self._index: IVFIndex | None = None
        if len(rows) > exact_limit * (_SPARSE_GAIN if self._is_sparse else 1):
            from raudo.similarity import IVFIndex

            self.method = f"in lists, for a recall of {RECALL}"
            # Copies of a byte a number choose, the vectors, which are here anyway, decide.
            self._index = IVFIndex(vectors.shape[1], "inner", recall=_ASKED_RECALL, rerank=False)
            self._index.add(self._base)

    @property
    def _base(self) -> Floats:
        whole = len(self._rows) == len(self._vectors)
        return self._vectors if whole else self._vectors[self._rows]

    def of_all(self, k: int, tick: Tick = lambda n: None) -> tuple[Ints, Floats]:
        """Return (ids, cosines), (n, k): the places in `rows` of the nearest of each, itself
        included."""
        if self._is_sparse and self._index is None:
            rows = sparse.SparseRows([(self._vectors, self._rows)], n_jobs=self._n_jobs)
            return rows.nearest(k, n_jobs=self._n_jobs, tick=tick)
        return self._in_blocks(np.arange(len(self._rows)), k, tick)

    def of_some(self, asked: Ints, k: int) -> tuple[Ints, Floats]:
        """Return the same of those at some places."""
        if self._is_sparse and self._index is None:
            others = np.ones(len(self._rows), bool)
            others[asked] = False
            order = np.concatenate([asked, np.flatnonzero(others)])
            least = np.full(len(order), np.inf, np.float32)
            least[: len(asked)] = -np.inf
            rows = sparse.SparseRows([(self._vectors, self._rows[order])], n_jobs=self._n_jobs)
            ids, cosines = rows.meet_first(len(asked), k, least, n_jobs=self._n_jobs)[:2]
            return np.where(ids >= 0, order[ids], -1), cosines
        return self._in_blocks(asked, k, lambda n: None)

    def _in_blocks(self, asked: Ints, k: int, tick: Tick) -> tuple[Ints, Floats]:
        from raudo.similarity import nearest

        ids = np.empty((len(asked), k), np.int64)
        cosines = np.empty((len(asked), k), np.float32)
        base = None if self._index is not None else self._base
        if base is not None and self._backend is not None:
            queries = base if len(asked) == len(base) else base[asked]
            shared = nearest(queries, base, k, "inner", backend=self._backend)
            tick(len(asked))
            return shared.ids, shared.distances.astype(np.float32, copy=False)
        for lo in range(0, len(asked), _BLOCK):
            hi = min(lo + _BLOCK, len(asked))
            queries = self._vectors[self._rows[asked[lo:hi]]]
            if base is None:
                ids[lo:hi], cosines[lo:hi] = self._of_lists(queries, k)
            else:
                ids[lo:hi], cosines[lo:hi] = nearest(queries, base, k, "inner", self._n_jobs)
            tick(hi - lo)
        return ids, cosines

    def _of_lists(self, queries: Floats, k: int) -> tuple[Ints, Floats]:
        assert self._index is not None
        ids = self._index.search(queries, k + k // 2 + _SPARE, n_jobs=self._n_jobs).ids
        others = self._vectors[self._rows[ids]]
        cosines = np.matmul(others, queries[:, :, None])[:, :, 0]
        cosines[ids < 0] = -np.inf
        order = np.lexsort((ids, -cosines), axis=1)[:, :k]
        ids, cosines = (
            np.take_along_axis(ids, order, axis=1),
            np.take_along_axis(cosines, order, axis=1),
        )
        return ids, np.where(ids >= 0, cosines, np.float32(np.nan))


def is_sparse(sample: Floats) -> bool:
    """Tell, by some rows of many, whether to multiply only their numbers other than zero."""
    n_numbers = int(np.count_nonzero(sample))
    return sample.shape[1] <= sparse.MOST_DIMENSIONS and n_numbers <= _SPARSE_SHARE * sample.size
