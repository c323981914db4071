"""From what callers pass to what kernels take: two matrices of one element type, unit stride a row.

float32 and float64 are computed as they are, float16 as float32, int8 exactly where the metric has
such kernels; two different types, and all other numbers, as float64. uint8 rows of a metric on bits
are packed bits (`numpy.packbits`), bool rows are packed here.
"""

from __future__ import annotations

import sys
from operator import index
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.memory import scratch
from raudo.similarity.metrics import Metric

__all__ = ["Pair", "check_radius", "count", "matrix", "pair", "rows_of"]

DTYPES: dict[str, Any] = {"f32": np.float32, "f64": np.float64, "i8": np.int8, "bits": np.uint8}


class Pair(NamedTuple):
    """Checked matrices: the type of their elements, and how many positions a share is taken of.

    `is_double` is for numbers of which only the bits count: whether they were beyond float32.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    type: str
    positions: int
    is_double: bool = False

    @property
    def result_dtype(self) -> np.dtype[Any]:
        return np.dtype(
            np.float32 if self.type in ("f32", "bits") and not self.is_double else np.float64
        )


def count(name: str, given: SupportsIndex) -> int:
    """Return a number from 1."""
    try:
        number = index(given)
    except TypeError:
        raise TypeError(f"{name} is {given!r}, a whole number is wanted") from None
    if not 1 <= number <= sys.maxsize:
        wanted = "at least 1" if number < 1 else f"at most {sys.maxsize}"
        raise ValueError(f"{name} is {number}, {wanted} is wanted")
    return number


def check_radius(radius: float) -> float:
    """Return a radius; NaN is none."""
    try:
        limit = float(radius)
    except (TypeError, ValueError):
        raise TypeError(f"radius is {radius!r}, a number is wanted") from None
    if limit != limit:
        raise ValueError("radius is NaN, a number is wanted")
    return limit


def matrix(name: str, given: ArrayLike) -> NDArray[Any]:
    """Return it as a two-dimensional array of real numbers."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} is not a matrix: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, real numbers are wanted")
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, two dimensions (rows, d) are wanted")
    return array


def rows_of(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return it in that dtype with unit stride along a row; a copy only where that is needed."""
    wanted = np.dtype(dtype).newbyteorder("=")
    item = wanted.itemsize
    if array.dtype == wanted and not (
        array.size
        and (
            array.strides[1] != item
            or array.strides[0] < 0
            or array.strides[0] % item
            or not array.flags.aligned
        )
    ):
        return np.asarray(array)
    copied = scratch.empty(array.shape, wanted)
    copied[...] = array
    return copied


def pair(
    metric: Metric, x: ArrayLike, y: ArrayLike | None, names: tuple[str, str] = ("x", "y")
) -> Pair:
    """Check two matrices (y None: x itself) and bring them to the type they are computed in."""
    first = matrix(names[0], x)
    second = first if y is None else matrix(names[1], y)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names[0]} has {first.shape[1]} columns, {names[1]} has {second.shape[1]}"
        )
    if "bits" in metric.types:
        packed = [array.dtype == np.uint8 for array in (first, second)]
        if packed[0] != packed[1]:
            raise TypeError(
                f"{names[0]} is {first.dtype}, {names[1]} is {second.dtype}: for {metric.name} "
                "uint8 is packed bits, and both or neither must be"
            )
        if packed[0]:
            positions = 8 * first.shape[1]
            return Pair(rows_of(first, np.uint8), rows_of(second, np.uint8), "bits", positions)
        if metric.sets or first.dtype == second.dtype == np.bool_:
            positions = first.shape[1]
            packed_x = pack_bits(first)
            is_double = any(array.dtype.kind != "b" for array in (first, second)) and (
                element_type(metric, first.dtype, second.dtype) != "f32"
            )
            packed_y = packed_x if y is None else pack_bits(second)
            return Pair(packed_x, packed_y, "bits", positions, is_double)
    kind = element_type(metric, first.dtype, second.dtype)
    positions = first.shape[1]
    converted = rows_of(first, DTYPES[kind])
    other = converted if y is None else rows_of(second, DTYPES[kind])
    return Pair(converted, other, kind, positions)


def pack_bits(array: NDArray[Any]) -> NDArray[Any]:
    """Return which elements are not zero, eight to a byte."""
    packed = np.packbits(array if array.dtype == np.bool_ else array != 0, axis=1)
    return rows_of(packed, np.uint8)  # NumPy packs an array in Fortran order into another such


def element_type(metric: Metric, *dtypes: np.dtype[Any]) -> str:
    """Return the element type that rows of these dtypes are computed in."""
    if "i8" in metric.types and all(dtype == np.int8 for dtype in dtypes):
        return "i8"
    if all(dtype.kind == "f" and dtype.itemsize <= 4 for dtype in dtypes):
        return "f32"
    return "f64"
