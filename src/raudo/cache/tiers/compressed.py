"""L2: serialised values in memory, compressed where that pays.

They lie in a few large blocks (`raudo._core.arena`): an entry costs some 80 bytes besides its own,
and nothing that the garbage collector looks at. Entries leave in the order they came, as an entry
that is used again moves up and comes back as new: the order is that of last use. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core.arena import Arena
from raudo.cache._forks import reset_after_fork
from raudo.cache.tiers.blobs import (
    BLOBS,
    LIGHT_BYTES,
    META_OF_PACKED,
    META_OF_PLAIN,
    codec_of,
    is_heavy,
)
from raudo.types import Blob, TierStats

__all__ = ["CompressedTier"]


class CompressedTier:
    """A bounded level of blobs in this process's memory.

    Args:
        max_entries: Most entries.
        max_bytes: Most bytes of memory, gaps and tables included; None for no bound.
        on_evict: Called as `on_evict(key, blob, reason)` for what is pushed out (`"capacity"`) or
            has expired (`"expired"`), after it is gone and outside the lock.
    """

    name = "compressed"
    survives_restart: ClassVar[bool] = False
    shared: ClassVar[bool] = False
    trusted: ClassVar[bool] = True

    def __init__(
        self,
        max_entries: int,
        *,
        max_bytes: int | None = None,
        on_evict: Callable[[bytes, Blob, str], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if max_entries < 1:
            raise ValueError(f"max_entries must be at least 1, got {max_entries}")
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1 or None, got {max_bytes}")
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._on_evict = on_evict
        self._clock = clock
        # Re-entrant: the garbage collector may run a finalizer within that comes back here.
        self._lock = threading.RLock()
        self._arena = Arena(BLOBS, max_bytes, META_OF_PLAIN, META_OF_PACKED)
        self._hits = self._misses = self._puts = self._evictions = self._expirations = 0
        reset_after_fork(self)

    def get_nowait(self, key: bytes) -> Blob | None:
        """Return the blob and make it the last to leave."""
        with self._lock:
            blob: Blob | None = self._arena.get(key)
            if blob is None:
                self._misses += 1
                return None
            if not blob.expires_ns or blob.expires_ns > self._clock.time_ns():
                self._hits += 1
                return blob
            self._misses += 1
            if self._arena.take(key) is None:
                return None
            self._expirations += 1
        self._report([(key, blob, "expired")])
        return None

    def put_nowait(self, key: bytes, blob: Blob) -> None:
        """Store the blob, pushing out the oldest; one too large for the level goes at once."""
        gone: list[tuple[bytes, Blob, str]] = []
        arena = self._arena
        with self._lock:
            self._puts += 1
            while not (outcome := arena.put(key, blob)):
                self._push_out(gone)
            if outcome < 0:
                gone.append((key, blob, "capacity"))
                self._evictions += 1
            elif len(arena) > self.max_entries:
                self._push_out(gone)
        if gone:
            self._report(gone)

    def resize(self, max_entries: int) -> None:
        """Change the bound, pushing out what is over it."""
        self.max_entries = max_entries
        self.make_room(0)

    def make_room(self, n_entries: int) -> None:
        """Push out the oldest until there is room for so many, by their number."""
        arena, most = self._arena, self.max_entries - n_entries
        if len(arena) <= most:
            return
        gone: list[tuple[bytes, Blob, str]] = []
        with self._lock:
            while len(arena) > max(0, most):
                self._push_out(gone)
        self._report(gone)

    def _push_out(self, gone: list[tuple[bytes, Blob, str]]) -> None:
        if not self._arena:  # a finalizer has just emptied it
            return
        key, blob = self._arena.take_oldest()
        if self._is_expired(blob):
            self._expirations += 1
            gone.append((key, blob, "expired"))
        else:
            self._evictions += 1
            gone.append((key, blob, "capacity"))

    def drop_nowait(self, key: bytes) -> bool:
        return self.take(key) is not None

    def take(self, key: bytes) -> Blob | None:
        """Remove the entry and return it, expired or not."""
        with self._lock:
            blob: Blob | None = self._arena.take(key)
            return blob

    def take_value(self, key: bytes) -> Any:
        """Remove a small, plain entry without expiry or tags, and return its value.

        `NotImplemented`, and no change, for any other.
        """
        with self._lock:
            return self._arena.take_value(key)

    def is_heavy(self, key: bytes) -> bool:
        """Say whether making the key's value should be left to a thread."""
        with self._lock:
            raw_bytes = self._arena.raw_bytes(key)
            if raw_bytes <= LIGHT_BYTES:
                return False
            return is_heavy(codec_of(self._arena.meta(key)), raw_bytes)

    def sweep_nowait(self, now_ns: int) -> int:
        """Drop what has expired; return how many."""
        with self._lock:
            gone = self._arena.take_expired(now_ns)
            self._expirations += len(gone)
        self._report([(key, blob, "expired") for key, blob in gone])
        return len(gone)

    def clear(self) -> int:
        """Drop everything; return how many entries that were."""
        with self._lock:
            n = len(self._arena)
            self._arena.clear()
            return n

    def peek(self, key: bytes) -> Blob | None:
        """Return a live entry's blob without counting or moving it."""
        with self._lock:
            blob: Blob | None = self._arena.peek(key)
        return None if blob is None or self._is_expired(blob) else blob

    def items(self) -> list[tuple[bytes, Blob]]:
        """Return the entries of this moment, oldest first."""
        with self._lock:
            return self._arena.items()

    def __len__(self) -> int:
        return len(self._arena)

    async def get(self, key: bytes) -> Blob | None:
        return self.get_nowait(key)

    async def put(self, key: bytes, blob: Blob) -> None:
        self.put_nowait(key, blob)

    async def drop(self, key: bytes) -> bool:
        return self.drop_nowait(key)

    async def sweep(self, now_ns: int) -> int:
        return self.sweep_nowait(now_ns)

    async def aclose(self) -> None:
        self.clear()

    def stats(self) -> TierStats:
        return TierStats(
            entries=len(self._arena),
            bytes_used=self._arena.held_bytes,
            hits=self._hits,
            misses=self._misses,
            puts=self._puts,
            evictions=self._evictions,
            expirations=self._expirations,
        )

    def _is_expired(self, blob: Blob) -> bool:
        return blob.expires_ns != 0 and blob.expires_ns <= self._clock.time_ns()

    def _report(self, gone: list[tuple[bytes, Blob, str]]) -> None:
        if self._on_evict is not None:
            for key, blob, reason in gone:
                self._on_evict(key, blob, reason)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
