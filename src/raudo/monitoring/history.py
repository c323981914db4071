"""The values of each series over the last hour, in bounded memory.

Two rings of rows, a column a series: one of a row a second at most, for five minutes, and one of a
row each ten seconds, for an hour. 5.3 KB a series; those beyond `max_series` are not kept, and
counted. Times are monotonic, so that a wall clock that is set changes nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from raudo.monitoring.series import Key
from raudo.types import Sample

__all__ = ["History"]

_HOUR_S = 3600.0
_EARLY_S = 0.1  # a tick that comes a little early is not left out
_FIRST_COLUMNS = 64


class _Ring:
    """The last `n_rows` rows that are `step_s` apart at least."""

    def __init__(self, n_rows: int, step_s: float) -> None:
        self._step_s = step_s
        self._times = np.full(n_rows, np.nan)
        self._values = np.full((n_rows, _FIRST_COLUMNS), np.nan)
        self._n_written = 0

    def add(self, time: float, row: NDArray[np.float64]) -> None:
        n = self._n_written
        if n and time - self._times[(n - 1) % len(self._times)] < self._step_s - _EARLY_S:
            return
        if len(row) > self._values.shape[1]:
            wider = np.full((len(self._times), len(row)), np.nan)
            wider[:, : self._values.shape[1]] = self._values
            self._values = wider
        place = n % len(self._times)
        self._times[place] = time
        self._values[place, : len(row)] = row
        self._values[place, len(row) :] = np.nan
        self._n_written += 1

    def order(self) -> NDArray[np.intp]:
        """Return the places of the rows, the oldest first."""
        n, size = self._n_written, len(self._times)
        return np.arange(max(n - size, 0), n) % size

    def times(self) -> NDArray[np.float64]:
        return self._times[self.order()]

    def column(self, column: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._values[self.order(), column]
        return found

    def at(self, time: float, column: int) -> float | None:
        """Return the value of the last row not after `time`; NaN where the series was not there.

        None without such a row.
        """
        order = self.order()
        before = int(np.searchsorted(self._times[order], time, side="right"))
        return float(self._values[order[before - 1], column]) if before else None

    def forget(self, column: int) -> None:
        self._values[:, column] = np.nan


class History:
    """Keeps rows of samples. Not thread-safe: the monitor takes care."""

    def __init__(self, max_series: int = 1000) -> None:
        self._max_series = max_series
        self._fine, self._coarse = _Ring(300, 1.0), _Ring(360, 10.0)
        self._columns: dict[Key, int] = {}
        self._seen: dict[Key, float] = {}
        self._counters: set[Key] = set()
        self._full_until = -math.inf  # before that no column is free: there is no need to look

    def add(self, time: float, samples: Iterable[Sample]) -> None:
        """Keep these as the values at `time`, in monotonic seconds, as far as there is room."""
        row = np.full(max(_FIRST_COLUMNS, 2 ** len(self._columns).bit_length()), np.nan)
        for sample in samples:
            key = (sample.name, sample.labels)
            column = self._columns.get(key)
            if column is None:
                column = self._new_column(key, time)
                if column is None:
                    continue  # there is no room
                if sample.kind != "gauge":
                    self._counters.add(key)
            if column >= len(row):
                row = np.append(row, np.full(len(row), np.nan))
            row[column] = sample.value
            self._seen[key] = time
        self._fine.add(time, row)
        self._coarse.add(time, row)

    def _new_column(self, key: Key, time: float) -> int | None:
        column = len(self._columns)
        if column >= self._max_series:
            if time < self._full_until:
                return None
            oldest = min(self._seen, key=self._seen.__getitem__, default=None)
            if oldest is None or time - self._seen[oldest] < _HOUR_S:
                self._full_until = math.inf if oldest is None else self._seen[oldest] + _HOUR_S
                return None
            column = self._columns.pop(oldest)
            del self._seen[oldest]
            self._counters.discard(oldest)
            self._fine.forget(column)
            self._coarse.forget(column)
        self._columns[key] = column
        return column

    def age(self, time: float) -> float:
        """Return how many seconds before `time` the first row is that is kept; 0.0 without."""
        return time - float(self._coarse.times()[0]) if self._columns else 0.0

    def increase(self, key: Key, value: float, time: float, seconds: float) -> float:
        """Return how much a counter that is `value` at `time` grew in the last `seconds`.

        All of it when it was not followed for so long, or was set back to 0 meanwhile.
        """
        column = self._columns.get(key)
        if column is None:
            return value
        before = self._fine.at(time - seconds, column)
        if before is None:
            before = self._coarse.at(time - seconds, column)
        return value if before is None or not before <= value else value - before

    def gained(self, key: Key, value: float, time: float, seconds: float) -> float:
        """Return the same, but since it was first kept where it was not followed for so long.

        What was counted before anyone looked tells nothing of how fast it grows.
        """
        column = self._columns.get(key)
        if column is None:
            return 0.0
        known = self._fine.column(column)
        times = self._fine.times()
        is_first = np.flatnonzero((times >= time - seconds) & np.isfinite(known))
        before = float(known[is_first[0]]) if len(is_first) else value
        return value - before if before <= value else value

    def read(
        self,
        time: float,
        seconds: float,
        points: int,
        wanted: Callable[[Key], bool],
        *,
        as_rates: bool = False,
    ) -> tuple[list[float], dict[Key, list[float | None]]]:
        """Return times, and the values then of the wanted series, the oldest first.

        Of the last `seconds` before `time`, at most `points`; None where a series has no value.
        With `as_rates` a counter's increase per second since the point before.
        """
        fine, coarse = self._fine.times(), self._coarse.times()
        is_older = coarse < (fine[0] if len(fine) else np.inf)
        times = np.concatenate([coarse[is_older], fine])
        chosen = _thinned(np.flatnonzero(times >= time - seconds), points)
        times = times[chosen]
        found: dict[Key, list[float | None]] = {}
        for key, column in self._columns.items():
            if not wanted(key):
                continue
            parts = self._coarse.column(column)[is_older], self._fine.column(column)
            values = np.concatenate(parts)[chosen]
            if as_rates and key in self._counters:
                values = _rates(times, values)
            found[key] = [each if math.isfinite(each) else None for each in values.tolist()]
        return times.tolist(), found


def _thinned(places: NDArray[np.intp], points: int) -> NDArray[np.intp]:
    """Return at most so many of them, evenly, the last one among them."""
    if len(places) <= points:
        return places
    step = -(-len(places) // points)
    return places[::-1][::step][::-1]


def _rates(times: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(values):
        return values
    grown = np.diff(values)
    grown = np.where(grown < 0, values[1:], grown)  # it was set back to 0
    return np.concatenate([[np.nan], grown / np.diff(times)])
