"""Distances on a device of its own, by the array's own library: a block at a time.

By matrix products, as the kernels do it, and with their care: the origin is moved amid the rows,
and what cancels is computed again from the rows themselves, at the kernels' threshold. So small
distances keep their digits, and the rest is as exact as the device's sums. The k nearest are chosen
from a few more, which are measured row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from raudo.similarity._elsewhere import Home, dtype_name, home_of
from raudo.similarity.metrics import Form, Metric

__all__ = ["DeviceRows", "nearest_there", "search_there", "work_of"]

NEAR = 0.03125  # RAUDO_NEAR of csrc/distance/distance.h
WORK_BYTES = 256 << 20
_SPARE = 16  # candidates beyond k that rounding may not push out
_QUERIES = 1024
_CENTRE_SAMPLE = 256


def work_of(work_bytes: SupportsIndex | None) -> int:
    """Return the bytes that temporaries may take."""
    if work_bytes is None:
        return WORK_BYTES
    wanted = index(work_bytes)
    if wanted < 1:
        raise ValueError(f"work_bytes is {wanted}, at least 1 is wanted")
    return wanted


_quietly = np.errstate(all="ignore")  # of libraries that are NumPy beneath; 0 / 0 is meant


class DeviceRows:
    """Two matrices on a device, checked and brought to the type that they are computed in.

    The types are those of the kernels: see `raudo.similarity._arrays`.
    """

    @_quietly
    def __init__(self, home: Home, metric: Metric, x: Any, y: Any, names: tuple[str, str]) -> None:
        if metric.function is not None:
            raise TypeError(
                f"metric {metric.name!r} is a function of NumPy arrays, {names[0]} lies in {home}: "
                "bring the rows to the CPU"
            )
        x = home.rows(names[0], x)
        y = x if y is None else home.rows(names[1], y)
        if x.shape[1] != y.shape[1]:
            raise ValueError(f"{names[0]} has {x.shape[1]} columns, {names[1]} has {y.shape[1]}")
        self.home, self.metric, self.positions = home, metric, int(x.shape[1])
        xp, kinds = home.xp, (dtype_name(x), dtype_name(y))
        is_narrow = all(kind in ("float16", "bfloat16", "float32") for kind in kinds)
        packed = [kind == "uint8" for kind in kinds]
        self.are_bits = False
        if "bits" in metric.types:
            if packed[0] != packed[1]:
                raise TypeError(
                    f"{names[0]} is {kinds[0]}, {names[1]} is {kinds[1]}: for {metric.name} "
                    "uint8 is packed bits, and both or neither must be"
                )
            if packed[0]:
                is_one = y is x
                x = self._unpacked(x)
                y = x if is_one else self._unpacked(y)
                self.positions = int(x.shape[1])
            self.are_bits = packed[0] or metric.sets or kinds == ("bool", "bool")
        narrow = is_narrow or (self.are_bits and all(k in ("bool", "uint8") for k in kinds))
        self.result_dtype = xp.float32 if narrow else xp.float64
        if self.are_bits:  # counts are whole numbers, exact in float32 up to 2**24
            self.dtype = xp.float32
            self.x = home.cast(_are_set(x), self.dtype)
            self.y = self.x if y is x else home.cast(_are_set(y), self.dtype)
        else:
            self.dtype = self.result_dtype
            self.x = home.cast(x, self.dtype)
            self.y = self.x if y is x else home.cast(y, self.dtype)
        self._shift_rows()

    def _unpacked(self, packed: Any) -> Any:
        xp, whole = self.home.xp, self.home.cast(packed, self.home.xp.int32)
        bits = xp.stack([(whole >> (7 - bit)) & 1 for bit in range(8)], axis=2)
        return xp.reshape(bits, (packed.shape[0], 8 * packed.shape[1]))

    def _shift_rows(self) -> None:
        """Move the origin amid y: distances do not change with it, but rounding does."""
        xp, form = self.home.xp, self.metric.form
        self._sx, self._sy = self.x, self.y
        if form == Form.SQEUCLIDEAN and self.y.shape[0] and self.y.shape[1]:
            step = -(-self.y.shape[0] // _CENTRE_SAMPLE)
            sample = self.y[::step, :]
            point = xp.sum(sample, axis=0) / sample.shape[0]
            is_whole = xp.all(sample == xp.round(sample))
            point = xp.where(is_whole, xp.round(point), point)
            point = xp.where(xp.isfinite(point), point, xp.zeros_like(point))
            self._sx = self.x - point[None, :]
            self._sy = self._sx if self.y is self.x else self.y - point[None, :]
        if form in (Form.SQEUCLIDEAN, Form.COSINE) or self.are_bits:
            self._nx = xp.sum(self._sx * self._sx, axis=1)
            self._ny = self._nx if self.y is self.x else xp.sum(self._sy * self._sy, axis=1)

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], self.y.shape[0]

    @_quietly
    def block(self, rows: slice, columns: slice, work_bytes: int) -> Any:
        """Return the distances of some rows of x to some of y, before root and share."""
        xp, form = self.home.xp, self.metric.form
        if form in (Form.NONE, Form.CITYBLOCK) and not self.are_bits:
            return self._by_differences(rows, columns, work_bytes)
        products = xp.matmul(self._sx[rows, :], self._sy[columns, :].T)
        if form == Form.INNER:
            return products
        a, b = self._nx[rows][:, None], self._ny[columns][None, :]
        if self.are_bits:
            a, b, products = (self.home.cast(n, self.result_dtype) for n in (a, b, products))
            if self.metric.kernel == "jaccard":
                union = a + b - products
                return xp.where(union > 0, (union - products) / union, xp.zeros_like(union))
            return a + b - 2 * products
        if form == Form.COSINE:
            found = 1 - products / xp.sqrt(a * b)
            near = ~(found >= NEAR)
        else:
            found = products  # in place: on a device passes over memory are what costs
            found *= -2
            found += a
            found += b
            near = ~(found >= NEAR * (a + b))
        self._mend(found, near, rows, columns, work_bytes)
        return found

    def _mend(self, found: Any, near: Any, rows: slice, columns: slice, work_bytes: int) -> None:
        """Compute again, from the rows, what has cancelled (or is NaN)."""
        home = self.home
        i, j = home.nonzero(near)
        if not i.shape[0]:
            return
        x, y = self.x[rows, :], self.y[columns, :]
        parts = [
            self.measured(home.take(x, i[lo:hi]), home.take(y, j[lo:hi]))
            for lo, hi in _steps(i.shape[0], self._pairs_within(work_bytes))
        ]
        home.set_where(found, near, (i, j), home.joined(parts))

    def _pairs_within(self, work_bytes: int) -> int:
        return max(1, work_bytes // (8 * 6 * max(1, self.positions)))

    @_quietly
    def measured(self, x: Any, y: Any) -> Any:
        """Return the distance of each row of x to the same row of y; (..., d) each."""
        home, xp, form = self.home, self.home.xp, self.metric.form
        if form == Form.INNER:
            return xp.sum(x * y, axis=-1)
        if form == Form.COSINE:
            # Of unit rows half the squared difference; in double, as they are rounded to be units.
            x, y = home.cast(x, xp.float64), home.cast(y, xp.float64)
            x = x / xp.sqrt(xp.sum(x * x, axis=-1))[..., None]
            y = y / xp.sqrt(xp.sum(y * y, axis=-1))[..., None]
            return home.cast(xp.sum((x - y) ** 2, axis=-1) / 2, self.dtype)
        return xp.sum((x - y) ** 2, axis=-1)

    def _by_differences(self, rows: slice, columns: slice, work_bytes: int) -> Any:
        """Compare all with all, element by element: what has no matrix product."""
        home, xp = self.home, self.home.xp
        x, y = self.x[rows, :], self.y[columns, :]
        d = max(1, self.x.shape[1])
        found = home.empty((x.shape[0], y.shape[0]), self.dtype)
        step = max(1, work_bytes // (8 * 3 * d * max(1, y.shape[0])))
        width = max(1, work_bytes // (8 * 3 * d))
        for i, i_end in _steps(x.shape[0], step):
            for j, j_end in _steps(y.shape[0], width):
                a, b = x[i:i_end, None, :], y[None, j:j_end, :]
                each = abs(a - b) if self.metric.form == Form.CITYBLOCK else a != b
                found[i:i_end, j:j_end] = xp.sum(home.cast(each, self.dtype), axis=2)
        return found

    @_quietly
    def finished(self, found: Any) -> Any:
        """Return distances as they are told: in the result's type, with root and share."""
        xp = self.home.xp
        if self.metric.share and self.positions:
            found = found / self.positions
        if self.metric.root:
            found = xp.sqrt(found)
        return self.home.cast(found, self.result_dtype)

    @property
    def are_exact(self) -> bool:
        """Whether blocks hold what `measured` would give: nothing was expanded."""
        return self.are_bits or self.metric.form in (Form.NONE, Form.CITYBLOCK)

    def blocks(self, step: int, work_bytes: int) -> Iterator[Any]:
        """Yield the matrix, some rows at a time."""
        for lo, hi in _steps(self.shape[0], step):
            yield self.block_of_rows(slice(lo, hi), work_bytes)

    def block_of_rows(self, rows: slice, work_bytes: int) -> Any:
        """Return some rows of the matrix, computed by blocks within the memory given."""
        n = self.shape[1]
        out = self.home.empty((rows.stop - rows.start, n), self.result_dtype)
        height = max(1, work_bytes // (8 * 6 * max(1, n)))
        width = max(1, work_bytes // (8 * 6))
        for i, i_end in _steps(rows.stop - rows.start, height):
            for j, j_end in _steps(n, width):
                part = slice(rows.start + i, rows.start + i_end)
                found = self.block(part, slice(j, j_end), work_bytes)
                out[i:i_end, j:j_end] = self.finished(found)
        return out


def _are_set(array: Any) -> Any:
    return array if dtype_name(array) == "bool" else array != 0


def _steps(n: int, step: int) -> Iterator[tuple[int, int]]:
    for lo in range(0, n, max(1, step)):
        yield lo, min(n, lo + step)


def search_there(
    metric: Metric,
    queries: Any,
    vectors: Any,
    k: int,
    ids: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None,
) -> tuple[Any, Any]:
    """Search named rows on a device, of which only some may be found; see `nearest_there`.

    They are copied together where these are not all, or their names do not ascend.
    """
    home = home_of(queries)
    assert home is not None, "queries were checked"
    if allowed is not None or (ids[1:] < ids[:-1]).any():
        order = np.argsort(ids, kind="stable")
        if allowed is not None:
            order = order[allowed[order]]
        ids, vectors = ids[order], home.take(vectors, home.put(order))
    rows = DeviceRows(home, metric, queries, vectors, ("queries", "the index"))
    return nearest_there(rows, k, WORK_BYTES, ids)


def nearest_there(
    rows: DeviceRows, k: int, work_bytes: int, ids: NDArray[np.int64] | None = None
) -> tuple[Any, Any]:
    """Return names and distances (q, k) of the nearest; `ids` (None: numbers) are to ascend."""
    home, xp = rows.home, rows.home.xp
    q, n = rows.shape
    wanted = min(k, n)
    n_candidates = wanted if rows.are_exact else min(n, wanted + _SPARE)
    names = home.full((q, k), -1, xp.int64)
    distances = home.full((q, k), float("nan"), rows.result_dtype)
    for lo, hi in _steps(q, _QUERIES) if wanted else ():
        found, scores = _candidates(rows, slice(lo, hi), n_candidates, work_bytes)
        if not rows.are_exact:
            scores = _measured(rows, slice(lo, hi), found, work_bytes)
        order = _order(home, -scores if rows.metric.larger_is_nearer else scores)[:, :wanted]
        found, scores = home.along(found, order), home.along(scores, order)
        names[lo:hi, :wanted] = xp.where(xp.isnan(scores), -1, found)
        distances[lo:hi, :wanted] = rows.finished(scores)
    if ids is not None and wanted:
        flat = xp.reshape(names, (-1,))
        known = home.take(home.put(ids), xp.where(flat < 0, 0, flat))
        names = xp.reshape(xp.where(flat < 0, -1, known), (q, k))
    return names, distances


def _candidates(rows: DeviceRows, part: slice, k: int, work_bytes: int) -> tuple[Any, Any]:
    """Return the k nearest of each query as far as the blocks tell, in the order of their rows."""
    home, n = rows.home, rows.shape[1]
    width = max(k, work_bytes // (8 * 8 * (part.stop - part.start)))
    names = best = None
    for lo, hi in _steps(n, width):
        scores = rows.block(part, slice(lo, hi), work_bytes)
        columns = home.smallest(_ranked(rows, scores), min(k, hi - lo))
        scores, found = home.along(scores, columns), columns + lo
        if best is not None:
            scores, found = home.joined([best, scores], 1), home.joined([names, found], 1)
            columns = home.smallest(_ranked(rows, scores), min(k, scores.shape[1]))
            scores, found = home.along(scores, columns), home.along(found, columns)
        names, best = found, scores
    return names, best


def _ranked(rows: DeviceRows, scores: Any) -> Any:
    """Return scores of which the smallest is the nearest; NaN is as far as can be."""
    xp = rows.home.xp
    scores = -scores if rows.metric.larger_is_nearer else scores
    return xp.where(xp.isnan(scores), float("inf"), scores)


def _measured(rows: DeviceRows, part: slice, names: Any, work_bytes: int) -> Any:
    home, xp = rows.home, rows.home.xp
    (q, k), d = names.shape, rows.x.shape[1]
    x, parts = rows.x[part, :], []
    for lo, hi in _steps(q, max(1, work_bytes // (8 * 6 * k * max(1, d)))):
        y = home.take(rows.y, xp.reshape(names[lo:hi, :], (-1,)))
        parts.append(rows.measured(x[lo:hi, None, :], xp.reshape(y, (hi - lo, k, d))))
    return home.joined(parts)


def _order(home: Home, scores: Any) -> Any:
    """Return the columns by score, equal ones as they are, NaN last."""
    xp = home.xp
    is_nan = xp.isnan(scores)
    order = home.sorted_columns(xp.where(is_nan, float("inf"), scores))
    last = home.sorted_columns(home.cast(home.along(is_nan, order), xp.int8))
    return home.along(order, last)
