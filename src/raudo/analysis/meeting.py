"""A few documents meet all: they find their neighbours, and are offered to the lists of the others.

By products of the numbers other than zero where most are zero, else by dense ones; either way each
product is taken once for both sides, or the cheaper half of twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raudo._core import sparse
from raudo.analysis.neighbours import is_sparse
from raudo.analysis.parts import Parts

__all__ = ["Meeting", "Offer", "meet"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
# Products that are looked through at once: 4 MB of float32 are still in a cache.
_BLOCK_PRODUCTS = 1 << 20
_SAMPLED = 500


@dataclass(frozen=True, slots=True)
class Offer:
    """To each of `documents` (h,) the best above its end: `ids` (h, width), -1 for none."""

    documents: Ints
    ids: Ints
    cosines: Floats


@dataclass(slots=True)
class Meeting:
    """The lists of those that came, (m, width), best first, and what they offer to the others."""

    ids: Ints
    cosines: Floats
    offers: list[Offer] = field(default_factory=list)


def meet(
    parts: Parts, filled: Bools, came: Ints, hearing: Bools, ends: Floats, width: int, n_jobs: int
) -> Meeting:
    """Let documents `came` meet the `filled` ones; each of the `hearing` is told of those that are
    nearer than its end. Who came hears nothing.
    """
    if not len(came):
        return Meeting(np.empty((0, width), np.int64), np.empty((0, width), np.float32))
    vectors = parts.vectors_of(came)
    if is_sparse(vectors[:: max(1, len(came) // _SAMPLED)]):
        return _meet_sparse(parts, vectors, filled, came, hearing, ends, width, n_jobs)
    return _meet_dense(parts, vectors, filled, came, hearing, ends, width, n_jobs)


def _meet_sparse(
    parts: Parts,
    vectors: Floats,
    filled: Bools,
    came: Ints,
    hearing: Bools,
    ends: Floats,
    width: int,
    n_jobs: int,
) -> Meeting:
    # Sums of 16 bits do not tell products near zero from zero.
    sure = ends > (1.5 * parts.dimensions + 3) / (1 << 14)
    others = filled.copy()
    others[came] = False
    pieces, documents = [(vectors, np.arange(len(came)))], [came]
    for part, documents_of in parts.each():
        rows = _rows_of(documents_of, others)
        pieces.append((part.vectors, rows))
        documents.append(documents_of[rows])
    number = np.concatenate(documents)
    least = np.where(hearing & sure, ends, np.float32(np.inf))[number]
    least[: len(came)] = -np.inf
    ids, cosines, told, offered, values = sparse.SparseRows(pieces, n_jobs=n_jobs).meet_first(
        len(came), width + 1, least, n_jobs=n_jobs
    )
    met = _without_self(_named(number, ids), cosines, came)
    met.offers.append(Offer(number[told], _named(number, offered), values))
    unsure = np.flatnonzero(hearing & ~sure)
    step = max(1, _BLOCK_PRODUCTS // len(came))
    for lo in range(0, len(unsure), step):
        block = unsure[lo : lo + step]
        met.offers += _offers(block, parts.vectors_of(block), vectors, came, ends[block], width)
    return met


def _meet_dense(
    parts: Parts,
    vectors: Floats,
    filled: Bools,
    came: Ints,
    hearing: Bools,
    ends: Floats,
    width: int,
    n_jobs: int,
) -> Meeting:
    from raudo.similarity import nearest

    ids, cosines, offers = [], [], []
    step = max(1, _BLOCK_PRODUCTS // len(came))
    for part, documents in parts.each():
        rows = _rows_of(documents, filled)
        if not len(rows):  # all of them went
            continue
        base = part.vectors if len(rows) == len(part) else part.vectors[rows]
        found = nearest(vectors, base, width + 1, "inner", n_jobs)
        ids.append(_named(documents[rows], found.ids))
        cosines.append(found.distances.astype(np.float32))
        rows = _rows_of(documents, hearing)
        for lo in range(0, len(rows), step):
            block = rows[lo : lo + step]
            told = documents[block]
            offers += _offers(told, part.vectors[block], vectors, came, ends[told], width)
    met = _without_self(np.concatenate(ids, axis=1), np.concatenate(cosines, axis=1), came)
    met.ids, met.cosines = _best(met.ids, met.cosines, width)
    met.offers = offers
    return met


def _offers(
    documents: Ints, theirs: Floats, vectors: Floats, came: Ints, ends: Floats, width: int
) -> list[Offer]:
    products = theirs @ vectors.T
    told = np.flatnonzero((products > ends[:, None]).any(axis=1))
    if not len(told):
        return []
    products = products[told]
    ids = np.broadcast_to(came, products.shape)
    if len(came) > width:
        order = np.argpartition(-products, width - 1, axis=1)[:, :width]
        ids, products = came[order], np.take_along_axis(products, order, axis=1)
    above = products > ends[told][:, None]
    return [Offer(documents[told], np.where(above, ids, -1), products)]


def _rows_of(documents: Ints, wanted: Bools) -> Ints:
    """Return the rows of a part that belong to wanted documents."""
    return np.flatnonzero((documents >= 0) & wanted[documents])


def _named(number: Ints, ids: Ints) -> Ints:
    return np.where(ids >= 0, number[ids], -1)


def _without_self(ids: Ints, cosines: Floats, came: Ints) -> Meeting:
    """Return lists without the document itself, which is -1 and -inf from here on."""
    gone = (ids == came[:, None]) | (ids < 0)
    return Meeting(np.where(gone, -1, ids), np.where(gone, np.float32(-np.inf), cosines))


def _best(ids: Ints, cosines: Floats, width: int) -> tuple[Ints, Floats]:
    order = np.lexsort((ids, -cosines), axis=1)[:, :width]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(cosines, order, axis=1)
