"""The words and vectors of documents, in the parts in which they came.

An analysis that is kept grows by a part a run; nothing that was written is written again but when
small parts are put together. A part is a file, or waits to be one. Which of its rows still belong
to a document is told by `slots`: the place of each document when the rows of all parts are counted
through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import likeness, text
from raudo.analysis.stamps import Stamp
from raudo.analysis.words import WordCounts

__all__ = ["Part", "Parts"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
# Of the first part, by far the largest, so many rows may be of no use before all is written anew.
_MOST_IDLE = 0.25


@dataclass(frozen=True, slots=True)
class Part:
    """Words and vectors of some rows, and the name of the file that has them, "" for none, with the
    stamp that it had when it was last found to be whole."""

    words: WordCounts
    vectors: Floats
    name: str = ""
    stamp: Stamp = ()

    def __len__(self) -> int:
        return len(self.words)


class Parts:
    """Rows of n documents; document i has row `slots[i]`. Nothing of it is changed."""

    def __init__(self, parts: Sequence[Part], slots: Ints) -> None:
        self.parts, self.slots = tuple(parts), slots
        self._starts = np.cumsum([0, *map(len, self.parts)]).astype(np.int64)
        self._documents: Ints | None = None

    @classmethod
    def of(cls, words: WordCounts, vectors: Floats) -> Parts:
        return cls([Part(words, vectors)], np.arange(len(words), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.slots)

    def extended(self, origin: Ints, words: WordCounts, vectors: Floats) -> Parts:
        """Return the rows of documents of which i was `origin[i]` here, or is the next one of
        these."""
        fresh = origin < 0
        slots = np.empty(len(origin), np.int64)
        slots[~fresh] = self.slots[origin[~fresh]]
        slots[fresh] = self._starts[-1] + np.arange(np.count_nonzero(fresh))
        more = [Part(words, vectors)] if len(words) else []
        return Parts([*self.parts, *more], slots)

    def compact(self) -> Parts:
        """Return the same in fewer parts, each more than twice as large as all after it.

        So there are as many as the size has digits, and a row is written as often.
        """
        sizes = [int(np.count_nonzero(documents >= 0)) for _, documents in self.each()]
        first = max(0, len(sizes) - 1)
        while first and sizes[first - 1] <= 2 * sum(sizes[first:]):
            first -= 1
        if sizes and sizes[0] < (1 - _MOST_IDLE) * len(self.parts[0]):
            first = 0
        elif first >= len(sizes) - 1:
            return self
        start = int(self._starts[first])
        moved = np.flatnonzero(self.slots >= start)
        moved = moved[np.argsort(self.slots[moved], kind="stable")]
        slots = self.slots.copy()
        slots[moved] = start + np.arange(len(moved))
        last = [Part(self.words_of(moved), self.vectors_of(moved))] if len(moved) else []
        return Parts([*self.parts[:first], *last], slots)

    def each(self) -> Iterator[tuple[Part, Ints]]:
        """Yield each part with the document of each of its rows, -1 for none."""
        if self._documents is None:
            self._documents = np.full(int(self._starts[-1]), -1, np.int64)
            self._documents[self.slots] = np.arange(len(self.slots))
        for part, start in zip(self.parts, self._starts.tolist(), strict=False):
            yield part, self._documents[start : start + len(part)]

    @property
    def dimensions(self) -> int:
        return int(self.parts[0].vectors.shape[1]) if self.parts else 0

    @property
    def lengths(self) -> Ints:
        """The words of each document with repeats, (n,)."""
        parts = [part.words.lengths for part in self.parts]
        return np.concatenate([*parts, np.empty(0, np.int64)])[self.slots]

    @property
    def sizes(self) -> Ints:
        """The distinct words of each document, (n,)."""
        parts = [np.diff(part.words.offsets) for part in self.parts]
        return np.concatenate([*parts, np.empty(0, np.int64)])[self.slots]

    def words(self) -> WordCounts:
        """Return the words of all documents; a copy where they are in several parts."""
        if self._is_plain():
            return self.parts[0].words
        return self.words_of(np.arange(len(self)))

    def vectors(self) -> Floats:
        """Return the vectors of all documents; a copy where they are in several parts."""
        if self._is_plain():
            return self.parts[0].vectors
        return self.vectors_of(np.arange(len(self)))

    def _is_plain(self) -> bool:
        return (
            len(self.parts) == 1
            and len(self.parts[0]) == len(self)
            and bool((self.slots == np.arange(len(self))).all())
        )

    def words_of(self, documents: Ints) -> WordCounts:
        taken, order = [], [np.empty(0, np.int64)]
        for part, mine, rows in self._taken(documents):
            taken.append(part.words.take(rows))
            order.append(mine)
        if len(taken) == 1:
            return taken[0]
        return WordCounts.concatenate(taken).take(np.argsort(np.concatenate(order)))

    def vectors_of(self, documents: Ints) -> Floats:
        vectors = np.empty((len(documents), self.dimensions), np.float32)
        for part, mine, rows in self._taken(documents):
            vectors[mine] = part.vectors[rows]
        return vectors

    def _taken(self, documents: Ints) -> Iterator[tuple[Part, Ints, Ints]]:
        """Yield the parts that have some of these, which of them, and their rows there."""
        slots = self.slots[documents]
        part_of = np.searchsorted(self._starts, slots, side="right") - 1
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(part_of == number)
            if len(mine):
                yield part, mine, slots[mine] - self._starts[number]

    def jaccard(self, left: Ints, right: Ints) -> NDArray[np.float64]:
        """Return the similarity of the sets of words of documents left[i] and right[i]."""
        documents, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        words = self.words_of(documents)
        left, right = places[: len(left)], places[len(left) :]
        return likeness.jaccard_pairs(words.offsets, words.words, left, right)

    def reach(self, left: Ints, right: Ints, threshold: float) -> NDArray[np.bool_]:
        """Tell whether documents left[i], few, and right[i] are as alike as `threshold`."""
        documents, places = np.unique(left, return_inverse=True)
        mine = self.words_of(documents)
        reached = np.zeros(len(left), bool)
        for part, at, rows in self._taken(right):
            theirs = part.words
            reached[at] = likeness.reach(
                mine.offsets,
                mine.words,
                places[at],
                theirs.offsets,
                theirs.words,
                rows,
                threshold,
            )
        return reached

    def find(self, words: NDArray[np.uint64]) -> tuple[Ints, Ints]:
        """Return (documents, which): each document that has `words[which]`; words are distinct."""
        found, which = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part, documents in self.each():
            at, number = text.find_among(part.words.words, words)
            rows = np.searchsorted(part.words.offsets, at, side="right") - 1
            alive = documents[rows] >= 0
            found.append(documents[rows][alive])
            which.append(number[alive])
        return np.concatenate(found), np.concatenate(which)
