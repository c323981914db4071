import numpy as np
from numpy.typing import NDArray

_F64 = NDArray[np.float64]
_I64 = NDArray[np.int64]
_U8 = NDArray[np.uint8]

def pairwise_bits(
    x: _U8, y: _U8, out: NDArray[np.float32] | _F64, jaccard: bool, positions: int
) -> None:
    """Fill out[i, j]; a Hamming distance is the share of `positions`, at least 1, that differ."""

def nearest_bits(
    queries: _U8,
    base: _U8,
    ids: _I64 | None,
    allowed: _U8 | None,
    jaccard: bool,
    row_kernel: int,
    scores: _F64,
    found: _I64,
) -> None:
    """Write each query's best scores (Hamming: counts) and ids, NaN and -1 where there are fewer."""
