"""The figures of a monitor by metric and labels, for whoever lays them out: a page, a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from raudo.monitoring.series import Key, Labels, parse_series

__all__ = ["Labels", "Lines", "Readings", "Top", "clipped", "taken_apart", "top", "unit_of"]

_LONGEST_NAME = 120  # letters of a name or label that are shown
_UNITS = {"_seconds": "s", "_bytes": "bytes", "_ratio": "ratio", "_percent": "%"}


class Readings:
    """Values by metric, then by labels. Series that are not asked for are never taken apart."""

    def __init__(self, metrics: Mapping[str, float]) -> None:
        self._spelled: dict[str, list[tuple[str, float]]] = {}
        for series, value in metrics.items():
            self._spelled.setdefault(series.partition("{")[0], []).append((series, value))
        self._parsed: dict[str, dict[Labels, float]] = {}
        self._parts: dict[tuple[str, str], dict[Labels, dict[str, float]]] = {}

    @property
    def metrics(self) -> Iterable[str]:
        """The names of all metrics."""
        return self._spelled.keys()

    def of(self, metric: str) -> dict[Labels, float]:
        """Return the values of a metric by their labels."""
        if metric not in self._parsed:
            self._parsed[metric] = {
                key[1]: value
                for series, value in self._spelled.get(metric, ())
                if (key := taken_apart(series)) is not None
            }
        return self._parsed[metric]

    def parts(self, metric: str, label: str) -> dict[Labels, dict[str, float]]:
        """Return the values by the other labels, then by this one ("" where it is missing)."""
        if (metric, label) not in self._parts:
            found: dict[Labels, dict[str, float]] = {}
            for labels, value in self.of(metric).items():
                key = tuple(pair for pair in labels if pair[0] != label)
                found.setdefault(key, {})[dict(labels).get(label, "")] = value
            self._parts[metric, label] = found
        return self._parts[metric, label]

    def one(self, metric: str) -> float | None:
        """Return the value of a metric without labels."""
        return self.of(metric).get(())


class Lines:
    """Series over time: each list is as long as `times`; None where nothing was known."""

    def __init__(
        self, times: Sequence[float], values: Mapping[str, Sequence[float | None]]
    ) -> None:
        self.times = times
        self.values = values
        self._by_metric: dict[str, dict[Labels, Sequence[float | None]]] = {}
        for series, each in values.items():
            key = taken_apart(series)
            if key is not None:
                self._by_metric.setdefault(key[0], {})[key[1]] = each

    def of(self, metric: str) -> Mapping[Labels, Sequence[float | None]]:
        """Return the lines of a metric by their labels."""
        return self._by_metric.get(metric, {})

    def total(self, *metrics: str, key: Labels | None = None) -> list[float | None]:
        """Add up the lines of these metrics, of all labels or of one set of them."""
        chosen: list[Sequence[float | None]] = []
        for metric in metrics:
            lines = self.of(metric)
            chosen += lines.values() if key is None else [lines[key]] if key in lines else []
        if not chosen:
            return [None] * len(self.times)
        return [_sum(column) for column in zip(*chosen, strict=True)]


class Top(NamedTuple):
    """The components that are shown, by name, and how many there are beside them."""

    keys: list[Labels]
    left_out: int


def top(ranks: Mapping[Labels, float], most: int) -> Top:
    """Choose those of the highest rank, in the order of their labels: rows do not jump about."""
    kept = sorted(ranks, key=lambda labels: -ranks[labels])[:most]
    return Top(sorted(kept), len(ranks) - len(kept))


def taken_apart(series: str) -> Key | None:
    """Return metric and labels; None for labels with names that cannot be read back."""
    try:
        return parse_series(series)
    except ValueError:
        return None


def clipped(text: str) -> str:
    """Return the text, its end left off if it is too long to show."""
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def unit_of(metric: str) -> str:
    """Return the unit that the name of a metric ends in."""
    return next((unit for suffix, unit in _UNITS.items() if metric.endswith(suffix)), "count")


def _sum(column: Iterable[float | None]) -> float | None:
    known = [value for value in column if value is not None]
    return sum(known) if known else None
