"""Looking up, and moving up what is found below L1.

A hit on L1 takes no lock but the table's own; a reader that misses L1 while its entry is being
moved waits for the lock and then finds it. A read from the disk is made without the lock: it leaves
a token under its key, which any change of the key removes, and what was read is put into L1 only if
the token is still there.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from raudo.cache.entries import Watched, unwrap
from raudo.cache.fetched import Fetched
from raudo.cache.loading import MISSING
from raudo.errors import CorruptEntry, ForbiddenType
from raudo.types import Blob, UnwatchedBlob

if TYPE_CHECKING:
    from raudo.cache.levels import Levels

__all__ = ["RETRY", "Promoter", "Read"]

RETRY: Any = object()


class Read:
    """Those who read one key from below at the same time; any change of the key puts them off."""

    __slots__ = ("n_readers",)

    def __init__(self) -> None:
        self.n_readers = 0


class Promoter:
    """Finds values in memory, and takes up those that are read from below it."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels
        self.reads: dict[bytes, Read] = {}

    def find(
        self,
        key: Hashable,
        entry: Any = MISSING,
        *,
        counts: bool = True,
        only_light: bool = False,
    ) -> Any:
        """Return a value that is in memory, or `MISSING`; `entry` is what `l1.get` returned.

        `RETRY`, and no change, with `only_light` for one in L2 that a thread should make.
        """
        if entry is not MISSING:
            return self.open(key, entry, counts)
        started_ns = time.perf_counter_ns()
        levels = self._levels
        with levels.lock:
            levels.check()
            entry = levels.l1.peek(key, MISSING)
            if entry is not MISSING:  # came up while we waited for the lock
                value = self.open(key, entry, counts=False)
                if value is not MISSING:
                    levels.counters.false_hits -= counts
                return value
            if counts and levels.sampler.follows(key):
                levels.sampler.note(key)
            data = levels.encode(key)
            if data is None:
                return MISSING
            l2 = levels.l2
            if only_light and l2 is not None and l2.is_heavy(data):
                return RETRY
            value = self._take_up(key, data)
            if value is not MISSING and counts:
                levels.counters.l2_hits += 1
                levels.counters.latency["l2"].record_ns(time.perf_counter_ns() - started_ns)
            return value

    def _take_up(self, key: Hashable, data: bytes) -> Any:
        """Bring up what is on its way down or in L2."""
        levels = self._levels
        down, l2 = levels.down, levels.l2
        down.begin_hit()
        if down.is_packing() and (parcel := down.transit.get(data)) is not None:
            return parcel.value  # where it is: its own code asks for it on its way down
        parcel = down.transit.take(data)
        if parcel is not None:
            if not levels.is_valid(parcel.expires_ns, parcel.tags):
                return MISSING
            levels.counters.promotions += 1
            levels.put_top(key, parcel.value, parcel.expires_ns, parcel.tags)
            return parcel.value
        if l2 is not None and levels.sizes[0]:
            value = l2.take_value(data)
            if value is not NotImplemented:
                levels.counters.promotions += 1
                levels.put_top(key, value, 0, ())
                return value
        blob = levels.take_blob(data)
        return MISSING if blob is None else self._admit(key, data, blob)

    def lift(self, key: Hashable, data: bytes) -> Any:
        """Bring a large value up from L2, making it without the lock.

        `RETRY` where its key changed meanwhile.
        """
        levels = self._levels
        if levels.l2 is None:
            return RETRY
        started_ns = time.perf_counter_ns()
        token = self.begin_read(data)
        try:
            blob = levels.l2.peek(data)
            if blob is None:
                return RETRY
            value: Any = MISSING
            error: Exception | None = None
            try:
                value = levels.codec.decode(blob, trusted=True, pauses=True)
            except (CorruptEntry, ForbiddenType) as caught:
                error = caught
            with levels.lock:
                levels.check()
                if self.reads.get(data) is not token or levels.l2.take(data) is None:
                    return RETRY
                del self.reads[data]  # others who lift it find it above
                if not levels.is_valid(blob.expires_ns, blob.tags):
                    return MISSING
                if error is not None:
                    self._note_unfit(error)
                    levels.counters.evictions += 1
                    return MISSING
                levels.down.begin_call()
                self._put_up(key, data, blob, value)
                levels.counters.l2_hits += 1
                levels.counters.latency["l2"].record_ns(time.perf_counter_ns() - started_ns)
                return value
        finally:
            self.end_read(data, token)

    def open(self, key: Hashable, entry: Any, counts: bool) -> Any:
        """Return the value of what L1 holds if it is still good."""
        if type(entry) is not Watched:
            return unwrap(entry)
        levels = self._levels
        if entry.is_followed and counts:
            levels.sampler.note(key)
            started_ns = time.perf_counter_ns()
            levels.l1.peek(key)
            levels.counters.latency["l1"].record_ns(time.perf_counter_ns() - started_ns)
        if entry.tags and not levels.tags.is_current(entry.tags):
            with levels.lock:
                levels.counters.false_hits += counts
                if levels.l1.peek(key, MISSING) is entry:
                    levels.l1.pop(key, MISSING)
                    levels.counters.deletions += 1
            return MISSING
        if entry.fresh_until <= levels.clock.monotonic():
            with levels.lock:
                levels.counters.false_hits += counts
            return MISSING
        return entry.value

    def _admit(self, key: Hashable, data: bytes, blob: Blob) -> Any:
        """Make the value of a blob that was taken out of L2, and put it into the top level."""
        levels = self._levels
        if not levels.is_valid(blob.expires_ns, blob.tags):
            return MISSING
        try:
            value = levels.codec.decode(blob, trusted=True)
        except (CorruptEntry, ForbiddenType) as error:
            self._note_unfit(error)
            levels.counters.evictions += 1
            return MISSING
        self._put_up(key, data, blob, value)
        return value

    def _put_up(self, key: Hashable, data: bytes, blob: Blob, value: Any) -> None:
        levels = self._levels
        if levels.sizes[0]:
            levels.counters.promotions += 1
            levels.put_top(key, value, blob.expires_ns, blob.tags)
        elif levels.l2 is not None:
            levels.l2.put_nowait(data, blob)
        else:
            levels.down.to_cold(data, blob)

    def _note_unfit(self, error: BaseException) -> None:
        if isinstance(error, ForbiddenType):
            self._levels.counters.forbidden += 1
        else:
            self._levels.counters.corrupt += 1

    # --- reading from below -------------------------------------------------------------------

    def may_be_below(self, key: Hashable) -> bytes | None:
        """Return the key's bytes if it may be in a level below memory."""
        levels = self._levels
        cold = levels.cold
        if cold is None or not (cold.guards or cold.outbox or cold.shared is not None):
            return None
        data = levels.encode(key)
        with levels.lock:
            return data if data is not None and cold.may_have(data) else None

    def begin_read(self, data: bytes) -> Read:
        """Leave a token under the key, or join those who read it; `end_read` must follow."""
        with self._levels.lock:
            token = self.reads.get(data)
            if token is None:
                token = self.reads[data] = Read()
            token.n_readers += 1
            return token

    def end_read(self, data: bytes, token: Read) -> None:
        """Take the token away with its last reader."""
        with self._levels.lock:
            token.n_readers -= 1
            if not token.n_readers and self.reads.get(data) is token:
                del self.reads[data]

    def finish_read(
        self,
        key: Hashable,
        data: bytes,
        token: Read,
        fetched: Fetched | None,
        started_ns: int,
        *,
        counts: bool,
        pauses: bool = False,
    ) -> Any:
        """Promote what was read; `RETRY` where the key changed meanwhile, `MISSING` for nothing."""
        levels = self._levels
        value = MISSING
        error: Exception | None = None
        if fetched is not None:
            try:
                value = levels.codec.decode(fetched.blob, trusted=fetched.is_trusted, pauses=pauses)
            except (CorruptEntry, ForbiddenType) as caught:
                error = caught
        with levels.lock:
            levels.check()
            if self.reads.get(data) is not token:
                return RETRY
            if fetched is None or levels.cold is None:
                return MISSING
            if error is not None:
                del self.reads[data]  # one of those who read it counts it
                self._note_unfit(error)
                if levels.cold.drop(data):
                    levels.counters.evictions += 1
                return MISSING
            blob = fetched.blob
            if blob.expires_ns and blob.expires_ns <= levels.clock.time_ns():
                return MISSING  # the tier drops and counts it
            if blob.tags and not levels.tags.is_current(blob.tags):
                if levels.cold.drop(data):
                    levels.counters.deletions += 1
                return MISSING
            level = "l3"
            if levels.shared is not None and fetched.guard is levels.shared.guard:
                level = "shared"
                levels.counters.shared_hits += counts
            else:
                levels.counters.l3_hits += counts
            has_above = levels.sizes[0] or levels.l2 is not None
            is_kept = has_above and not isinstance(blob, UnwatchedBlob)
            if is_kept and levels.cold.release(data, fetched.guard):
                del self.reads[data]  # others who read it find it above
                levels.down.begin_call()
                self._put_up(key, data, blob, value)
            levels.counters.latency[level].record_ns(time.perf_counter_ns() - started_ns)
            return value

    def finish_touch(
        self, data: bytes, token: Read, fetched: Fetched | None, ttl: float | None
    ) -> bool:
        """Put what was read back with a new time to live, where no level above keeps it."""
        levels = self._levels
        with levels.lock:
            levels.check()
            if self.reads.get(data) is not token or fetched is None or levels.cold is None:
                return False
            try:  # what goes down from here is taken for our own
                levels.codec.decode(fetched.blob, trusted=fetched.is_trusted)
            except (CorruptEntry, ForbiddenType):
                return False
            del self.reads[data]
            expires_ns = 0 if ttl is None else levels.clock.time_ns() + round(ttl * 1e9)
            old = fetched.blob
            touched = Blob(old.payload, old.codec, old.raw_bytes, expires_ns, old.tags)
            if levels.shared is not None and fetched.guard is levels.shared.guard:
                levels.shared.publish(data, touched)
                return True
            if not levels.cold.drop(data):
                return False
            levels.down.to_cold(data, touched)
            return True

    def note_late(self, value: Any, counts: bool) -> None:
        """Count a value that was found only when a read from below had to be given up."""
        with self._levels.lock:
            self._levels.counters.false_hits -= counts and value is not MISSING
