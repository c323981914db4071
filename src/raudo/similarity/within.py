"""All pairs of rows within a radius: the matrix by blocks, of which only those are kept."""

from __future__ import annotations

from functools import partial
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.similarity._arrays import check_radius, pair
from raudo.similarity._threads import jobs_for, run
from raudo.similarity.distances import Matrix
from raudo.similarity.metrics import Metric, metric_of
from raudo.types import RangeMatches

__all__ = ["pairs_within"]

# A block of float32 distances of 1.5 MB is still in the second cache when it is looked through.
_ROWS = 192
_COLUMNS = 2048


def pairs_within(
    x: ArrayLike,
    radius: float,
    y: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
    n_jobs: SupportsIndex | None = None,
) -> RangeMatches:
    """Find the pairs of rows whose distance is at most `radius`.

    Args:
        x: (q, d) real numbers.
        radius: The largest distance that counts, in the metric's own sense (of `sqeuclidean` a
            square); with `inner` the smallest product.
        y: (n, d). When None the pairs are those within x, each once: row i has the ids above i.
        metric: As in `pairwise_distances`.
        n_jobs: Threads; None takes all cores for big work and one for small, -1 all cores.

    Returns:
        `RangeMatches(offsets, ids, distances)`, the three arrays of a CSR matrix: row i of x lies
        within the radius of the rows `ids[offsets[i]:offsets[i + 1]]` of y. The pairs and their
        distances are those of `pairwise_distances`, digit for digit. NaN is within no radius.

    Costs O(q n d) time, half of it without y, and memory for a few blocks and for what is found:
    12 to 16 bytes a pair, twice that while it is put together. Safe to call from several threads;
    the GIL is released meanwhile.

        >>> import numpy as np
        >>> points = np.array([[0.0], [1.0], [1.5], [9.0]])
        >>> near = pairs_within(points, 1.0, metric="euclidean")
        >>> near.offsets.tolist(), near.ids.tolist(), near.distances.tolist()
        ([0, 1, 2, 2, 2], [1, 2], [1.0, 0.5])
    """
    chosen = metric_of(metric)
    limit = check_radius(radius)
    rows = pair(chosen, x, y)
    matrix = Matrix(chosen, rows)
    (q, d), n = rows.x.shape, len(rows.y)
    is_one_set = y is None
    jobs = jobs_for(n_jobs, q * n * max(d, 1) // (2 if is_one_set else 1))
    parts: list[_Part] = [_NOTHING] * -(-q // _ROWS)

    def search(number: int) -> None:
        first = number * _ROWS
        parts[number] = _search(matrix, first, limit, first if is_one_set else None)

    run([partial(search, number) for number in range(len(parts))], jobs)
    return _joined(parts, q, rows.result_dtype)


# Rows counted from 0, ids and distances of one block of rows, in order.
_Part = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]]
_NOTHING: _Part = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def _search(matrix: Matrix, first: int, limit: float, diagonal: int | None) -> _Part:
    """Search a block of rows; only above the diagonal where there is one."""
    metric, (x, y, *_) = matrix.metric, matrix.rows
    n_rows = len(x[first : first + _ROWS])
    found: list[_Part] = []
    scratch = np.empty((n_rows, min(_COLUMNS, len(y))), matrix.rows.result_dtype)
    for start in range(0 if diagonal is None else diagonal, len(y), _COLUMNS):
        width = min(_COLUMNS, len(y) - start)
        block = scratch[:, :width]
        matrix.block(first, start, block)
        is_within = block >= limit if metric.larger_is_nearer else block <= limit
        at = np.flatnonzero(is_within)
        if not len(at):
            continue
        row, column = np.divmod(at, width)
        column += start
        if diagonal is not None and start < first + n_rows:
            keep = column > row + first
            row, column = row[keep], column[keep]
        found.append((row + first, column, block[row, column - start]))
    if not found:
        return _NOTHING
    if len(found) == 1:
        return found[0]
    row, column, distance = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(row, kind="stable")
    return row[order], column[order], distance[order]


def _joined(parts: list[_Part], q: int, dtype: np.dtype[Any]) -> RangeMatches:
    counts = np.zeros(q + 1, np.int64)
    for row, _, _ in parts:
        if len(row):
            counts[row[0] + 1 : row[-1] + 2] += np.bincount(row - row[0])
    ids = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, np.int64)
    distances = [part[2] for part in parts if len(part[2])]
    return RangeMatches(
        np.cumsum(counts), ids, np.concatenate(distances) if distances else np.empty(0, dtype)
    )
