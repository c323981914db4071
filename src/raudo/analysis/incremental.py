"""What follows from a change of the documents: groups and neighbours.

    saved analysis, change -> groups: only those that lost or won a member
                           -> neighbours: lists without what went, with what came

Results are those of a whole analysis but for one thing: the weights of TF-IDF stay as they were
fitted until a tenth of the documents have come or gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import likeness
from raudo.analysis.change import Change
from raudo.analysis.copies import distinct_of
from raudo.analysis.duplicates import similar_sets
from raudo.analysis.embeddings import Fit
from raudo.analysis.meeting import meet
from raudo.analysis.neighbours import Neighbours
from raudo.analysis.parts import Parts
from raudo.analysis.saved import Saved

__all__ = ["Lists", "new_labels", "new_lists"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
# Pairs to check for each document above which all are joined anew, which takes as long: copies by
# the hundred met others.
MOST_PAIRS = 8


# --- groups
# -----------------------------------------------------------------------------------------


def new_labels(change: Change, parts: Parts, saved: Saved, threshold: float, n_jobs: int) -> Ints:
    """Return the components of similar sets, as `similar_sets` of the whole does.

    Documents that were in a component with one that went are joined anew, among themselves; new
    ones are compared with all that share one of their rarest words. The rest stays as it was.
    """
    forest = likeness.Forest(len(change))
    if change.is_none:
        return saved.labels
    place, kept = change.place_of(), change.kept
    old_label = saved.labels[change.origin[kept]]
    broken = np.zeros(len(saved), bool)
    broken[saved.labels[place < 0]] = True
    whole = ~broken[old_label]
    forest.unite(kept[whole], place[old_label[whole]])
    again = kept[~whole]
    if len(again):
        words = parts.words_of(again)
        found = similar_sets(words.offsets, words.words, threshold, n_jobs)
        forest.unite(again, again[found.labels])
    pairs = _candidates(change, parts, saved.fit, threshold)
    if pairs is None:
        words = parts.words()
        return similar_sets(words.offsets, words.words, threshold, n_jobs).labels
    left, right = pairs
    if len(left):
        near = parts.reach(left, right, threshold)
        forest.unite(left[near], right[near])
    labels: Ints = forest.roots()
    return labels


def _candidates(
    change: Change, parts: Parts, fit: Fit | None, threshold: float
) -> tuple[Ints, Ints] | None:
    """Return pairs (new document, other) that may reach the threshold; None where they are too
    many.

    A set that is as like x as t shares at least ceil(t |x|) of its members, and so one of any
    |x| - ceil(t |x|) + 1 of them: the rarest, as few others have these.
    """
    fresh = change.fresh
    words = parts.words_of(fresh)
    offsets, members = words.offsets, words.words
    if not len(members):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    sizes = np.diff(offsets)
    of = np.repeat(np.arange(len(fresh)), sizes)
    # The numbers are rounded outward, so that no pair at the threshold is lost.
    prefix = sizes - np.ceil(sizes * threshold * (1 - 1e-9)).astype(np.int64) + 1
    distinct, inverse = np.unique(members, return_inverse=True)
    # Any order does; that of the last fit is known and about right.
    frequency = (
        fit.frequency_of(distinct)
        if fit is not None
        else np.bincount(parts.find(distinct)[1], minlength=len(distinct))
    )
    order = np.lexsort((members, frequency[inverse], of))
    rank = np.arange(len(members)) - np.repeat(offsets[:-1], sizes)
    probing = order[rank < prefix[of]]
    probes = distinct_of(members[probing])
    others, which = parts.find(probes)
    # Pair every new document that probes with a word with every document that has it.
    by_word = np.argsort(which, kind="stable")
    others, which = others[by_word], which[by_word]
    starts = np.searchsorted(which, np.arange(len(probes) + 1))
    mine = np.searchsorted(probes, members[probing])
    counts = starts[mine + 1] - starts[mine]
    if int(counts.sum()) > MOST_PAIRS * len(change):
        return None
    left = np.repeat(fresh[of[probing]], counts)
    ends = np.cumsum(counts)
    within = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
    right = others[np.repeat(starts[mine], counts) + within]
    # Sets as alike as t are of sizes as alike as t.
    sizes_of = parts.sizes
    smaller = np.minimum(sizes_of[left], sizes_of[right])
    larger = np.maximum(sizes_of[left], sizes_of[right])
    fits = (smaller >= larger * (threshold * (1 - 1e-9))) & (left != right)
    pairs = distinct_of(left[fits] * len(change) + right[fits])
    return pairs // len(change), pairs % len(change)


# --- neighbours
# -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lists:
    """The neighbours of n documents, best first: `ids` and `cosines` (n, width), -1 and -inf where
    there is none; whatever a list does not hold has a cosine of at most its floor (n,)."""

    ids: Ints | NDArray[np.int32]
    cosines: Floats
    floors: Floats

    @classmethod
    def of(cls, found: Neighbours, n: int, width: int) -> Lists:
        """Take what was found among all, and leave place for others."""
        ids = np.full((n, width), -1, np.int64)
        cosines = np.full((n, width), -np.inf, np.float32)
        filled = found.ids.shape[1]
        ids[:, :filled] = found.ids
        cosines[:, :filled] = np.where(found.ids >= 0, found.similarities, np.float32(-np.inf))
        return cls(ids, cosines, cosines[:, -1].copy())

    def best(self, k: int, method: str) -> Neighbours:
        ids: Ints = np.ascontiguousarray(self.ids[:, :k], np.int64)
        cosines = np.where(ids >= 0, self.cosines[:, :k], np.float32(np.nan))
        return Neighbours(ids, cosines, method)

    def drop_lost(self) -> None:
        """Close the gaps of those that went."""
        lost = (self.ids < 0) & np.isfinite(self.cosines)
        rows = np.flatnonzero(lost.any(axis=1))
        self.cosines[rows] = np.where(lost[rows], -np.inf, self.cosines[rows])
        order = np.argsort(lost[rows], axis=1, kind="stable")
        self._reorder(rows, self.ids[rows].astype(np.int64), self.cosines[rows], order)

    def clear(self, rows: Ints) -> None:
        self.ids[rows], self.cosines[rows], self.floors[rows] = -1, -np.inf, -np.inf

    def merge(self, rows: Ints, ids: Ints, cosines: Floats) -> None:
        """Put others into the lists of these rows, and raise the floors to what no longer fits."""
        both = np.concatenate([self.ids[rows], ids], axis=1)
        value = np.concatenate([self.cosines[rows], cosines], axis=1)
        value[both < 0] = -np.inf
        order = np.lexsort((both, -value), axis=1)[:, : self.ids.shape[1]]
        self._reorder(rows, both, value, order)
        self.floors[rows] = np.maximum(self.floors[rows], self.cosines[rows, -1])

    def _reorder(self, rows: Ints, ids: Ints, cosines: Floats, order: NDArray[np.intp]) -> None:
        self.ids[rows] = np.take_along_axis(ids, order, axis=1)
        self.cosines[rows] = np.take_along_axis(cosines, order, axis=1)


def new_lists(change: Change, parts: Parts, saved: Saved, k: int, n_jobs: int) -> Lists:
    """Return the lists, of the saved width; at least `k` of each are right.

    A list is right down to its floor. Lists that lost so many that fewer than k are right are
    looked for again.
    """
    if change.is_none:
        return Lists(saved.near, saved.cosines, saved.floors)
    n, width = len(change), saved.near.shape[1]
    kept, fresh = change.kept, change.fresh
    is_small = n <= np.iinfo(np.int32).max
    place = np.append(change.place_of(), -1)  # -1 stays -1
    place = place.astype(np.int32) if is_small else place
    lists = Lists(
        place[saved.near[change.origin]], saved.cosines[change.origin], saved.floors[change.origin]
    )
    lists.clear(fresh)
    lists.drop_lost()
    # A vector of zeros has no neighbours and is nobody's.
    filled = np.ones(n, bool)
    doubtful = np.concatenate([fresh, kept[saved.near[change.origin[kept], 0] < 0]])
    filled[doubtful] = parts.vectors_of(doubtful).any(axis=1)
    # A list that is full, or right down to where it was cut, needs nothing less than its end.
    ends = np.maximum(lists.cosines[:, -1], lists.floors)
    came = fresh[filled[fresh]]
    hearing = filled.copy()
    hearing[came] = False
    found = meet(parts, filled, came, hearing, ends, width, n_jobs)
    lists.merge(came, found.ids, found.cosines)
    for offer in found.offers:
        lists.merge(offer.documents, offer.ids, offer.cosines)
    right = np.count_nonzero(lists.cosines >= lists.floors[:, None], axis=1)
    short = kept[filled[kept] & (right[kept] < k) & np.isfinite(lists.floors[kept])]
    lists.clear(short)
    found = meet(parts, filled, short, np.zeros(n, bool), ends, width, n_jobs)
    lists.merge(short, found.ids, found.cosines)
    return lists
