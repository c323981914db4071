"""What is told of each document where it is asked for: sentences, language, top terms, and so on.

Each figure is defined in docs/analysis.md; `tests/reference/figures_model.py` says the same in
plain Python. They are made of the texts while those are at hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import figures, text
from raudo.analysis.languages import detect, letter_classes
from raudo.analysis.words import WordCounts

__all__ = ["TOP_TERMS", "FigureColumns", "Figures"]

TOP_TERMS = 5

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Figures:
    """Columns of n documents; `readability` is NaN where it is not defined."""

    sentences: NDArray[np.int64]
    language: NDArray[np.str_]
    readability: NDArray[np.float64]
    entropy: NDArray[np.float64]
    top_terms: NDArray[np.int64]
    vocabulary: dict[int, str] = field(repr=False)
    """`top_terms` (n, 5) holds numbers into it, -1 for none."""

    def row(self, i: int) -> dict[str, Any]:
        """Return the figures of one document, ready for JSON."""
        readability = float(self.readability[i])
        return {
            "sentences": int(self.sentences[i]),
            "language": str(self.language[i]),
            "top_terms": [self.vocabulary[t] for t in self.top_terms[i].tolist() if t >= 0],
            "readability": None if np.isnan(readability) else round(readability, 2),
            "entropy": round(float(self.entropy[i]), 4),
        }


class FigureColumns:
    """Figures in the making, batch by batch. Holds each distinct word of the corpus once."""

    def __init__(self, n_jobs: int) -> None:
        self._n_jobs = n_jobs
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._spelled: dict[int, str] = {}

    def append(self, texts: list[str], words: WordCounts) -> None:
        classes, _, shares = letter_classes()
        sentences, spoken, syllables, entropy, letters = figures.measure(
            texts, classes, len(shares), n_jobs=self._n_jobs
        )
        language = detect(words, letters)
        readability = np.where(language == "en", reading_ease(sentences, spoken, syllables), np.nan)
        self._parts.append((sentences, language, readability, entropy))
        self._spell(texts, words)

    def _spell(self, texts: list[str], words: WordCounts) -> None:
        """Learn how new words are spelled, from the first text that has each."""
        terms, n_terms = text.vocabulary(words.words)
        first = _first_of_each(terms, n_terms)
        is_new = np.array([each not in self._spelled for each in words.words[first].tolist()], bool)
        first = first[is_new]
        documents = np.unique(np.searchsorted(words.offsets, first, side="right") - 1)
        chosen = [texts[i] for i in documents.tolist()]
        offsets, hashes = text.tokenise(chosen, n_jobs=self._n_jobs)
        at, which = text.find_among(hashes, words.words[first])
        at = np.sort(at[_first_of_each(which, len(first))])
        ends = np.searchsorted(at, offsets).tolist()
        for each, start, lo, hi in zip(chosen, offsets.tolist(), ends, ends[1:], strict=False):
            if lo < hi:
                spelled = _WORD.findall(each.lower())
                for i in at[lo:hi].tolist():
                    self._spelled[int(hashes[i])] = spelled[i - start]

    def finish(self, words: WordCounts) -> Figures:
        """Return the figures of all documents, whose words these are."""
        none = (np.empty(0, np.int64), np.empty(0, "<U3"), np.empty(0), np.empty(0))
        sentences, language, readability, entropy = (
            np.concatenate(column) for column in zip(none, *self._parts, strict=True)
        )
        terms, n_terms = text.vocabulary(words.words)
        frequency = np.bincount(terms, minlength=n_terms)
        idf = np.log((1 + len(words)) / (1 + frequency)) + 1
        top = figures.top_words(
            words.offsets, words.counts, terms, idf, TOP_TERMS, n_jobs=self._n_jobs
        )
        has = top >= 0
        top[has], vocabulary = self._numbered(words.words[top[has]])
        return Figures(sentences, language, readability, entropy, top, vocabulary)

    def _numbered(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], dict[int, str]]:
        numbers, n = text.vocabulary(hashes)
        distinct = np.empty(n, np.uint64)
        distinct[numbers] = hashes
        spelled = (self._spelled[hash_] for hash_ in distinct.tolist())
        return numbers.astype(np.int64), dict(enumerate(spelled))


def _first_of_each(numbers: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Return where each of the numbers [0, n), which all occur, occurs first."""
    first = np.empty(n, np.int64)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]
    return first


def reading_ease(
    sentences: NDArray[np.int64], words: NDArray[np.int64], syllables: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the reading ease of R. Flesch, A new readability yardstick, Journal of Applied
    Psychology 32(3), 1948: about 100 for very easy, below 30 for very hard text; NaN without words.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ease = 206.835 - 1.015 * (words / sentences) - 84.6 * (syllables / words)
    return np.where((words > 0) & (sentences > 0), ease, np.nan)
