"""How far beyond a query's k-th best its lists may be, so that it finds the wanted share.

Measured on rows that had no part in making the lists. A number of lists for all queries would take
a third more rows for the same recall (100,000 x 256 text embeddings): easy queries need few.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from raudo.similarity.index._lists import TUNED_K, Lists, near_lists, search_lists
from raudo.similarity.metrics import Form, Metric
from raudo.types import Matches

__all__ = ["margins_for"]


def margins_for(
    recall: float,
    state: Lists,
    queries: NDArray[np.float32],
    positions: NDArray[np.int64],
) -> tuple[float, ...]:
    """Return by how much lists may be too far, so that rows find others to the wanted share."""
    metric = state.metric
    far = _far(metric, state.centres, queries)
    can_tell = np.isfinite(far).all(axis=1)
    far, queries, positions = far[can_tell], queries[can_tell], positions[can_tell, None]
    n_lists = len(state.centres)
    if n_lists == 1 or not len(queries):
        return (np.inf,) * len(TUNED_K)
    everywhere = _others(state, queries, positions, max(TUNED_K), n_lists).ids
    # One standard error above what is wanted: so few rows measure it roughly.
    wanted = min(1.0, recall + math.sqrt(recall * (1 - recall) / len(queries)))
    margins = []
    for k in TUNED_K:
        near = _others(state, queries, positions, k, near_lists(state, k, state.n))
        limit = near.distances[:, -1:].astype(np.float64)
        if metric.form == Form.INNER:
            norms = np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True)
            limit = -limit / (norms * state.row_norm)
        elif metric.form == Form.COSINE:
            limit = limit - 1
        elif not metric.root:
            limit = np.sqrt(limit)
        found = everywhere[:, :k]
        owners = state.chains.owners_of(np.maximum(found, 0))
        too_far = np.take_along_axis(far, owners, axis=1) - limit
        is_near = (found[:, :, None] == near.ids[:, None, :]).any(axis=2)
        too_far[is_near | np.isnan(limit)] = -np.inf
        too_far = np.sort(too_far[found >= 0])
        margins.append(float(too_far[math.ceil(wanted * len(too_far)) - 1]))
    return tuple(margins)


def _others(
    state: Lists,
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    k: int,
    n_near: int,
) -> Matches:
    """Find the positions of the k nearest of rows, but for each row itself."""
    found = search_lists(state, queries, k + 1, n_near, -np.inf, None, None, by_position=True)
    is_own = found.ids == own
    is_own[~is_own.any(axis=1), -1] = True  # it was not among them: then it is one too many
    shape = (len(queries), k)
    return Matches(found.ids[~is_own].reshape(shape), found.distances[~is_own].reshape(shape))


def _far(
    metric: Metric, centres: NDArray[np.float32], queries: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return how far queries are from centres, as _core/lists has it."""
    x, c = queries.astype(np.float64), centres.astype(np.float64)
    with np.errstate(all="ignore"):
        if metric.form == Form.SQEUCLIDEAN:
            squares = (x**2).sum(axis=1)[:, None] + (c**2).sum(axis=1) - 2 * x @ c.T
            far: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0))
        else:
            far = -(x / np.linalg.norm(x, axis=1, keepdims=True)) @ c.T
    return far
