"""Moving down: what L1 and L2 push out, and what the tiers let go of.

What leaves L1 waits in `Transit` as it is, and counts as L2's. A few small values may stay there:
a lookup that brings one up and pushes another out makes bytes of neither. Beyond those a call that
stores makes bytes of a few itself, and `carry` steps of the rest: between other work of the event
loop, or on a thread where a value is heavy.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from raudo._core.sizes import estimate_bytes, guess_bytes
from raudo._core.transit import Parcel, Transit
from raudo.cache.entries import parts_of, unwrap
from raudo.cache.tags import Stamps
from raudo.errors import CorruptEntry
from raudo.types import Blob

if TYPE_CHECKING:
    from raudo.cache.levels import Levels

__all__ = ["Demoter"]

# Values that one call serialises itself: some 5 us each.
_PER_CALL = 8
# Serialising and compressing so much takes 0.2 ms; more is done on a thread.
_HEAVY_BYTES = 256 * 1024
# Where L2 is there, so many may stay as they are, and no more than this share of its entries. Half
# of them are made bytes of in one go, 10 us each, so that most lookups have nothing to do with it.
_MAY_STAY = 128
_MAY_STAY_SHARE = 8
_MAY_STAY_BYTES = 1 << 20
# What may wait; beyond it a call does the work itself, so that memory stays bounded.
_MAX_PARCELS = 1 << 14
_MAX_TRANSIT_BYTES = 32 << 20


class Demoter:
    """Takes entries down from L1, and counts those that leave. Called with the cache's lock."""

    def __init__(self, levels: Levels, max_bytes: int | None) -> None:
        self._levels = levels
        self.transit = Transit()
        self._max_transit_bytes = _MAX_TRANSIT_BYTES
        if max_bytes is not None:
            self._max_transit_bytes = min(_MAX_TRANSIT_BYTES, max_bytes // 4)
        self._size_of = guess_bytes if max_bytes is None else estimate_bytes
        self._n_left = _PER_CALL
        # Threads that make bytes of a value, whose own code may come back here meanwhile.
        self._packing: set[int] = set()
        # What the tiers let go of; they say so with their own lock held, so it is counted later.
        self.lost: deque[tuple[bytes, Blob | None, str, bool]] = deque()
        self.is_quiet = False  # what leaves L1 now is counted by whoever takes it out

    def begin_call(self) -> None:
        """Allow the call that begins here its share of work."""
        self._n_left = _PER_CALL

    def begin_hit(self) -> None:
        """Begin a lookup in memory: its caller is not kept waiting for what it pushes out."""
        self._n_left = 0

    def note_size(self) -> None:
        """Let as many wait as L2, whose size changed, can spare."""
        l2 = self._levels.l2
        if l2 is not None:
            self.transit.may_stay = min(_MAY_STAY, l2.max_entries // _MAY_STAY_SHARE)
            l2.make_room(len(self.transit))

    def set_aside(self, l2_bytes: int) -> int:
        """Return how much of L2's memory is for what waits, so that both keep to the bound."""
        self.transit.may_stay_bytes = min(_MAY_STAY_BYTES, l2_bytes // 16)
        return self.transit.may_stay_bytes

    # --- from L1 ------------------------------------------------------------------------------

    def left_l1(self, key: Any, entry: Any, reason: str) -> None:
        levels = self._levels
        with levels.lock:
            if reason == "capacity":
                self._demote(key, entry)
            elif self.is_quiet:
                return
            elif reason == "expired":
                levels.counters.expirations += 1
                levels.listener.tell(key, unwrap(entry), reason)
            elif reason == "replaced":
                levels.counters.replaced += 1

    def _demote(self, key: Any, entry: Any) -> None:
        levels, transit = self._levels, self.transit
        value, expires_ns, tags = parts_of(entry)
        if (expires_ns or tags) and not self._is_worth_keeping(key, value, expires_ns, tags):
            return
        l2 = levels.l2
        if l2 is None and levels.cold is None:
            self._let_go(key, value)
            return
        if l2 is None and levels.cold is not None and levels.cold.is_only_shared:
            levels.counters.evictions += 1  # it is there already, and not lost
            return
        data = levels.encode(key)
        if data is None:
            levels.counters.unencodable_keys += 1
            self._let_go(key, value)
            return
        transit.put(data, Parcel(key, value, expires_ns, tags, self._size_of(value)))
        if l2 is not None:
            l2.make_room(len(transit))
        while self._n_left > 0 and transit.is_due() and not self.is_next_heavy():
            self._n_left -= 1
            self._carry_oldest()
        while len(transit) > _MAX_PARCELS or transit.n_bytes > self._max_transit_bytes:
            if not self._carry_oldest():
                break

    def _is_worth_keeping(self, key: Any, value: Any, expires_ns: int, tags: Stamps) -> bool:
        levels = self._levels
        if expires_ns and expires_ns <= levels.clock.time_ns():
            levels.counters.expirations += 1
            levels.listener.tell(key, value, "expired")
            return False
        if tags and not levels.tags.is_current(tags):
            levels.counters.deletions += 1
            return False
        return True

    def _refuse(self, data: bytes, key: Any, value: Any) -> None:
        """Let go of a value that cannot be made bytes of."""
        levels = self._levels
        levels.counters.unpicklable_values += 1
        if levels.cold is not None:
            levels.cold.drop(data)  # a copy that was flushed before the value changed
        self._let_go(key, value)

    def _send_down(self, data: bytes, blob: Blob) -> None:
        levels = self._levels
        levels.counters.demotions += 1
        levels.counters.raw_bytes += blob.raw_bytes
        levels.counters.packed_bytes += len(blob.payload)
        if levels.l2 is not None:
            levels.l2.put_nowait(data, blob)
        else:
            self.to_cold(data, blob)

    def _let_go(self, key: Any, value: Any) -> None:
        self._levels.counters.evictions += 1
        self._levels.listener.tell(key, value, "capacity")

    # --- what waits ---------------------------------------------------------------------------

    def _next(self) -> tuple[bytes, Parcel] | None:
        return None if self.is_packing() else self.transit.oldest()

    def is_packing(self) -> bool:
        """Say whether this is called by a value that bytes are being made of."""
        return bool(self._packing) and threading.get_ident() in self._packing

    def _carry_oldest(self) -> bool:
        oldest = self._next()
        if oldest is not None:
            self._bring_down(*oldest)
        return oldest is not None

    def _bring_down(self, data: bytes, parcel: Parcel, *, pauses: bool = False) -> None:
        """Make bytes of a value, which waits and can be found meanwhile, and put them below.

        Where it was taken or replaced meanwhile, also by its own code, they are thrown away.
        """
        levels, blob, thread = self._levels, None, threading.get_ident()
        self._packing.add(thread)
        try:
            blob = levels.codec.encode(parcel.value, parcel.expires_ns, parcel.tags, pauses=pauses)
        except Exception:
            blob = None  # it is refused below, if it still waits
        finally:
            self._packing.discard(thread)
            with levels.lock:
                if self.transit.get(data) is parcel:
                    self.transit.take(data)
                    self._settle(data, parcel, blob)

    def _settle(self, data: bytes, parcel: Parcel, blob: Blob | None) -> None:
        if not self._is_worth_keeping(parcel.key, parcel.value, parcel.expires_ns, parcel.tags):
            return
        if blob is None:
            self._refuse(data, parcel.key, parcel.value)
        else:
            self._send_down(data, blob)

    def is_next_heavy(self) -> bool:
        """Say whether the next in line should be carried by a thread."""
        oldest = self.transit.oldest()
        return oldest is not None and self._is_heavy(oldest[1])

    def _is_heavy(self, parcel: Parcel) -> bool:
        if not parcel.is_weighed:
            self.transit.weigh(parcel, estimate_bytes(parcel.value))
        return parcel.n_bytes >= _HEAVY_BYTES

    def carry(self) -> bool:
        """Carry the next in line down; False where there is none. Takes the lock itself.

        A heavy value is made bytes of without the lock: the event loop may want the lock.
        """
        levels = self._levels
        with levels.lock:
            oldest = self._next()
            if oldest is None:
                return False
            if not self._is_heavy(oldest[1]):
                return self._carry_oldest()
        self._bring_down(*oldest, pauses=True)
        return True

    def carry_all(self) -> None:
        """Carry all that waits, here and now."""
        while self.carry():
            pass

    def carry_due(self) -> None:
        """Carry half of what may stay, here and now, where more waits than that."""
        if self.transit.is_due():
            for _ in range(len(self.transit)):  # values whose code looks others up add to the line
                if self.transit.is_half_done() or not self.carry():
                    break

    # --- from L2 and below --------------------------------------------------------------------

    def left_l2(self, data: bytes, blob: Blob, reason: str) -> None:
        levels = self._levels
        with levels.lock:
            if reason == "expired":
                levels.counters.expirations += 1
                levels.listener.tell_blob(data, blob, reason, trusted=True)
            elif blob.tags and not levels.tags.is_current(blob.tags):
                levels.counters.deletions += 1
            elif levels.cold is None:
                levels.counters.evictions += 1
                levels.listener.tell_blob(data, blob, "capacity", trusted=True)
            else:
                levels.counters.demotions += 1
                self.to_cold(data, blob)

    def to_cold(self, data: bytes, blob: Blob) -> None:
        cold = self._levels.cold
        assert cold is not None
        cold.put(data, blob)
        self.count_lost()

    def left_cold(self, data: bytes, blob: Blob | None, reason: str) -> None:
        """Note what did not reach a tier; callable with any lock held."""
        self.lost.append((data, blob, reason, False))

    def left_tier(self, data: bytes, blob: Blob | None, reason: str) -> None:
        """Note what a tier let go of, as it stood there; callable with any lock held."""
        self.lost.append((data, blob, reason, True))

    def count_lost(self) -> None:
        levels = self._levels
        while self.lost:
            data, blob, reason, is_sealed = self.lost.popleft()
            if reason == "expired":
                levels.counters.expirations += 1
            else:
                levels.counters.evictions += 1  # the tier has counted what was corrupt
            # What leaves for the shared level is there: it is out of this process's, and not lost.
            if reason in ("corrupt", "shared") or not levels.listener.is_there:
                continue
            is_trusted = True
            if blob is not None and is_sealed and levels.cold is not None:
                try:
                    blob, is_trusted = levels.cold.unseal(data, blob)
                except CorruptEntry:
                    blob = None
            levels.listener.tell_blob(data, blob, reason, trusted=is_trusted)
