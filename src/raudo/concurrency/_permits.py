"""A counting semaphore of one event loop whose size can change; first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

__all__ = ["Permits"]


class Permits:
    """At most `size` holders at once. Not thread-safe: the loop's own.

    Unlike `asyncio.Semaphore` a free permit costs no coroutine: try `take_nowait` first.
    """

    __slots__ = ("_taken", "_waiters", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def n_taken(self) -> int:
        return self._taken

    @property
    def n_waiting(self) -> int:
        return len(self._waiters)

    def take_nowait(self) -> bool:
        """Take a permit if one is free and nobody waits for it."""
        if self._taken < self.size and not self._waiters:
            self._taken += 1
            return True
        return False

    async def take(self) -> None:
        """Take a permit, waiting in line for it."""
        if self.take_nowait():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give()  # it was handed over while the cancellation was on its way
            else:
                with contextlib.suppress(ValueError):  # it may have left the line as done
                    self._waiters.remove(waiter)
            raise

    def give(self, n: int = 1) -> None:
        """Return permits; the first in line get them."""
        self._taken -= n
        self._hand_over()

    def resize(self, size: int) -> None:
        """Change how many there are; those taken stay taken."""
        self.size = size
        self._hand_over()

    def refuse(self, reason: BaseException) -> None:
        """Raise this in all who wait in line."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(reason)

    def _hand_over(self) -> None:
        while self._waiters and self._taken < self.size:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._taken += 1
                waiter.set_result(None)
