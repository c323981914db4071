"""Replays traces: what a cache would have hit, beside what none can exceed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo._core.curve import Curve

__all__ = ["belady_hits", "lru_hit_rates", "replay_hits", "replay_sized_hits"]


def replay_hits(
    keys: Sequence[int], get: Callable[[Any], Any], put: Callable[[Any, Any], Any], miss: Any = None
) -> int:
    """Ask for each key, store it where `get` returns what `miss` is, and count the hits."""
    misses = 0
    for key in keys:
        if get(key) == miss:
            put(key, 1)
            misses += 1
    return len(keys) - misses


def replay_sized_hits(
    keys: Sequence[int],
    sizes: Sequence[int],
    get: Callable[[Any], Any],
    put: Callable[[Any, Any], Any],
) -> int:
    """Do the same with the size of each request's object as the value; a miss is None."""
    misses = 0
    for key, size in zip(keys, sizes, strict=True):
        if get(key) is None:
            put(key, size)
            misses += 1
    return len(keys) - misses


def lru_hit_rates(
    keys: NDArray[np.int64], sizes: Sequence[int], weights: NDArray[np.int64] | None = None
) -> list[float]:
    """Return the exact hit rates of LRU caches of `sizes` (ascending) entries, in one pass.

    With `weights`, one for each request, `sizes` are sums of weights: an object weighs what it did
    when it was asked for last.
    """
    # Keys are numbered anew: the curve tells keys apart by 32 bits.
    unique, numbers = np.unique(keys, return_inverse=True)
    followed = len(unique) + 1 if weights is not None else max(sizes[-1], 1)
    curve = Curve(sizes, followed=followed, weighted=weights is not None)
    curve.feed(numbers.astype(np.uint64), None if weights is None else weights.astype(np.uint64))
    return curve.hit_rates()


def belady_hits(keys: Sequence[int], capacity: int) -> int:
    """Count the hits of the best possible cache, one that knows the future and may bypass.

    Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.
    """
    n = len(keys)
    following = [n] * n
    last: dict[int, int] = {}
    for i in range(n - 1, -1, -1):
        following[i] = last.get(keys[i], n)
        last[keys[i]] = i
    due: dict[int, int] = {}  # key -> its next use
    heap: list[tuple[int, int]] = []  # (-next use, key), stale ones included
    hits = 0
    for i, key in enumerate(keys):
        if key in due:
            hits += 1
            due[key] = following[i]
            heapq.heappush(heap, (-following[i], key))
            continue
        if following[i] == n:
            continue
        if len(due) >= capacity:
            while due.get(heap[0][1]) != -heap[0][0]:
                heapq.heappop(heap)
            if -heap[0][0] <= following[i]:
                continue  # the newcomer is the one needed last
            del due[heapq.heappop(heap)[1]]
        due[key] = following[i]
        heapq.heappush(heap, (-following[i], key))
    return hits
