"""Timeouts that follow what a function really takes.

One timeout for everything is far too long for most functions: a call that usually takes 20 ms and
now hangs is waited for a minute. `SmartTimeout` gives each function a few times its running 99th
percentile instead, never more than the timeout that was asked for.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raudo.concurrency._checks import check_positive
from raudo.concurrency.limits import function_behind

__all__ = ["SmartTimeout", "SmartTimeouts"]

_SHORTEST = 1e-5  # seconds; what is shorter counts as this long
_GROWTH = 1.1  # from one bucket to the next: the quantile is right to ten per cent
_LOG_GROWTH = math.log(_GROWTH)
_N_BUCKETS = 1 + math.ceil(math.log(60.0 / _SHORTEST) / _LOG_GROWTH)
_REMEMBERED = 2000  # then old calls count half
_LATE = 2.0  # a call that was ended early counts as this many times as long


@dataclass(frozen=True, slots=True)
class SmartTimeout:
    """How a function's own timeout follows from its calls.

    Once it has been called `after` times, an attempt may run `factor` times the running `quantile`
    of what its calls took, at least `minimum` seconds, and at most the timeout asked for. A call
    that was ended for that counts as twice as long as it was given, so that a service that has
    become slower gets more time instead of failing for ever.
    """

    factor: float = 3.0
    quantile: float = 0.99
    minimum: float = 0.01
    after: int = 100

    def __post_init__(self) -> None:
        check_positive("factor", self.factor, at_least=1)
        check_positive("minimum", self.minimum, at_least=0.001)
        check_positive("after", self.after, at_least=1)
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile must be in [0.5, 1), not {self.quantile!r}")


class _Durations:
    """How long the calls of one function took: a histogram of logarithmic buckets."""

    def __init__(self) -> None:
        self.buckets = [0] * _N_BUCKETS
        self.n = self.n_seen = 0

    def add(self, seconds: float) -> None:
        place = math.ceil(math.log(max(seconds, _SHORTEST) / _SHORTEST) / _LOG_GROWTH)
        self.buckets[min(place, _N_BUCKETS - 1)] += 1
        self.n += 1
        self.n_seen += 1
        if self.n >= _REMEMBERED:
            self.buckets = [count // 2 for count in self.buckets]
            self.n = sum(self.buckets)

    def quantile(self, share: float) -> float:
        """Return seconds that this share of the calls did not exceed."""
        above = (1 - share) * self.n
        for place in reversed(range(_N_BUCKETS)):
            above -= self.buckets[place]
            if above < 0:
                return float(_SHORTEST * _GROWTH**place)
        return _SHORTEST


class SmartTimeouts:
    """The timeout of each function, under one `SmartTimeout`. Thread-safe.

    Functions that are gone are forgotten.
    """

    def __init__(self, rule: SmartTimeout) -> None:
        self._rule = rule
        self._durations: weakref.WeakKeyDictionary[Any, _Durations] = weakref.WeakKeyDictionary()
        self._limits: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def limit(self, fn: Callable[..., Any], timeout: float | None) -> float | None:
        """Return the seconds that an attempt of `fn` may run, given the timeout asked for."""
        with self._lock:
            found = self._limits.get(function_behind(fn))
        if found is None:
            return timeout
        return found if timeout is None else min(found, timeout)

    def record(self, fn: Callable[..., Any], seconds: float, *, was_ended: bool) -> None:
        """Note what an attempt took, or what it was given where it was ended for its timeout."""
        key = function_behind(fn)
        with self._lock:
            durations = self._durations.get(key)
            if durations is None:
                durations = self._durations[key] = _Durations()
            durations.add(seconds * _LATE if was_ended else seconds)
            rule = self._rule
            # Now and then is enough; in steps of a bucket, as each timeout has a sweep of its own.
            if durations.n_seen >= rule.after and (was_ended or durations.n_seen % 16 == 0):
                seconds = rule.factor * durations.quantile(rule.quantile)
                self._limits[key] = min(max(seconds, rule.minimum), 60.0)

    def explain(self) -> dict[str, float]:
        """Return the timeout of each function that has one, by name."""
        with self._lock:
            return {getattr(fn, "__qualname__", repr(fn)): s for fn, s in self._limits.items()}
