"""Decides when memory is short, how often it is worth doing something about it, and when to look
next."""

from __future__ import annotations

from collections.abc import Mapping

from raudo._clock import Clock
from raudo.events import MemoryGrew
from raudo.memory.census import count_types, more_of

__all__ = ["AddressSlack", "GrowthWatch", "PressureWatch"]

# An attempt that leaves the memory short is repeated after a pause that doubles, from a second to a
# minute: a process that truly needs its memory must not spend its time in the collector. One that
# has grown since does not wait: it is on its way to its end.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_GREW_PERCENT = 1.0
_SHORTEST_LOOK_S = 0.02


class PressureWatch:
    """Remembers which level the memory is at, and the attempts to free some that did not help."""

    def __init__(self, clock: Clock, soft_ratio: float, hard_ratio: float) -> None:
        self._clock = clock
        self._soft_percent = 100.0 * soft_ratio
        self._hard_percent = 100.0 * hard_ratio
        self._pause_s = 0.0
        self._next_try = 0.0
        self._tried_percent = 0.0
        self._level = ""
        self._last: tuple[float, float] | None = None  # when it looked, and what it saw

    def is_short(self, percent: float) -> bool:
        return percent >= self._hard_percent

    def crossed(self, percent: float) -> str | None:
        """Return "soft" or "hard" where the memory has just come to that level."""
        level = (
            "hard" if self.is_short(percent) else "soft" if percent >= self._soft_percent else ""
        )
        before, self._level = self._level, level
        return level if level and level != before and before != "hard" else None

    def is_due(self, percent: float) -> bool:
        """Whether memory is short, and the last attempt helped, or is long enough ago or
        outgrown."""
        if not self.is_short(percent):
            self._pause_s = 0.0
            return False
        if not self._pause_s or percent >= self._tried_percent + _GREW_PERCENT:
            return True
        return self._clock.monotonic() >= self._next_try

    def tried(self, percent: float) -> None:
        """Note an attempt, and the memory after it."""
        self._tried_percent = percent
        if not self.is_short(percent):
            self._pause_s = 0.0
            return
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._next_try = self._clock.monotonic() + self._pause_s

    def next_look(self, percent: float, interval: float) -> float:
        """Return seconds until the next look: sooner than `interval` where the limit is near in
        time."""
        now = self._clock.monotonic()
        last, self._last = self._last, (now, percent)
        if last is None or now <= last[0] or percent <= last[1]:
            return interval
        seconds_left = (self._hard_percent - percent) / (percent - last[1]) * (now - last[0])
        return min(interval, max(_SHORTEST_LOOK_S, seconds_left / 4))


class AddressSlack:
    """What the process has let go of and not used again: its addresses stay with the C library, and
    a limit on addresses goes on counting them."""

    def __init__(self) -> None:
        self._free = 0
        self._resident = 0

    def left(self, resident: int) -> int:
        """Return the bytes that are still free, where so many are resident."""
        return max(0, self._free - max(0, resident - self._resident))

    def let_go(self, before: int, after: int) -> None:
        """Note what is resident before and after an attempt to free some."""
        self._free = self.left(before) + max(0, before - after)
        self._resident = after


class GrowthWatch:
    """Tells when the process has grown by `grown_bytes`, and of which types there are more."""

    def __init__(self, grown_bytes: int) -> None:
        self._grown_bytes = grown_bytes
        self._base_bytes: int | None = None
        self._types: dict[str, int] = {}

    def look(self, used: int, frozen: Mapping[type, int] | None = None) -> MemoryGrew | None:
        """Compare with the last count; objects are counted only where there is something to
        tell. `frozen` are the counts of those that the collector does not list."""
        base = self._base_bytes
        if base is not None and used < base + self._grown_bytes:
            self._base_bytes = min(base, used)
            return None
        types = count_types(frozen=frozen)
        before, self._types = self._types, types
        self._base_bytes = used
        return None if base is None else MemoryGrew(used - base, used, more_of(before, types))
