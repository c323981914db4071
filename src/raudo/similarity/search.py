"""The k nearest rows, exactly, without the matrix of distances."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo._core import bits, panels, scan
from raudo.similarity._arrays import Pair, count, pair
from raudo.similarity._device import DeviceRows, nearest_there, work_of
from raudo.similarity._elsewhere import Home, home_of
from raudo.similarity._threads import jobs_for, run
from raudo.similarity.distances import centre, fill_by_function, query_rows, row_kernel
from raudo.similarity.metrics import Form, Metric, metric_of
from raudo.types import Matches

__all__ = ["MOST_COLUMNS", "best", "check_k", "nearest", "search_rows"]

# From here on making int8 copies of the base as the search goes repays (bench_similarity_knn).
REPAYS_COPYING = 32
# Sums of products of int8 stay within 32 bits up to here (csrc/panel/panel.h).
MOST_COLUMNS = 65_536


def nearest(
    queries: ArrayLike,
    base: ArrayLike,
    k: SupportsIndex,
    metric: str | Metric = "sqeuclidean",
    n_jobs: SupportsIndex | None = None,
    *,
    backend: object = None,
    work_bytes: SupportsIndex | None = None,
) -> Matches:
    """Find the k nearest rows of `base` for each query.

    Args:
        queries: (q, d) real numbers.
        base: (n, d).
        k: How many; where there are fewer, ids are -1 and distances NaN.
        metric: As in `pairwise_distances`. With `inner` the larger is the nearer.
        n_jobs: Threads; None takes all cores for big work and one for small, -1 all cores.
        backend: Where to compute, if not on threads here: a `ParallelExecutor`, or what one takes
            ("dask", a Dask `Client`). The base travels once; `n_jobs` is for each task, 1 if None.
        work_bytes: Memory for temporaries on a device of its own; None for 256 MB.

    Returns:
        `Matches(ids, distances)`, (q, k) each, best first; equal distances are ordered by id, and
        neither threads nor block sizes change a digit. A distance of NaN is never a match.

    Costs O(q n d) time and O(q k) memory beside the inputs. Safe to call from several threads; the
    GIL is released meanwhile.

    Arrays of PyTorch, CuPy and others are searched where they lie, and answered in kind; see
    `pairwise_distances`. On a device of its own distances equal but for rounding may change places.
    """
    chosen = metric_of(metric)
    wanted = check_k(k)
    if type(queries) is not np.ndarray or type(base) is not np.ndarray:
        home = home_of(queries, base)
        if home is not None:
            room = work_of(work_bytes)
            return _nearest_there(home, queries, base, wanted, chosen, n_jobs, backend, room)
    rows = pair(chosen, queries, base, ("queries", "base"))
    if backend is not None:
        from raudo.similarity._spread import spread_search

        return spread_search(chosen, rows, wanted, jobs_for(n_jobs, 0), backend)
    return search_rows(chosen, rows, wanted, n_jobs)


def _nearest_there(
    home: Home,
    queries: Any,
    base: Any,
    k: int,
    metric: Metric,
    n_jobs: SupportsIndex | None,
    backend: object,
    work_bytes: int,
) -> Matches:
    if home.is_seen_by_numpy:
        seen = np.asarray(queries), np.asarray(base)
        return Matches(*map(home.put, nearest(*seen, k, metric, n_jobs, backend=backend)))
    if backend is not None:
        raise TypeError(f"queries lie in {home}: a backend is for what lies in the CPU's memory")
    jobs_for(n_jobs, 0)
    rows = DeviceRows(home, metric, queries, base, ("queries", "base"))
    return Matches(*nearest_there(rows, k, work_bytes))


def check_k(k: SupportsIndex) -> int:
    return count("k", k)


def search_rows(
    metric: Metric,
    rows: Pair,
    k: int,
    n_jobs: SupportsIndex | None = None,
    ids: NDArray[np.int64] | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> Matches:
    """Search checked rows. `ids` name the base rows (None: their numbers); only `allowed` ones."""
    q, n, d = len(rows.x), len(rows.y), rows.x.shape[1]
    jobs = jobs_for(n_jobs, q * n * max(d, 1))
    found = min(k, n)  # what can be found: a k beyond all rows costs only the padding
    if metric.function is not None:
        scores, names = _by_function(metric, rows, found, ids, allowed)
    else:
        scores, names = _by_kernels(metric, rows, found, jobs, ids, allowed)
    distances = scores.astype(rows.result_dtype)
    if metric.larger_is_nearer:
        np.negative(distances, out=distances)
    if metric.function is None and metric.share and rows.positions:
        distances /= rows.positions
    if metric.function is None and metric.root:
        np.sqrt(distances, out=distances)
    if found < k:
        padding = ((0, 0), (0, k - found))
        names = np.pad(names, padding, constant_values=-1)
        distances = np.pad(distances, padding, constant_values=np.nan)
    return Matches(names, distances)


def _by_kernels(
    metric: Metric,
    rows: Pair,
    k: int,
    jobs: int,
    ids: NDArray[np.int64] | None,
    allowed: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, y, kind = rows[:3]
    step = query_rows(rows, jobs)
    by_copies = (
        kind == "f32"
        and metric.form in (Form.INNER, Form.SQEUCLIDEAN, Form.COSINE)
        and min(len(x), step) >= REPAYS_COPYING
        and MOST_COLUMNS >= x.shape[1] >= 16
        and panels.outruns_float32()
    )
    # Few queries cannot occupy all threads: then each thread takes a part of the base.
    n_parts = min(jobs, max(1, len(y) // 1024)) if len(x) <= step else 1
    part_rows = max(1, -(-len(y) // n_parts))
    n_parts = max(1, -(-len(y) // part_rows))
    scores = np.empty((n_parts, len(x), k))
    names = np.empty((n_parts, len(x), k), np.int64)
    number = row_kernel(metric, kind)
    middle = centre(metric, rows) if kind in ("f32", "f64") else None
    shift = () if middle is None else (middle,)
    compiled: Any = getattr(bits if kind == "bits" else scan, f"nearest_{kind}")
    form = int(metric.form) if kind != "bits" else int(metric.kernel == "jaccard")
    mask = None if allowed is None else np.ascontiguousarray(allowed).view(np.uint8)

    def search(part: int, first: int) -> None:
        lo, hi = part * part_rows, (part + 1) * part_rows
        part_names = names[part, first : first + step]
        if by_copies:
            panels.nearest_panels(
                x[first : first + step],
                y[lo:hi],
                None,
                None,
                None,
                None,
                None if ids is None else ids[lo:hi],
                None if mask is None else mask[lo:hi],
                0,
                len(y[lo:hi]),
                0,
                int(metric.form),
                number,
                middle if metric.form == Form.SQEUCLIDEAN else None,
                scores[part, first : first + step],
                part_names,
            )
        else:
            compiled(
                x[first : first + step],
                y[lo:hi],
                None if ids is None else ids[lo:hi],
                None if mask is None else mask[lo:hi],
                form,
                number,
                *shift,
                scores[part, first : first + step],
                part_names,
            )
        if ids is None and lo:
            part_names[part_names >= 0] += lo

    tasks = [
        partial(search, part, first) for part in range(n_parts) for first in range(0, len(x), step)
    ]
    run(tasks, jobs)
    if n_parts == 1:
        return scores[0], names[0]
    return best(np.concatenate(scores, axis=1), np.concatenate(names, axis=1), k)


def _by_function(
    metric: Metric,
    rows: Pair,
    k: int,
    ids: NDArray[np.int64] | None,
    allowed: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Search by the metric's own function, keeping the k best while blocks of the base go by."""
    q = len(rows.x)
    scores, names = np.full((q, k), np.nan), np.full((q, k), -1, np.int64)
    numbers = np.arange(len(rows.y), dtype=np.int64) if ids is None else ids
    for lo, hi in _blocks(len(rows.y), 4096):
        block = np.empty((q, hi - lo), rows.result_dtype)
        fill_by_function(metric, rows._replace(y=rows.y[lo:hi]), block)
        new_scores = -block.astype(np.float64) if metric.larger_is_nearer else block
        if allowed is not None:
            new_scores = np.where(allowed[lo:hi], new_scores, np.nan)
        new_names = np.where(np.isnan(new_scores), -1, numbers[lo:hi])
        scores, names = best(
            np.concatenate((scores, new_scores), axis=1),
            np.concatenate((names, new_names), axis=1),
            k,
        )
    return scores, names


def _blocks(n: int, step: int) -> Iterator[tuple[int, int]]:
    for lo in range(0, n, step):
        yield lo, min(lo + step, n)


def best(
    scores: NDArray[np.float64], names: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k smallest of each row, ties by name, NaN last."""
    order = np.lexsort((names, scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(names, order, axis=1)
