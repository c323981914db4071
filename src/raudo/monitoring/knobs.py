"""What a tuner can turn: a cache's size, a processor's workers, the collector's threshold."""

from __future__ import annotations

import gc
from typing import Any

from raudo.monitoring.process import GcPauses, watch_collector
from raudo.monitoring.tuner import Proposal

__all__ = ["CacheSize", "GcThreshold", "Workers"]


def _checked_bounds(at_least: int, at_most: int) -> tuple[int, int]:
    if not 1 <= at_least <= at_most:
        raise ValueError(
            f"at_least and at_most are {at_least} and {at_most}, wanted 1 <= at_least <= at_most"
        )
    return at_least, at_most


class CacheSize:
    """The entries of a `SmartCache`, or of a `Cache` made with `advise=True`, by its own advisor.

    Grows to twice the size where the advisor expects `gain` more of the hit rate from it, and
    shrinks to half where it expects to lose less than a tenth of that. A growth that brought less
    than half of the gain, or a shrinking that cost more than half of it, is undone. The advisor
    knows up to four times the size that a `SmartCache` was made with. The score is the window's hit
    rate, of 100 lookups at least.
    """

    def __init__(
        self, cache: Any, at_least: int, at_most: int, *, gain: float = 0.02, name: str = ""
    ) -> None:
        if not 0 < gain < 1:
            raise ValueError(f"gain is {gain!r}, wanted a share between 0 and 1")
        cache.advise()  # a cache without an advisor says so now
        self._at_least, self._at_most = _checked_bounds(at_least, at_most)
        self._cache, self._gain = cache, gain
        self.name = name or f"cache size {getattr(cache, 'name', '')}".rstrip()
        self._counted = self._counts()

    def value(self) -> int:
        size = getattr(self._cache, "max_size", None)
        return int(self._cache.maxsize if size is None else size)

    def turn(self, value: int) -> None:
        self._cache.resize(value)

    def _counts(self) -> tuple[int, int]:
        stats = (
            self._cache.get_stats() if hasattr(self._cache, "get_stats") else self._cache.stats()
        )
        return stats["hits"], stats["misses"]

    def mark(self, time: float) -> None:
        self._counted = self._counts()

    def score(self, time: float) -> float | None:
        hits, misses = (now - then for now, then in zip(self._counts(), self._counted, strict=True))
        return hits / (hits + misses) if hits + misses >= 100 else None

    def propose(self, score: float) -> Proposal | None:
        size = self.value()
        advice = self._cache.advise()
        rates = {factor: advice[factor].hit_rate for factor in ("0.5x", "1x", "2x")}
        gained, lost = rates["2x"] - rates["1x"], rates["1x"] - rates["0.5x"]
        bigger, smaller = min(2 * size, self._at_most), max(size // 2, self._at_least)
        if gained >= self._gain and bigger > size:
            return Proposal(bigger, f"twice the size would hit {100 * gained:.1f} points more")
        if lost < self._gain / 10 and smaller < size:
            return Proposal(smaller, f"half the size would hit {100 * lost:.1f} points less")
        return None

    def is_worth(self, before: float, after: float, old: int, new: int) -> bool:
        wanted = self._gain / 2 if new > old else -self._gain / 2
        return after - before >= wanted


class Workers:
    """The threads of an `AsyncProcessor` made with `auto_scale=False`.

    By the rule of the processor's own search: a quarter more while tasks wait, kept if throughput
    grows by 0.15 of that at least; a quarter fewer while most have nothing to do, kept if
    throughput stays. (With `auto_scale` the processor searches by itself, between tasks.) The score
    is tasks ended per second, of 20 at least.
    """

    def __init__(self, processor: Any, at_least: int, at_most: int, *, name: str = "") -> None:
        self._at_least, self._at_most = _checked_bounds(at_least, at_most)
        self._processor = processor
        self.name = name or "workers"
        self._marked = 0.0
        self._done = self._finished()

    def value(self) -> int:
        return int(self._processor.max_workers)

    def turn(self, value: int) -> None:
        self._processor.max_workers = value

    def _finished(self) -> int:
        return int(self._processor.get_stats()["processed_tasks"])

    def mark(self, time: float) -> None:
        self._marked, self._done = time, self._finished()

    def score(self, time: float) -> float | None:
        n = self._finished() - self._done
        return n / (time - self._marked) if n >= 20 and time > self._marked else None

    def propose(self, score: float) -> Proposal | None:
        stats = self._processor.get_stats()
        size, busy = self.value(), stats["running"]
        waiting = stats["queue_size"] + max(busy - size, 0)
        more, fewer = min(-(-5 * size // 4), self._at_most), max(3 * size // 4, self._at_least)
        if waiting and more > size:
            return Proposal(more, f"{waiting} tasks wait for {size} workers")
        if not waiting and busy < size / 2 and fewer < size:
            return Proposal(fewer, f"{busy} of {size} workers are busy")
        return None

    def is_worth(self, before: float, after: float, old: int, new: int) -> bool:
        return after >= before * (1 + 0.15 * (new / old - 1) if new > old else 0.95)


class GcThreshold:
    """How many new objects there may be before the cyclic collector looks for garbage.

    Doubled while the collector takes more than `most` of the time, kept if its share falls by a
    tenth at least; the memory that this costs shows in the monitor. The score is the share of time
    that is not spent collecting.
    """

    def __init__(
        self, at_least: int = 700, at_most: int = 50_000, *, most: float = 0.01, name: str = ""
    ) -> None:
        if not 0 < most < 1:
            raise ValueError(f"most is {most!r}, wanted a share between 0 and 1")
        self._at_least, self._at_most = _checked_bounds(at_least, at_most)
        self._most = most
        self.name = name or "gc threshold"
        self._pauses: GcPauses = watch_collector(self)
        self._marked, self._spent = 0.0, 0.0

    def value(self) -> int:
        return gc.get_threshold()[0]

    def turn(self, value: int) -> None:
        gc.set_threshold(value, *gc.get_threshold()[1:])

    def mark(self, time: float) -> None:
        self._marked, self._spent = time, self._pauses.total

    def score(self, time: float) -> float | None:
        if not time > self._marked:
            return None
        return 1.0 - (self._pauses.total - self._spent) / (time - self._marked)

    def propose(self, score: float) -> Proposal | None:
        size, spent = self.value(), 1.0 - score
        bigger = min(max(2 * size, self._at_least), self._at_most)
        if spent > self._most and size and bigger > size:
            return Proposal(bigger, f"{100 * spent:.1f} % of the time goes into collecting")
        return None

    def is_worth(self, before: float, after: float, old: int, new: int) -> bool:
        return 1.0 - after <= 0.9 * (1.0 - before)
