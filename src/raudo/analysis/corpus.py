"""Reads documents in batches, and keeps of them what the later stages need.

A batch is looked up in the store by content; what is not known is computed and, now and then,
written back. Memory is that of the word counts and vectors, and of one batch of text (of all, with
`keep_texts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo.analysis.documents import Document
from raudo.analysis.embeddings import HashingEmbedding, TextEmbedder
from raudo.analysis.stages import Stages
from raudo.analysis.store import Keys, Rows, Store
from raudo.analysis.words import WordCounts

__all__ = ["Corpus", "read_corpus"]

BATCH_CHARS = 32 << 20
BATCH_DOCUMENTS = 1 << 16
# What is learned is written when there is this much of it, so that an interrupted run leaves most
# behind.
FLUSH_BYTES = 64 << 20
WORDS_KIND = f"words{text.HASH_VERSION}"


@dataclass(slots=True)
class Corpus:
    """The documents of one analysis; `texts` is None where they were not kept."""

    ids: list[Hashable] = field(default_factory=list)
    paths: list[str | None] = field(default_factory=list)
    texts: list[str] | None = None
    chars: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    words: WordCounts = field(default_factory=lambda: WordCounts.concatenate([]))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    hashing: HashingEmbedding | None = None

    def __len__(self) -> int:
        return len(self.ids)


class _Pending:
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
        if self._bytes >= FLUSH_BYTES:
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
    documents: Iterator[Document],
    embedder: TextEmbedder | None,
    store: Store | None,
    stages: Stages,
    *,
    n_jobs: int,
    keep_texts: bool,
    check: Callable[[], None],
) -> Corpus:
    """Read all documents; `embedder` None leaves the vectors to the hashing TF-IDF of the whole.

    `check` is called between batches and may raise to end the analysis.
    """
    corpus = Corpus(texts=[] if keep_texts else None)
    seen: set[Hashable] = set()
    counts: list[WordCounts] = []
    vectors: list[NDArray[np.float32]] = []
    chars: list[NDArray[np.int64]] = []
    new_words = _Pending(store, WORDS_KIND)
    new_vectors = _Pending(store, embedder.kind if embedder else None)
    try:
        with stages.display("read") as progress:
            for batch in _batches(documents, stages):
                check()
                texts = [document.text for document in batch]
                for document in batch:
                    if document.id in seen:
                        raise ValueError(
                            f"two documents have the id {document.id!r}, wanted distinct ids"
                        )
                    seen.add(document.id)
                    corpus.ids.append(document.id)
                    corpus.paths.append(document.path)
                if corpus.texts is not None:
                    corpus.texts += texts
                chars.append(np.fromiter(map(len, texts), np.int64, len(texts)))
                with stages.timed("words", len(texts)) as stage:
                    keys = text.content_keys(texts) if store is not None else None
                    counts.append(_count(texts, keys, store, new_words, stage, n_jobs))
                if embedder is not None:
                    with stages.timed("embed", len(texts)) as stage:
                        vectors.append(_embed(texts, keys, embedder, store, new_vectors, stage))
                progress.update(len(texts))
    finally:
        if store is not None:
            with stages.timed("save"):
                new_words.flush()
                new_vectors.flush()
    if counts:
        corpus.chars = np.concatenate(chars)
        corpus.words = WordCounts.concatenate(counts)
    if vectors:
        corpus.vectors = np.concatenate(vectors)
    return corpus


def _batches(documents: Iterable[Document], stages: Stages) -> Iterator[list[Document]]:
    batch: list[Document] = []
    n_chars = 0
    start = time.perf_counter()

    def timed() -> None:
        stage = stages.get("read")
        stage.seconds += time.perf_counter() - start
        stage.items += len(batch)

    for document in documents:
        batch.append(document)
        n_chars += len(document.text)
        if n_chars >= BATCH_CHARS or len(batch) >= BATCH_DOCUMENTS:
            timed()
            yield batch
            batch, n_chars = [], 0
            start = time.perf_counter()
    timed()
    if batch:
        yield batch


def _count(
    texts: list[str],
    keys: Keys | None,
    store: Store | None,
    pending: _Pending,
    stage: Any,
    n_jobs: int,
) -> WordCounts:
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


def _embed(
    texts: list[str],
    keys: Keys | None,
    embedder: TextEmbedder,
    store: Store | None,
    pending: _Pending,
    stage: Any,
) -> NDArray[np.float32]:
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
