"""`Index`: an analysis that is kept on disk and brought up to date instead of made anew.

Each step either follows from the saved one and what changed (`incremental.py`), or, where settings
or too many documents changed, is done whole; the caller brings the functions that do that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.analysis.corpus import WORDS_KIND, Corpus, Pending, count_known, embed_known
from raudo.analysis.documents import Documents
from raudo.analysis.duplicates import Components
from raudo.analysis.embeddings import HashingEmbedding, TextEmbedder
from raudo.analysis.incremental import Change, new_labels, new_neighbours, read_change
from raudo.analysis.neighbours import Neighbours
from raudo.analysis.saved import Saved, load, save
from raudo.analysis.stages import Stages
from raudo.analysis.store import Store

__all__ = ["Index"]

# Share of documents that may come or go before the weights of TF-IDF are fitted anew.
REFIT_SHARE = 0.1


class Index:
    """One run of an analysis on a saved one. For one thread.

    Args:
        folder: Where the analysis is kept; made when it is missing.
        settings: What vectors depend on beside the texts; others make all anew.
        k: How many neighbours of each are asked for; another number looks for all of them anew.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], k: int) -> None:
        self._folder, self._settings, self._k = folder, settings, k
        found = load(folder)
        same = found is not None and found.settings.get("vectors") == settings
        self._saved: Saved | None = found if same else None
        self._follows = False  # whether vectors of known documents are what they were
        self._n_changed = 0
        self._change: Change | None = None
        self._corpus = Corpus()
        self._groups: dict[str, Any] = {}
        self._labels: NDArray[np.int64] | None = None
        self._near: tuple[Neighbours, NDArray[np.float32]] | None = None

    def read(
        self,
        documents: Documents,
        embedder: TextEmbedder | None,
        store: Store | None,
        stages: Stages,
        *,
        dimensions: int,
        n_jobs: int,
        check: Callable[[], None],
    ) -> Corpus:
        """Read what is new, and return all documents with their vectors."""
        saved = self._saved
        new_words = Pending(store, WORDS_KIND)
        new_vectors = Pending(store, embedder.kind if embedder is not None else None)

        def count(texts: list[str], keys: NDArray[np.uint64]) -> Any:
            check()
            with stages.timed("words", len(texts)) as stage:
                return count_known(texts, keys, store, new_words, stage, n_jobs)

        try:
            with stages.display("read") as progress, stages.timed("read") as stage:
                words_s = stages.get("words").seconds
                change = read_change(documents, saved, count, embedder is not None, progress.update)
                stage.seconds -= stages.get("words").seconds - words_s
            stage.items = len(change)
            stage.hits, stage.misses = change.n_unread, len(change) - change.n_unread
            with stages.timed("embed", len(change)) as stage:
                hashing, vectors = self._vectors(
                    change, embedder, store, new_vectors, stage, dimensions, n_jobs
                )
        finally:
            new_words.flush()
            new_vectors.flush()
        self._change = change
        self._corpus = Corpus(
            change.ids, change.paths, None, change.chars, change.words, vectors, hashing
        )
        return self._corpus

    def _vectors(
        self,
        change: Change,
        embedder: TextEmbedder | None,
        store: Store | None,
        pending: Pending,
        stage: Any,
        dimensions: int,
        n_jobs: int,
    ) -> tuple[HashingEmbedding | None, NDArray[np.float32]]:
        saved, fresh = self._saved, change.fresh
        n_gone = 0 if saved is None else len(saved) - (len(change) - len(fresh))
        hashing: HashingEmbedding | None = None
        if embedder is None:
            if saved is not None and saved.fit is not None and self._k == saved.settings["k"]:
                self._n_changed = saved.n_changed + max(len(fresh), n_gone)
                if self._n_changed <= REFIT_SHARE * saved.fit.n:
                    hashing = HashingEmbedding(saved.fit, dimensions, n_jobs)
            if hashing is None:
                self._n_changed = 0
                return HashingEmbedding.of(change.words, dimensions, n_jobs)
            made = hashing.embed(change.words.take(fresh))
        else:
            texts = change.fresh_texts or []
            made = embed_known(texts, change.keys[fresh], embedder, store, pending, stage)
        if saved is None or len(fresh) == len(change):
            return hashing, made
        self._follows = True
        vectors = np.empty((len(change), saved.vectors.shape[1]), np.float32)
        kept = np.flatnonzero(change.origin >= 0)
        vectors[kept] = saved.vectors[change.origin[kept]]
        if len(fresh):
            vectors[fresh] = made
        return hashing, vectors

    def components(
        self, threshold: float, measure: str, n_jobs: int, whole: Callable[[], Components]
    ) -> Components:
        """Return the groups; `whole` finds those of all documents."""
        self._groups = {"threshold": threshold, "measure": measure}
        saved, change = self._saved, self._change
        assert change is not None  # read comes first
        if saved is None or measure != "jaccard" or saved.settings["groups"] != self._groups:
            found = whole()
        else:
            found = Components(new_labels(change, saved, threshold, n_jobs), "exact, updated")
        self._labels = found.labels
        return found

    def neighbours(self, n_jobs: int, whole: Callable[[int], Neighbours]) -> Neighbours:
        """Return the nearest of each; `whole` finds so many among all documents."""
        k = self._k
        saved, change = self._saved, self._change
        assert change is not None  # read comes first
        n, width = len(change), _width(k)
        fits = saved is not None and saved.settings["k"] == k and saved.near.shape[1] == width
        if saved is not None and fits and self._follows and k > 0 and n > width:
            found, floors = new_neighbours(change, saved, self._corpus.vectors, k, n_jobs)
        else:
            found = _padded(whole(width if k else 0), n, width)
            ends = np.where(found.ids[:, -1] >= 0, found.similarities[:, -1], -np.inf)
            floors = ends.astype(np.float32)
        self._near = found, floors
        return Neighbours(
            np.ascontiguousarray(found.ids[:, : min(k, max(0, n - 1))]),
            np.ascontiguousarray(found.similarities[:, : min(k, max(0, n - 1))]),
            found.method,
        )

    def save(self) -> None:
        """Keep what is known now in the place of what was.

        Raises:
            OSError: The folder cannot be written.
        """
        change, corpus = self._change, self._corpus
        assert change is not None
        assert self._labels is not None
        assert self._near is not None
        found, floors = self._near
        hashing = corpus.hashing
        save(
            self._folder,
            Saved(
                {"vectors": self._settings, "groups": self._groups, "k": self._k},
                change.files,
                change.ids,
                change.paths,
                change.chars,
                change.keys,
                change.words,
                hashing.fit if hashing is not None else None,
                self._n_changed,
                corpus.vectors,
                self._labels,
                found.ids,
                np.where(found.ids >= 0, found.similarities, -np.inf).astype(np.float32),
                floors,
            ),
        )


def _width(k: int) -> int:
    """Return how many neighbours to keep, so that k are left when some of them go."""
    return k + max(6, k // 2)


def _padded(found: Neighbours, n: int, width: int) -> Neighbours:
    if found.ids.shape == (n, width):
        return found
    ids = np.full((n, width), -1, np.int64)
    similarities = np.full((n, width), np.nan, np.float32)
    ids[:, : found.ids.shape[1]] = found.ids
    similarities[:, : found.ids.shape[1]] = found.similarities
    return Neighbours(ids, similarities, found.method)
