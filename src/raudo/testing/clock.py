"""A clock that stands still until it is told to move, so that no test has to sleep."""

from __future__ import annotations

import math
import threading

__all__ = ["FakeClock"]

_EPOCH_NS = 1_700_000_000 * 10**9


class FakeClock:
    """Stand in for a `raudo._clock.Clock`, or for a `timer` argument: calling it returns seconds.

    Wall-clock time moves in step with the monotonic one, from a fixed date (2023-11-14). Time is
    kept in whole nanoseconds, so that many small steps add up exactly. Thread-safe.

    >>> clock = FakeClock()
    >>> clock.advance(1.5)
    >>> clock.monotonic(), clock()
    (1.5, 1.5)
    """

    def __init__(self, start: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._now_ns = round(start * 1e9)

    def monotonic(self) -> float:
        """Return the seconds shown now."""
        return self._now_ns / 1e9

    __call__ = monotonic

    def time_ns(self) -> int:
        """Return wall-clock nanoseconds since 1970."""
        return _EPOCH_NS + self._now_ns

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`; a negative step is an error, as a monotonic clock has none."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds is {seconds!r}, wanted a finite number >= 0")
        with self._lock:
            self._now_ns += round(seconds * 1e9)

    def __repr__(self) -> str:
        return f"FakeClock({self.monotonic()!r})"
