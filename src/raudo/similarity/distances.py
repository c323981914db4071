"""The full matrix of distances between two sets of rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import index
from typing import Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo._core import bits, kernels
from raudo.memory import scratch
from raudo.similarity._arrays import Pair, pair
from raudo.similarity._device import DeviceRows, work_of
from raudo.similarity._elsewhere import Home, home_of
from raudo.similarity._threads import jobs_for, run
from raudo.similarity.metrics import Form, Metric, metric_of

__all__ = ["Matrix", "centre", "pairwise_distances", "query_rows", "row_kernel"]

# Up to here packing the base costs more than it saves (bench_similarity_knn); half as many of
# cosine, whose row kernel sums in double.
_FEW_QUERIES = 8
_COLUMNS = 4096
_CHUNK_BYTES = 64 << 20
_CENTRE_SAMPLE = 256
_ROW_KERNELS = {name: number for number, name in enumerate(kernels.row_kernels())}


@overload
def pairwise_distances(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
    out: NDArray[Any] | None = None,
    n_jobs: SupportsIndex | None = None,
    *,
    chunks: None = None,
    backend: object = None,
    work_bytes: SupportsIndex | None = None,
) -> NDArray[Any]: ...
@overload
def pairwise_distances(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
    out: NDArray[Any] | None = None,
    n_jobs: SupportsIndex | None = None,
    *,
    chunks: SupportsIndex | Literal["auto"],
    backend: object = None,
    work_bytes: SupportsIndex | None = None,
) -> Iterator[NDArray[Any]]: ...
def pairwise_distances(
    x: ArrayLike,
    y: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
    out: NDArray[Any] | None = None,
    n_jobs: SupportsIndex | None = None,
    *,
    chunks: SupportsIndex | Literal["auto"] | None = None,
    backend: object = None,
    work_bytes: SupportsIndex | None = None,
) -> NDArray[Any] | Iterator[NDArray[Any]]:
    """Compute the distance of every row of x to every row of y.

    Args:
        x: (q, d) real numbers.
        y: (n, d); x itself when None.
        metric: `sqeuclidean`, `euclidean`, `cosine`, `inner`, `cityblock`, `hamming`, `jaccard`,
            another name that `scipy.spatial.distance.cdist` knows, a registered name or a `Metric`;
            as in `cdist`, and `inner` is the inner product. For `hamming` and `jaccard` uint8 rows
            are packed bits.
        out: (q, n), written and returned; of the type that is returned without it. A
            `numpy.memmap` may be larger than memory.
        n_jobs: Threads; None takes all cores for big work and one for small, -1 all cores.
        chunks: Rows of x at a time, or "auto" for blocks of some 64 MB: an iterator of the blocks
            in place of the matrix, each computed when it is asked for. Stacked they are the matrix,
            digit for digit. With `out` they are parts of it.
        backend: Where to compute, if not on threads here: a `ParallelExecutor`, or what one takes
            ("dask", a Dask `Client`), to which the rows travel once and from which blocks come
            back; `n_jobs` is for each task, 1 if None. Not with `chunks`.
        work_bytes: Memory for temporaries on a device of its own; None for 256 MB.

    Returns:
        (q, n) float32 for float32, float16, bool and packed bits, float64 for all else; with
        `chunks` an iterator of (rows, n) blocks.

    Rows with NaN have distances of NaN (but for `hamming`, where NaN differs from all). Near rows
    are computed from their differences, so that no digits cancel. Safe to call from several
    threads; the GIL is released meanwhile.

    PyTorch's, CuPy's and other arrays of the array API are computed where they lie and answered in
    kind, on the same device; x, y and `out` are to lie together. On a device of its own the digits
    are those of its sums, and may differ in the last from one size of block to another.
    """
    if type(x) is not np.ndarray or (y is not None and type(y) is not np.ndarray):
        home = home_of(x, y)
        if home is not None:
            found: NDArray[Any] | Iterator[NDArray[Any]] = _there(
                home, x, y, metric, out, n_jobs, chunks, backend, work_of(work_bytes)
            )
            return found
    rows = pair(chosen := metric_of(metric), x, y)
    matrix = Matrix(chosen, rows)
    q, n, d = len(rows.x), len(rows.y), rows.x.shape[1]
    if chunks is not None:
        if backend is not None:
            raise ValueError(f"chunks is {chunks!r} with a backend, one of the two is wanted")
        step = _chunk_rows(chunks, q, n * rows.result_dtype.itemsize)
        _check_jobs_and_out(n_jobs, out, (q, n), rows)
        return _blocks(matrix, out, step, n_jobs)
    jobs = jobs_for(n_jobs, q * n * max(d, 1))
    result = _result(out, (q, n), rows)
    if backend is None:
        matrix.fill(0, result, jobs)
    else:
        from raudo.similarity._spread import fill_spread

        fill_spread(matrix, result, jobs_for(n_jobs, 0), backend)
    if out is not None and result is not out:
        out[...] = result
        return out
    return result


def _there(
    home: Home,
    x: Any,
    y: Any,
    metric: str | Metric,
    out: Any,
    n_jobs: SupportsIndex | None,
    chunks: SupportsIndex | Literal["auto"] | None,
    backend: object,
    work_bytes: int,
) -> Any:
    """Compute distances of arrays that are not NumPy's, in blocks of rows or whole."""
    parts: Iterator[Any]
    if home.is_seen_by_numpy:
        x, y = np.asarray(x), None if y is None else np.asarray(y)
        if chunks is None and (out is None or backend is not None):
            whole = home.put(pairwise_distances(x, y, metric, None, n_jobs, backend=backend))
            if out is None:
                return whole
            parts = iter((whole,))
        else:
            step = "auto" if chunks is None else chunks
            blocks = pairwise_distances(x, y, metric, None, n_jobs, chunks=step, backend=backend)
            parts = map(home.put, blocks)
    else:
        if backend is not None:
            raise TypeError(f"x lies in {home}: a backend is for what lies in the CPU's memory")
        rows = DeviceRows(home, metric_of(metric), x, y, ("x", "y"))
        jobs_for(n_jobs, 0)
        if chunks is None and out is None:
            return rows.block_of_rows(slice(0, rows.shape[0]), work_bytes)
        n = _chunk_rows("auto" if chunks is None else chunks, rows.shape[0], 8 * rows.shape[1])
        parts = rows.blocks(n, work_bytes)
    if out is None:
        return parts
    written = _written(home.rows("out", out), parts)
    if chunks is not None:
        return written
    for _ in written:
        pass
    return out


