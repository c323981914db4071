"""The levels below memory, as one: tiers in order, what is on its way to them, and who is trusted.

A blob goes to the first tier that takes it and is looked for in each, and last in the level that
other processes share, if there is one: what goes down from above is there already. What would make
the caller wait (a large blob, a tier that syncs or only has coroutines) is put into the outbox,
where it can be found already, until its `Carrier` has carried it down.

All methods but the fetches are called with the cache's lock held.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from raudo import events
from raudo._clock import Clock
from raudo.cache.carry import Carrier
from raudo.cache.codecs import BlobCodec, Signer
from raudo.cache.fetched import Fetched
from raudo.cache.guard import Guard
from raudo.cache.outbox import Outbox
from raudo.cache.shared import SharedLevel
from raudo.errors import CorruptEntry, RaudoError
from raudo.types import Blob, Tier

__all__ = ["ColdLevels"]

# What a put of this size costs an event loop is within a copy to the page cache: some 20 us.
_DIRECT_PUT_BYTES = 64 * 1024
# Blobs waiting for a tier that has only coroutines, before the oldest are given up.
_MAX_OUTBOX = 1024
_MAX_DOUBTFUL = 10_000


class ColdLevels:
    """What is below L2.

    Args:
        tiers: The tiers, or a function that makes the one there is when it is first needed.
        dropped: Called with key, blob and reason for what did not reach a tier.
    """

    def __init__(
        self,
        tiers: list[Tier] | Callable[[], Tier],
        *,
        cache: str,
        codec: BlobCodec,
        signer: Signer | None,
        clock: Clock,
        lock: threading.RLock,
        dropped: Callable[[bytes, Blob | None, str], object],
        shared: SharedLevel | None = None,
    ) -> None:
        self._cache = cache
        self._codec = codec
        self._signer = signer
        self._clock = clock
        self._lock = lock
        self.dropped = dropped
        self._make = None if isinstance(tiers, list) else tiers
        self._make_at = 0.0
        self.guards = (
            [Guard(tier, cache, clock) for tier in tiers] if isinstance(tiers, list) else []
        )
        self.outbox = Outbox()
        self.carrier = Carrier(self, lock)
        self.shared = shared
        self.forbidden = 0
        self.corrupt = 0
        self.failures = 0

    @property
    def is_durable(self) -> bool:
        """True where there is a tier of this process's own that survives a restart."""
        return any(self._keeps_copies(guard) for guard in self.guards)

    @staticmethod
    def _keeps_copies(guard: Guard) -> bool:
        return guard.tier.survives_restart and hasattr(guard.tier, "keep")

    @property
    def is_only_shared(self) -> bool:
        """True where nothing is below memory but the level that processes share."""
        return self.shared is not None and not self.guards and self._make is None

    def __len__(self) -> int:
        return self.outbox.n_blobs + sum(map(_entries, self.guards))

    def tier_corrupt(self) -> int:
        """Return how many records the tiers found that did not check out."""
        return sum(guard.tier.stats().corrupt for guard in self.guards)

    def bytes_used(self) -> int:
        return self.outbox.payload_bytes + sum(
            guard.tier.stats().bytes_used for guard in self.guards
        )

    # --- down ---------------------------------------------------------------------------------

    def put(self, key: bytes, blob: Blob) -> None:
        """Take a blob in, at once or by the outbox."""
        if not self.guards and not self._make_tier():
            self.dropped(key, blob, "capacity" if self.shared is None else "shared")
            return
        guard = self.guards[0]
        may_block = getattr(guard.tier, "blocks_on_put", False) or len(self.guards) > 1
        is_direct = hasattr(guard.tier, "put_nowait") and not may_block
        if is_direct and len(blob.payload) <= _DIRECT_PUT_BYTES and key not in self.outbox:
            self._put_now(guard, key, blob)
            return
        self.outbox.put(key, blob)
        self._give_up_waiting(_MAX_OUTBOX)

    def _give_up_waiting(self, max_entries: int) -> None:
        """Let the oldest that wait go, until no more than so many are left."""
        while self.outbox.n_blobs > max_entries:
            key, blob = self.outbox.give_up_oldest()
            self.dropped(key, blob, "capacity")

    def _make_tier(self) -> bool:
        if self._make is None or self._clock.monotonic() < self._make_at:
            return False
        self._make_at = math.inf  # for a finalizer that uses the cache in the middle of this
        try:
            self.guards = [Guard(self._make(), self._cache, self._clock)]
        except OSError as error:
            self.failures += 1
            events.emit(events.TierFailed(self._cache, "disk", "open", error))
            return False
        finally:
            self._make_at = self._clock.monotonic() + 1.0
        return True

    def _put_now(self, guard: Guard, key: bytes, blob: Blob) -> None:
        sealed = self.seal(guard, key, blob)
        if sealed is None or guard.is_resting("put"):
            self._drop_in(guard, key)
            self.dropped(key, blob, "capacity")
            return
        tier: Any = guard.tier
        try:
            tier.put_nowait(key, sealed)
        except Exception as error:
            self.note_failure(guard, "put", error)
            self._drop_in(guard, key)
            self.dropped(key, blob, "capacity")
        else:
            guard.note_success("put")
            guard.doubtful.discard(key)

    def seal(self, guard: Guard, key: bytes, blob: Blob) -> Blob | None:
        """Return the blob as it may stand in the tier, None where it may not."""
        if getattr(guard.tier, "trusted", False):
            return blob
        if blob.tags and not self._keeps_copies(guard):
            # Other processes invalidate tags that this one does not hear of.
            self.forbidden += 1
            return None
        if self._signer is not None:
            return self._signer.sign(key, blob)
        if self._codec.may_travel(blob):
            return blob
        self.forbidden += 1
        return None

    # --- up -----------------------------------------------------------------------------------

    def may_have(self, key: bytes) -> bool:
        """False only where it is certain, without waiting, that the key is not here."""
        if key in self.outbox:
            return self.outbox.get(key) is not None
        return self.shared is not None or any(
            key not in guard.doubtful
            and (tier.contains(key) if hasattr(tier := guard.offers, "contains") else True)
            for guard in self.guards
        )

    def waiting(self, key: bytes) -> Blob | None:
        """Return the blob if it is still in the outbox."""
        return self.outbox.get(key)

    def fetch_ready(self, key: bytes) -> Fetched | None:
        """Return what can be had without waiting; `BlockingIOError` where that is not certain."""
        for guard in self.guards:
            tier = guard.offers
            if not hasattr(tier, "read_ready"):
                raise BlockingIOError
            found = self._fetch(guard, key, tier.read_ready)
            if found is not None:
                return found
        if self.shared is not None:
            raise BlockingIOError
        return None

    def fetch(self, key: bytes) -> Fetched | None:
        """Look in the tiers that need no event loop, waiting for the disk where need be."""
        for guard in self.guards:
            tier = guard.offers
            if hasattr(tier, "get_nowait"):
                found = self._fetch(guard, key, tier.get_nowait)
                if found is not None:
                    return found
        return self.shared.fetch(key) if self.shared is not None else None

    async def fetch_async(self, key: bytes) -> Fetched | None:
        """Look in all tiers, in order."""
        for guard in self.guards:
            if self._skips(guard, key):
                continue
            try:
                blob = await guard.tier.get(key)
                guard.note_success("get")
            except Exception as error:
                self.note_failure(guard, "get", error)
                continue
            found = self._open(guard, key, blob)
            if found is not None:
                return found
        return await self.shared.fetch_async(key) if self.shared is not None else None

    def _skips(self, guard: Guard, key: bytes) -> bool:
        return key in guard.doubtful or guard.is_resting("get")

    def _fetch(
        self, guard: Guard, key: bytes, get: Callable[[bytes], Blob | None]
    ) -> Fetched | None:
        if self._skips(guard, key):
            return None
        try:
            blob = get(key)
        except BlockingIOError:
            raise
        except Exception as error:
            self.note_failure(guard, "get", error)
            return None
        guard.note_success("get")
        return self._open(guard, key, blob)

    def unseal(self, key: bytes, blob: Blob, guard: Guard | None = None) -> tuple[Blob, bool]:
        """Return a tier's blob without its signature, and whether only we can have written it.

        `CorruptEntry` where the signature does not check out. The tier is the first one, which is
        the only one that reports what it lets go of, unless a guard says otherwise.
        """
        watched = guard if guard is not None else next(iter(self.guards), None)
        if watched is not None and getattr(watched.tier, "trusted", False):
            return blob, True
        if self._signer is None:
            return blob, False
        return self._signer.verify(key, blob), True

    def _open(self, guard: Guard, key: bytes, blob: Blob | None) -> Fetched | None:
        if blob is None:
            return None
        try:
            opened, is_trusted = self.unseal(key, blob, guard)
            return Fetched(opened, guard, is_trusted)
        except CorruptEntry:
            with self._lock:
                self.corrupt += 1
                if self._drop_in(guard, key):
                    self.dropped(key, None, "corrupt")
            return None

    def release(self, key: bytes, guard: Guard) -> bool:
        """Give an entry up to a level above; False where it is no longer here.

        A tier that processes share keeps it for the others; one that survives a restart keeps a
        copy, so that nothing flushed is lost to a crash.
        """
        if getattr(guard.tier, "shared", False):
            return True
        tier = guard.offers
        try:
            if self._keeps_copies(guard):
                return bool(tier.lend(key))
            if hasattr(tier, "drop_nowait"):
                return bool(tier.drop_nowait(key))
        except Exception as error:
            self.note_failure(guard, "drop", error)
            return False
        self.outbox.put(key, None)
        return True

    def take_waiting(self, key: bytes) -> Blob | None:
        """Remove a blob from the outbox and return it."""
        return self.outbox.take(key) if self.outbox.get(key) is not None else None

    # --- out ----------------------------------------------------------------------------------

    def drop(self, key: bytes) -> bool:
        """Forget the key everywhere; True where an entry of these levels went."""
        gone = False
        if self.outbox and key in self.outbox:
            gone = self.outbox.take(key) is not None
        for guard in self.guards:
            gone = self._drop_in(guard, key) or gone
        return gone

    def _drop_in(self, guard: Guard, key: bytes) -> bool:
        tier = guard.offers
        if not hasattr(tier, "drop_nowait"):
            self.outbox.put(key, None)
            return False
        try:
            gone = bool(tier.drop_nowait(key))
        except Exception as error:
            self.note_failure(guard, "drop", error)
            self.doubt(guard, key)
            return False
        guard.doubtful.discard(key)
        return gone

    def doubt(self, guard: Guard, key: bytes) -> None:
        """Answer with the tier's entry no more: it could not be dropped or replaced."""
        guard.doubtful.add(key)
        if len(guard.doubtful) > _MAX_DOUBTFUL and guard in self.guards:
            self.guards.remove(guard)  # too much of what it holds is out of date

    def trim(self, max_entries: int) -> None:
        """Push out the oldest entries of a tier of our own, until no more than so many are left."""
        if not self.guards:
            return
        guard = self.guards[0]
        tier = guard.offers
        if hasattr(tier, "trim"):
            try:
                tier.trim(max(0, max_entries - self.outbox.n_blobs))
            except Exception as error:
                self.note_failure(guard, "trim", error)
            self._give_up_waiting(max_entries)

    def clear(self) -> int:
        """Forget everything; return how many entries that were, where the tier can say."""
        n = self.outbox.n_blobs
        for key in self.outbox:
            self.outbox.take(key)
        for guard in self.guards:
            tier = guard.offers
            try:
                if hasattr(tier, "clear"):
                    n += int(tier.clear())
                    guard.doubtful.clear()
                else:
                    raise RaudoError(f"the tier {tier.name!r} offers no clear()")
            except Exception as error:
                self.note_failure(guard, "clear", error)
                self.guards = [each for each in self.guards if each is not guard]
        return n

    def sweep(self, now_ns: int) -> None:
        for guard in self.guards:
            tier = guard.offers
            if hasattr(tier, "sweep_nowait"):
                try:
                    tier.sweep_nowait(now_ns)
                except Exception as error:
                    self.note_failure(guard, "sweep", error)

    def note_failure(self, guard: Guard, operation: str, error: BaseException) -> None:
        """Count and announce that a tier failed; it rests for a while if it goes on so."""
        self.failures += 1
        guard.note_failure(operation, error)

    # --- copies that survive a crash ----------------------------------------------------------

    def keeps(self, key: bytes) -> bool:
        """Say whether a copy of the key, which lives above, is on disk already."""
        return any(self._keeps_copies(guard) and guard.offers.keeps(key) for guard in self.guards)

    def keep(self, key: bytes, blob: Blob) -> None:
        """Write a copy of an entry that lives above."""
        for guard in self.guards:
            if not self._keeps_copies(guard):
                continue
            sealed = self.seal(guard, key, blob)
            if sealed is None or guard.is_resting("put"):
                continue
            try:
                guard.offers.keep(key, sealed)
            except Exception as error:
                self.note_failure(guard, "put", error)

    def sync(self) -> None:
        """Have what was written reach the disk."""
        for guard in self.guards:
            if hasattr(guard.tier, "flush"):
                try:
                    guard.offers.flush()
                except Exception as error:
                    self.note_failure(guard, "flush", error)

    # --- the end ------------------------------------------------------------------------------

    def after_fork(self, lock: threading.RLock) -> None:
        """Use the lock that replaces one which a thread of the parent may hold."""
        self._lock = lock
        self.carrier.after_fork(lock)
        if self.shared is not None:
            self.shared.after_fork(lock)

    def close(self) -> None:
        """Close the tiers that need no event loop."""
        if self.shared is not None:
            self.shared.close()
        for guard in self.guards:
            if hasattr(guard.tier, "close"):
                try:
                    guard.offers.close()
                except Exception as error:
                    self.note_failure(guard, "close", error)

    async def aclose(self) -> None:
        if self.shared is not None:
            await self.shared.aclose()
        for guard in self.guards:
            try:
                await guard.tier.aclose()
            except Exception as error:
                self.note_failure(guard, "close", error)


def _entries(guard: Guard) -> int:
    tier = guard.offers
    return len(tier) if hasattr(tier, "__len__") else int(tier.stats().entries)
