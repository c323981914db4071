"""What another size would give: a miss-ratio curve kept inside the cache.

SHARDS (Waldspurger et al., FAST 2015, https://www.usenix.org/conference/fast15): keys whose hash
falls into a fixed share are followed through their reuse distances; scaled by the share, they are
those of the whole stream. The curve is that of an LRU cache; the adaptive strategies do a little
better. The error of the sample's size is put on the first bucket, as SHARDS-adj does.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Hashable
from typing import NamedTuple

from raudo.cache._forks import reset_after_fork

__all__ = ["Advice", "ReuseSampler"]

# Followed keys at four times the cache's size: at 512 the curve is a point or two off, and finding
# a distance among them costs about a microsecond.
_FOLLOWED = 512
_REACH = 4
_BUCKETS_PER_SIZE = 32  # how finely distances are counted, per cache size


class Advice(NamedTuple):
    """The expected hit rate at a size, and about how many bytes it would hold."""

    max_size: int
    hit_rate: float
    bytes: int


class ReuseSampler:
    """Follows the keys of a hash-chosen share. Thread-safe; costs nothing for other keys."""

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self.rate = min(1.0, _FOLLOWED / (_REACH * max_size))
        self._limit = round(self.rate * (1 << 24))
        self._lock = threading.Lock()
        self._now = 0
        self._last: dict[Hashable, int] = {}  # in the order of last access
        self._times: list[int] = []  # the same times, ascending
        self._buckets = [0] * (_REACH * _BUCKETS_PER_SIZE + 1)
        self._lookups = 0
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def follows(self, key: Hashable) -> bool:
        """Say whether the key is in the share."""
        # Fibonacci hashing: the hash of an int is the int, and a stride would bias the share.
        return (hash(key) * 0x9E3779B97F4A7C15 >> 40) & 0xFFFFFF < self._limit

    def note(self, key: Hashable) -> None:
        """Count a lookup of a followed key."""
        with self._lock:
            self._now += 1
            self._lookups += 1
            last = self._last.pop(key, None)
            if last is not None:
                at = bisect_left(self._times, last)
                distance = (len(self._times) - at) / self.rate
                bucket = int((distance - 1) * _BUCKETS_PER_SIZE / self.max_size)
                if bucket < len(self._buckets):
                    self._buckets[bucket] += 1
                del self._times[at]
            self._last[key] = self._now
            self._times.append(self._now)
            if len(self._times) > _FOLLOWED + 64:
                del self._last[next(iter(self._last))]
                del self._times[0]

    def advise(self, lookups: int, bytes_per_entry: float) -> dict[str, Advice]:
        """Return the expected hit rate at 0.5, 1, 2 and 4 times the size.

        `lookups` is how many there were in all, followed or not.
        """
        with self._lock:
            buckets = list(self._buckets)
            seen = self._lookups
        expected = lookups * self.rate
        buckets[0] += round(expected - seen)  # SHARDS-adj
        advice = {}
        for factor in (0.5, 1.0, 2.0, 4.0):
            size = max(1, round(self.max_size * factor))
            hits = sum(buckets[: max(1, round(factor * _BUCKETS_PER_SIZE))])
            rate = min(1.0, max(0.0, hits / expected)) if expected >= 1 else 0.0
            advice[f"{factor:g}x"] = Advice(size, rate, round(size * bytes_per_entry))
        return advice
