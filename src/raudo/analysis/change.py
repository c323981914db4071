"""What changed since the last analysis: which documents are new, and which of the saved ones the
others are.

A file whose stamp (place, size, times of its content and state) is the same is not opened; a
document that was read again and has the same id and content is the same. The new ones go on as a
source of their own, through the pipeline that any source goes through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo._core.walk import STAMP_NUMBERS
from raudo.analysis.documents import Batch, BatchSource, Documents, as_batches
from raudo.analysis.saved import Files, Saved
from raudo.analysis.sources import FileSource
from raudo.analysis.sources.walking import Listing

__all__ = ["Change", "Unsaved", "now_ns"]

Ints = NDArray[np.int64]
# Documents that are looked up together.
_OPENED_AT_ONCE = 256


@dataclass(slots=True)
class Change:
    """The documents as they are now. Row i was row `origin[i]`, or is new (-1)."""

    ids: list[Hashable]
    paths: list[str | None]
    origin: Ints
    chars: Ints
    keys: NDArray[np.uint64]
    files: Files
    n_unread: int  # documents of files that were not opened

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_known(self) -> int:
        return int(np.count_nonzero(self.origin >= 0))

    @property
    def fresh(self) -> Ints:
        return np.flatnonzero(self.origin < 0)

    @property
    def kept(self) -> Ints:
        return np.flatnonzero(self.origin >= 0)

    def place_of(self, n_saved: int) -> Ints:
        """Return where each saved row is now, -1 for one that went."""
        place = np.full(n_saved, -1, np.int64)
        place[self.origin[self.kept]] = self.kept
        return place


class Unsaved:
    """The documents that are not saved, as a source; `change` tells, once they are read, where the
    saved ones are.

    `tick` hears of documents that need no more work. For one reader.
    """

    def __init__(
        self,
        documents: Documents,
        saved: Saved | None,
        tick: Callable[[int], object] = lambda n: None,
    ) -> None:
        self._documents, self._saved, self._tick = documents, saved, tick
        self._row_of: dict[Hashable, int] | None = None
        self._ids: list[Hashable] = []
        self._paths: list[str | None] = []
        self._origin: list[Ints] = []
        self._keys: list[NDArray[np.uint64]] = []
        self._files = _FilesMade()
        self._n_unread = 0

    @property
    def reads_ahead(self) -> bool:
        """Whether another thread may read it: what is no source may be tied to its own."""
        return isinstance(self._documents, BatchSource)

    def batches(self, batch_chars: int, batch_documents: int) -> Iterator[Batch]:
        """Yield the new documents in batches of about this size."""
        if isinstance(self._documents, FileSource):
            parts = self._of_files(self._documents)
        else:
            whole = as_batches(self._documents, batch_chars, batch_documents)
            parts = map(self._new_ones, whole)
        batch, n_chars = Batch(), 0
        for part in parts:
            batch.extend(part)
            n_chars += sum(map(len, part.texts))
            if n_chars >= batch_chars or len(batch) >= batch_documents:
                yield batch
                batch, n_chars = Batch(), 0
        if len(batch):
            yield batch

    def change(self, fresh_chars: Ints) -> Change:
        """Return the documents as they are; `fresh_chars` are the lengths of the new ones."""
        origin = np.concatenate([*self._origin, np.empty(0, np.int64)])
        chars = np.empty(len(origin), np.int64)
        chars[origin < 0] = fresh_chars
        if self._saved is not None:
            chars[origin >= 0] = self._saved.chars[origin[origin >= 0]]
        keys = np.concatenate([*self._keys, np.empty((0, 2), np.uint64)])
        files = self._files.finish()
        return Change(self._ids, self._paths, origin, chars, keys, files, self._n_unread)

    # --- documents -------------------------------------------------------------------------------

    def _new_ones(self, batch: Batch) -> Batch:
        """Take documents that were read; return those that are not the saved ones."""
        if not len(batch):
            return batch
        keys = text.content_keys(batch.texts)
        origin = self._known(batch.ids, keys)
        self._ids += batch.ids
        self._paths += batch.paths
        self._origin.append(origin)
        self._keys.append(keys)
        fresh = np.flatnonzero(origin < 0).tolist()
        if len(fresh) == len(batch):
            return batch
        self._tick(len(batch) - len(fresh))
        columns = (batch.ids, batch.texts, batch.paths)
        ids, texts, paths = ([column[i] for i in fresh] for column in columns)
        return Batch(ids, texts, paths)  # type: ignore[arg-type]  # a generator of three types

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

    def _keep(self, lo: int, hi: int) -> None:
        """Take saved rows [lo, hi) as they are."""
        assert self._saved is not None
        self._ids += self._saved.ids[lo:hi]
        self._paths += self._saved.paths[lo:hi]
        self._origin.append(np.arange(lo, hi))
        self._keys.append(self._saved.keys[lo:hi])
        self._n_unread += hi - lo
        self._tick(hi - lo)

    # --- files -----------------------------------------------------------------------------------

    def _of_files(self, source: FileSource) -> Iterator[Batch]:
        known = _KnownFiles(None if self._saved is None else self._saved.files)
        opened = Batch()
        for listing in source.listings():
            places = known.places(listing)
            self._files.begin(listing)
            # Runs of files as they were are taken at once: a call for each costs more than to find
            # it.
            breaks = np.flatnonzero((np.diff(places) != 1) | (places[1:] < 0)) + 1
            at = 0
            for end in (*breaks.tolist(), len(places)):
                first, last = int(places[at]), int(places[at]) + end - at
                if first >= 0 and self._claimed(source, known, first, last):
                    yield self._new_ones(opened)
                    opened = Batch()
                    self._keep(*known.rows(first, last))
                    self._files.keep(known.sizes[first:last])
                else:
                    for number in range(at, end):
                        before, size = _told(source), 0
                        for part in source.read(listing, number):
                            size += len(part)
                            opened.extend(part)
                            if len(opened) >= _OPENED_AT_ONCE:
                                yield self._new_ones(opened)
                                opened = Batch()
                        self._files.add(size, _told(source) == before)
                at = end
        yield self._new_ones(opened)

    def _claimed(self, source: FileSource, known: _KnownFiles, first: int, end: int) -> bool:
        """Claim the ids of files; False where another file now has one of them."""
        assert self._saved is not None
        lo, hi = known.rows(first, end)
        return source.tally.claim_places([str(id_) for id_ in self._saved.ids[lo:hi]])


class _KnownFiles:
    """The files that were saved, numbered, and the rows of their documents."""

    def __init__(self, files: Files | None) -> None:
        files = Files() if files is None else files
        self.sizes = files.sizes
        self._files = files
        self._row_ends = np.concatenate([[0], np.cumsum(files.sizes)]).astype(np.int64)
        self._folders: dict[str, list[range]] = {}
        starts = [0, *files.ends.tolist()]
        for folder, lo, hi in zip(files.folders, starts, starts[1:], strict=False):
            self._folders.setdefault(folder, []).append(range(lo, hi))

    def rows(self, first: int, end: int) -> tuple[int, int]:
        return int(self._row_ends[first]), int(self._row_ends[end])

    def places(self, listing: Listing) -> Ints:
        """Return the number of each file that may be taken unopened, -1 for the others."""
        names, stamps, found = listing.names, listing.stamps, self._folders.get(listing.folder)
        if stamps is None or found is None:
            return np.full(len(names), -1, np.int64)
        saved = self._files
        mine = found[0]
        if len(found) == 1 and saved.names[mine.start : mine.stop] == names:
            places = np.arange(mine.start, mine.stop)
        else:
            place_of = {saved.names[i]: i for each in found for i in each}
            places = np.array([place_of.get(name, -1) for name in names], np.int64)
        same = (places >= 0) & saved.is_clean[places] & (saved.stamps[places] == stamps).all(axis=1)
        return np.where(same, places, -1)


class _FilesMade:
    """The files of this run, as they are met."""

    def __init__(self) -> None:
        self._folders: list[str] = []
        self._starts: list[int] = []
        self._names: list[str] = []
        self._stamps: list[Ints] = []
        self._sizes: list[Iterable[int]] = []
        self._clean: list[bool] = []
        self._is_settled = np.empty(0, np.bool_)
        self._number = 0

    def begin(self, listing: Listing) -> None:
        self._folders.append(listing.folder)
        self._starts.append(len(self._names))
        self._names += listing.names
        stamps = listing.stamps
        if stamps is None:
            stamps = np.zeros((len(listing.names), STAMP_NUMBERS), np.int64)
        self._stamps.append(stamps)
        # A file that changes again within the tick of the clock gets the same times: what was
        # written just now is read once more next time.
        self._is_settled = (stamps[:, 3:].max(axis=1) < now_ns()) & (stamps[:, 1] != 0)
        self._number = 0

    def keep(self, sizes: Ints) -> None:
        self._sizes.append(sizes.tolist())
        self._clean += [True] * len(sizes)
        self._number += len(sizes)

    def add(self, size: int, is_clean: bool) -> None:
        self._sizes.append((size,))
        self._clean.append(is_clean and bool(self._is_settled[self._number]))
        self._number += 1

    def finish(self) -> Files:
        return Files(
            self._folders,
            np.array([*self._starts[1:], len(self._names)][: len(self._starts)], np.int64),
            self._names,
            np.concatenate([*self._stamps, np.empty((0, STAMP_NUMBERS), np.int64)]),
            np.array([size for each in self._sizes for size in each], np.int64),
            np.array(self._clean, np.bool_),
        )


def now_ns() -> int:
    """Return the time as the system stamps files with it."""
    coarse = getattr(time, "CLOCK_REALTIME_COARSE", None)
    return time.time_ns() if coarse is None else time.clock_gettime_ns(coarse)


def _told(source: FileSource) -> tuple[int, int, int]:
    """Return how much was told of files so far."""
    skipped = sum(map(len, source.skipped.values()))
    return skipped, len(source.badly_encoded), len(source.notes)
