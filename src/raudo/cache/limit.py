"""A bound on how many loads run at one time, over all event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from raudo.cache._forks import reset_after_fork

__all__ = ["LoadLimit"]


class LoadLimit:
    """Hands out permits in the order in which they were asked for. Thread-safe, fair."""

    def __init__(self, n_permits: int) -> None:
        self._n_permits = self._n_free = n_permits
        self._lock = threading.Lock()
        # Each gives the permit to one who waits; False where that one has gone.
        self._waiters: deque[Callable[[], bool]] = deque()
        reset_after_fork(self)

    def _after_fork(self) -> None:
        # Those who hold permits, and those who wait, are threads of the parent.
        self._lock = threading.Lock()
        self._n_free = self._n_permits
        self._waiters.clear()

    def has_free(self) -> bool:
        """Say whether a permit is free right now."""
        return self._n_free > 0

    def try_acquire(self) -> bool:
        """Take a permit if one is free."""
        with self._lock:
            if not self._n_free:
                return False
            self._n_free -= 1
            return True

    def _queue(self, give: Callable[[], bool]) -> bool:
        """Wait in line; False where a permit was free and is taken now."""
        with self._lock:
            if self._n_free:
                self._n_free -= 1
                return False
            self._waiters.append(give)
            return True

    def acquire(self) -> None:
        """Take a permit, blocking this thread until there is one."""
        given = threading.Event()

        def give() -> bool:
            given.set()
            return True

        if self._queue(give):
            given.wait()

    async def acquire_async(self) -> None:
        """Take a permit, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()

        def take() -> None:
            if turn.done():  # cancelled while the permit was under way
                self.release()
            else:
                turn.set_result(None)

        def give() -> bool:
            with suppress(RuntimeError):  # of a closed loop: nobody waits there any more
                loop.call_soon_threadsafe(take)
                return True
            return False

        if not self._queue(give):
            return
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                if give in self._waiters:
                    self._waiters.remove(give)
                    raise
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a permit back, to the first in line if there is one."""
        while True:
            with self._lock:
                if not self._waiters:
                    self._n_free += 1
                    return
                give = self._waiters.popleft()
            if give():
                return
