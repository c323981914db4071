"""Reads documents in batches, and keeps of them what the later stages need.

A batch is looked up in the store by content; what is not known is computed and, now and then,
written back. Memory is that of the word counts and vectors, and of a few batches of text (of all,
with `keep_texts`); with `memory_bytes` it is bounded, and what goes beyond is mapped from a file.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.ahead import read_ahead
from raudo.analysis.documents import (
    BATCH_CHARS,
    BATCH_DOCUMENTS,
    Batch,
    BatchSource,
    Documents,
    as_batches,
)
from raudo.analysis.embeddings import HashingEmbedding, TextEmbedder
from raudo.analysis.figures import FigureColumns
from raudo.analysis.parts import Parts
from raudo.analysis.spool import Spool
from raudo.analysis.stages import Stages
from raudo.analysis.store import Keys, Rows, Store
from raudo.analysis.words import WordColumns, WordCounts

__all__ = ["WORDS_KIND", "Corpus", "Pending", "count_known", "embed_known", "read_corpus"]

# Three batches are in flight, each with its bytes, its text (up to four bytes a character) and its
# words; they may have a quarter of the memory that is given.
_BATCH_SHARE = 4 * 3 * 16
# What is learned is written when there is so much of it or so much time was spent on it, so that a
# run that is killed leaves most behind.
FLUSH_BYTES = 64 << 20
FLUSH_SECONDS = 5.0
WORDS_KIND = f"words{text.HASH_VERSION}"


@dataclass(slots=True)
class Corpus:
    """The documents of one analysis; `texts` is None where they were not kept.

    Of a kept analysis words and vectors are in `parts`, and put together when they are asked for.
    """

    ids: list[Hashable] = field(default_factory=list)
    paths: list[str | None] = field(default_factory=list)
    texts: list[str] | None = None
    chars: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    hashing: HashingEmbedding | None = None
    parts: Parts | None = None
    _words: WordCounts | None = None
    _vectors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def words(self) -> WordCounts:
        if self._words is None:
            self._words = WordCounts.concatenate([]) if self.parts is None else self.parts.words()
        return self._words

    @words.setter
    def words(self, words: WordCounts) -> None:
        self._words = words

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, d), C order."""
        if self._vectors is None:
            nothing = np.empty((0, 0), np.float32)
            self._vectors = nothing if self.parts is None else self.parts.vectors()
        return self._vectors

    @vectors.setter
    def vectors(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each document, with repeats."""
        return self.words.lengths if self.parts is None else self.parts.lengths

    def vectors_of(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        if self.parts is None:
            return self.vectors[documents]
        return self.parts.vectors_of(documents)


class Pending:
    """Rows that the store has yet to be given."""

    def __init__(self, store: Store | None, kind: str | None) -> None:
        self._store, self._kind = store, kind
        self._keys: list[Keys] = []
        self._rows: list[Rows] = []
        self._seconds, self._bytes = 0.0, 0

    def add(self, keys: Keys, rows: Rows, seconds: float) -> None:
        if self._store is None or self._kind is None:
            return
        self._keys.append(keys)
        self._rows.append(rows)
        self._seconds += seconds
        self._bytes += sum(a.nbytes for a in (*rows.fixed.values(), *rows.ragged.values()))
        if self._bytes >= FLUSH_BYTES or self._seconds >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._store is not None and self._kind is not None and self._keys:
            self._store.add(
                self._kind,
                np.concatenate(self._keys),
                Rows.concatenate(self._rows),
                self._seconds,
            )
        self._keys, self._rows, self._seconds, self._bytes = [], [], 0.0, 0


def read_corpus(
    documents: Documents | BatchSource,
    embedder: TextEmbedder | None,
    store: Store | None,
    stages: Stages,
    *,
    n_jobs: int,
    keep_texts: bool,
    check: Callable[[], None],
    memory_bytes: int | None = None,
    figures: FigureColumns | None = None,
) -> Corpus:
    """Read all documents; `embedder` None leaves the vectors to the hashing TF-IDF of the whole.
    `figures` is shown the texts while they are at hand.

    `check` is called between batches and may raise to end the analysis. A source of batches is read
    by a thread of its own, ahead of the analysis; other iterables by the caller's, which they may
    be tied to.
    """
    corpus = Corpus(texts=[] if keep_texts else None)
    with contextlib.closing(Spool(memory_bytes and memory_bytes * 3 // 4)) as spool:
        chars, vectors = spool.column(np.int64), spool.column(np.float32)
        words = WordColumns(spool)
        new_words = Pending(store, WORDS_KIND)
        new_vectors = Pending(store, embedder.kind if embedder else None)
        try:
            with stages.display("read") as progress:
                for batch in _timed(_batches(documents, memory_bytes), stages):
                    check()
                    texts = batch.texts
                    corpus.ids += batch.ids
                    corpus.paths += batch.paths
                    if corpus.texts is not None:
                        corpus.texts += texts
                    chars.append(np.fromiter(map(len, texts), np.int64, len(texts)))
                    with stages.timed("words", len(texts)) as stage:
                        keys = text.content_keys(texts) if store is not None else None
                        counted = count_known(texts, keys, store, new_words, stage, n_jobs)
                        words.append(counted)
                    if figures is not None:
                        with stages.timed("figures", len(texts)):
                            figures.append(texts, counted)
                    if embedder is not None:
                        with stages.timed("embed", len(texts)) as stage:
                            vectors.append(
                                embed_known(texts, keys, embedder, store, new_vectors, stage)
                            )
                    progress.update(len(texts))
        finally:
            if store is not None:
                with stages.timed("save"):
                    new_words.flush()
                    new_vectors.flush()
        corpus.chars, corpus.words = chars.finish(), words.finish()
        if embedder is not None and len(corpus):
            corpus.vectors = vectors.finish()
    return corpus


def _batches(documents: Documents | BatchSource, memory_bytes: int | None) -> Iterator[Batch]:
    most = BATCH_CHARS
    if memory_bytes is not None:
        most = min(most, max(1 << 16, memory_bytes // _BATCH_SHARE))
    batches = as_batches(documents, most, BATCH_DOCUMENTS)
    ahead = getattr(documents, "reads_ahead", isinstance(documents, BatchSource))
    return read_ahead(batches) if ahead else batches


def _timed(batches: Iterator[Batch], stages: Stages) -> Iterator[Batch]:
    """Count as reading what the analysis waits for."""
    while True:
        with stages.timed("read") as stage:
            batch = next(batches, None)
            stage.items += len(batch) if batch is not None else 0
        if batch is None:
            return
        yield batch


def count_known(
    texts: list[str],
    keys: Keys | None,
    store: Store | None,
    pending: Pending,
    stage: Any,
    n_jobs: int,
) -> WordCounts:
    """Count words, those of texts that the store knows by looking them up."""
    if store is None or keys is None:
        stage.misses += len(texts)
        return WordCounts.of(texts, n_jobs)
    start = time.perf_counter()
    found = store.find(WORDS_KIND, keys)
    known = _words_of(found.rows)
    hits = found.positions if known is not None else found.positions[:0]
    looked = time.perf_counter() - start
    stage.hits += len(hits)
    stage.misses += len(texts) - len(hits)
    if len(hits):
        stage.saved_s += max(0.0, found.seconds - looked)
    if known is not None and len(hits) == len(texts):
        return known
    missing = np.setdiff1d(np.arange(len(texts)), hits, assume_unique=True)
    start = time.perf_counter()
    fresh = WordCounts.of([texts[i] for i in missing], n_jobs)
    rows = Rows(
        {"lengths": fresh.lengths}, {"words": fresh.words, "counts": fresh.counts}, fresh.offsets
    )
    pending.add(keys[missing], rows, time.perf_counter() - start)
    if known is None:
        return fresh
    place = np.empty(len(texts), np.int64)
    place[np.concatenate([hits, missing])] = np.arange(len(texts))
    return WordCounts.concatenate([known, fresh]).take(place)


def _words_of(rows: Rows | None) -> WordCounts | None:
    """Return the counts that a store handed out; None for rows that are not of this shape."""
    if rows is None or rows.offsets is None:
        return None
    words, counts = rows.ragged.get("words"), rows.ragged.get("counts")
    lengths = rows.fixed.get("lengths")
    if words is None or counts is None or lengths is None:
        return None
    if words.dtype != np.uint64 or counts.dtype != np.uint32 or len(words) != len(counts):
        return None
    return WordCounts(rows.offsets, words, counts, lengths.astype(np.int64, copy=False))


def embed_known(
    texts: list[str],
    keys: Keys | None,
    embedder: TextEmbedder,
    store: Store | None,
    pending: Pending,
    stage: Any,
) -> NDArray[np.float32]:
    """Embed texts, those that the store knows by looking them up."""
    if store is None or keys is None or embedder.kind is None:
        stage.misses += len(texts)
        return embedder.encode(texts)
    start = time.perf_counter()
    found = store.find(embedder.kind, keys)
    known = found.rows.fixed.get("vectors") if found.rows is not None else None
    hits = found.positions if known is not None else found.positions[:0]
    looked = time.perf_counter() - start
    missing = np.setdiff1d(np.arange(len(texts)), hits, assume_unique=True)
    stage.hits += len(hits)
    stage.misses += len(missing)
    if len(hits):
        stage.saved_s += max(0.0, found.seconds - looked)
    if not len(missing) and known is not None:
        return known
    start = time.perf_counter()
    fresh = embedder.encode([texts[i] for i in missing])
    pending.add(keys[missing], Rows({"vectors": fresh}), time.perf_counter() - start)
    if known is None:
        return fresh
    if known.shape[1] != fresh.shape[1]:
        raise ValueError(
            f"embedder {embedder.name!r} returned {fresh.shape[1]} dimensions, the cache holds "
            f"{known.shape[1]}: give it another embedder_name"
        )
    vectors = np.empty((len(texts), fresh.shape[1]), np.float32)
    vectors[hits], vectors[missing] = known, fresh
    return vectors
