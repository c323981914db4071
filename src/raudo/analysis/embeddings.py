"""Vectors of documents: the built-in hashing TF-IDF, a function of yours, or a model.

TF-IDF weighs a word by how many documents of the corpus have it, so its vectors belong to one
corpus: what is cached of a document are its word counts, from which the vectors follow in
microseconds. A model's vector depends on the text alone and is cached as it is.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.models import Embedder, Encode, load_model, version_of
from raudo.analysis.words import WordCounts

if TYPE_CHECKING:
    from raudo.concurrency import ParallelExecutor

__all__ = ["Embedder", "Fit", "HashingEmbedding", "TextEmbedder", "row_products", "unit_rows"]

R = TypeVar("R")
Vectors = NDArray[np.float32]


# What a model is given at once: enough to fill its own batches, little beside its weights.
BATCH_TEXTS = 512


@dataclass(frozen=True, slots=True)
class Fit:
    """In how many of `n` documents each word is; `words` ascend. What IDF weights are made of."""

    n: int
    words: NDArray[np.uint64]
    frequency: NDArray[np.int64]

    def frequency_of(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the frequency of each word, 0 for one that is not known."""
        if not len(self.words):
            return np.zeros(len(words), np.int64)
        at = np.minimum(np.searchsorted(self.words, words), len(self.words) - 1)
        return np.where(self.words[at] == words, self.frequency[at], 0)


