"""The levels and what moves between them: up on a hit, down on eviction, one key in one level.

One lock orders all moves. A hit on L1 takes no lock but the table's own; a reader that misses L1
while its entry is being moved waits for the lock and then finds it. A read from the disk is made
without the lock: it leaves a token under its key, which any change of the key removes, and what was
read is put into L1 only if the token is still there.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from raudo._clock import Clock
from raudo._core.cache import Cache
from raudo._core.sizes import estimate_bytes
from raudo.cache._forks import reset_after_fork
from raudo.cache.advise import Prices, Resizer, ReuseSampler
from raudo.cache.codecs import BlobCodec
from raudo.cache.cold import ColdLevels, Fetched
from raudo.cache.entries import Timed, Watched, parts_of, unwrap
from raudo.cache.keys import KeyEncodingError, encode_key
from raudo.cache.l1 import OffLevel, apportion, weigh
from raudo.cache.listener import Listener, OnEvict
from raudo.cache.loading import MISSING
from raudo.cache.stats import Counters
from raudo.cache.tags import Stamps, TagGenerations
from raudo.cache.tiers.compressed import CompressedTier
from raudo.errors import Closed, CorruptEntry, ForbiddenType
from raudo.types import Blob

__all__ = ["RETRY", "Levels", "apportion"]

RETRY: Any = object()
_SIZE_SAMPLE_MASK = 63  # one set in 64 has its value's size estimated


class Read:
    """Those who read one key from below at the same time; any change of the key puts them off."""

    __slots__ = ("n_readers",)

    def __init__(self) -> None:
        self.n_readers = 0


class Levels:
    """L1, L2 and what is below; keeps the counts exact."""

    def __init__(
        self,
        max_size: int,
        shares: tuple[float, float, float],
        *,
        strategy: object,
        max_bytes: int | None,
        codec: BlobCodec,
        clock: Clock,
        tags: TagGenerations,
        on_evict: OnEvict | None,
        bounds: tuple[int, int] | None,
        prices: Prices | None,
    ) -> None:
        self.max_size = max_size
        self.started_s = clock.monotonic()
        self._shares = shares
        self.sizes = apportion(max_size, shares)
        self.lock = threading.RLock()
        self.codec = codec
        self.clock = clock
        self.tags = tags
        self.counters = Counters()
        self.sampler = ReuseSampler(max_size, bounds)
        self._resizer: Resizer | None = None
        if bounds is not None and prices is not None:
            self._resizer = Resizer(self.sampler, bounds, prices, clock)
        self.is_closed = False
        self.cold: ColdLevels | None = None
        self.listener = Listener(on_evict, codec)
        self._reads: dict[bytes, Read] = {}
        self._is_quiet = False
        self._l1_bytes_mean = 0.0
        # What the tiers let go of; they say so with their own lock held, so it is counted later.
        self._lost: deque[tuple[bytes, Blob | None, str, bool]] = deque()
        l1_bytes, l2_bytes = self._split_bytes(max_bytes)
        self.l1: Any = OffLevel(self._left_l1)
        if self.sizes[0]:
            self.l1 = Cache(
                self.sizes[0],
                strategy=strategy,
                on_evict=self._left_l1,
                timer=clock.monotonic,
                max_weight=l1_bytes,
                weigher=None if l1_bytes is None else weigh,
            )
        self.l2: CompressedTier | None = None
        if self.sizes[1]:
            self.l2 = CompressedTier(
                self.sizes[1], max_bytes=l2_bytes, on_evict=self._left_l2, clock=clock
            )
        reset_after_fork(self)

    def _split_bytes(self, max_bytes: int | None) -> tuple[int | None, int | None]:
        if max_bytes is None:
            return None, None
        n_l1, n_l2, _ = self.sizes
        l1_bytes = max_bytes * n_l1 // max(1, n_l1 + n_l2)
        return max(1, l1_bytes), max(1, max_bytes - l1_bytes)

    # --- looking up ---------------------------------------------------------------------------

    def find(self, key: Hashable, entry: Any = MISSING, *, counts: bool = True) -> Any:
        """Return a value that is in memory, or `MISSING`; `entry` is what `l1.get` returned."""
        if entry is not MISSING:
            return self._open(key, entry, counts)
        started_ns = time.perf_counter_ns()
        with self.lock:
            self.check()
            entry = self.l1.peek(key, MISSING)
            if entry is not MISSING:  # came up while we waited for the lock
                value = self._open(key, entry, counts=False)
                if value is not MISSING:
                    self.counters.false_hits -= counts
                return value
            if counts and self.sampler.follows(key):
                self.sampler.note(key)
            data = self.encode(key)
            if data is None:
                return MISSING
            blob = self._take_from_memory(data)
            if blob is None:
                return MISSING
            value = self._admit(key, data, blob, is_trusted=True)
            if value is not MISSING and counts:
                self.counters.l2_hits += 1
                self.counters.latency["l2"].add(time.perf_counter_ns() - started_ns)
            return value

    def _take_from_memory(self, data: bytes) -> Blob | None:
        if self.l2 is not None:
            blob = self.l2.take(data)
            if blob is not None:
                return blob
        return self.cold.take_waiting(data) if self.cold is not None else None

    def _open(self, key: Hashable, entry: Any, counts: bool) -> Any:
        """Return the value of what L1 holds if it is still good."""
        if type(entry) is not Watched:
            return unwrap(entry)
        if entry.is_followed and counts:
            self.sampler.note(key)
            started_ns = time.perf_counter_ns()
            self.l1.peek(key)
            self.counters.latency["l1"].add(time.perf_counter_ns() - started_ns)
        if entry.tags and not self.tags.is_current(entry.tags):
            with self.lock:
                self.counters.false_hits += counts
                if self.l1.peek(key, MISSING) is entry:
                    self.l1.pop(key, MISSING)
                    self.counters.deletions += 1
            return MISSING
        if entry.fresh_until <= self.clock.monotonic():
            with self.lock:
                self.counters.false_hits += counts
            return MISSING
        return entry.value

    def _is_good(self, entry: Any) -> bool:
        if type(entry) is not Watched:
            return True
        return entry.fresh_until > self.clock.monotonic() and (
            not entry.tags or self.tags.is_current(entry.tags)
        )

    def _admit(self, key: Hashable, data: bytes, blob: Blob, *, is_trusted: bool) -> Any:
        """Make the value of a blob that was taken out below, and put it into the top level."""
        if not self._is_valid(blob):
            return MISSING
        try:
            value = self.codec.decode(blob, trusted=is_trusted)
        except (CorruptEntry, ForbiddenType) as error:
            self._note_unfit(error)
            self.counters.evictions += 1
            return MISSING
        self._put_up(key, data, blob, value)
        return value

    def _put_up(self, key: Hashable, data: bytes, blob: Blob, value: Any) -> None:
        if self.sizes[0]:
            self.counters.promotions += 1
            ttl = None
            if blob.expires_ns:
                ttl = max(1e-9, (blob.expires_ns - self.clock.time_ns()) / 1e9)
            self.l1.set(key, self._wrap(key, value, blob.expires_ns, blob.tags), ttl)
        elif self.l2 is not None:
            self.l2.put_nowait(data, blob)
        else:
            self._to_cold(data, blob)

    def _wrap(
        self,
        key: Hashable,
        value: Any,
        expires_ns: int,
        tags: Stamps,
        fresh_until: float = math.inf,
    ) -> Any:
        is_followed = self.sampler.follows(key)
        if tags or is_followed or fresh_until != math.inf:
            return Watched(value, expires_ns, tags, fresh_until, is_followed)
        if expires_ns or type(value) in (Timed, Watched):
            return Timed(value, expires_ns)
        return value

    def _is_valid(self, blob: Blob) -> bool:
        """Say whether a blob is good; count it out where it is not."""
        if blob.expires_ns and blob.expires_ns <= self.clock.time_ns():
            self.counters.expirations += 1
        elif blob.tags and not self.tags.is_current(blob.tags):
            self.counters.deletions += 1
        else:
            return True
        return False

    def _note_unfit(self, error: BaseException) -> None:
        if isinstance(error, ForbiddenType):
            self.counters.forbidden += 1
        else:
            self.counters.corrupt += 1

    def encode(self, key: Hashable) -> bytes | None:
        """Return the key's bytes, None where it can live in L1 only."""
        try:
            return encode_key(key)
        except (KeyEncodingError, RecursionError):
            return None

    # --- reading from below -------------------------------------------------------------------

    def begin_read(self, data: bytes) -> Read:
        """Leave a token under the key, or join those who read it; `end_read` must follow."""
        with self.lock:
            token = self._reads.get(data)
            if token is None:
                token = self._reads[data] = Read()
            token.n_readers += 1
            return token

    def may_be_below(self, key: Hashable) -> bytes | None:
        """Return the key's bytes if it may be in a level below memory."""
        if self.cold is None or not (self.cold.guards or self.cold.outbox):
            return None
        data = self.encode(key)
        with self.lock:
            return data if data is not None and self.cold.may_have(data) else None

    def end_read(self, data: bytes, token: Read) -> None:
        """Take the token away with its last reader."""
        with self.lock:
            token.n_readers -= 1
            if not token.n_readers and self._reads.get(data) is token:
                del self._reads[data]

    def finish_read(
        self,
        key: Hashable,
        data: bytes,
        token: Read,
        fetched: Fetched | None,
        started_ns: int,
        *,
        counts: bool,
    ) -> Any:
        """Promote what was read; `RETRY` where the key changed meanwhile, `MISSING` for nothing."""
        value = MISSING
        error: Exception | None = None
        if fetched is not None:
            try:
                value = self.codec.decode(fetched.blob, trusted=fetched.is_trusted)
            except (CorruptEntry, ForbiddenType) as caught:
                error = caught
        with self.lock:
            self.check()
            if self._reads.get(data) is not token:
                return RETRY
            if fetched is None or self.cold is None:
                return MISSING
            if error is not None:
                del self._reads[data]  # one of those who read it counts it
                self._note_unfit(error)
                if self.cold.drop(data):
                    self.counters.evictions += 1
                return MISSING
            blob = fetched.blob
            if blob.expires_ns and blob.expires_ns <= self.clock.time_ns():
                return MISSING  # the tier drops and counts it
            if blob.tags and not self.tags.is_current(blob.tags):
                if self.cold.drop(data):
                    self.counters.deletions += 1
                return MISSING
            self.counters.l3_hits += counts
            if (self.sizes[0] or self.l2 is not None) and self.cold.release(data, fetched.guard):
                del self._reads[data]  # others who read it find it above
                self._put_up(key, data, blob, value)
            self.counters.latency["l3"].add(time.perf_counter_ns() - started_ns)
            return value

    # --- storing and removing -----------------------------------------------------------------

    def put(
        self,
        key: Hashable,
        value: Any,
        ttl: float | None,
        tags: Stamps = (),
        stale_s: float = 0.0,
    ) -> None:
        """Store a value for `ttl` seconds (None: for ever) in the top level."""
        hash(key)
        with self.lock:
            self.check()
            self._replace_below(key)
            self.sampler.note_stored(key)
            expires_ns, fresh_until, held_s = 0, math.inf, ttl
            if ttl is not None:
                expires_ns = self.clock.time_ns() + round(ttl * 1e9)
                if stale_s > 0:
                    fresh_until, held_s = self.clock.monotonic() + ttl, ttl + stale_s
            self.counters.sets += 1
            if not self.counters.sets & _SIZE_SAMPLE_MASK or self.counters.sets == 1:
                size = estimate_bytes(value)
                self._l1_bytes_mean += (size - self._l1_bytes_mean) / min(
                    64, self.counters.sets // (_SIZE_SAMPLE_MASK + 1) + 1
                )
            self.l1.set(key, self._wrap(key, value, expires_ns, tags, fresh_until), held_s)
            if self._resizer is not None and self._resizer.is_due():
                self._resize(
                    self._resizer.wanted(self.max_size, self.lookups(), self.bytes_per_entry())
                )
            self._keep_bound()

    def _resize(self, max_size: int) -> None:
        """Change the size of every level; what is over it moves down within the call."""
        if max_size == self.max_size:
            return
        self.max_size = max_size
        self.sizes = apportion(max_size, self._shares)
        if isinstance(self.l1, Cache):
            self.l1.resize(self.sizes[0])
        if self.l2 is not None:
            self.l2.resize(self.sizes[1])

    def _replace_below(self, key: Hashable) -> None:
        has_cold = self.cold is not None and (self.cold.guards or self.cold.outbox)
        if not has_cold and not self.l2:
            return
        data = self.encode(key)
        if data is None:
            return
        self._reads.pop(data, None)
        if self._remove_below(data):
            self.counters.replaced += 1

    def _remove_below(self, data: bytes) -> bool:
        """Take an entry out below L1, and any copy; True where a valid one went."""
        if self.l2 is not None:
            blob = self.l2.take(data)
            if blob is not None:
                if self.cold is not None:
                    self.cold.drop(data)
                return self._is_valid(blob)
        return self.cold is not None and self.cold.drop(data)

    def _keep_bound(self) -> None:
        """Let the coldest go where all levels together hold more than `max_size`.

        Below its own share the lowest level may use what the others do not, so that a restart,
        which finds everything on the disk, loses nothing.
        """
        if self.cold is not None:
            above = len(self.l1) + (len(self.l2) if self.l2 is not None else 0)
            if above + len(self.cold) > self.max_size:
                self.cold.trim(self.max_size - above)
                self._count_lost()

    def remove(self, key: Hashable) -> bool:
        """Take the key out of every level."""
        with self.lock:
            self.check()
            entry = self.l1.pop(key, MISSING)
            self.sampler.note_removed(key)
            data = self.encode(key)
            was_valid = False
            if entry is not MISSING:
                self.counters.deletions += 1
                was_valid = self._is_good(entry)
            if data is not None:
                self._reads.pop(data, None)
                if self._remove_below(data):
                    self.counters.deletions += 1
                    was_valid = True
            return was_valid

    def clear(self) -> None:
        with self.lock:
            self.check()
            self._reads.clear()
            self.counters.deletions += len(self.l1)
            self._is_quiet = True
            try:
                self.l1.clear()
            finally:
                self._is_quiet = False
            if self.l2 is not None:
                self.counters.deletions += self.l2.clear()
            if self.cold is not None:
                self.counters.deletions += self.cold.clear()

    def touch(self, key: Hashable, ttl: float | None) -> bool:
        """Give an entry in memory a new time to live."""
        expires_ns = 0 if ttl is None else self.clock.time_ns() + round(ttl * 1e9)
        with self.lock:
            self.check()
            entry = self.l1.peek(key, MISSING)
            data = self.encode(key)
            if entry is not MISSING and self._open(key, entry, counts=False) is not MISSING:
                tags = entry.tags if type(entry) is Watched else ()
                if data is not None and self.cold is not None:
                    self.cold.drop(data)  # a copy on disk would keep the old time
                self._is_quiet = True
                try:
                    self.l1.set(key, self._wrap(key, unwrap(entry), expires_ns, tags), ttl)
                finally:
                    self._is_quiet = False
                return True
            if data is None:
                return False
            blob = self._take_from_memory(data)
            if blob is None:
                return False
            if self.cold is not None:
                self.cold.drop(data)  # a copy on disk would keep the old time
            if not self._is_valid(blob):
                return False
            if self.l2 is not None:
                self.l2.put_nowait(data, replace(blob, expires_ns=expires_ns))
            else:
                self._to_cold(data, replace(blob, expires_ns=expires_ns))
            return True

    def finish_touch(
        self, data: bytes, token: Read, fetched: Fetched | None, ttl: float | None
    ) -> bool:
        """Put what was read back with a new time to live, where no level is above."""
        with self.lock:
            self.check()
            if self._reads.get(data) is not token or fetched is None or self.cold is None:
                return False
            try:  # what goes down from here is taken for our own
                self.codec.decode(fetched.blob, trusted=fetched.is_trusted)
            except (CorruptEntry, ForbiddenType):
                return False
            del self._reads[data]
            if not self.cold.drop(data):
                return False
            expires_ns = 0 if ttl is None else self.clock.time_ns() + round(ttl * 1e9)
            self._to_cold(data, replace(fetched.blob, expires_ns=expires_ns))
            return True

    def contains(self, key: Hashable) -> bool:
        """Say whether a valid entry is anywhere that needs no waiting; counts nothing."""
        with self.lock:
            self.check()
            entry = self.l1.peek(key, MISSING)
            if entry is not MISSING:
                return self._open(key, entry, counts=False) is not MISSING
            data = self.encode(key)
            if data is None:
                return False
            blob = self.l2.peek(data) if self.l2 is not None else None
            if blob is None and self.cold is not None:
                blob = self.cold.waiting(data)
            if blob is None or 0 < blob.expires_ns <= self.clock.time_ns():
                return False
            return not blob.tags or self.tags.is_current(blob.tags)

    # --- moving down --------------------------------------------------------------------------

    def _left_l1(self, key: Any, entry: Any, reason: str) -> None:
        with self.lock:
            if reason == "capacity":
                self._demote(key, entry)
            elif self._is_quiet:
                return
            elif reason == "expired":
                self.counters.expirations += 1
                self.listener.tell(key, unwrap(entry), reason)
            elif reason == "replaced":
                self.counters.replaced += 1

    def _demote(self, key: Any, entry: Any) -> None:
        value, expires_ns, tags = parts_of(entry)
        if expires_ns and expires_ns <= self.clock.time_ns():
            self.counters.expirations += 1
            self.listener.tell(key, value, "expired")
            return
        if tags and not self.tags.is_current(tags):
            self.counters.deletions += 1
            return
        if self.l2 is None and self.cold is None:
            self._let_go(key, value)
            return
        data = self.encode(key)
        if data is None:
            self.counters.unencodable_keys += 1
            self._let_go(key, value)
            return
        try:
            blob = self.codec.encode(value, expires_ns, tags)
        except Exception:
            self.counters.unpicklable_values += 1
            if self.cold is not None:
                self.cold.drop(data)  # a copy that was flushed before the value changed
            self._let_go(key, value)
            return
        self.counters.demotions += 1
        self.counters.raw_bytes += blob.raw_bytes
        self.counters.packed_bytes += len(blob.payload)
        if self.l2 is not None:
            self.l2.put_nowait(data, blob)
        else:
            self._to_cold(data, blob)

    def _let_go(self, key: Any, value: Any) -> None:
        self.counters.evictions += 1
        self.listener.tell(key, value, "capacity")

    def _left_l2(self, data: bytes, blob: Blob, reason: str) -> None:
        with self.lock:
            if reason == "expired":
                self.counters.expirations += 1
                self.listener.tell_blob(data, blob, reason, trusted=True)
            elif blob.tags and not self.tags.is_current(blob.tags):
                self.counters.deletions += 1
            elif self.cold is None:
                self.counters.evictions += 1
                self.listener.tell_blob(data, blob, "capacity", trusted=True)
            else:
                self.counters.demotions += 1
                self._to_cold(data, blob)

    def _to_cold(self, data: bytes, blob: Blob) -> None:
        assert self.cold is not None
        self.cold.put(data, blob)
        self._count_lost()

    def left_cold(self, data: bytes, blob: Blob | None, reason: str) -> None:
        """Note what did not reach a tier; callable with any lock held."""
        self._lost.append((data, blob, reason, False))

    def left_tier(self, data: bytes, blob: Blob | None, reason: str) -> None:
        """Note what a tier let go of, as it stood there; callable with any lock held."""
        self._lost.append((data, blob, reason, True))

    def _count_lost(self) -> None:
        while self._lost:
            data, blob, reason, is_sealed = self._lost.popleft()
            if reason == "expired":
                self.counters.expirations += 1
            else:
                self.counters.evictions += 1  # the tier has counted what was corrupt
            if reason == "corrupt" or not self.listener.is_there:
                continue
            is_trusted = True
            if blob is not None and is_sealed and self.cold is not None:
                try:
                    blob, is_trusted = self.cold.unseal(data, blob)
                except CorruptEntry:
                    blob = None
            self.listener.tell_blob(data, blob, reason, trusted=is_trusted)

    def deliver(self) -> None:
        """Count and tell the listener, with no lock held, what has left since the last time."""
        if self._lost:
            with self.lock:
                self._count_lost()
        self.listener.deliver()

    # --- all of it ----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Drop what has expired, in every level that needs no event loop."""
        with self.lock:
            self.check()
            self.l1.expire()
            if self.l2 is not None:
                self.l2.sweep_nowait(self.clock.time_ns())
            if self.cold is not None:
                self.cold.sweep(self.clock.time_ns())
            self._count_lost()

    def note_late(self, value: Any, counts: bool) -> None:
        """Count a value that was found only when a read from below had to be given up."""
        with self.lock:
            self.counters.false_hits -= counts and value is not MISSING

    def stale_value(self, key: Hashable) -> Any:
        """Return a value that is past its time but held to be served while it is reloaded."""
        entry = self.l1.peek(key, MISSING)
        if type(entry) is Watched and (not entry.tags or self.tags.is_current(entry.tags)):
            return entry.value
        return MISSING

    def seconds_left(self, key: Hashable) -> float:
        """Return how long the entry in L1 is still fresh; infinite where it does not expire."""
        entry = self.l1.peek(key)
        if isinstance(entry, Timed) and entry.expires_ns:
            return (entry.expires_ns - self.clock.time_ns()) / 1e9
        return math.inf

    def has_leftovers(self) -> bool:
        """Say whether something is to be told, counted or carried down after a call."""
        return bool(self.listener or self._lost or (self.cold is not None and self.cold.outbox))

    def start_accounts(self) -> None:
        """Take what the disk holds at the start for stored, so that the counts add up."""
        if self.cold is not None:
            self.counters.sets += len(self.cold) + len(self._lost)

    def level_sizes(self) -> tuple[int, int, int]:
        """Return the entries in L1, L2 and below."""
        l2 = len(self.l2) if self.l2 is not None else 0
        return len(self.l1), l2, len(self.cold) if self.cold is not None else 0

    def level_bytes(self) -> tuple[int, int, int]:
        """Return about how many bytes L1, L2 and what is below take."""
        l2 = self.l2.stats().bytes_used if self.l2 is not None else 0
        return self.l1_bytes(), l2, self.cold.bytes_used() if self.cold is not None else 0

    def lookups(self) -> int:
        """Return how many lookups there were, hits and misses of all levels."""
        in_l1 = self.l1.stats()
        return int(in_l1["hits"] + in_l1["misses"])

    def bytes_per_entry(self) -> float:
        """Return about how many bytes an entry takes, the mean of all levels."""
        return sum(self.level_bytes()) / max(1, sum(self.level_sizes()))

    def l1_bytes(self) -> int:
        """Return about how many bytes L1's values take: exact weights, or the mean of a sample."""
        if isinstance(self.l1, Cache) and self.l1.max_weight is not None:
            return int(self.l1.weight)
        return round(len(self.l1) * self._l1_bytes_mean)

    def empty(self) -> None:
        """Let go of what is in memory, counting nothing; for the end."""
        with self.lock:
            self.is_closed = self._is_quiet = True
            self._reads.clear()
            self.l1.clear()
            if self.l2 is not None:
                self.l2.clear()

    def check(self) -> None:
        if self.is_closed:
            raise Closed("the cache is closed")

    def _after_fork(self) -> None:
        self.lock = threading.RLock()
        if self.cold is not None:
            self.cold.after_fork(self.lock)
