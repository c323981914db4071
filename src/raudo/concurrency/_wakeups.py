"""Brings results from threads and processes to an event loop, many to a wake-up.

`asyncio.wrap_future` wakes the loop once a result, each time through a lock and a socket. Here
results that arrive before the loop came round share one wake-up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any

__all__ = ["Wakeups"]


class Wakeups:
    """Lets the coroutines of one loop wait for futures that other threads complete."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[asyncio.Future[None]] = deque()
        self._on_its_way = False

    def when_done(self, future: Future[Any]) -> asyncio.Future[None]:
        """Return a future of the loop that is done, without a result, when `future` is.

        Cancelling it leaves `future` alone.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()

        def arrive(_: Future[Any]) -> None:
            # No lock: it appends before it looks, and `_deliver` lowers the flag before it pops.
            # Whoever sees the flag up knows that a delivery will still see the entry.
            self._arrived.append(waiter)
            if not self._on_its_way:
                self._on_its_way = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    self._arrived.clear()  # the loop is closed: nobody waits any more

        future.add_done_callback(arrive)
        return waiter

    def _deliver(self) -> None:
        self._on_its_way = False
        arrived = self._arrived
        while arrived:
            waiter = arrived.popleft()
            if not waiter.done():
                waiter.set_result(None)
