"""The segment log: where each entry stands on the disk, and how room is made.

An entry is appended to the newest segment; what it replaces is marked as dropped in place. When the
byte bound is reached the oldest segment goes as a whole; while less than half of the bytes are live
the oldest segment's live records move to the newest, a few with each put. A segment goes with its
last live record. Not thread-safe: the disk tier holds a lock.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from raudo._core.records import LENGTH_BITS, SEGMENT_SHIFT, Window
from raudo.cache.tiers.segment import FILE_HEAD_BYTES, LENGTH_MASK, RECORDS, Segment, offset_of
from raudo.errors import CorruptEntry
from raudo.types import Blob

__all__ = ["OnEvict", "SegmentLog"]

# Called as on_evict(key, blob or None, reason) for each entry that the log itself lets go.
OnEvict = Callable[[bytes, Blob | None, str], object]

_SEGMENT_NAME = re.compile(r"(\d{12,18})\.seg")
# Bytes of old records that one put moves at most: 64 KiB cost about as much as a large put itself.
_COMPACT_STEP_BYTES = 64 * 1024


class SegmentLog:
    """Segments in a folder and the index of what is live in them.

    `index` holds the entries of this level, `kept` the copies of entries that live in a level
    above, `expires` the expiry of those of both that have one. `marks_drops` is False where nothing
    is read after a restart, which saves a write for each entry dropped.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        *,
        marks_drops: bool,
        reads_lost: bool,
        on_evict: OnEvict | None,
    ) -> None:
        self.index: dict[bytes, int] = {}
        self.kept: dict[bytes, int] = {}
        self.expires: dict[bytes, int] = {}
        self.bytes = self.live_bytes = 0
        self.errors = self.corrupt = self.evictions = self.expirations = 0
        # Sixteenths, so that dropping one loses little; 16 MiB bound the work of dropping one.
        self.segment_bytes = max(1024, min(16 << 20, max_bytes // 16))
        self._folder = folder
        self._max_bytes = max_bytes
        self._marks_drops = marks_drops
        self._reads_lost = reads_lost
        self._on_evict = on_evict
        self.segments: dict[int, Segment] = {}  # ascending, so the first is the oldest
        self.windows: dict[int, Window] = {}  # of those segments that have one
        self._active: Segment | None = None
        self._dirty: set[int] = set()
        self._condemned: list[Path] = []  # files that would not be removed; what they hold is old
        self._next_id = 1
        self._compact_at = 0

    def recover(self, now_ns: int) -> None:
        """Read what an earlier process left: cut a torn tail, skip what does not check out."""
        superseded: list[int] = []
        found = filter(_SEGMENT_NAME.fullmatch, os.listdir(self._folder))
        names = {int(name.removesuffix(".seg")): name for name in found}
        for id, name in sorted(names.items()):
            self._next_id = id + 1
            try:
                segment = Segment.open(id, self._folder / name)
            except CorruptEntry:
                self.corrupt += 1
                (self._folder / name).unlink(missing_ok=True)
            except OSError:  # a link or a device in place of a file of ours is left alone
                self.errors += 1
            else:
                self._adopt(segment, id == max(names), superseded)
        for place in superseded:
            self._forget(place)
        for key in [key for key, expires_ns in self.expires.items() if expires_ns <= now_ns]:
            self.lose(key, "expired")
        for segment in list(self.segments.values()):
            if not segment.live and segment is not self._active:
                self._retire(segment)
        while self.bytes > self._max_bytes and self.segments:
            self._drop_segment(next(iter(self.segments.values())))

    def _adopt(self, segment: Segment, is_last: bool, superseded: list[int]) -> None:
        # Two live records of a key: the process ended between writing one and dropping the other.
        # The later one counts.
        end, corrupt = segment.scan(self.index, self.expires, superseded)
        self.corrupt += corrupt
        self.live_bytes += segment.live_bytes
        if is_last:
            if end < segment.size:
                os.ftruncate(segment.fd, end)
                segment.size = end
            self._show_from_here(segment)
            self._active = segment
        self.segments[segment.id] = segment
        self.bytes += segment.size

    def _show_from_here(self, segment: Segment) -> None:
        segment.show_from_here(self.segment_bytes)
        if segment.window is not None:
            self.windows[segment.id] = segment.window

    # --- single entries -----------------------------------------------------------------------

    def segment_of(self, place: int) -> Segment:
        """Return the segment that a place in the index is in."""
        return self.segments[place >> SEGMENT_SHIFT]

    def is_open(self, segment: Segment) -> bool:
        return segment.id in self.segments

    def store(self, key: bytes, blob: Blob, into: dict[bytes, int]) -> bool:
        """Append the entry in place of any older one; False for what can never fit.

        Whatever the outcome, also when the disk refuses (`OSError`), the older one is gone.
        """
        replaced = self.index.pop(key, None)
        copied = self.kept.pop(key, None) if self.kept else None
        if self.expires:
            self.expires.pop(key, None)
        try:
            meta, length = RECORDS.measure(key, blob)
            if length + FILE_HEAD_BYTES > self._max_bytes:
                return False
            segment = self._segment_for(length)
            offset = segment.append(key, meta, blob, length)
            self._dirty.add(segment.id)
            self.bytes += length
            self.live_bytes += length
            segment.live_bytes += length
            segment.live += 1
            segment.note(key, offset)
            into[key] = segment.id << SEGMENT_SHIFT | offset << LENGTH_BITS | length
            if blob.expires_ns:
                self.expires[key] = blob.expires_ns
        except ValueError:  # tags or payload beyond what a record's head can say
            return False
        except OSError:
            self.errors += 1
            raise
        finally:
            # The new record first, then the old: a crash between leaves two, the later one counts.
            if replaced is not None:
                self._forget(replaced)
            if copied is not None:
                self._forget(copied)
        return True

    def drop(self, key: bytes) -> bool:
        """Forget the entry and any kept copy; True where an entry of this level went."""
        self.expires.pop(key, None)
        kept = self.kept.pop(key, None)
        if kept is not None:
            self._forget(kept)
        place = self.index.pop(key, None)
        if place is not None:
            self._forget(place)
        return place is not None

    def adopt(self, key: bytes) -> bool:
        """Make a kept copy an entry of this level; False where there is none."""
        place = self.kept.pop(key, None)
        if place is None:
            return False
        self.index[key] = place
        segment = self.segment_of(place)
        segment.move_to_end(key, offset_of(place))
        if len(segment.order) > 2 * segment.live + 64:
            segment.tidy(partial(self._is_live, segment))
            if self.segments and segment is next(iter(self.segments.values())):
                self._compact_at = 0
        return True

    def _is_live(self, segment: Segment, key: bytes, offset: int) -> bool:
        place = self.index.get(key) or self.kept.get(key) or 0
        return place >> SEGMENT_SHIFT == segment.id and offset_of(place) == offset

    def lose(self, key: bytes, reason: str) -> bool:
        """Drop an entry on the log's own account and report it."""
        place = self.index.get(key)
        if place is None:
            self.drop(key)
            return False
        blob = self._read_lost(key, place) if reason != "corrupt" else None
        self.drop(key)
        self.report(key, blob, reason)
        return True

    def report(self, key: bytes, blob: Blob | None, reason: str) -> None:
        """Count an entry that was let go, and say so."""
        if reason == "capacity":
            self.evictions += 1
        elif reason == "expired":
            self.expirations += 1
        if self._on_evict is not None:
            self._on_evict(key, blob, reason)

    def _forget(self, place: int) -> None:
        """Mark a record as dropped; its segment goes with its last live one."""
        segment = self.segments.get(place >> SEGMENT_SHIFT)
        if segment is None:
            return
        length = place & LENGTH_MASK
        segment.live -= 1
        segment.live_bytes -= length
        self.live_bytes -= length
        if not segment.live and segment is not self._active:
            self._retire(segment)
        elif self._marks_drops:
            try:
                segment.kill(offset_of(place))
                self._dirty.add(segment.id)
            except OSError:
                # The record could come back with the next start and be out of date: the whole file
                # has to go, whatever else it holds.
                self.errors += 1
                self._drop_segment(segment)

    def _read_lost(self, key: bytes, place: int) -> Blob | None:
        if self._reads_lost:
            with contextlib.suppress(OSError, CorruptEntry):
                return self.segment_of(place).read(key, place, wait=True)
        return None

    # --- room ---------------------------------------------------------------------------------

    def _segment_for(self, length: int) -> Segment:
        """Return the segment to append to, having made room."""
        active = self._active
        if (
            active is not None
            and active.size + length <= self.segment_bytes
            and self.bytes + length <= self._max_bytes
            and not self._condemned
        ):
            return active
        self._remove_condemned()
        rolls = active is None or (
            active.size + length > self.segment_bytes and active.size > FILE_HEAD_BYTES
        )
        while self.segments and (
            self.bytes + length + (FILE_HEAD_BYTES if rolls else 0) > self._max_bytes
        ):
            oldest = next(iter(self.segments.values()))
            rolls = rolls or oldest is active
            self._drop_segment(oldest)
        if rolls or active is None:
            path = self._folder / f"{self._next_id:012d}.seg"
            active = Segment.create(self._next_id, path)
            self._show_from_here(active)
            self._next_id += 1
            last, self._active = self._active, active
            self.segments[active.id] = active
            self.bytes += FILE_HEAD_BYTES
            if last is not None and not last.live:
                self._retire(last)
        return active

    def trim(self, max_entries: int) -> None:
        """Push out the oldest entries until no more than so many are left."""
        while len(self.index) > max_entries:
            segment = next(s for s in self.segments.values() if s.cursor < len(s.order))
            found = segment.next_in_order()
            if found is not None and found[0] in self.index and self._is_live(segment, *found):
                self.lose(found[0], "capacity")

    def wants_compaction(self) -> bool:
        """Say whether less than half of the bytes live, so that moving records pays."""
        return self.bytes >= 2 * (self.live_bytes + self.segment_bytes)

    def compact_step(self) -> None:
        """Move some live records out of the oldest segment; called while `wants_compaction`."""
        oldest = next(iter(self.segments.values()))
        if self._compact_at >= len(oldest.order):
            self._compact_at = 0
        budget = _COMPACT_STEP_BYTES
        while oldest is not self._active and oldest.live and budget > 0:
            if self._compact_at >= len(oldest.order):
                break
            key = oldest.order[self._compact_at]
            self._compact_at += 1
            budget -= 64 + self._move(key, oldest)
        if not self.is_open(oldest):
            self._compact_at = 0

    def _move(self, key: bytes, segment: Segment) -> int:
        """Write a live record of the segment anew at the end; return its length."""
        for where in (self.index, self.kept):
            place = where.get(key)
            if place is None or place >> SEGMENT_SHIFT != segment.id:
                continue
            length = place & LENGTH_MASK
            if self.bytes + length + 2 * FILE_HEAD_BYTES > self._max_bytes:
                return _COMPACT_STEP_BYTES  # no room to copy into: the segment will go as a whole
            try:
                blob = segment.read(key, place, wait=True)
                self.store(key, replace(blob, expires_ns=self.expires.get(key, 0)), where)
            except CorruptEntry:
                self.corrupt += 1
                self.lose(key, "corrupt")
            except OSError:
                if where is self.index:
                    self.index.pop(key, None)
                    self.report(key, None, "capacity")
                return _COMPACT_STEP_BYTES
            return length
        return 0

    def _drop_segment(self, segment: Segment) -> None:
        """Let a segment go with all that it holds."""
        lost: list[tuple[bytes, Blob | None]] = []
        for key in segment.order:
            for where in (self.index, self.kept):
                place = where.get(key)
                if place is None or place >> SEGMENT_SHIFT != segment.id:
                    continue
                if where is self.index:
                    lost.append((key, self._read_lost(key, place)))
                del where[key]
                self.expires.pop(key, None)
        self._retire(segment)
        for key, blob in lost:
            self.report(key, blob, "capacity")

    def _retire(self, segment: Segment) -> None:
        """Remove a segment's file; nothing in the index is there any more."""
        if self.segments.pop(segment.id, None) is None:
            return
        self.windows.pop(segment.id, None)
        if self._active is segment:
            self._active = None
        self._dirty.discard(segment.id)
        self.bytes -= segment.size
        self.live_bytes -= segment.live_bytes
        try:
            segment.path.unlink(missing_ok=True)
        except OSError:
            self.errors += 1
            self._condemned.append(segment.path)
            with contextlib.suppress(OSError):  # at least nothing may come back from it
                segment.empty()
        if not segment.pins:
            segment.close()

    def _remove_condemned(self) -> None:
        for path in list(self._condemned):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                self._condemned.remove(path)

    # --- all of it ----------------------------------------------------------------------------

    def clear(self) -> None:
        """Drop everything."""
        self.index.clear()
        self.kept.clear()
        self.expires.clear()
        for segment in list(self.segments.values()):
            self._retire(segment)

    def take_dirty(self) -> list[Segment]:
        """Return the segments written to since they were last synced, as synced from now on."""
        dirty = [self.segments[id] for id in self._dirty]
        self._dirty.clear()
        return dirty

    def mark_dirty(self, segments: list[Segment]) -> None:
        """Take back that these were synced."""
        self._dirty.update(segment.id for segment in segments if segment.id in self.segments)

    def sync(self) -> None:
        """Have the system write to the disk what was appended or marked."""
        segments = self.take_dirty()
        try:
            for segment in segments:
                os.fsync(segment.fd)
        except OSError:
            self.mark_dirty(segments)
            raise

    def disown(self) -> None:
        """Forget what was to be removed: after a fork the files are the parent's."""
        self._condemned.clear()

    def close(self) -> None:
        """Close the files; those that are being read are closed by their reader."""
        self._remove_condemned()
        segments = list(self.segments.values())
        self.segments.clear()
        self.windows.clear()
        self._active = None
        self.index.clear()
        self.kept.clear()
        self.expires.clear()
        self.bytes = self.live_bytes = 0
        for segment in segments:
            if not segment.pins:
                segment.close()
