"""The full matrix of distances between two sets of rows."""

from __future__ import annotations

from functools import partial
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo._core import kernels
from raudo.similarity._arrays import Pair, pair
from raudo.similarity._threads import jobs_for, run
from raudo.similarity.metrics import Form, Metric, metric_of

__all__ = ["FEW_QUERIES", "centre", "pairwise_distances", "query_rows", "row_kernel"]

# Up to here packing the base costs more than it saves (bench_similarity_knn).
FEW_QUERIES = 4
_COLUMNS = 4096
_CENTRE_SAMPLE = 256
_ROW_KERNELS = {name: number for number, name in enumerate(kernels.row_kernels())}


def pairwise_distances(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
    out: NDArray[Any] | None = None,
    n_jobs: SupportsIndex | None = None,
) -> NDArray[Any]:
    """Compute the distance of every row of x to every row of y.

    Args:
        x: (q, d) real numbers.
        y: (n, d); x itself when None.
        metric: `sqeuclidean`, `euclidean`, `cosine`, `inner`, `cityblock`, `hamming`, `jaccard`, a
            registered name or a `Metric`; as in `scipy.spatial.distance.cdist`, and `inner` is the
            inner product. For `hamming` and `jaccard` uint8 rows are packed bits.
        out: (q, n), written and returned; float32 where x and y are computed in float32, else
            float64.
        n_jobs: Threads; None takes all cores for big work and one for small, -1 all cores.

    Returns:
        (q, n) float32 for float32 and float16, float64 for all else.

    Rows with NaN have distances of NaN (but for `hamming`, where NaN differs from all). Near rows
    are computed from their differences, so that no digits cancel. Safe to call from several
    threads; the GIL is released meanwhile.
    """
    chosen = metric_of(metric)
    rows = pair(chosen, x, y)
    q, n, d = len(rows.x), len(rows.y), rows.x.shape[1]
    jobs = jobs_for(n_jobs, q * n * max(d, 1))
    result = _result(out, (q, n), rows)
    if chosen.function is not None:
        fill_by_function(chosen, rows, result)
    else:
        _fill(chosen, rows, result, jobs)
    if out is not None and result is not out:
        out[...] = result
        return out
    return result


def _result(out: NDArray[Any] | None, shape: tuple[int, int], rows: Pair) -> NDArray[Any]:
    """Return the array to fill: `out` itself where kernels can write it in place."""
    if out is None:
        return np.empty(shape, rows.result_dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is {type(out).__name__}, an array is wanted")
    if out.shape != shape or out.dtype != rows.result_dtype:
        raise ValueError(
            f"out is {out.dtype} of shape {out.shape}, "
            f"{rows.result_dtype} of shape {shape} is wanted"
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if (
        not out.dtype.isnative
        or not out.flags.aligned
        or (out.size and (out.strides[1] != out.itemsize or out.strides[0] < 0))
        or np.may_share_memory(out, rows.x)
        or np.may_share_memory(out, rows.y)
    ):
        return np.empty(shape, rows.result_dtype)
    return out


def fill_by_function(metric: Metric, rows: Pair, out: NDArray[Any]) -> None:
    """Fill `out` by the metric's own function, a block at a time."""
    assert metric.function is not None
    for i in range(0, len(rows.x), 256):
        for j in range(0, len(rows.y), 512):
            block = out[i : i + 256, j : j + 512]
            given = np.asarray(metric.function(rows.x[i : i + 256], rows.y[j : j + 512]))
            if given.shape != block.shape:
                raise ValueError(
                    f"metric {metric.name!r} returned shape {given.shape} for {block.shape}"
                )
            block[...] = given


def row_kernel(metric: Metric, kind: str) -> int:
    """Return the number of the metric's row kernel for elements of that type."""
    return _ROW_KERNELS[f"{metric.kernel}_{kind}"]


def query_rows(rows: Pair, jobs: int) -> int:
    """Return how many rows of x to give to a task: few enough to share out, and to pack in 8 MB."""
    row_bytes = max(1, rows.x.shape[1] * rows.x.itemsize)
    packable = int((8 << 20) // row_bytes) // 96 * 96
    fair = -(-len(rows.x) // (96 * jobs)) * 96
    return max(96, min(768, fair, packable))


def centre(metric: Metric, rows: Pair) -> NDArray[Any]:
    """Return a point amid y: distances do not change with the origin, but rounding does."""
    zeros = np.zeros(rows.x.shape[1], rows.y.dtype)
    if metric.form != Form.SQEUCLIDEAN or not len(rows.y):
        return zeros
    sample = rows.y[:: -(-len(rows.y) // _CENTRE_SAMPLE)]
    with np.errstate(all="ignore"):
        point: NDArray[Any] = sample.mean(axis=0, dtype=np.float64).astype(rows.y.dtype)
        if (sample == np.rint(sample)).all():  # whole numbers stay whole, and their sums exact
            point = np.rint(point)
    return np.where(np.isfinite(point), point, zeros)


def _fill(metric: Metric, rows: Pair, out: NDArray[Any], jobs: int) -> None:
    x, y, kind, positions = rows
    number = row_kernel(metric, kind)
    by_tiles = metric.form != Form.NONE and kind in ("f32", "f64") and len(x) > FEW_QUERIES
    tiles: Any = kernels.pairwise_f32 if kind == "f32" else kernels.pairwise_f64
    by_rows: Any = getattr(kernels, f"rows_{kind}")
    shift = centre(metric, rows) if by_tiles else None
    step = query_rows(rows, jobs)

    def fill(i: int, j: int) -> None:
        x_part, y_part = x[i : i + step], y[j : j + _COLUMNS]
        part: Any = out[i : i + step, j : j + _COLUMNS]
        if shift is not None:
            tiles(x_part, y_part, part, shift, int(metric.form), metric.root, number)
            return
        by_rows(x_part, y_part, part, number)
        if metric.share:
            np.divide(part, positions, out=part, where=positions > 0)
        if metric.root:
            np.sqrt(part, out=part)

    run(
        [partial(fill, i, j) for i in range(0, len(x), step) for j in range(0, len(y), _COLUMNS)],
        jobs,
    )
