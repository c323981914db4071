"""Vectors of documents: the built-in hashing TF-IDF, a function of yours, or a model.

TF-IDF weighs a word by how many documents of the corpus have it, so its vectors belong to one
corpus: what is cached of a document are its word counts, from which the vectors follow in
    microseconds. A model's
vector depends on the text alone and is cached as it is.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.words import WordCounts
from raudo.errors import MissingExtra

__all__ = ["Embedder", "HashingEmbedding", "TextEmbedder", "unit_rows"]

Vectors = NDArray[np.float32]


class Model(Protocol):
    """What sentence-transformers models look like from here."""

    def encode(self, sentences: list[str]) -> Any: ...


Embedder = str | Callable[[list[str]], Any] | Model


class HashingEmbedding:
    """TF-IDF of a corpus, hashed with signs to `dimensions`, rows of unit length.

    A word that is `count` times in a document and in `df` of the n documents adds
    `(1 + ln count) * (ln((1 + n) / (1 + df)) + 1)`. Inner products are estimates of the cosine of
    the full TF-IDF vectors, off by about 1 / sqrt(dimensions).
    """

    def __init__(self, words: WordCounts, dimensions: int, n_jobs: int) -> None:
        self.dimensions = dimensions
        self._n = len(words)
        self.terms, n_terms = text.vocabulary(words.words)
        self.frequency = np.bincount(self.terms, minlength=n_terms).astype(np.int64)
        self._known = np.empty(n_terms, np.uint64)
        self._known[self.terms] = words.words
        self._idf = self._weigh(self.frequency)
        self._order: NDArray[np.int64] | None = None
        self.vectors: Vectors = text.embed(
            words.offsets,
            words.words,
            words.counts,
            self.terms,
            self._idf,
            dimensions,
            n_jobs=n_jobs,
        )

    def _weigh(self, frequency: NDArray[np.int64]) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = np.log((1 + self._n) / (1 + frequency)) + 1
        return weights

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed other texts with this corpus's weights; a word it has not seen counts as rarest."""
        words = WordCounts.of(texts, 1)
        if self._order is None:
            self._order = np.argsort(self._known)
        frequency = np.zeros(len(words.words), np.int64)
        if len(self._known):
            at = np.searchsorted(self._known, words.words, sorter=self._order)
            terms = self._order[np.minimum(at, len(self._known) - 1)]
            seen = self._known[terms] == words.words
            frequency[seen] = self.frequency[terms[seen]]
        numbers = np.arange(len(words.words), dtype=np.uint32)
        return text.embed(
            words.offsets,
            words.words,
            words.counts,
            numbers,
            self._weigh(frequency),
            self.dimensions,
        )


class TextEmbedder:
    """A function, or a model with `encode`, that makes a vector of each text; loaded once, at first
    use.

    Args:
        embedder: Called with a list of texts, returns (n, d); or has `.encode` that does; or the
            name of a sentence-transformers model.
        name: What its vectors are cached under; without one they are not cached, as nothing else
            tells one model's vectors from another's.
    """

    def __init__(self, embedder: Embedder, name: str | None) -> None:
        self._embedder = embedder
        self._encode: Callable[[list[str]], Any] | None = None
        self._lock = threading.Lock()
        self._width: int | None = None
        if isinstance(embedder, str):
            name = name or f"sentence-transformers/{embedder}"
        elif hasattr(embedder, "encode"):
            self._encode = embedder.encode
        elif callable(embedder):
            self._encode = embedder
        else:
            raise TypeError(
                f"embedder is {type(embedder).__name__}, wanted 'hashing', a model's name, "
                "a callable, or an object with .encode"
            )
        self.name = name

    @property
    def kind(self) -> str | None:
        """What the store knows its vectors by."""
        return None if self.name is None else f"vectors_{text.hash_bytes(self.name.encode()):016x}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) float32, rows of unit length."""
        if not len(texts):
            return np.empty((0, self._width or 0), np.float32)
        vectors = np.asarray(self._loaded()(list(texts)), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(
                f"embedder returned shape {vectors.shape} for {len(texts)} texts, "
                f"wanted ({len(texts)}, d)"
            )
        if self._width is not None and vectors.shape[1] != self._width:
            raise ValueError(
                f"embedder returned {vectors.shape[1]} dimensions, earlier {self._width}"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("embedder returned numbers that are not finite")
        self._width = vectors.shape[1]
        return unit_rows(vectors)

    def _loaded(self) -> Callable[[list[str]], Any]:
        with self._lock:
            if self._encode is None:
                try:
                    sentence_transformers = importlib.import_module("sentence_transformers")
                except ImportError as error:
                    raise MissingExtra(
                        f"embedder={self._embedder!r} (a sentence-transformers model)", "models"
                    ) from error
                self._encode = sentence_transformers.SentenceTransformer(self._embedder).encode
            return self._encode


def unit_rows(vectors: NDArray[np.float32]) -> Vectors:
    """Return the rows scaled to unit length; zero rows stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    scaled: Vectors = np.ascontiguousarray(vectors / lengths, dtype=np.float32)
    return scaled
