"""Keys that follow each other at a stride: integers, and tuples that end in one.

Three keys of a family at equal distances, in any order among others, begin a stream; the family of
`("page", 7)` is `("page",)`. A stream that goes on is followed by looking its next key up, so
interleaved streams do not disturb each other. After the idea of reference prediction tables (Chen
and Baer, "Effective Hardware-Based Data Prefetching for High-Performance Processors", IEEE Trans.
Computers 1995), which tell streams apart by the instruction; here there is only the key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

__all__ = ["Strides"]

_RECENT = 16  # keys of a family among which a new stream is looked for
_MAX_FAMILIES = 64
_MAX_STREAMS = 512
_DEPTH = 8  # most keys foreseen ahead of a stream, and no more than it has made steps
_SURE_STEPS = 6  # streams are told apart in the ledger by their steps up to here
# A stream is met again at its next key or the one after: hits of the cache are not seen here.
_REACH = 2


class _Stream:
    __slots__ = ("at", "steps", "stride")

    def __init__(self, at: int, stride: int) -> None:
        self.at = at
        self.stride = stride
        self.steps = 2


class Strides:
    """Finds streams of integer keys. The caller holds a lock."""

    def __init__(self) -> None:
        self._families: OrderedDict[Hashable, OrderedDict[int, None]] = OrderedDict()
        self._next: OrderedDict[tuple[Hashable, int], _Stream] = OrderedDict()

    def follow(self, key: Any) -> list[tuple[Any, Hashable]]:
        """Note that a key was asked for; return keys that may be next, each with its kind."""
        if type(key) is int:
            family, n = None, key
        elif type(key) is tuple and key and type(key[-1]) is int:
            family, n = key[:-1], key[-1]
        else:
            return []
        stream = self._advance(family, n)
        if stream is None:
            return []
        stride, sure = stream.stride, min(stream.steps, _SURE_STEPS)
        steps = range(1, min(stream.steps + 1, _DEPTH) + 1)
        if family is None:
            return [(n + stride * step, ("stride", sure, step)) for step in steps]
        return [((*family, n + stride * step), ("stride", sure, step)) for step in steps]

    def _advance(self, family: Hashable, n: int) -> _Stream | None:
        recent = self._recent(family)
        stream = self._next.pop((family, n), None)
        if stream is not None and self._continues(stream, n):
            stream.at = n
            stream.steps += 1
        else:
            stream = None if n in recent else self._begin(recent, n)
        recent[n] = None
        recent.move_to_end(n)
        if len(recent) > _RECENT:
            recent.popitem(last=False)
        if stream is not None:
            for step in range(1, _REACH + 1):
                self._next[family, n + stream.stride * step] = stream
            while len(self._next) > _REACH * _MAX_STREAMS:
                self._next.popitem(last=False)
        return stream

    def _recent(self, family: Hashable) -> OrderedDict[int, None]:
        recent = self._families.get(family)
        if recent is None:
            recent = self._families[family] = OrderedDict()
            if len(self._families) > _MAX_FAMILIES:
                self._families.popitem(last=False)
        else:
            self._families.move_to_end(family)
        return recent

    @staticmethod
    def _continues(stream: _Stream, n: int) -> bool:
        """Say whether the stream has not moved on since it was written down for this key."""
        step = n - stream.at
        return step in (stream.stride, _REACH * stream.stride)

    @staticmethod
    def _begin(recent: OrderedDict[int, None], n: int) -> _Stream | None:
        for other in reversed(recent):
            stride = n - other
            if other - stride in recent:
                return _Stream(n, stride)
        return None
