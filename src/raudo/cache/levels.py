"""The levels: who holds what, one key in one level, and counts that are exact.

One lock orders all moves. What goes up is in `promote`, what goes down in `demote`; here is the
state they share, and storing, changing and removing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from raudo._clock import Clock
from raudo._core.cache import Cache
from raudo._core.resizer import Resizer
from raudo._core.sizes import estimate_bytes
from raudo._core.transit import Parcel
from raudo.cache._checks import check_resize
from raudo.cache._forks import reset_after_fork
from raudo.cache.advise import Prices, ReuseSampler
from raudo.cache.codecs import BlobCodec
from raudo.cache.cold import ColdLevels
from raudo.cache.demote import Demoter
from raudo.cache.entries import Timed, Watched, unwrap
from raudo.cache.keys import KeyEncodingError, decode_key, encode_key
from raudo.cache.l1 import OffLevel, apportion, weigh
from raudo.cache.listener import Listener, OnEvict
from raudo.cache.loading import MISSING
from raudo.cache.promote import Promoter
from raudo.cache.shared import SharedLevel
from raudo.cache.stats import Counters
from raudo.cache.tags import Stamps, TagGenerations
from raudo.cache.tiers.compressed import CompressedTier
from raudo.errors import Closed
from raudo.types import Blob, Lease, SharedTags

__all__ = ["Levels"]

_SIZE_SAMPLE_MASK = 63  # one set in 64 has its value's size estimated


class Levels:
    """L1, L2 and what is below. Thread-safe."""

    def __init__(
        self,
        max_size: int,
        shares: tuple[float, float, float],
        *,
        strategy: object,
        max_bytes: int | None,
        codec: BlobCodec,
        clock: Clock,
        tags: TagGenerations | SharedTags,
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
        self.tags: TagGenerations | SharedTags = tags
        self.counters = Counters()
        self.sampler = ReuseSampler(max_size, bounds)
        self._resizer: Resizer | None = None
        if bounds is not None and prices is not None:
            self._resizer = Resizer(bounds, *prices)
            self._resizer.follow(self.sampler.curve, 0, self.started_s, is_warm=True)
        self.is_closed = False
        self.cold: ColdLevels | None = None
        self.listener = Listener(on_evict, codec)
        self.up = Promoter(self)
        self.down = Demoter(self, max_bytes)
        self._l1_bytes_mean = 0.0
        l1_bytes, l2_bytes = self._split_bytes(max_bytes)
        set_aside = self.down.set_aside(l2_bytes if l2_bytes is not None else 1 << 30)
        if l2_bytes is not None:
            l2_bytes -= set_aside
        self.l1: Any = OffLevel(self.down.left_l1)
        if self.sizes[0]:
            self.l1 = Cache(
                self.sizes[0],
                strategy=strategy,
                on_evict=self.down.left_l1,
                timer=clock.monotonic,
                max_weight=l1_bytes,
                weigher=None if l1_bytes is None else weigh,
            )
        self.l2: CompressedTier | None = None
        if self.sizes[1]:
            self.l2 = CompressedTier(
                self.sizes[1], max_bytes=l2_bytes, on_evict=self.down.left_l2, clock=clock
            )
            self.down.note_size()
        reset_after_fork(self)

    def _split_bytes(self, max_bytes: int | None) -> tuple[int | None, int | None]:
        if max_bytes is None:
            return None, None
        n_l1, n_l2, _ = self.sizes
        l1_bytes = max_bytes * n_l1 // max(1, n_l1 + n_l2)
        return max(1, l1_bytes), max(1, max_bytes - l1_bytes)

    def _after_fork(self) -> None:
        self.lock = threading.RLock()
        if self.cold is not None:
            self.cold.after_fork(self.lock)

    # --- what everyone here asks --------------------------------------------------------------

    def check(self) -> None:
        if self.is_closed:
            raise Closed("the cache is closed")

    def encode(self, key: Hashable) -> bytes | None:
        """Return the key's bytes, None where it can live in L1 only."""
        try:
            return encode_key(key)
        except (KeyEncodingError, RecursionError):
            return None

    def is_valid(self, expires_ns: int, tags: Stamps) -> bool:
        """Say whether an entry that was taken out is good; count it out where it is not."""
        if expires_ns and expires_ns <= self.clock.time_ns():
            self.counters.expirations += 1
        elif tags and not self.tags.is_current(tags):
            self.counters.deletions += 1
        else:
            return True
        return False

    def expires_ns(self, ttl: float | None) -> int:
        """Return when what lives `ttl` seconds from now ends, 0 for never."""
        return 0 if ttl is None else self.clock.time_ns() + round(ttl * 1e9)

    def take_blob(self, data: bytes) -> Blob | None:
        """Take a blob out of L2, or out of what is on its way to the disk."""
        if self.l2 is not None:
            blob = self.l2.take(data)
            if blob is not None:
                return blob
        return self.cold.take_waiting(data) if self.cold is not None else None

    # --- storing ------------------------------------------------------------------------------

    def put(
        self,
        key: Hashable,
        value: Any,
        ttl: float | None,
        tags: Stamps = (),
        stale_s: float = 0.0,
        load_s: float = 0.0,
        lease: Lease | None = None,
    ) -> None:
        """Store a value for `ttl` seconds (None: for ever) in the top level.

        It is held `stale_s` longer, to be served while it is loaded anew; the load took `load_s`,
        under a lease where processes share a level that hands some out.
        """
        hash(key)
        with self.lock:
            self.check()
            self._replace_below(key)
            self.sampler.note_stored(key)
            expires_ns, fresh_until, held_s = self.expires_ns(ttl), math.inf, ttl
            if ttl is not None and stale_s > 0:
                fresh_until, held_s = self.clock.monotonic() + ttl, ttl + stale_s
            self.counters.sets += 1
            if not self.counters.sets & _SIZE_SAMPLE_MASK or self.counters.sets == 1:
                size = estimate_bytes(value)
                self._l1_bytes_mean += (size - self._l1_bytes_mean) / min(
                    64, self.counters.sets // (_SIZE_SAMPLE_MASK + 1) + 1
                )
            self.down.begin_call()
            entry = self._wrap(key, value, expires_ns, tags, fresh_until, load_s)
            self.l1.set(key, entry, held_s)
            if self.shared is not None:
                self._publish(key, value, expires_ns, tags, lease)
            self._follow_cheapest()
            self._keep_bound()

    @property
    def shared(self) -> SharedLevel | None:
        """The level that other processes share, if there is one."""
        return self.cold.shared if self.cold is not None else None

    def _publish(
        self,
        key: Hashable,
        value: Any,
        expires_ns: int,
        tags: Stamps,
        lease: Lease | None = None,
    ) -> None:
        data = self.encode(key)
        if data is not None and self.shared is not None:
            self.shared.publish(data, Parcel(key, value, expires_ns, tags, 0), lease)

    def _follow_cheapest(self) -> None:
        """Change the size of every level, now and then; what is over it moves down."""
        if self._resizer is None:
            return
        now_s = self.clock.monotonic()
        if self._resizer.is_due(now_s):
            lookups, bytes_per_entry = self.lookups(), self.bytes_per_entry()
            self._resize(self._resizer.wanted(self.max_size, lookups, bytes_per_entry, now_s))

    def resize(self, max_size: int) -> None:
        """Change the size of every level; what is over it moves down, the coldest goes."""
        with self.lock:
            self.check()
            if self._resizer is not None:
                raise ValueError("a cache made with auto_resize chooses its size by itself")
            check_resize(max_size, self._shares)
            self.down.begin_call()
            self._resize(max_size)
            self._keep_bound()

    def _resize(self, max_size: int) -> None:
        if max_size == self.max_size:
            return
        self.max_size = max_size
        self.sizes = apportion(max_size, self._shares)
        if isinstance(self.l1, Cache):
            self.l1.resize(self.sizes[0])
        if self.l2 is not None:
            self.l2.resize(self.sizes[1])
            self.down.note_size()

    def shrink(self, keep: float) -> int:
        """Let all but the share `keep` of what is in memory go, to the level below or for good."""
        with self.lock:
            before = sum(self.level_sizes()[:2])
            if isinstance(self.l1, Cache):
                self.l1.resize(max(1, int(len(self.l1) * keep)))
                self.l1.resize(self.sizes[0])
            if self.l2 is not None:
                self.l2.resize(max(1, int(len(self.l2) * keep)))
                self.l2.resize(self.sizes[1])
            return before - sum(self.level_sizes()[:2])

    def put_top(self, key: Hashable, value: Any, expires_ns: int, tags: Stamps) -> None:
        """Put a value that was found below into L1."""
        ttl = None
        if expires_ns:
            ttl = max(1e-9, (expires_ns - self.clock.time_ns()) / 1e9)
        self.l1.set(key, self._wrap(key, value, expires_ns, tags), ttl)

    def _wrap(
        self,
        key: Hashable,
        value: Any,
        expires_ns: int,
        tags: Stamps,
        fresh_until: float = math.inf,
        load_s: float = 0.0,
    ) -> Any:
        is_followed = self.sampler.follows(key)
        if tags or is_followed or fresh_until != math.inf or load_s:
            return Watched(value, expires_ns, tags, fresh_until, is_followed, load_s)
        if expires_ns or type(value) in (Timed, Watched):
            return Timed(value, expires_ns)
        return value

    def _replace_below(self, key: Hashable) -> None:
        has_cold = self.cold is not None and (self.cold.guards or self.cold.outbox)
        if not (has_cold or self.l2 or self.down.transit or self.up.reads):
            return
        data = self.encode(key)
        if data is None:
            return
        self.up.reads.pop(data, None)
        if self._remove_below(data):
            self.counters.replaced += 1

    def _remove_below(self, data: bytes) -> bool:
        """Take an entry out below L1, and any copy; True where a valid one went."""
        parcel = self.down.transit.take(data)
        if parcel is not None:
            if self.cold is not None:
                self.cold.drop(data)
            return self.is_valid(parcel.expires_ns, parcel.tags)
        if self.l2 is not None:
            blob = self.l2.take(data)
            if blob is not None:
                if self.cold is not None:
                    self.cold.drop(data)
                return self.is_valid(blob.expires_ns, blob.tags)
        return self.cold is not None and self.cold.drop(data)

    def _keep_bound(self) -> None:
        """Let the coldest go where all levels together hold more than `max_size`.

        Below its own share the lowest level may use what the others do not, so that a restart,
        which finds everything on the disk, loses nothing.
        """
        if self.cold is not None:
            l1, l2, below = self.level_sizes()
            if l1 + l2 + below > self.max_size:
                self.cold.trim(max(0, self.max_size - l1 - l2))
                self.down.count_lost()

    # --- changing and removing ----------------------------------------------------------------

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
                self.up.reads.pop(data, None)
                if self._remove_below(data):
                    self.counters.deletions += 1
                    was_valid = True
            return was_valid

    def _is_good(self, entry: Any) -> bool:
        if type(entry) is not Watched:
            return True
        return entry.fresh_until > self.clock.monotonic() and (
            not entry.tags or self.tags.is_current(entry.tags)
        )

    def clear(self) -> None:
        with self.lock:
            self.check()
            self.up.reads.clear()
            self.counters.deletions += len(self.l1) + self.down.transit.clear()
            self.down.is_quiet = True
            try:
                self.l1.clear()
            finally:
                self.down.is_quiet = False
            if self.l2 is not None:
                self.counters.deletions += self.l2.clear()
            if self.cold is not None:
                self.counters.deletions += self.cold.clear()

    def forget(self, data: bytes | None) -> None:
        """Give up the copies of what another process changed; None: of everything."""
        if data is None:
            with self.lock:
                if not self.is_closed:
                    self.clear()
            return
        try:
            key = decode_key(data)
        except ValueError:
            return  # none of ours: it would be an enumeration that is not loaded here
        with self.lock:
            if not self.is_closed:
                self.remove(key)

    def touch(self, key: Hashable, ttl: float | None) -> bool:
        """Give an entry in memory a new time to live."""
        expires_ns = self.expires_ns(ttl)
        with self.lock:
            self.check()
            entry = self.l1.peek(key, MISSING)
            data = self.encode(key)
            if entry is not MISSING and self.up.open(key, entry, counts=False) is not MISSING:
                self._touch_top(key, entry, data, expires_ns, ttl)
                return True
            if data is None:
                return False
            self.up.reads.pop(data, None)
            parcel = self.down.transit.take(data)
            blob = self.take_blob(data) if parcel is None else None
            found = parcel if parcel is not None else blob
            if found is None:
                return False
            if self.cold is not None:
                self.cold.drop(data)  # a copy on disk would keep the old time
            if not self.is_valid(found.expires_ns, found.tags):
                return False
            if parcel is not None:
                if self.shared is not None:
                    self._publish(key, parcel.value, expires_ns, parcel.tags)
                self.down.transit.put(
                    data, Parcel(parcel.key, parcel.value, expires_ns, parcel.tags, parcel.n_bytes)
                )
            elif blob is not None:
                blob = replace(blob, expires_ns=expires_ns)
                if self.shared is not None:
                    self.shared.publish(data, blob)
                if self.l2 is not None:
                    self.l2.put_nowait(data, blob)
                else:
                    self.down.to_cold(data, blob)
            return True

    def _touch_top(
        self, key: Hashable, entry: Any, data: bytes | None, expires_ns: int, ttl: float | None
    ) -> None:
        tags, load_s = (entry.tags, entry.load_s) if type(entry) is Watched else ((), 0.0)
        if data is not None and self.cold is not None:
            self.cold.drop(data)  # a copy on disk would keep the old time
        touched = self._wrap(key, unwrap(entry), expires_ns, tags, load_s=load_s)
        if self.shared is not None:
            self._publish(key, unwrap(entry), expires_ns, tags)
        self.down.is_quiet = True
        try:
            self.l1.set(key, touched, ttl)
        finally:
            self.down.is_quiet = False

    def contains(self, key: Hashable) -> bool:
        """Say whether a valid entry is anywhere that needs no waiting; counts nothing."""
        with self.lock:
            self.check()
            entry = self.l1.peek(key, MISSING)
            if entry is not MISSING:
                return self.up.open(key, entry, counts=False) is not MISSING
            if self.l2 is None and self.cold is None:
                return False
            data = self.encode(key)
            if data is None:
                return False
            found: Any = self.down.transit.get(data)
            if found is None and self.l2 is not None:
                found = self.l2.peek(data)
            if found is None and self.cold is not None:
                found = self.cold.waiting(data)
            if found is None or 0 < found.expires_ns <= self.clock.time_ns():
                return False
            return not found.tags or self.tags.is_current(found.tags)

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
            self.down.count_lost()

    def stale_value(self, key: Hashable) -> Any:
        """Return a value that is past its time but held to be served while it is reloaded."""
        entry = self.l1.peek(key, MISSING)
        if type(entry) is Watched and (not entry.tags or self.tags.is_current(entry.tags)):
            return entry.value
        return MISSING

    def seconds_left(self, key: Hashable) -> tuple[float, float]:
        """Return how long the entry in L1 is still fresh, and how long its load took.

        The first is infinite where it does not expire, the second 0 where it is not known.
        """
        entry = self.l1.peek(key)
        if isinstance(entry, Timed) and entry.expires_ns:
            load_s = entry.load_s if isinstance(entry, Watched) else 0.0
            return (entry.expires_ns - self.clock.time_ns()) / 1e9, load_s
        return math.inf, 0.0

    def deliver(self) -> None:
        """Count and tell the listener, with no lock held, what has left since the last time."""
        if self.down.lost:
            with self.lock:
                self.down.count_lost()
        self.listener.deliver()

    def has_leftovers(self) -> bool:
        """Say whether something is to be told, counted or carried down after a call."""
        return bool(
            self.listener
            or self.down.lost
            or self.down.transit.is_due()
            or (self.cold is not None and (self.cold.outbox or self.cold.shared))
        )

    def start_accounts(self) -> None:
        """Take what the disk holds at the start for stored, so that the counts add up."""
        if self.cold is not None:
            self.counters.sets += len(self.cold) + len(self.down.lost)

    def level_sizes(self) -> tuple[int, int, int]:
        """Return the entries in L1, L2 and below; what is on its way down is there already."""
        l2 = len(self.l2) if self.l2 is not None else 0
        below = len(self.cold) if self.cold is not None else 0
        n_waiting = len(self.down.transit)
        if self.l2 is not None:
            return len(self.l1), l2 + n_waiting, below
        return len(self.l1), 0, below + n_waiting

    def lookups(self) -> int:
        """Return how many lookups there were, hits and misses of all levels."""
        in_l1 = self.l1.stats()
        return int(in_l1["hits"] + in_l1["misses"])

    def bytes_per_entry(self) -> float:
        """Return about how many bytes an entry takes, the mean of all levels."""
        return sum(self.level_bytes()) / max(1, sum(self.level_sizes()))

    def level_bytes(self) -> tuple[int, int, int]:
        """Return about how many bytes L1, L2 and what is below take."""
        l2 = self.l2.stats().bytes_used if self.l2 is not None else 0
        below = self.cold.bytes_used() if self.cold is not None else 0
        return self.l1_bytes() + self.down.transit.n_bytes, l2, below

    def l1_bytes(self) -> int:
        """Return about how many bytes L1's values take: exact weights, or the mean of a sample."""
        if isinstance(self.l1, Cache) and self.l1.max_weight is not None:
            return int(self.l1.weight)
        return round(len(self.l1) * self._l1_bytes_mean)

    def empty(self) -> None:
        """Let go of what is in memory, counting nothing; for the end."""
        with self.lock:
            self.is_closed = self.down.is_quiet = True
            self.up.reads.clear()
            self.down.transit.clear()
            self.l1.clear()
            if self.l2 is not None:
                self.l2.clear()
