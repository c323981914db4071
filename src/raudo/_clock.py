"""The time sources that the rooms read, in one replaceable place.

`raudo.testing.FakeClock` stands in for a `Clock` in tests, so that nothing there has to sleep.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SYSTEM_CLOCK", "SystemClock"]


class Clock(Protocol):
    """Where a room gets its time from. All methods are cheap and thread-safe."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...

    def time_ns(self) -> int:
        """Return wall-clock nanoseconds since 1970: the stamp of what outlives the process."""
        ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time_ns = staticmethod(time.time_ns)


SYSTEM_CLOCK: Clock = SystemClock()
