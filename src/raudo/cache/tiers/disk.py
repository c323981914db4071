"""L3: a cache level in a folder of this process's own, on the segment log.

Guarantees: the files never take more than `max_bytes`; a record that a crash cut short, or whose
bits changed, is a miss and a count in `stats().corrupt`; what `put` returned from survives the end
of the process by any signal, and a power cut where `fsync="always"` (or `flush` returned).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import ClassVar, Literal

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core.records import find
from raudo.cache._forks import reset_after_fork
from raudo.cache.tiers.folder import OwnedFolder
from raudo.cache.tiers.log import OnEvict, SegmentLog
from raudo.cache.tiers.segment import RECORDS, Segment
from raudo.errors import Closed, CorruptEntry, TierUnavailable
from raudo.types import Blob, TierStats

__all__ = ["DiskTier", "ScratchTier"]

Fsync = Literal["none", "interval", "always"]

_FSYNC_INTERVAL_S = 1.0


class DiskTier:
    """A cache level in a folder that this process owns.

    Thread-safe. After a fork the child has no access: `TierUnavailable`.

    Args:
        path: The folder; made with mode 0700 where it does not exist.
        max_entries: Most entries; None for no bound but the bytes.
        max_bytes: Most bytes of all segment files together, at least 4,096.
        fsync: `"none"` leaves writing back to the system, `"interval"` syncs at most once a second,
            `"always"` before `put` returns.
        on_evict: Called as `on_evict(key, blob or None, reason)` for what is pushed out
            (`"capacity"`) or found expired or unreadable (`"expired"`, `"corrupt"`), with the
            tier's lock held: it must not call back. The blob is read only if `report_values`.

    Records that this process wrote are read through a map of their file. Removing such a file is
    harmless; cutting one while the cache is open ends the process, as with any map.

    A kept copy (see `lend`) is an entry whose live value is in a level above: it is neither counted
    as this tier's nor returned, but it is there after a crash.
    """

    name = "disk"
    survives_restart: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    trusted: ClassVar[bool] = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_entries: int | None = None,
        max_bytes: int = 1 << 30,
        fsync: Fsync = "none",
        on_evict: OnEvict | None = None,
        report_values: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if max_bytes < 4096:
            raise ValueError(f"max_bytes must be at least 4096, got {max_bytes}")
        if max_entries is not None and max_entries < 1:
            raise ValueError(f"max_entries must be at least 1 or None, got {max_entries}")
        if fsync not in ("none", "interval", "always"):
            raise ValueError(f"fsync must be 'none', 'interval' or 'always', got {fsync!r}")
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._fsync: Fsync = fsync
        self._clock = clock
        self._synced_at = clock.monotonic()
        self._lock = threading.RLock()
        self._hits = self._misses = self._puts = 0
        self._closed = False
        self._is_forked = False
        self._folder = OwnedFolder(path)
        self._log = SegmentLog(
            self._folder.path,
            max_bytes,
            marks_drops=self.survives_restart,
            reads_lost=report_values,
            on_evict=on_evict,
        )
        reset_after_fork(self)
        try:
            self._log.recover(clock.time_ns())
            self._trim()
        except OSError as error:
            self.close()
            raise TierUnavailable(f"cannot read the cache at {self.path}: {error}") from error
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def blocks_on_put(self) -> bool:
        """True where a put waits for the disk, so that an event loop should not make it."""
        return self._fsync != "none"

    def get_nowait(self, key: bytes) -> Blob | None:
        """Return the blob, waiting for the disk where need be."""
        try:
            return self.read_ready(key)
        except BlockingIOError:
            return self._read_waiting(key)

    def _read_waiting(self, key: bytes) -> Blob | None:
        with self._lock:
            place = self._find(key)
            if place is None:
                return None
            segment = self._log.segment_of(place)
            segment.pins += 1  # its file stays open while we read without the lock
        try:
            blob = segment.read(key, place, wait=True)
        except CorruptEntry:
            self._note_corrupt(key, place)
            return None
        except OSError:
            self._log.errors += 1
            raise
        finally:
            with self._lock:
                self._unpin(segment)
        self._hits += 1
        return blob

    def read_ready(self, key: bytes) -> Blob | None:
        """Return the blob if that needs no waiting for the disk; else `BlockingIOError`."""
        log = self._log
        blob: Blob | None = None
        if not (key in log.expires or self._is_forked):
            # Without the lock: up to its copy of the record no other thread can come between.
            blob = find(RECORDS, log.index, log.windows, key)
        if blob is None:  # the longer way, which knows why
            with self._lock:
                place = self._find(key)
                blob = None if place is None else self._read_now(key, place)
            if blob is None:
                return None
        self._hits += 1
        return blob

    def _read_now(self, key: bytes, place: int) -> Blob | None:
        try:
            return self._log.segment_of(place).read(key, place, wait=False)
        except CorruptEntry:
            self._note_corrupt(key, place)
            return None
        except BlockingIOError:
            raise
        except OSError:
            self._log.errors += 1
            raise

    def _unpin(self, segment: Segment) -> None:
        segment.pins -= 1
        if not segment.pins and not self._log.is_open(segment):
            segment.close()

    def _find(self, key: bytes) -> int | None:
        if self._closed or self._is_forked:
            self._check()
        log = self._log
        place = log.index.get(key)
        if place is not None:
            expires_ns = log.expires.get(key, 0) if log.expires else 0
            if not expires_ns or expires_ns > self._clock.time_ns():
                return place
            log.lose(key, "expired")
        self._misses += 1
        return None

    def _note_corrupt(self, key: bytes, place: int) -> None:
        with self._lock:
            self._misses += 1
            if self._log.index.get(key) == place:
                self._log.corrupt += 1
                self._log.lose(key, "corrupt")

    def put_nowait(self, key: bytes, blob: Blob) -> None:
        """Append the entry; what does not fit at all is reported as evicted."""
        with self._lock:
            self._check()
            self._puts += 1
            log = self._log
            if not log.store(key, blob, log.index):
                log.report(key, blob, "capacity")
            if self.max_entries is not None:
                log.trim(self.max_entries)
            if log.wants_compaction():
                log.compact_step()
            if self._fsync != "none":
                self._sync_as_agreed()

    def keep(self, key: bytes, blob: Blob) -> None:
        """Write a copy of an entry that lives in a level above."""
        with self._lock:
            self._check()
            self._log.store(key, blob, self._log.kept)
            if self._log.wants_compaction():
                self._log.compact_step()

    def stage(self, key: bytes, blob: Blob) -> None:
        """Write an entry that is to become this tier's by `adopt`; until then it is a kept copy."""
        with self._lock:
            self.keep(key, blob)
            self._sync_as_agreed()

    def adopt(self, key: bytes) -> bool:
        """Make a kept copy an entry of this tier; False where there is none. Writes nothing."""
        with self._lock:
            self._check()
            if not self._log.adopt(key):
                return False
            self._puts += 1
            self._trim()
            return True

    def drop_nowait(self, key: bytes) -> bool:
        """Forget the entry and any kept copy; True where an entry of this tier went."""
        with self._lock:
            self._check()
            return self._log.drop(key)

    def lend(self, key: bytes) -> bool:
        """Let a level above take the entry over; its record stays as a kept copy."""
        with self._lock:
            self._check()
            place = self._log.index.pop(key, None)
            if place is None:
                return False
            self._log.kept[key] = place
            return True

    def sweep_nowait(self, now_ns: int) -> int:
        """Drop what has expired; return how many entries of this tier that were."""
        with self._lock:
            self._check()
            gone = [key for key, at_ns in self._log.expires.items() if at_ns <= now_ns]
            return sum(self._log.lose(key, "expired") for key in gone)

    def clear(self) -> int:
        """Drop everything; return how many entries of this tier that were."""
        with self._lock:
            self._check()
            n = len(self._log.index)
            self._log.clear()
            return n

    def trim(self, max_entries: int) -> None:
        """Push out the oldest entries until no more than so many are left."""
        with self._lock:
            self._check()
            self._log.trim(max_entries)

    def flush(self) -> None:
        """Make the system write to the disk what was appended; raises `OSError` where it fails."""
        with self._lock:
            self._check()
            segments = self._log.take_dirty()
            for segment in segments:
                segment.pins += 1
        try:
            # Without the lock: readers go on while the disk is waited for.
            for segment in segments:
                os.fsync(segment.fd)
        except OSError:
            self._log.mark_dirty(segments)
            raise
        finally:
            with self._lock:
                for segment in segments:
                    self._unpin(segment)

    def contains(self, key: bytes) -> bool:
        """Say whether a live entry is there, without reading it or counting a hit or miss."""
        with self._lock:
            expires_ns = self._log.expires.get(key, 0)
            if 0 < expires_ns <= self._clock.time_ns():
                self._log.lose(key, "expired")
            return key in self._log.index

    def keeps(self, key: bytes) -> bool:
        """Say whether a kept copy is there."""
        return key in self._log.kept

    def live_keys(self) -> list[bytes]:
        """Return the keys of this moment, oldest first."""
        with self._lock:
            return list(self._log.index)

    def __len__(self) -> int:
        return len(self._log.index)

    async def get(self, key: bytes) -> Blob | None:
        try:
            return self.read_ready(key)
        except BlockingIOError:
            return await asyncio.to_thread(self.get_nowait, key)

    async def put(self, key: bytes, blob: Blob) -> None:
        await asyncio.to_thread(self.put_nowait, key, blob)

    async def drop(self, key: bytes) -> bool:
        return self.drop_nowait(key)

    async def sweep(self, now_ns: int) -> int:
        return await asyncio.to_thread(self.sweep_nowait, now_ns)

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def stats(self) -> TierStats:
        return TierStats(
            entries=len(self._log.index),
            bytes_used=self._log.bytes,
            hits=self._hits,
            misses=self._misses,
            puts=self._puts,
            evictions=self._log.evictions,
            expirations=self._log.expirations,
            errors=self._log.errors,
            corrupt=self._log.corrupt,
        )

    def close(self) -> None:
        """Sync where that was agreed, close the files and give the folder up."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if not self._is_forked and self._fsync != "none":
                with contextlib.suppress(OSError):
                    self._log.sync()
            self._log.close()
            self._folder.close()

    def __del__(self) -> None:
        # A cache that nobody closed gives its files and its folder up; there is nothing to write.
        if hasattr(self, "_log"):
            self._log.close()
            self._folder.close()

    def _check(self) -> None:
        if self._closed:
            raise Closed(f"the disk tier at {self.path} is closed")
        if self._is_forked:
            raise TierUnavailable(
                f"the disk tier at {self.path} belongs to the process that this one was forked from"
            )

    def _trim(self) -> None:
        if self.max_entries is not None:
            self._log.trim(self.max_entries)

    def _sync_as_agreed(self) -> None:
        if self._fsync == "none":
            return
        now = self._clock.monotonic()
        if self._fsync == "always" or now - self._synced_at >= _FSYNC_INTERVAL_S:
            self._synced_at = now
            self._log.sync()

    def _after_fork(self) -> None:
        self._is_forked = True
        self._log.disown()
        self._lock = threading.RLock()


class ScratchTier(DiskTier):
    """A disk tier in a temporary folder of its own, removed when it is closed or collected.

    Nobody else could have written there, and nothing is read there after a restart.
    """

    survives_restart: ClassVar[bool] = False
    trusted: ClassVar[bool] = True

    def __init__(
        self,
        *,
        max_entries: int | None = None,
        max_bytes: int = 1 << 30,
        on_evict: OnEvict | None = None,
        report_values: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        try:
            folder = tempfile.mkdtemp(prefix="raudo-cache-")
        except OSError as error:
            raise TierUnavailable(f"cannot make a temporary folder: {error}") from error
        # Also where the process ends without closing; never by a forked child.
        self._remove = weakref.finalize(self, _remove_folder, folder, os.getpid())
        super().__init__(
            folder,
            max_entries=max_entries,
            max_bytes=max_bytes,
            on_evict=on_evict,
            report_values=report_values,
            clock=clock,
        )

    def close(self) -> None:
        super().close()
        self._remove()


def _remove_folder(folder: str, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
