"""Counts what becomes of submitted tasks, before anyone who waits for them can know."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from raudo._core.futures import FutureState

__all__ = ["CountedFuture", "Tally"]


class Tally:
    """Submitted = done + failed + cancelled + pending, at every moment. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._submitted = self._done = self._failed = self._cancelled = 0

    def submitted(self, n: int = 1) -> None:
        with self._lock:
            self._submitted += n

    def ended(self, done: int = 0, failed: int = 0, cancelled: int = 0) -> None:
        with self._lock:
            self._done += done
            self._failed += failed
            self._cancelled += cancelled

    def read(self) -> dict[str, int]:
        """Return the four counts and `pending`, all of one moment."""
        with self._lock:
            ended = self._done + self._failed + self._cancelled
            return {
                "submitted": self._submitted,
                "done": self._done,
                "failed": self._failed,
                "cancelled": self._cancelled,
                "pending": self._submitted - ended,
            }


class CountedFuture(FutureState, Future[Any]):
    """A future that tells a tally how it ended, before it wakes those who wait."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        tally.submitted()

    def set_result(self, result: Any) -> None:
        self._tally.ended(done=1)
        super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        self._tally.ended(failed=1)
        super().set_exception(exception)

    def cancel(self) -> bool:
        was_cancelled = self.cancelled()
        is_cancelled = super().cancel()
        if is_cancelled and not was_cancelled:
            self._tally.ended(cancelled=1)
        return is_cancelled
