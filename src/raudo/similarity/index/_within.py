"""All matches within a radius, by searches for more and more of the nearest.

A query whose k nearest all lie within is asked again for four times as many: at most a third more
rows are found than by one search that knew how many there are, and whatever finds the k nearest
will do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raudo.types import Matches, RangeMatches

__all__ = ["within"]

_FIRST_K = 32


def within(
    find: Callable[[NDArray[np.int64], int], Matches],
    q: int,
    n: int,
    radius: float,
    larger_is_nearer: bool,
) -> RangeMatches:
    """Return what `find(rows, k)` finds within `radius` for q queries, of n that there are."""
    asked, ids, distances = [], [], []
    pending, k = np.arange(q), min(_FIRST_K, n)
    while len(pending):
        found = find(pending, max(k, 1))
        near = found.distances >= radius if larger_is_nearer else found.distances <= radius
        near &= found.ids >= 0
        has_more = near[:, -1] if k < n else np.zeros(len(pending), np.bool_)
        taken = near & ~has_more[:, None]
        asked.append(np.repeat(pending, taken.sum(axis=1)))
        ids.append(found.ids[taken])
        distances.append(found.distances[taken])
        pending, k = pending[has_more], min(4 * k, n)
    offsets = np.zeros(q + 1, np.int64)
    if not asked:
        return RangeMatches(offsets, np.empty(0, np.int64), np.empty(0, np.float32))
    rows, names = np.concatenate(asked), np.concatenate(ids)
    order = np.lexsort((names, rows))
    np.cumsum(np.bincount(rows, minlength=q), out=offsets[1:])
    return RangeMatches(offsets, names[order], np.concatenate(distances)[order])
