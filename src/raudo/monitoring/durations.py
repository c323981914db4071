"""What a monitor makes of histograms: quantiles of the last minute, and parts for Prometheus."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from raudo._core.histogram import Histogram
from raudo.monitoring.series import Key, spelled
from raudo.types import Distribution, Sample

__all__ = ["QUANTILES", "RECENT_S", "Recent", "as_dict", "parts_of", "quantiles_of", "totals_of"]

QUANTILES = (0.5, 0.95, 0.99)
RECENT_S = 60.0
_STEP_S = 10.0
_MOST = 200  # histograms that are followed: seven copies of 5 KB each

# Buckets are told to others by powers of two, 1 us to 34 s: finer ones would be hundreds of series.
_FIRST_POWER, _LAST_POWER = 10, 35
_BOUNDS = [f"{2**power / 1e9:.9g}" for power in range(_FIRST_POWER, _LAST_POWER + 1)]


class Recent:
    """Keeps copies of histograms, to tell what they counted in the last minute. Not thread-safe."""

    def __init__(self) -> None:
        self._copies: dict[Key, deque[tuple[float, Histogram]]] = {}

    def note(self, time: float, found: list[Distribution]) -> None:
        """Copy what is due, forget what is gone; `time` is monotonic seconds."""
        keys = {(each.name, each.labels) for each in found}
        for key in self._copies.keys() - keys:
            del self._copies[key]
        for each in found:
            key = (each.name, each.labels)
            if key not in self._copies and len(self._copies) >= _MOST:
                continue
            copies = self._copies.setdefault(key, deque())
            if not copies or time - copies[-1][0] >= _STEP_S:
                copies.append((time, each.histogram.copy()))
            while len(copies) > 1 and copies[1][0] <= time - RECENT_S:
                copies.popleft()

    def of(self, each: Distribution, time: float) -> Histogram:
        """Return what was counted in the last minute or so; all of it when followed for less."""
        copies = self._copies.get((each.name, each.labels))
        if not copies or copies[0][0] > time - RECENT_S:
            return each.histogram
        return each.histogram.since(copies[0][1])


def quantiles_of(each: Distribution, recent: Histogram) -> Iterator[Sample]:
    """Yield gauges of the quantiles: `raudo_task_duration_quantile_seconds{quantile="0.99"}`."""
    name = f"{each.name.removesuffix('_seconds')}_quantile_seconds"
    for share in QUANTILES if recent.count else ():
        labels = (*each.labels, ("quantile", f"{share:g}"))
        text = f"{each.help.rstrip('.')}: within it a share came in the last minute."
        yield Sample(name, "gauge", recent.quantile(share), labels, text)


def parts_of(each: Distribution) -> Iterator[Sample]:
    """Yield the histogram's parts as Prometheus spells them."""
    total = each.histogram
    counts = total.below_powers(_FIRST_POWER, _LAST_POWER)
    for bound, n in zip((*_BOUNDS, "+Inf"), (*counts, total.count), strict=True):
        labels = (*each.labels, ("le", bound))
        yield Sample(f"{each.name}_bucket", "histogram", n, labels, each.help)
    yield from totals_of(each)


def totals_of(each: Distribution) -> Iterator[Sample]:
    """Yield what of the parts a monitor follows: the sum and the count."""
    total = each.histogram
    yield Sample(f"{each.name}_sum", "histogram", total.total, each.labels, each.help)
    yield Sample(f"{each.name}_count", "histogram", total.count, each.labels, each.help)


def as_dict(each: Distribution, recent: Histogram) -> tuple[str, dict[str, Any]]:
    """Return the series' name, and its figures as plain data: of the last minute, and in all."""
    return (
        spelled(each.name, each.labels),
        {**_figures(recent), "total": _figures(each.histogram)},
    )


def _figures(histogram: Histogram) -> dict[str, float]:
    return {
        "count": histogram.count,
        "mean": histogram.mean,
        **{f"p{round(100 * share)}": histogram.quantile(share) for share in QUANTILES},
        "max": histogram.max,
    }
