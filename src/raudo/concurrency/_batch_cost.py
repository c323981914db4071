"""How large a batch should be: a line through what batches cost, and the point on it to aim for.

A batch of n items takes about `overhead + per_item * n` seconds. The line is fitted by least
squares to recent batches, older ones counting less and less, so that it follows a handler that
changes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["BatchCost", "Line"]

_MEMORY_BATCHES = 64  # a batch this many ago weighs 1/e
_MIN_BATCHES = 4
_MIN_SPREAD = 0.05  # of the sizes, relative: below it the slope is noise
_EFFICIENCY = 0.9  # of the throughput that an endless batch would have
_PROBE_EVERY = 8


class Line(NamedTuple):
    """Seconds a batch takes: `overhead_s + per_item_s * n`."""

    overhead_s: float
    per_item_s: float


class BatchCost:
    """Learns the line and chooses the size."""

    def __init__(self) -> None:
        self._weight = self._n = self._s = self._nn = self._ns = 0.0
        self._n_batches = 0
        self._line: Line | None = None

    @property
    def line(self) -> Line | None:
        """The fitted line; None before enough batches of different sizes were seen."""
        return self._line

    def observe(self, n: int, seconds: float) -> None:
        """Note one batch."""
        keep = 1 - 1 / _MEMORY_BATCHES
        self._weight = self._weight * keep + 1
        self._n = self._n * keep + n
        self._s = self._s * keep + seconds
        self._nn = self._nn * keep + n * n
        self._ns = self._ns * keep + n * seconds
        self._n_batches += 1
        if self._n_batches >= _MIN_BATCHES:
            self._fit()

    def _fit(self) -> None:
        mean_n, mean_s = self._n / self._weight, self._s / self._weight
        variance = self._nn / self._weight - mean_n**2
        if variance < (_MIN_SPREAD * mean_n) ** 2:
            return  # sizes too alike to tell the two parts apart: the last line stands
        slope = (self._ns / self._weight - mean_n * mean_s) / variance
        if slope <= 0:
            self._line = Line(mean_s, 0.0)
        elif slope * mean_n >= mean_s:
            self._line = Line(0.0, mean_s / mean_n)
        else:
            self._line = Line(mean_s - slope * mean_n, slope)

    def best(self, most: int, goal_s: float) -> int:
        """Return the size to aim for, at most `most`.

        The smallest that has 90 % of the throughput that larger and larger batches approach, or
        fewer where a batch would take longer than `goal_s`. `most` until the line is known.
        """
        line = self._line
        if line is None:
            return most
        overhead, per_item = line
        if per_item <= 0:
            return most
        for_throughput = math.ceil(overhead / per_item * _EFFICIENCY / (1 - _EFFICIENCY))
        for_latency = math.floor((goal_s - overhead) / per_item)
        return max(1, min(most, for_throughput, for_latency))

    def next_size(self, most: int, goal_s: float) -> int:
        """Return `best`, and now and then half of what batches have: equal sizes teach nothing."""
        size = self.best(most, goal_s)
        if self._n_batches % _PROBE_EVERY == _PROBE_EVERY - 1:
            return max(1, min(size, round(self._n / self._weight)) // 2)
        return size
