"""Foresees keys that follow each other at a stride, and loads them only while that pays.

Keys are integers, or tuples that end in one (`("page", 7)`). A stride is believed once two steps in
a row had it. Every prediction is written down and compared with what is asked for, loaded or not:
loads are made while at least half of the recent predictions came true, so a stream without strides
costs bookkeeping and no load.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any

from raudo.cache._forks import reset_after_fork

__all__ = ["StridePredictor"]

_MAX_STRIDE = 64
_NEIGHBOURS = 8  # recent keys of a family that a new one is compared with
_MAX_EXPECTED = 512
_MAX_FAMILIES = 64
_MAX_OPEN = 256  # predictions waiting to be asked for
_MIN_PRECISION = 0.5
_MIN_JUDGED = 8
_DEPTH = 4  # keys foreseen ahead of a stream
_WEIGHT = 1 / 16  # of one outcome in the recent precision


class StridePredictor:
    """Learns from the keys that are asked for. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The next key of a stream that has been seen to go on: (stride, steps seen).
        self._expected: OrderedDict[tuple[Hashable, int], tuple[int, int]] = OrderedDict()
        self._recent: OrderedDict[Hashable, deque[int]] = OrderedDict()
        self._open: OrderedDict[Hashable, bool] = OrderedDict()  # predicted: was it loaded?
        self._precision = 0.0
        self._judged = 0
        self.predicted = self.came_true = 0
        self.useful = self.wasted = 0
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    @property
    def precision(self) -> float:
        """Share of recent predictions that came true."""
        return self._precision

    def observe(self, key: Any) -> list[Any]:
        """Note that a key was asked for; return keys that are worth loading now."""
        family, n = _split(key)
        if n is None:
            return []
        with self._lock:
            self._judge(key)
            foreseen = [_join(family, each) for each in self._advance(family, n)]
            fresh = [each for each in foreseen if each not in self._open]
            pays = self._judged >= _MIN_JUDGED and self._precision >= _MIN_PRECISION
            for each in fresh:
                self._open[each] = False
                self.predicted += 1
            while len(self._open) > _MAX_OPEN:
                self._note_outcome(self._open.popitem(last=False)[1], came_true=False)
            return fresh if pays else []

    def note_loaded(self, key: Hashable) -> None:
        """Note that a predicted key was loaded for its prediction's sake."""
        with self._lock:
            if key in self._open:
                self._open[key] = True
            else:
                self.wasted += 1

    def _judge(self, key: Hashable) -> None:
        if key in self._open:
            self._note_outcome(self._open.pop(key), came_true=True)

    def _note_outcome(self, loaded: bool, *, came_true: bool) -> None:
        self._judged += 1
        self._precision += (came_true - self._precision) * max(_WEIGHT, 1 / self._judged)
        self.came_true += came_true
        if loaded:
            self.useful += came_true
            self.wasted += not came_true

    def _advance(self, family: Hashable, n: int) -> list[int]:
        recent = self._recent.get(family)
        if recent is None:
            recent = self._recent[family] = deque(maxlen=_NEIGHBOURS)
            if len(self._recent) > _MAX_FAMILIES:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(family)
        stream = self._expected.pop((family, n), None)
        ahead: list[int] = []
        if stream is not None:
            stride, steps = stream
            self._expect(family, n + stride, stride, steps + 1)
            if steps >= 2:
                ahead = [n + stride * step for step in range(1, _DEPTH + 1)]
        else:
            for other in recent:
                stride = n - other
                if 0 < abs(stride) <= _MAX_STRIDE:
                    self._expect(family, n + stride, stride, 1)
        if n not in recent:
            recent.append(n)
        return ahead

    def _expect(self, family: Hashable, n: int, stride: int, steps: int) -> None:
        known = self._expected.get((family, n))
        if known is None or known[1] <= steps:
            self._expected[family, n] = stride, steps
        if len(self._expected) > _MAX_EXPECTED:
            self._expected.popitem(last=False)


def _split(key: Any) -> tuple[Hashable, int | None]:
    if type(key) is int:
        return None, key
    if type(key) is tuple and key and type(key[-1]) is int:
        return key[:-1], key[-1]
    return None, None


def _join(family: Any, n: int) -> Any:
    return n if family is None else (*family, n)
