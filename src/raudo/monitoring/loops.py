"""How long an event loop keeps its callbacks waiting."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterator
from time import perf_counter

from raudo._core.histogram import Histogram
from raudo.types import Distribution, Sample

__all__ = ["LoopLag"]


class LoopLag:
    """Samples of one loop, taken when they are asked for: nothing runs on it in between.

    Each reading asks the loop to call back as soon as it can, unless it has not yet answered the
    last one; the wait until it does is its lag. A loop that is blocked is seen while it is: its lag
    grows from reading to reading. Held weakly.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = weakref.ref(loop)
        self._labels = (("loop", name),)
        self._lock = threading.Lock()
        self._asked: float | None = None  # when a question went out that is not answered
        self._latest = 0.0
        self._waits = Histogram()

    @property
    def is_open(self) -> bool:
        loop = self._loop()
        return loop is not None and not loop.is_closed()

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._loop() is loop

    def samples(self) -> Iterator[Sample]:
        loop = self._loop()
        if loop is None or loop.is_closed():
            return
        now = perf_counter()
        with self._lock:
            asked = self._asked
            lag = self._latest if asked is None else max(self._latest, now - asked)
            if asked is None and loop.is_running():
                self._asked = now
                try:
                    loop.call_soon_threadsafe(self._answer, now)
                except RuntimeError:  # closed just now
                    self._asked = None
                    return
        yield Sample(
            "raudo_loop_lag_seconds",
            "gauge",
            lag,
            self._labels,
            "How long the event loop kept a callback waiting.",
        )

    def histograms(self) -> Iterator[Distribution]:
        if self.is_open:
            yield Distribution(
                "raudo_loop_lag_duration_seconds",
                self._waits,
                self._labels,
                "How long the event loop kept callbacks waiting.",
            )

    def _answer(self, asked: float) -> None:
        lag = perf_counter() - asked
        with self._lock:
            self._latest, self._asked = lag, None
            self._waits.record(lag)
