"""Memory for large arrays that come and go, shared by the rooms of this library."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raudo.memory.buffer_pool import POOLED_FROM_BYTES, SHARED_BUFFERS

__all__ = ["empty"]


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array as `numpy.empty` does, C order, from the shared buffers where it is large.

    It may be kept for as long as one likes: its memory is used again when nothing refers to it.
    Thread-safe.
    """
    kind = np.dtype(dtype)
    if prod(shape) * kind.itemsize < POOLED_FROM_BYTES:
        return np.empty(shape, kind)
    with SHARED_BUFFERS.borrow(shape, kind) as array:
        return array
