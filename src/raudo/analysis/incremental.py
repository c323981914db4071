"""What changed since the last analysis, and what of it follows.

    saved analysis + source -> corpus, and for each document the saved one it is (`origin`)
    -> groups: only those that lost or won a member
    -> neighbours: lists without what went, with what came

A file whose stamp (place, size, time) is the same is not opened; a document that was read again and
has the same id and content is the same. Results are those of a whole analysis but for one thing:
the weights of TF-IDF stay as they were fitted until a tenth of the documents have come or gone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core import likeness, text
from raudo.analysis.documents import BATCH_CHARS, Batch, Documents, as_batches
from raudo.analysis.duplicates import similar_sets
from raudo.analysis.embeddings import Fit
from raudo.analysis.neighbours import Neighbours
from raudo.analysis.saved import Files, Saved
from raudo.analysis.sources import FileSource
from raudo.analysis.sources.files import Entry, Stamp
from raudo.analysis.words import WordCounts

__all__ = ["Change", "new_labels", "new_neighbours", "read_change"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Count = Callable[[list[str], NDArray[np.uint64]], WordCounts]
# Pairs to check above which all are joined anew: thousands of copies met thousands of new ones.
MOST_PAIRS = 20_000_000


@dataclass(slots=True)
class Change:
    """The documents as they are now. Row i was row `origin[i]`, or is new (-1)."""

    ids: list[Hashable]
    paths: list[str | None]
    origin: Ints
    chars: Ints
    keys: NDArray[np.uint64]
    words: WordCounts
    fresh_texts: list[str] | None
    files: Files
    n_unread: int  # documents of files that were not opened

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fresh(self) -> Ints:
        return np.flatnonzero(self.origin < 0)

    def place_of(self, n_saved: int) -> Ints:
        """Return where each saved row is now, -1 for one that went."""
        place = np.full(n_saved, -1, np.int64)
        kept = np.flatnonzero(self.origin >= 0)
        place[self.origin[kept]] = kept
        return place


class _Reader:
    """Collects the documents, telling those that are saved from new ones."""

    def __init__(self, saved: Saved | None, count: Count, keep_texts: bool) -> None:
        self._saved, self._count = saved, count
        self.texts: list[str] | None = [] if keep_texts else None
        self.ids: list[Hashable] = []
        self.paths: list[str | None] = []
        self._origin: list[Ints] = []
        self._chars: list[Ints] = []
        self._keys: list[NDArray[np.uint64]] = []
        self._words: list[WordCounts] = []
        self._row_of: dict[Hashable, int] | None = None

    def keep(self, lo: int, hi: int) -> None:
        """Take saved rows [lo, hi) as they are."""
        assert self._saved is not None
        self.ids += self._saved.ids[lo:hi]
        self.paths += self._saved.paths[lo:hi]
        self._origin.append(np.arange(lo, hi))
        self._words.append(self._saved.words.rows(lo, hi))
        self._chars.append(self._saved.chars[lo:hi])
        self._keys.append(self._saved.keys[lo:hi])

    def read(self, batch: Batch) -> None:
        """Take documents that were read; those with a known id and content are the saved ones."""
        keys = text.content_keys(batch.texts)
        origin = self._known(batch.ids, keys)
        fresh = np.flatnonzero(origin < 0).tolist()
        texts = batch.texts if len(fresh) == len(batch) else [batch.texts[i] for i in fresh]
        words = self._count(texts, keys[origin < 0])
        if self._saved is not None and len(fresh) < len(batch):
            known = np.flatnonzero(origin >= 0)
            place = np.empty(len(batch), np.int64)
            place[np.concatenate([known, np.flatnonzero(origin < 0)])] = np.arange(len(batch))
            both = [self._saved.words.take(origin[known]), words]
            words = WordCounts.concatenate(both).take(place)
        self._words.append(words)
        if self.texts is not None:
            self.texts += texts
        self.ids += batch.ids
        self.paths += batch.paths
        self._origin.append(origin)
        self._chars.append(np.fromiter(map(len, batch.texts), np.int64, len(batch)))
        self._keys.append(keys)

    def _known(self, ids: list[Hashable], keys: NDArray[np.uint64]) -> Ints:
        if self._saved is None:
            return np.full(len(ids), -1, np.int64)
        if self._row_of is None:
            self._row_of = {id_: row for row, id_ in enumerate(self._saved.ids)}
        rows = np.array([self._row_of.get(id_, -1) for id_ in ids], np.int64)
        same = np.flatnonzero(rows >= 0)
        is_same = (self._saved.keys[rows[same]] == keys[same]).all(axis=1)
        rows[same[~is_same]] = -1
        return rows

    def finish(self, files: Files, n_unread: int) -> Change:
        origin = np.concatenate([*self._origin, np.empty(0, np.int64)])
        return Change(
            self.ids,
            self.paths,
            origin,
            np.concatenate([*self._chars, np.empty(0, np.int64)]),
            np.concatenate([*self._keys, np.empty((0, 2), np.uint64)]),
            WordCounts.concatenate(self._words),
            self.texts,
            files,
            n_unread,
        )


def read_change(
    documents: Documents,
    saved: Saved | None,
    count: Count,
    keep_texts: bool,
    tick: Callable[[int], object] = lambda n: None,
) -> Change:
    """Read what is not saved; a source of files is not opened where it need not be.

    `count` counts the words of new documents; `keep_texts` keeps their texts, for a model.
    """
    reader = _Reader(saved, count, keep_texts)
    if not isinstance(documents, FileSource):
        for batch in as_batches(documents):
            reader.read(batch)
            tick(len(batch))
        return reader.finish(Files(), 0)
    return _FileReader(documents, saved, reader, tick).read()


class _FileReader:
    """Walks files; takes the documents of those that are as they were, and opens the others.

    Neighbouring files are taken together: a call for each would cost more than finding it.
    """

    def __init__(
        self,
        source: FileSource,
        saved: Saved | None,
        reader: _Reader,
        tick: Callable[[int], object],
    ) -> None:
        self._source, self._saved, self._reader, self._tick = source, saved, reader, tick
        # files as they were and their sizes; their documents are [lo, hi)
        self._unopened: list[tuple[Entry, int]] = []
        self._lo = self._hi = 0
        self._batch, self._n_chars = Batch(), 0
        self._names: list[str] = []
        self._stamps: list[Stamp] = []
        self._sizes: list[int] = []
        self._clean: list[bool] = []
        self._n_unread = 0

    def read(self) -> Change:
        known = _saved_files(self._saved)
        for entry in self._source.entries():
            lo, hi, stamp = known.get(entry.name, (0, 0, None))
            if stamp is None or stamp != entry.stamp:
                self._take()
                self._open(entry)
                continue
            if lo != self._hi:
                self._take()
                self._lo = lo
            self._unopened.append((entry, hi - lo))
            self._hi = hi
        self._take()
        self._flush()
        files = Files(
            self._names,
            np.array(self._stamps, np.int64).reshape(-1, 4),
            np.array(self._sizes, np.int64),
            np.array(self._clean, np.uint8),
        )
        return self._reader.finish(files, self._n_unread)

    def _take(self) -> None:
        """Take the documents of the files that are as they were."""
        saved, entries, lo, hi = self._saved, self._unopened, self._lo, self._hi
        self._unopened, self._lo, self._hi = [], 0, 0
        if saved is None or not entries:
            return
        if not self._source.tally.claim_places([str(id_) for id_ in saved.ids[lo:hi]]):
            for entry, _ in entries:  # another file now has one of these ids
                self._open(entry)
            return
        self._flush()
        self._reader.keep(lo, hi)
        self._n_unread += hi - lo
        self._names += [entry.name for entry, _ in entries]
        self._stamps += [entry.stamp or (0, 0, 0, 0) for entry, _ in entries]
        self._sizes += [size for _, size in entries]
        self._clean += [True] * len(entries)
        self._tick(hi - lo)

    def _open(self, entry: Entry) -> None:
        before, size = _told(self._source), 0
        for part in self._source.read(entry):
            self._batch.extend(part)
            size += len(part)
            self._n_chars += sum(map(len, part.texts))
            if self._n_chars >= BATCH_CHARS:
                self._flush()
        self._names.append(entry.name)
        self._stamps.append(entry.stamp or (0, 0, 0, 0))
        self._sizes.append(size)
        self._clean.append(entry.stamp is not None and _told(self._source) == before)
        self._tick(size)

    def _flush(self) -> None:
        if len(self._batch):
            self._reader.read(self._batch)
        self._batch, self._n_chars = Batch(), 0


def _saved_files(saved: Saved | None) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """Return the rows and stamp of each file that may be taken unopened."""
    if saved is None:
        return {}
    files = saved.files
    ends = np.cumsum(files.sizes).tolist()
    stamps = map(tuple, files.stamps.tolist())
    return {
        name: (end - size, end, stamp)
        for name, end, size, stamp, is_clean in zip(
            files.names, ends, files.sizes.tolist(), stamps, files.is_clean.tolist(), strict=True
        )
        if is_clean
    }


def _told(source: FileSource) -> tuple[int, int, int]:
    """Return how much was told of files so far."""
    skipped = sum(map(len, source.skipped.values()))
    return skipped, len(source.badly_encoded), len(source.notes)


# --- groups
# -----------------------------------------------------------------------------------------


def new_labels(change: Change, saved: Saved, threshold: float, n_jobs: int) -> Ints:
    """Return the components of similar sets, as `similar_sets` of the whole does.

    Documents that were in a component with one that went are joined anew, among themselves; new
    ones are compared with all that share one of their rarest words. The rest stays as it was.
    """
    n, words = len(change), change.words
    forest = likeness.Forest(n)
    place = change.place_of(len(saved))
    kept = np.flatnonzero(change.origin >= 0)
    old_label = saved.labels[change.origin[kept]]
    broken = np.zeros(len(saved), bool)
    broken[saved.labels[place < 0]] = True
    whole = ~broken[old_label]
    _unite_equal(forest, kept[whole], old_label[whole])
    again = kept[~whole]
    if len(again):
        offsets, members = text.take_rows(words.offsets, words.words, again)
        found = similar_sets(offsets, members, threshold, n_jobs)
        forest.unite(again, again[found.labels])
    pairs = _candidates(change, saved.fit, threshold)
    if pairs is None:
        return similar_sets(words.offsets, words.words, threshold, n_jobs).labels
    left, right = pairs
    if len(left):
        alike = likeness.jaccard_pairs(words.offsets, words.words, left, right)
        near = alike >= threshold
        forest.unite(left[near], right[near])
    labels: Ints = forest.roots()
    return labels


def _unite_equal(forest: likeness.Forest, rows: Ints, labels: Ints) -> None:
    order = np.argsort(labels, kind="stable")
    rows, labels = rows[order], labels[order]
    same = np.flatnonzero(labels[1:] == labels[:-1])
    forest.unite(rows[same], rows[same + 1])


def _candidates(change: Change, fit: Fit | None, threshold: float) -> tuple[Ints, Ints] | None:
    """Return pairs (new document, other) that may reach the threshold; None where they are too
    many.

    A set that is as like x as t shares at least ceil(t |x|) of its members, and so one of any
    |x| - ceil(t |x|) + 1 of them: the rarest, as few others have these.
    """
    words, fresh = change.words, change.fresh
    offsets, members = text.take_rows(words.offsets, words.words, fresh)
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
        else np.bincount(text.find_among(words.words, distinct)[1], minlength=len(distinct))
    )
    order = np.lexsort((members, frequency[inverse], of))
    rank = np.arange(len(members)) - np.repeat(offsets[:-1], sizes)
    probing = order[rank < prefix[of]]
    probes = np.unique(members[probing])
    at, which = text.find_among(words.words, probes)
    others = np.searchsorted(words.offsets, at, side="right") - 1
    # Pair every new document that probes with a word with every document that has it.
    by_word = np.argsort(which, kind="stable")
    others, which = others[by_word], which[by_word]
    starts = np.searchsorted(which, np.arange(len(probes) + 1))
    mine = np.searchsorted(probes, members[probing])
    counts = starts[mine + 1] - starts[mine]
    if int(counts.sum()) > MOST_PAIRS:
        return None
    left = np.repeat(fresh[of[probing]], counts)
    ends = np.cumsum(counts)
    within = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
    right = others[np.repeat(starts[mine], counts) + within]
    pairs = np.unique(left * len(change) + right)
    left, right = pairs // len(change), pairs % len(change)
    apart = left != right
    return left[apart], right[apart]


# --- neighbours
# -------------------------------------------------------------------------------------


def new_neighbours(
    change: Change, saved: Saved, vectors: Floats, k: int, n_jobs: int
) -> tuple[Neighbours, Floats]:
    """Return the lists of the saved width, and their floors; at least `k` of each are right.

    A list is right down to its floor: what it does not hold is no nearer than that. Lists that lost
    so many that fewer than k are right are looked for again.
    """
    from raudo.similarity import nearest

    n, width = len(change), saved.near.shape[1]
    lists = _Lists(
        np.full((n, width), -1, np.int64),
        np.full((n, width), -np.inf, np.float32),
        np.full(n, -np.inf, np.float32),
    )
    filled = np.asarray(vectors.any(axis=1))
    kept, fresh = np.flatnonzero(change.origin >= 0), change.fresh
    if len(kept):
        rows = change.origin[kept]
        place = np.append(change.place_of(len(saved)), -1)  # -1 stays -1
        lists.ids[kept] = place[saved.near[rows]]
        lists.cosines[kept] = np.where(lists.ids[kept] >= 0, saved.cosines[rows], -np.inf)
        lists.floors[kept] = saved.floors[rows]
        came, held = fresh[filled[fresh]], kept[filled[kept]]
        if len(came) and len(held):
            found = nearest(vectors[held], vectors[came], width, "inner", n_jobs)
            # A list that is full, or right down to where it was cut, needs nothing less than its
            # end.
            ends = np.maximum(lists.cosines[held].min(axis=1), lists.floors[held])
            better = np.flatnonzero(found.distances[:, 0] > ends)
            lists.merge(
                held[better],
                np.where(found.ids[better] >= 0, came[found.ids[better]], -1),
                found.distances[better],
            )
    right = np.count_nonzero(lists.cosines >= lists.floors[:, None], axis=1)
    short = (right < k) & np.isfinite(lists.floors)
    asked = np.flatnonzero((short | (change.origin < 0)) & filled)
    if len(asked):
        base = np.flatnonzero(filled)
        found = nearest(vectors[asked], vectors[base], min(width + 1, len(base)), "inner", n_jobs)
        ids = np.where(found.ids >= 0, base[found.ids], -1)
        ids[ids == asked[:, None]] = -1
        lists.clear(asked)
        lists.merge(asked, ids, found.distances)
    return lists.sorted()


@dataclass(slots=True)
class _Lists:
    """Neighbours in the making: -1 and -inf where there is none."""

    ids: Ints
    cosines: Floats
    floors: Floats

    def clear(self, rows: Ints) -> None:
        self.ids[rows], self.cosines[rows], self.floors[rows] = -1, -np.inf, -np.inf

    def merge(self, rows: Ints, ids: Ints, cosines: NDArray[Any]) -> None:
        """Put others into the lists of these rows, and raise the floors to what no longer fits."""
        width = self.ids.shape[1]
        both = np.concatenate([self.ids[rows], ids], axis=1)
        value = np.concatenate([self.cosines[rows], cosines.astype(np.float32)], axis=1)
        value[both < 0] = -np.inf
        order = np.lexsort((both, -value), axis=1)[:, :width]
        self.ids[rows] = np.take_along_axis(both, order, axis=1)
        self.cosines[rows] = np.take_along_axis(value, order, axis=1)
        self.floors[rows] = np.maximum(self.floors[rows], self.cosines[rows, -1])

    def sorted(self) -> tuple[Neighbours, Floats]:
        order = np.argsort(-self.cosines, axis=1, kind="stable")
        ids = np.take_along_axis(self.ids, order, axis=1)
        cosines = np.take_along_axis(self.cosines, order, axis=1)
        return Neighbours(ids, np.where(ids >= 0, cosines, np.nan), "exact"), self.floors
