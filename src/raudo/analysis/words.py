"""The words of documents, as counts that depend on the document alone: what may be cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.spool import Spool

__all__ = ["WordColumns", "WordCounts"]


@dataclass(frozen=True, slots=True)
class WordCounts:
    """Distinct words of each document, ascending by hash, and how often they occur.

    Document i holds `words[offsets[i]:offsets[i + 1]]`; `lengths[i]` counts its words with repeats.
    """

    offsets: NDArray[np.int64]
    words: NDArray[np.uint64]
    counts: NDArray[np.uint32]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, texts: Sequence[str], n_jobs: int) -> WordCounts:
        """Cut and count; the texts may be of any length, also empty."""
        return cls(*text.count_words(texts, n_jobs=n_jobs))

    @classmethod
    def concatenate(cls, parts: Sequence[WordCounts]) -> WordCounts:
        if len(parts) == 1:
            return parts[0]
        sizes = [np.diff(part.offsets) for part in parts]
        offsets = np.zeros(sum(map(len, sizes)) + 1, np.int64)
        if parts:
            np.cumsum(np.concatenate(sizes), out=offsets[1:])

        def joined(name: str, dtype: type[np.generic]) -> NDArray[np.generic]:
            return np.concatenate([getattr(part, name) for part in parts] or [np.empty(0, dtype)])

        return cls(
            offsets,
            joined("words", np.uint64),  # type: ignore[arg-type]
            joined("counts", np.uint32),  # type: ignore[arg-type]
            joined("lengths", np.int64),  # type: ignore[arg-type]
        )

    def rows(self, lo: int, hi: int) -> WordCounts:
        """Return documents [lo, hi), without copying their words."""
        start, end = int(self.offsets[lo]), int(self.offsets[hi])
        return WordCounts(
            self.offsets[lo : hi + 1] - start,
            self.words[start:end],
            self.counts[start:end],
            self.lengths[lo:hi],
        )

    def take(self, rows: NDArray[np.int64]) -> WordCounts:
        """Return these documents, in this order."""
        offsets, words = text.take_rows(self.offsets, self.words, rows)
        _, counts = text.take_rows(self.offsets, self.counts, rows)
        return WordCounts(offsets, words, counts, self.lengths[rows])


class WordColumns:
    """Word counts in the making, batch by batch."""

    def __init__(self, spool: Spool) -> None:
        self._sizes = spool.column(np.int64)
        self._words = spool.column(np.uint64)
        self._counts = spool.column(np.uint32)
        self._lengths = spool.column(np.int64)

    def append(self, part: WordCounts) -> None:
        self._sizes.append(np.diff(part.offsets))
        self._words.append(part.words)
        self._counts.append(part.counts)
        self._lengths.append(part.lengths)

    def finish(self) -> WordCounts:
        sizes = self._sizes.finish()
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        return WordCounts(
            offsets, self._words.finish(), self._counts.finish(), self._lengths.finish()
        )
