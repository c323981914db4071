"""What the router knows of one function: its recent times, and the pace at which its calls end."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Record", "median"]

_N_CALLS = 32
_LEAST_IN_WINDOW = 8
_FORGETS = 1.05
_PACE_HOLDS = 4096  # calls for which a measured pace is believed


def _recent() -> deque[float]:
    return deque(maxlen=_N_CALLS)


@dataclass(slots=True)
class _Window:
    """Calls that ended one after another in one kind of place, others being in flight."""

    kind: str
    begun: float
    n: int = 0


@dataclass(slots=True)
class Record:
    """What is known of one function. Times are seconds."""

    name: str
    stays: str | None
    lone_s: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_N_CALLS))
    """Wall times, and whether no other call was waited for; if so, a guess at the time without."""
    cpu_s: deque[float] = field(default_factory=_recent)
    parallelism: deque[float] = field(default_factory=_recent)
    """CPU seconds that the process spent in a second, of calls on threads with others beside."""
    inline_waits: int = 0  # calls before it is inline again, after one that waited
    n_calls: int = 0
    n_by_kind: dict[str, int] = field(default_factory=dict)
    n_looks: int = 0  # calls that are to go to threads though a process was chosen
    is_warm: bool = False  # a first window of calls has ended in processes
    paces: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Seconds from one call's end to the next, and `n_calls` when that was measured."""
    window: _Window | None = None
    decision: tuple[Any, str] | None = None
    n_since: int = 0  # calls observed since it was made
    only_none: bool | None = None  # None: no result was shown

    def pace(self, kind: str) -> float | None:
        """Return what was measured, unless it is long ago."""
        seconds, at = self.paces.get(kind, (None, 0))
        return seconds if self.n_calls - at <= _PACE_HOLDS else None

    def note_end(self, kind: str, now: float, since_s: float, n_calls: int, n_running: int) -> None:
        """Measure the pace, as long as calls of this kind follow each other without a gap."""
        if n_running < 2:
            self.window = None
            return
        window = self.window
        if window is None or window.kind != kind:
            window = self.window = _Window(kind, now - since_s)
        window.n += n_calls
        if window.n >= max(_LEAST_IN_WINDOW, 2 * n_running):
            pace = (now - window.begun) / window.n
            known = self.pace(kind)
            if kind == "process" and not self.is_warm:
                self.is_warm = True  # the workers had to start
            else:
                # The best, which company on the machine did not spoil; a change for worse shows.
                best = pace if known is None else min(pace, known * _FORGETS)
                self.paces[kind] = best, self.n_calls
                self.decision = None
            self.window = _Window(kind, now)

    def walls(self, least: int) -> list[float]:
        """Return the wall times that were measured if there are as many as `least`, else all."""
        measured = [seconds for seconds, is_measured in self.lone_s if is_measured]
        return measured if len(measured) >= least else [seconds for seconds, _ in self.lone_s]

    def typical_s(self) -> float:
        """Return the median wall time."""
        return statistics.median(self.walls(1))

    def cpu_share(self, least: int | None = None) -> float:
        """Return the median CPU time over the shortest wall time, at most 1.

        A few measured times among many guesses are not trusted: on a machine that has no CPU for
        this process nothing seems to wait for the interpreter lock.
        """
        shortest = min(self.walls(max(1, len(self.lone_s) // 4) if least is None else least))
        return min(1.0, statistics.median(self.cpu_s) / shortest) if shortest > 0 else 1.0


def median(values: Iterable[float]) -> float | None:
    """Return the median, None of nothing."""
    return statistics.median(found) if (found := list(values)) else None