def _written(out: Any, parts: Iterator[Any]) -> Iterator[Any]:
    """Write blocks into `out` as they come, and yield its parts."""
    first = 0
    for part in parts:
        last = first + part.shape[0]
        if tuple(out[first:last, :].shape) != tuple(part.shape) or out.dtype != part.dtype:
            raise ValueError(
                f"out is {out.dtype} of shape {tuple(out.shape)}, {part.dtype} and rows of "
                f"{part.shape[1]} are wanted"
            )
        out[first:last, :] = part
        yield out[first:last, :]
        first = last


def _blocks(
    matrix: Matrix, out: NDArray[Any] | None, step: int, n_jobs: SupportsIndex | None
) -> Iterator[NDArray[Any]]:
    rows = matrix.rows
    n, d = rows.y.shape
    for first in range(0, len(rows.x), step):
        part = None if out is None else out[first : first + step]
        shape = len(rows.x[first : first + step]), n
        result = _result(part, shape, rows)
        matrix.fill(first, result, jobs_for(n_jobs, shape[0] * n * max(d, 1)))
        if part is not None and result is not part:
            part[...] = result
            result = part
        yield result


def _chunk_rows(chunks: SupportsIndex | str, q: int, row_bytes: int) -> int:
    if isinstance(chunks, str):
        if chunks != "auto":
            raise ValueError(f"chunks is {chunks!r}, a number of rows or 'auto' is wanted")
        return max(1, min(q, _CHUNK_BYTES // max(1, row_bytes)))
    try:
        step = index(chunks)
    except TypeError:
        raise TypeError(f"chunks is {chunks!r}, a number of rows or 'auto' is wanted") from None
    if step < 1:
        raise ValueError(f"chunks is {step}, at least 1 row is wanted")
    return step


def _check_jobs_and_out(
    n_jobs: SupportsIndex | None, out: NDArray[Any] | None, shape: tuple[int, int], rows: Pair
) -> None:
    """Raise now what the first block would raise later."""
    jobs_for(n_jobs, 0)
    if out is not None:
        _check_out(out, shape, rows)


def _result(out: NDArray[Any] | None, shape: tuple[int, int], rows: Pair) -> NDArray[Any]:
    """Return the array to fill: `out` itself where kernels can write it in place."""
    if out is None:
        return scratch.empty(shape, rows.result_dtype)
    _check_out(out, shape, rows)
    if (
        not out.dtype.isnative
        or not out.flags.aligned
        or (out.size and (out.strides[1] != out.itemsize or out.strides[0] < 0))
        or np.may_share_memory(out, rows.x)
        or np.may_share_memory(out, rows.y)
    ):
        return scratch.empty(shape, rows.result_dtype)
    return out


def _check_out(out: NDArray[Any], shape: tuple[int, int], rows: Pair) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is {type(out).__name__}, an array is wanted")
    if out.shape != shape or out.dtype != rows.result_dtype:
        raise ValueError(
            f"out is {out.dtype} of shape {out.shape}, "
            f"{rows.result_dtype} of shape {shape} is wanted"
        )
    if not out.flags.writeable:
        raise ValueError("out is read-only")


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
    return max(96, min(3072, fair, packable))


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


class Matrix:
    """The matrix of distances between checked rows, of which any block can be computed alone.

    What a block holds does not depend on how the matrix is cut.
    """

    def __init__(self, metric: Metric, rows: Pair) -> None:
        self.metric = metric
        self.rows = rows
        few = _FEW_QUERIES // 2 if metric.form == Form.COSINE else _FEW_QUERIES
        self._by_tiles = (
            metric.form != Form.NONE and rows.type in ("f32", "f64") and len(rows.x) > few
        )
        self._shift = centre(metric, rows) if self._by_tiles else None
        self._number = -1 if metric.function is not None else row_kernel(metric, rows.type)
        self._tiles: Any = kernels.pairwise_f32 if rows.type == "f32" else kernels.pairwise_f64
        self._by_rows: Any = getattr(kernels, f"rows_{rows.type}", None)  # bits have none

    def fill(self, first: int, out: NDArray[Any], jobs: int) -> None:
        """Fill `out`, (m, n), with the distances of m rows of x, from `first` on, to all of y."""
        m, n = out.shape
        if self.metric.function is not None:
            part = self.rows._replace(x=self.rows.x[first : first + m])
            fill_by_function(self.metric, part, out)
            return
        step = query_rows(self.rows, jobs)

        def block(i: int, j: int) -> None:
            self.block(first + i, j, out[i : i + step, j : j + _COLUMNS])

        run(
            [partial(block, i, j) for i in range(0, m, step) for j in range(0, n, _COLUMNS)],
            jobs,
        )

    def block(self, i: int, j: int, out: NDArray[Any]) -> None:
        """Fill `out` with the distances from row i of x on, to those from row j of y on."""
        metric, rows = self.metric, self.rows
        x, y = rows.x[i : i + out.shape[0]], rows.y[j : j + out.shape[1]]
        if metric.function is not None:
            fill_by_function(metric, rows._replace(x=x, y=y), out)
            return
        if self._shift is not None:
            self._tiles(x, y, out, self._shift, int(metric.form), metric.root, self._number)
            return
        if rows.type == "bits":
            bits.pairwise_bits(x, y, out, metric.kernel == "jaccard", max(1, rows.positions))
            return
        self._by_rows(x, y, out, self._number)
        if metric.share:
            np.divide(out, rows.positions, out=out, where=rows.positions > 0)
        if metric.root:
            np.sqrt(out, out=out)
