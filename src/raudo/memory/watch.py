"""Decides when memory is short, and how often it is worth doing something about it."""

from __future__ import annotations

from raudo._clock import Clock

__all__ = ["PressureWatch"]

_SHORT_PERCENT = 90.0
# An attempt that leaves the memory short is repeated after a pause that doubles, from a second to a
# minute: a process that truly needs its memory must not spend its time in the collector.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0


class PressureWatch:
    """Remembers the attempts to free memory that did not help."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_s = 0.0
        self._next_try = 0.0

    def is_short(self, percent: float) -> bool:
        return percent >= _SHORT_PERCENT

    def is_due(self, percent: float) -> bool:
        """Whether memory is short, and the last attempt helped or is long enough ago."""
        if not self.is_short(percent):
            self._pause_s = 0.0
            return False
        return not self._pause_s or self._clock.monotonic() >= self._next_try

    def tried(self, percent: float) -> None:
        """Note an attempt, and the memory after it."""
        if not self.is_short(percent):
            self._pause_s = 0.0
            return
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._next_try = self._clock.monotonic() + self._pause_s
