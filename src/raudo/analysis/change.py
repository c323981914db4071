"""What changed since the last analysis: which documents are new, and which of the saved ones the
others are.

A file whose stamp (place, size, times of its content and state) is the same is not opened, and what
was told of it is told again; a document that was read again and has the same id and content is the
same. The new ones go on as a source of their own, through the pipeline that any source goes
through.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from raudo._core import text
from raudo._core.walk import STAMP_NUMBERS
from raudo.analysis.documents import Batch, BatchSource, Documents, as_batches
from raudo.analysis.saved import Files, Saved
from raudo.analysis.sources import FileSource
from raudo.analysis.sources.tally import Saying
from raudo.analysis.sources.walking import Listing
from raudo.analysis.stamps import now_ns

__all__ = ["Change", "Unsaved"]

T = TypeVar("T")
Ints = NDArray[np.int64]
_NONE = np.empty(0, np.int64)
# Documents that are looked up together.
_OPENED_AT_ONCE = 256
# Of a file of which more was told it is read again, not kept.
_MOST_SAID = 1000


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
    n_saved: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_known(self) -> int:
        return int(np.count_nonzero(self.origin >= 0))

    @property
    def is_none(self) -> bool:
        """Whether every document is the saved one in its place, and there are no others."""
        n = len(self)
        return n == self.n_saved and bool((self.origin == np.arange(n)).all())

    @property
    def fresh(self) -> Ints:
        return np.flatnonzero(self.origin < 0)

    @property
    def kept(self) -> Ints:
        return np.flatnonzero(self.origin >= 0)

    def place_of(self) -> Ints:
        """Return where each saved row is now, -1 for one that went."""
        place = np.full(self.n_saved, -1, np.int64)
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
        self._read = Batch()  # its ids and paths; texts go on
        self._origin: list[Ints] = []  # of those that were read
        self._keys: list[NDArray[np.uint64]] = []
        # The order of all documents: saved rows [lo, hi), or (-1, n): the next n that were read.
        self._runs: list[tuple[int, int]] = []
        self._files = _FilesMade([])

    @property
    def reads_ahead(self) -> bool:
        """Whether another thread may read it: what is no source may be tied to its own."""
        return isinstance(self._documents, BatchSource)

    def batches(self, batch_chars: int, batch_documents: int) -> Iterator[Batch]:
        """Yield the new documents in batches of about this size."""
        if isinstance(self._documents, FileSource):
            parts = self._of_files(self._documents)
        else:
            parts = as_batches(self._documents, batch_chars, batch_documents)
        batch, n_chars = Batch(), 0
        for part in map(self._new_ones, parts):
            batch.extend(part)
            n_chars += sum(map(len, part.texts))
            if n_chars >= batch_chars or len(batch) >= batch_documents:
                yield batch
                batch, n_chars = Batch(), 0
        if len(batch):
            yield batch

    def change(self, fresh_chars: Ints) -> Change:
        """Return the documents as they are; `fresh_chars` are the lengths of the new ones."""
        runs = np.array(self._runs, np.int64).reshape(-1, 2)
        is_kept = runs[:, 0] >= 0
        sizes = np.where(is_kept, runs[:, 1] - runs[:, 0], runs[:, 1])
        origin = np.arange(int(sizes.sum())) + np.repeat(
            runs[:, 0] - np.cumsum(sizes) + sizes, sizes
        )
        was_read = np.repeat(~is_kept, sizes)
        origin[was_read] = np.concatenate([*self._origin, _NONE])
        keys = np.empty((len(origin), 2), np.uint64)
        keys[was_read] = np.concatenate([*self._keys, np.empty((0, 2), np.uint64)])
        chars = np.empty(len(origin), np.int64)
        chars[origin < 0] = fresh_chars
        ids, paths = self._read.ids, self._read.paths
        saved = self._saved
        if saved is not None:
            keys[~was_read] = saved.keys[origin[~was_read]]
            chars[origin >= 0] = saved.chars[origin[origin >= 0]]
            ids, paths = self._in_order(saved.ids, ids), self._in_order(saved.paths, paths)
        return Change(
            ids,
            paths,
            origin,
            chars,
            keys,
            self._files.finish(),
            len(origin) - int(np.count_nonzero(was_read)),
            0 if saved is None else len(saved),
        )

    def _in_order(self, saved: list[T], read: list[T]) -> list[T]:
        if self._runs == [(0, len(saved))]:
            return saved
        whole: list[T] = []
        at = 0
        for lo, hi in self._runs:
            if lo >= 0:
                whole += saved[lo:hi]
            else:
                whole += read[at : at + hi]
                at += hi
        return whole

    # --- documents -------------------------------------------------------------------------------

    def _new_ones(self, batch: Batch) -> Batch:
        """Take documents that were read; return those that are not the saved ones."""
        if not len(batch):
            return batch
        if not isinstance(self._documents, FileSource):
            self._runs.append((-1, len(batch)))
        keys = text.content_keys(batch.texts)
        origin = self._known(batch.ids, keys)
        self._read.ids += batch.ids
        self._read.paths += batch.paths
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

    # --- files -----------------------------------------------------------------------------------

    def _of_files(self, source: FileSource) -> Iterator[Batch]:
        """Yield what has to be read; note the rest in its place."""
        self._files = _FilesMade(source.options)
        known = _KnownFiles(None if self._saved is None else self._saved.files, source.options)
        opened = Batch()
        for listing in source.listings():
            places = known.places(listing)
            files = self._files.begin(listing)
            # Runs of files as they were are taken at once: a call for each costs more than to find
            # it.
            breaks = np.flatnonzero((np.diff(places) != 1) | (places[1:] < 0)) + 1
            at = 0
            for end in (*breaks.tolist(), len(places)):
                first, last = int(places[at]), int(places[at]) + end - at
                if first >= 0 and self._keep(source, *known.rows(first, last)):
                    for number in known.said_of(first, last):
                        source.tally.repeat(known.sayings[number])
                        files.sayings[at + number - first] = known.sayings[number]
                    files.sizes[at:end] = known.sizes[first:last]
                    files.is_clean[at:end] = True
                    at = end
                while at < end:
                    tally, size = source.tally, 0
                    n_said, n_passing = len(tally.sayings), tally.n_passing
                    for part in source.read(listing, at):
                        size += len(part)
                        opened.extend(part)
                        if len(opened) >= _OPENED_AT_ONCE:
                            yield opened
                            opened = Batch()
                    self._runs.append((-1, size))
                    files.sizes[at] = size
                    said = tally.sayings[n_said:]
                    if said:
                        files.sayings[at] = said
                    files.is_clean[at] = (
                        files.is_settled[at]
                        and tally.n_passing == n_passing
                        and len(said) <= _MOST_SAID
                    )
                    at += 1
        yield opened

    def _keep(self, source: FileSource, lo: int, hi: int) -> bool:
        """Take saved rows [lo, hi) as they are; False where another document has one of their
        ids."""
        assert self._saved is not None
        if not source.tally.claim_known(self._saved.ids[lo:hi]):  # type: ignore[arg-type]
            return False
        if self._runs and self._runs[-1][1] == lo and self._runs[-1][0] >= 0:
            lo = self._runs.pop()[0]
        self._runs.append((lo, hi))
        self._tick(hi - lo)
        return True


class _KnownFiles:
    """The files that were saved, numbered, and the rows of their documents."""

    def __init__(self, files: Files | None, options: list[str | None]) -> None:
        if files is None or files.options != options:
            files = Files()
        self.sizes, self.sayings = files.sizes, files.sayings
        self._said_of = sorted(files.sayings)
        self._files = files
        self._columns = files.stamps, files.is_clean
        self._row_ends = np.concatenate([[0], np.cumsum(files.sizes)]).astype(np.int64)
        self._folders: dict[str, list[range]] = {}
        starts = [0, *files.ends.tolist()]
        for folder, lo, hi in zip(files.folders, starts, starts[1:], strict=False):
            self._folders.setdefault(folder, []).append(range(lo, hi))

    def rows(self, first: int, end: int) -> tuple[int, int]:
        return int(self._row_ends[first]), int(self._row_ends[end])

    def said_of(self, first: int, end: int) -> list[int]:
        """Return the files of [first, end) of which something was told."""
        lo, hi = bisect_left(self._said_of, first), bisect_left(self._said_of, end)
        return self._said_of[lo:hi]

    def places(self, listing: Listing) -> Ints:
        """Return the number of each file that may be taken unopened, -1 for the others."""
        names, stamps, found = listing.names, listing.stamps, self._folders.get(listing.folder)
        if stamps is None or found is None:
            return np.full(len(names), -1, np.int64)
        saved = self._files
        mine = found[0]
        if len(found) == 1 and saved.names[mine.start : mine.stop] == names:
            places = np.arange(mine.start, mine.stop)
            were, is_clean = (column[mine.start : mine.stop] for column in self._columns)
        else:
            place_of = {saved.names[i]: i for each in found for i in each}
            places = np.array([place_of.get(name, -1) for name in names], np.int64)
            were, is_clean = (column[places] for column in self._columns)
        same = (places >= 0) & is_clean & (were == stamps).all(axis=1)
        return np.where(same, places, -1)


class _Listed(NamedTuple):
    """What is noted of the files of a listing."""

    listing: Listing
    stamps: Ints
    is_settled: NDArray[np.bool_]
    sizes: Ints
    is_clean: NDArray[np.bool_]
    sayings: dict[int, list[Saying]]


class _FilesMade:
    """The files of this run, as they are met."""

    def __init__(self, options: list[str | None]) -> None:
        self._options = options
        self._listed: list[_Listed] = []

    def begin(self, listing: Listing) -> _Listed:
        n, stamps = len(listing.names), listing.stamps
        if stamps is None:
            stamps = np.zeros((n, STAMP_NUMBERS), np.int64)
        # A file that changes again within the tick of the clock gets the same times: what was
        # written just now is read once more next time.
        is_settled = (stamps[:, 3:].max(axis=1) < now_ns()) & (stamps[:, 1] != 0)
        listed = _Listed(
            listing, stamps, is_settled, np.zeros(n, np.int64), np.zeros(n, np.bool_), {}
        )
        self._listed.append(listed)
        return listed

    def finish(self) -> Files:
        listed = self._listed
        ends = np.cumsum([len(each.sizes) for each in listed], dtype=np.int64)
        starts = [0, *ends.tolist()]
        sayings = {
            start + number: said
            for start, each in zip(starts, listed, strict=False)
            for number, said in each.sayings.items()
            if each.is_clean[number]
        }
        return Files(
            [each.listing.folder for each in listed],
            ends,
            [name for each in listed for name in each.listing.names],
            np.concatenate(
                [*(each.stamps for each in listed), np.empty((0, STAMP_NUMBERS), np.int64)]
            ),
            np.concatenate([_NONE, *(each.sizes for each in listed)]),
            np.concatenate([np.empty(0, np.bool_), *(each.is_clean for each in listed)]),
            sayings,
            self._options,
        )