class HashingEmbedding:
    """TF-IDF hashed with signs to `dimensions`, rows of unit length; its weights are `fit`.

    A word that is `count` times in a document and in `df` of the n documents adds
    `(1 + ln count) * (ln((1 + n) / (1 + df)) + 1)`; one that is in none of them counts as rarest.
    Inner products are estimates of the cosine of the full TF-IDF vectors, off by about
    1 / sqrt(dimensions).
    """

    def __init__(self, fit: Fit | Callable[[], Fit], dimensions: int, n_jobs: int) -> None:
        self._fit = fit
        self.dimensions, self._n_jobs = dimensions, n_jobs
        self.terms = np.empty(0, np.uint32)
        self.frequency = np.empty(0, np.int64)

    @classmethod
    def of(
        cls, words: WordCounts, dimensions: int, n_jobs: int
    ) -> tuple[HashingEmbedding, Vectors]:
        """Fit the weights of a corpus; return them with its vectors. `terms` numbers its words,
        `frequency` counts the documents of each term.
        """
        terms, distinct, frequency = text.count_terms(words.words)

        def fit() -> Fit:
            order = np.argsort(distinct)
            return Fit(len(words), distinct[order], frequency[order])

        made = cls(fit, dimensions, n_jobs)
        made.terms, made.frequency = terms, frequency
        return made, made._weighed(words, terms, _idf(len(words), frequency))

    @property
    def fit(self) -> Fit:
        """What the weights are made of; sorted at first use."""
        if not isinstance(self._fit, Fit):
            self._fit = self._fit()
        return self._fit

    def embed(self, words: WordCounts) -> Vectors:
        """Return the vectors of other documents, (n, d) float32."""
        terms, distinct, _ = text.count_terms(words.words)
        return self._weighed(words, terms, _idf(self.fit.n, self.fit.frequency_of(distinct)))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts."""
        return self.embed(WordCounts.of(texts, 1))

    def _weighed(
        self, words: WordCounts, terms: NDArray[np.uint32], idf: NDArray[np.float64]
    ) -> Vectors:
        return text.embed(
            words.offsets,
            words.words,
            words.counts,
            terms,
            idf,
            self.dimensions,
            n_jobs=self._n_jobs,
        )


def _idf(n: int, frequency: NDArray[np.int64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.log((1 + n) / (1 + frequency)) + 1
    return weights


class TextEmbedder:
    """A function, or a model, that makes a vector of each text.

    A model given by name is loaded at first use and once in a process, whoever asks for it. Texts
    go to it in batches of `BATCH_TEXTS`, never two at once: more than one batch from a thread.

    Args:
        embedder: Called with a list of texts, returns (n, d); or has `.encode` or `.embed` that
            does; or `"wordllama"`, or the name of a sentence-transformers model.
        name: What its vectors are cached under; without one they are not cached, as nothing else
            tells one model's vectors from another's.
    """

    def __init__(self, embedder: Embedder, name: str | None) -> None:
        self._embedder = embedder
        self._encode: Encode | None = None
        self._width: int | None = None
        self._there: _There | None = None
        self._turn = threading.Lock()
        if isinstance(embedder, str):
            name = name or version_of(embedder)
        else:
            self._encode = _encode_of(embedder)
        self.name = name

    @property
    def kind(self) -> str | None:
        """What the store knows its vectors by."""
        return None if self.name is None else f"vectors_{text.hash_bytes(self.name.encode()):016x}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) float32, rows of unit length."""
        if not len(texts):
            return np.empty((0, self._width or 0), np.float32)
        if self._there is not None:
            batches = [texts[lo : lo + BATCH_TEXTS] for lo in range(0, len(texts), BATCH_TEXTS)]
            encoded = self._there.executor.map(
                self._there.encode, batches, kind="process", chunksize=1
            )
            parts = [self._checked(v, len(b)) for v, b in zip(encoded, batches, strict=True)]
            return unit_rows(np.concatenate(parts))
        if self._encode is None:
            self._encode = load_model(str(self._embedder))
        if len(texts) <= BATCH_TEXTS:  # a loop and its thread would take longer than one question
            return unit_rows(self._encode_batch(list(texts)))
        return _run(self._in_batches, texts)

    def on(self, executor: ParallelExecutor) -> TextEmbedder:
        """Return one that has batches encoded by the executor's workers, several at once."""
        other = copy.copy(self)
        encode = executor.share(partial(_encode_there, self._embedder))
        other._there = _There(executor, encode)
        return other

    async def _in_batches(self, texts: Sequence[str]) -> Vectors:
        from raudo.concurrency import BatchProcessor  # the hashing embedder does without it

        whole = np.empty((0, 0), np.float32)

        def encode(places: list[int]) -> list[None]:
            nonlocal whole
            rows = self._encode_batch([texts[i] for i in places])
            if not len(whole):
                whole = np.empty((len(texts), rows.shape[1]), np.float32)
            whole[places] = unit_rows(rows)
            return [None] * len(places)

        async with BatchProcessor(BATCH_TEXTS, max_concurrent=1, name="embed") as batches:
            await batches.process(range(len(texts)), encode)
        return whole

    def _encode_batch(self, texts: list[str]) -> Vectors:
        assert self._encode is not None
        with self._turn:
            return self._checked(self._encode(texts), len(texts))

    def _checked(self, given: Any, n: int) -> Vectors:
        try:
            vectors: Vectors = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"embedder returned no matrix of numbers: {error}") from error
        if vectors.ndim != 2 or len(vectors) != n:
            raise ValueError(
                f"embedder returned shape {vectors.shape} for {n} texts, wanted ({n}, d)"
            )
        if self._width is not None and vectors.shape[1] != self._width:
            raise ValueError(
                f"embedder returned {vectors.shape[1]} dimensions, earlier {self._width}"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("embedder returned numbers that are not finite")
        self._width = vectors.shape[1]
        return vectors


class _There(NamedTuple):
    """Where texts are encoded, if not here, and by what."""

    executor: ParallelExecutor
    encode: Callable[..., Any]


def _encode_of(embedder: Any) -> Encode:
    own: Encode | None = getattr(embedder, "encode", None) or getattr(embedder, "embed", None)
    if own is None and not callable(embedder):
        raise TypeError(
            f"embedder is {type(embedder).__name__}, wanted 'hashing', a model's name, "
            "a callable, or an object with .encode or .embed"
        )
    return embedder if own is None else own


def _encode_there(embedder: Embedder, texts: list[str]) -> Any:
    encode = load_model(embedder) if isinstance(embedder, str) else _encode_of(embedder)
    return np.asarray(encode(texts), dtype=np.float32)


def _run(work: Callable[[Sequence[str]], Coroutine[Any, Any, R]], texts: Sequence[str]) -> R:
    """Run a coroutine function to its end, also for a caller that is on an event loop."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work(texts))
    with ThreadPoolExecutor(1, thread_name_prefix="raudo-embed") as pool:
        return pool.submit(lambda: asyncio.run(work(texts))).result()


def unit_rows(vectors: NDArray[np.float32]) -> Vectors:
    """Return the rows scaled to unit length; zero rows stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    scaled: Vectors = np.ascontiguousarray(vectors / lengths, dtype=np.float32)
    return scaled


def row_products(left: Vectors, right: Vectors) -> Vectors:
    """Return the inner product of each two rows of one number."""
    products: Vectors = np.einsum("ij,ij->i", left, right)
    return products
