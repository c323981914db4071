"""The k most similar documents of each, by the cosine of their vectors.

Exact below `EXACT_LIMIT` documents. Above it all pairs would take hours, so that each document is
compared with those that share its rarest words (`csrc/likeness/candidates.h`): about as good for
near documents, blind to pairs that share only frequent words. Vectors of an embedder of one's own
have no words to go by, and stay exact at every size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import likeness
from raudo.analysis.words import WordCounts
from raudo.types import Matches

__all__ = ["EXACT_LIMIT", "Neighbours", "exact_neighbours", "likely_neighbours"]

EXACT_LIMIT = 50_000
_BLOCK = 4096

Tick = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`ids` (n, k) int64 places of documents, best first, -1 where there are fewer; `similarities`
    (n, k) float32 cosines, NaN there. `method` says how they were found."""

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]
    method: str

    @classmethod
    def none(cls, n: int, method: str) -> Neighbours:
        return cls(np.empty((n, 0), np.int64), np.empty((n, 0), np.float32), method)


def exact_neighbours(
    vectors: NDArray[np.float32], k: int, n_jobs: int, tick: Tick = lambda n: None
) -> Neighbours:
    """Compare every pair. A document without a vector (zeros) has no neighbours and is nobody's."""
    from raudo.similarity import nearest

    n = len(vectors)
    ids = np.full((n, k), -1, np.int64)
    similarities = np.full((n, k), np.nan, np.float32)
    filled = np.flatnonzero(vectors.any(axis=1))
    base = np.ascontiguousarray(vectors[filled])
    for lo in range(0, len(filled), _BLOCK):
        mine = np.arange(lo, min(lo + _BLOCK, len(filled)))
        # One more than asked for: the document itself is among its nearest, or is tied out of them.
        found = nearest(base[mine], base, min(k + 1, len(base)), metric="inner", n_jobs=n_jobs)
        near, cosines = _without(found, mine, k)
        rows = filled[mine]
        width = near.shape[1]
        ids[rows, :width] = np.where(near >= 0, filled[near], -1)
        similarities[rows, :width] = np.where(near >= 0, cosines, np.nan)
        tick(len(mine))
    return Neighbours(ids, similarities, "exact")


def _without(
    found: Matches, own: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Drop each one's own id, and keep k."""
    kept = np.argsort(found.ids == own[:, None], axis=1, kind="stable")
    kept = kept[:, : min(k, found.ids.shape[1] - 1)]
    return (
        np.take_along_axis(found.ids, kept, axis=1),
        np.take_along_axis(found.distances, kept, axis=1).astype(np.float32),
    )


def likely_neighbours(
    vectors: NDArray[np.float32],
    words: WordCounts,
    terms: NDArray[np.uint32],
    frequency: NDArray[np.int64],
    k: int,
    n_jobs: int,
    tick: Tick = lambda n: None,
) -> Neighbours:
    """Compare each document with those that share its rarest words, and keep the best by cosine."""
    by_rarity = np.argsort(frequency, kind="stable")
    rank_of = np.empty(len(frequency), np.uint32)
    rank_of[by_rarity] = np.arange(len(frequency), dtype=np.uint32)
    ranks = likeness.rank_terms(words.offsets, terms, rank_of, n_jobs=n_jobs)
    idf = np.log((1 + len(words)) / (1 + frequency[by_rarity])) + 1
    ids, similarities = likeness.likely_neighbours(
        words.offsets, ranks, idf.astype(np.float32), vectors, k, n_jobs=n_jobs, tick=tick
    )
    return Neighbours(ids, similarities, "among those that share the rarest words")
