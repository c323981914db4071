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

from raudo.analysis.change import Change, Unsaved
from raudo.analysis.corpus import Corpus, read_corpus
from raudo.analysis.documents import Documents
from raudo.analysis.duplicates import Components
from raudo.analysis.embeddings import HashingEmbedding, TextEmbedder, row_products
from raudo.analysis.incremental import Lists, new_labels, new_lists
from raudo.analysis.neighbours import Neighbours
from raudo.analysis.parts import Parts
from raudo.analysis.saved import Saved, load, save
from raudo.analysis.stages import Stages
from raudo.analysis.store import Store
from raudo.analysis.words import WordCounts

__all__ = ["Index"]

Ints = NDArray[np.int64]
# Share of documents that may come or go before the weights of TF-IDF are fitted anew.
REFIT_SHARE = 0.1
# Share of those that came or went from which on groups and neighbours are found anew, which takes
# less.
ANEW_SHARE = 0.25


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
        self._parts = Parts([], np.empty(0, np.int64))
        self._hashing: HashingEmbedding | None = None
        self._groups: dict[str, Any] = {}
        self._labels = np.empty(0, np.int64)
        self._alike = np.empty(0)
        self._lists: Lists | None = None
        self._method = ""

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
        memory_bytes: int | None = None,
    ) -> Corpus:
        """Read what is new, and return all documents with their vectors."""
        unsaved = Unsaved(documents, self._saved)
        fresh = read_corpus(
            unsaved,
            embedder,
            store,
            stages,
            n_jobs=n_jobs,
            keep_texts=False,
            check=check,
            memory_bytes=memory_bytes,
        )
        with stages.timed("read") as stage:
            change = self._change = unsaved.change(fresh.chars)
            stage.items = len(change)
            stage.hits, stage.misses = change.n_unread, len(change) - change.n_unread
        with stages.timed("embed", 0 if embedder is not None else len(fresh)):
            self._parts = self._extended(change, fresh, embedder is None, dimensions, n_jobs)
        self._alike = np.ones(len(change))
        return Corpus(
            change.ids, change.paths, None, change.chars, self._hashing, parts=self._parts
        )

    def _extended(
        self, change: Change, fresh: Corpus, is_hashing: bool, dimensions: int, n_jobs: int
    ) -> Parts:
        """Return the rows of all documents: those that are saved, and new ones."""
        saved, words = self._saved, fresh.words
        if not is_hashing:
            if saved is None or not change.n_known:
                return Parts.of(words, fresh.vectors)
            self._follows = True
            return saved.parts.extended(change.origin, words, fresh.vectors)
        n_gone = 0 if saved is None else len(saved) - change.n_known
        if saved is not None and saved.fit is not None and self._k == saved.settings["k"]:
            self._n_changed = saved.n_changed + max(len(words), n_gone)
            if self._n_changed <= REFIT_SHARE * saved.fit.n:
                self._hashing = HashingEmbedding(saved.fit, dimensions, n_jobs)
                self._follows = True
                vectors = self._hashing.embed(words)
                return saved.parts.extended(change.origin, words, vectors)
        self._n_changed = 0
        whole = words if saved is None else _all_words(saved.parts, change.origin, words)
        self._hashing, vectors = HashingEmbedding.of(whole, dimensions, n_jobs)
        return Parts.of(whole, vectors)

    @property
    def _is_near(self) -> bool:
        change = self._change
        assert change is not None
        return len(change) + change.n_saved - 2 * change.n_known <= ANEW_SHARE * len(change)

    def components(
        self, threshold: float, measure: str, n_jobs: int, whole: Callable[[], Components]
    ) -> Components:
        """Return the groups; `whole` finds those of all documents."""
        self._groups = {"threshold": threshold, "measure": measure}
        saved, change = self._saved, self._change
        assert change is not None  # read comes first
        is_same = saved is not None and saved.settings["groups"] == self._groups
        # Vectors that were weighed anew say nothing of those that were.
        follows = self._follows and change.is_none if measure == "cosine" else self._is_near
        if saved is not None and is_same and follows:
            labels = new_labels(change, self._parts, saved, threshold, n_jobs)
            found = Components(labels, "exact, updated")
        else:
            found = whole()
        self._labels = found.labels
        return found

    def similarities(self, first: Ints, each: Ints) -> NDArray[np.float64]:
        """Return how alike documents each[i] and first[i] are, the first of its group."""
        saved, change = self._saved, self._change
        assert change is not None  # read comes first
        unknown = np.ones(len(each), bool)
        if saved is not None and self._follows and saved.settings["groups"] == self._groups:
            was_first, was = change.origin[first], change.origin[each]
            known = np.flatnonzero((was_first >= 0) & (was >= 0))
            known = known[saved.labels[was[known]] == was_first[known]]
            self._alike[each[known]] = saved.alike[was[known]]
            unknown[known] = False
        left, right = first[unknown], each[unknown]
        if self._groups["measure"] == "jaccard":
            self._alike[right] = self._parts.jaccard(left, right)
        else:
            vectors_of = self._parts.vectors_of
            self._alike[right] = row_products(vectors_of(left), vectors_of(right))
        return self._alike[each]

    def neighbours(self, n_jobs: int, whole: Callable[[int], Neighbours]) -> Neighbours:
        """Return the nearest of each; `whole` finds so many among all documents."""
        k = self._k
        saved, change = self._saved, self._change
        assert change is not None  # read comes first
        n, width = len(change), _width(k)
        fits = saved is not None and saved.settings["k"] == k and saved.near.shape[1] == width
        follows = self._follows and self._is_near and k > 0 and n > width
        if saved is not None and fits and follows:
            method = saved.settings["method"]
            self._lists = new_lists(change, self._parts, saved, k, n_jobs)
        else:
            found = whole(width if k else 0)
            method = found.method
            self._lists = Lists.of(found, n, width)
        self._method = method
        return self._lists.best(min(k, max(0, n - 1)), method)

    def save(self) -> None:
        """Keep what is known now in the place of what was.

        Raises:
            OSError: The folder cannot be written.
        """
        change, lists = self._change, self._lists
        assert change is not None
        assert lists is not None
        hashing, saved = self._hashing, self._saved
        settings = {
            "vectors": self._settings,
            "groups": self._groups,
            "k": self._k,
            "method": self._method,
        }
        if (
            saved is not None
            and change.is_none
            and saved.settings == settings
            and saved.files.equals(change.files)
            and saved.is_settled
        ):
            return
        fit = hashing.fit if hashing is not None else None
        follows = saved is not None and fit is saved.fit
        save(
            self._folder,
            Saved(
                settings,
                change.files,
                change.ids,
                change.paths,
                change.chars,
                change.keys,
                self._parts,
                fit,
                self._n_changed,
                self._labels,
                self._alike,
                lists.ids,
                lists.cosines,
                lists.floors,
                saved.fit_name if saved is not None and follows else "",
                saved.fit_stamp if saved is not None and follows else (),
            ),
        )


def _all_words(parts: Parts, origin: Ints, words: WordCounts) -> WordCounts:
    """Return the words of all documents, saved and new."""
    if len(words) == len(origin):
        return words
    nothing = np.empty((len(words), parts.dimensions), np.float32)
    return parts.extended(origin, words, nothing).words()


def _width(k: int) -> int:
    """Return how many neighbours to keep, so that k are left when some of them go."""
    return k + max(6, k // 2)
