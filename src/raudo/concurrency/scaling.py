"""How many workers to run: search for the fewest that reach nearly the most throughput.

The rule looks at the elasticity of throughput, d ln(throughput) / d ln(limit): while ten per cent
more workers bring more than one and a half per cent more throughput, go up; else go back by ten per
cent. The slope is fitted to the last few windows, so that one noisy window does not turn the search
around. (A threshold of 0.4 stopped early where throughput grows slowly and without a knee.)

A search that went past the knee and came back looks between its steps, and settles on the smallest
limit that was within one and a half per cent of the best. It stays there until a while has passed,
or until the throughput is no longer what it was for two windows; then it searches again. That
costs, as it looks at limits that are worse: each time it ends where the last one did, the next
comes after twice as long.
"""

from __future__ import annotations

import math
import threading
from collections import deque

__all__ = ["HillClimb"]

_ENOUGH = 0.15  # elasticity above which the search goes on upwards
_BACK = 0.9
_FORTH = 1.12
_FAST_FORTH = 1.5  # until the first step back
_N_POINTS = 5  # windows that the slope is fitted to
_NEAR_BEST = 0.985
_STAY_WINDOWS, _LONGEST_STAY = 30, 240
_CHANGED = 0.25  # relative change of throughput that ends a stay
_TASKS_PER_WORKER = 4  # a window holds at least this many completions per worker


class HillClimb:
    """Sets a limit in [minimum, maximum] from completions and the time they took. Thread-safe.

    Feed it only while there is more work than workers: with idle workers the throughput says
    nothing about the limit.
    """

    def __init__(self, minimum: int, maximum: int, *, start: int | None = None) -> None:
        """Begin at `start` (default `minimum`).

        Raises:
            ValueError: Unless 1 <= minimum <= start <= maximum.
        """
        start = minimum if start is None else start
        if not 1 <= minimum <= start <= maximum:
            raise ValueError(
                "wanted 1 <= minimum <= start <= maximum, "
                f"got minimum={minimum}, start={start}, maximum={maximum}"
            )
        self.minimum, self.maximum = minimum, maximum
        self._exact = float(start)
        self._is_fast = start == minimum
        self._points: deque[tuple[float, float]] = deque(maxlen=_N_POINTS)
        self._searched: dict[int, float] = {}  # limit -> throughput, smoothed, of this search
        self._stay, self._stay_length = 0, _STAY_WINDOWS
        self._settled_at = 0
        self._n_changed = 0
        self._went_down = self._is_bisecting = False
        self._is_halving, self._halved_from = not self._is_fast, 0
        self._done, self._elapsed_s = 0, 0.0
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Workers to run now."""
        return max(self.minimum, min(self.maximum, round(self._exact)))

    def record(self, done: int, elapsed_s: float) -> int:
        """Note that `done` tasks ended in `elapsed_s` seconds at the present limit; return it anew.

        Small notes add up to one window of at least four completions per worker.
        """
        with self._lock:
            self._done += done
            self._elapsed_s += elapsed_s
            if self._done >= _TASKS_PER_WORKER * self.limit and self._elapsed_s > 0:
                self._step(self._done / self._elapsed_s)
                self._done, self._elapsed_s = 0, 0.0
            return self.limit

    def reset_window(self) -> None:
        """Drop what the unfinished window has: the workers were idle meanwhile."""
        with self._lock:
            self._done, self._elapsed_s = 0, 0.0

    def _step(self, throughput: float) -> None:
        at = self.limit
        known = self._searched.get(at)
        self._searched[at] = throughput if known is None else 0.5 * (known + throughput)
        if self._stay:
            self._stay -= 1
            is_changed = known is not None and abs(throughput / known - 1.0) > _CHANGED
            self._n_changed = self._n_changed + 1 if is_changed else 0
            if known is not None and is_changed:
                self._searched[at] = known  # one odd window is no news
            if self._n_changed < 2 and self._stay:
                return
            if self._n_changed >= 2:
                self._stay, self._settled_at = 0, 0
            self._searched = {at: throughput}
            self._points.clear()
            self._is_halving = True
        if self._is_halving and self._halve(at, throughput):
            return
        self._points.append((math.log(at), math.log(throughput)))
        slope = self._elasticity()
        # With one limit known, look at a neighbour: the one above if there is one.
        goes_up = at < self.maximum if slope is None else slope > _ENOUGH
        if self._is_bisecting or self._has_crossed(goes_up, at):
            between = self._between()
            self._is_bisecting = between is not None
            if between is None:
                self._settle()
            else:
                self._move(float(between))
        elif goes_up:
            factor = _FAST_FORTH if self._is_fast else _FORTH
            self._move(max(at * factor, at + 1.0))
        else:
            self._is_fast = False
            self._went_down = True
            self._move(min(at * _BACK, at - 1.0))

    def _has_crossed(self, goes_up: bool, at: int) -> bool:
        """Say whether the search has seen both sides of the knee, or stands at a bound."""
        if len(self._searched) < 2:
            return False
        at_top = goes_up and at == self.maximum
        at_bottom = not goes_up and at == self.minimum
        return at_top or at_bottom or (goes_up and self._went_down)

    def _halve(self, at: int, throughput: float) -> bool:
        """Begin a search with half as many, again and again while that costs nothing.

        Steps of ten per cent would find nothing where far too many workers get nowhere. Returns
        False where the search by steps begins.
        """
        before = self._halved_from
        if before and throughput < _NEAR_BEST * self._searched[before]:
            self._halved_from, self._is_halving = 0, False
            self._move(float(before))
            return True
        if at // 2 < self.minimum or at < 2:
            self._halved_from, self._is_halving = 0, False
            return False
        self._halved_from = at
        self._move(at / 2)
        return True

    def _between(self) -> int | None:
        """Return a limit above the best one seen that the steps jumped over, halfway to the next.

        Where throughput collapses past the knee, each worker fewer costs its whole share.
        """
        best = max(self._searched, key=lambda at: self._searched[at])
        above = min((at for at in self._searched if at > best), default=best)
        return (best + above) // 2 if above - best > 1 else None

    def _settle(self) -> None:
        best = max(self._searched.values())
        found = min(at for at, seen in self._searched.items() if seen >= _NEAR_BEST * best)
        self._move(float(found))
        is_as_before = abs(found - self._settled_at) <= max(1, 0.1 * found)
        self._stay_length = (
            min(2 * self._stay_length, _LONGEST_STAY) if is_as_before else _STAY_WINDOWS
        )
        self._settled_at = found
        self._stay, self._n_changed = self._stay_length, 0
        self._went_down = False
        self._is_fast = False

    def _move(self, wanted: float) -> None:
        self._exact = max(float(self.minimum), min(float(self.maximum), wanted))

    def _elasticity(self) -> float | None:
        """Fit the slope of ln(throughput) over ln(limit); None while only one limit was seen."""
        points = list(self._points)
        if self._is_fast:
            points = points[-2:]
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        if spread < 1e-9:
            return None
        return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
