"""Carries what waits in the outbox down to the tiers, on a thread or as a coroutine.

One blob is carried at a time, without the cache's lock; what became of it is settled under it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from raudo.cache.guard import Guard
from raudo.types import Blob

if TYPE_CHECKING:
    from raudo.cache.cold import ColdLevels

__all__ = ["Carrier"]

# At the end, another thread may still be writing a large blob: it gets some seconds.
_DRAIN_STEP_S = 0.002
_MAX_DRAIN_STEPS = 5000


class Carrier:
    """The way from the outbox into the tiers. Thread-safe: all its calls take the lock."""

    def __init__(self, cold: ColdLevels, lock: threading.RLock) -> None:
        self._cold, self._lock = cold, lock

    def after_fork(self, lock: threading.RLock) -> None:
        """Use the lock that replaces one which a thread of the parent may hold."""
        self._lock = lock
        self._put_back()

    def drain(self) -> None:
        """Carry down what waits, as far as that needs no event loop."""
        while (item := self._pick()) is not None:
            key, blob = item
            tier = self._cold.guards[0].offers
            if not hasattr(tier, "put_nowait"):
                self._put_back()
                return
            stored, error = False, None
            try:
                stored = self._carry(self._cold.guards[0], tier, key, blob)
            except Exception as caught:
                error = caught
            self._settle(key, blob, stored, error)

    def _carry(self, guard: Guard, tier: Any, key: bytes, blob: Blob | None) -> bool:
        sealed = None if blob is None else self._cold.seal(guard, key, blob)
        if sealed is None or guard.is_resting("put"):
            tier.drop_nowait(key)
            return False
        if hasattr(tier, "adopt"):
            tier.stage(key, sealed)  # an entry once we hold the lock: no moment counts it twice
        else:
            tier.put_nowait(key, sealed)
        return True

    async def drain_async(self) -> None:
        """Carry down what waits."""
        if self._cold.guards and hasattr(self._cold.guards[0].tier, "put_nowait"):
            await asyncio.to_thread(self.drain)
            return
        while (item := self._pick()) is not None:
            key, blob = item
            stored, error = False, None
            try:
                for guard in list(self._cold.guards):
                    sealed = None if blob is None or stored else self._cold.seal(guard, key, blob)
                    if sealed is not None and not guard.is_resting("put"):
                        await guard.tier.put(key, sealed)
                        stored = True
                    else:
                        await guard.tier.drop(key)
            except Exception as caught:
                error = caught
            except BaseException:
                self._put_back()
                raise
            self._settle(key, blob, stored, error)

    async def drain_fully(self) -> None:
        """Carry down all that waits, and wait for what another thread or task is carrying."""
        for _ in range(_MAX_DRAIN_STEPS):
            await self.drain_async()
            if not self._cold.outbox or not self._cold.guards:
                return
            await asyncio.sleep(_DRAIN_STEP_S)

    def drain_fully_now(self) -> None:
        """Do the same without an event loop."""
        for _ in range(_MAX_DRAIN_STEPS):
            self.drain()
            if not self._cold.outbox.is_carrying:
                return
            time.sleep(_DRAIN_STEP_S)

    def _pick(self) -> tuple[bytes, Blob | None] | None:
        """Choose the next to carry; None where there is none or someone carries already."""
        with self._lock:
            return self._cold.outbox.pick() if self._cold.guards else None

    def _put_back(self) -> None:
        with self._lock:
            self._cold.outbox.put_back()

    def _settle(
        self, key: bytes, blob: Blob | None, stored: bool, error: BaseException | None
    ) -> None:
        with self._lock:
            is_last_word = self._cold.outbox.settle(key, blob)
            guard = self._cold.guards[0] if self._cold.guards else None
            if guard is not None and error is not None:
                self._cold.note_failure(guard, "drop" if blob is None else "put", error)
                self._cold.doubt(guard, key)
            elif guard is not None:
                if stored:
                    guard.note_success("put")
                guard.doubtful.discard(key)
            if is_last_word and blob is not None and not (stored and self._adopt(key)):
                self._cold.dropped(key, blob, "capacity")

    def _adopt(self, key: bytes) -> bool:
        """Make what was staged an entry; False where the tier has lost it since."""
        guard = self._cold.guards[0]
        tier = guard.offers
        try:
            return not hasattr(tier, "adopt") or bool(tier.adopt(key))
        except Exception as error:
            self._cold.note_failure(guard, "put", error)
            return False
