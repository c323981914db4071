import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]
_I64 = NDArray[np.int64]
_U8 = NDArray[np.uint8]

def nearest_f32(
    queries: _F32,
    base: _F32,
    ids: _I64 | None,
    allowed: _U8 | None,
    form: int,
    row_kernel: int,
    shift: _F32,
    scores: _F64,
    found: _I64,
) -> None:
    """Write each query's best scores and ids, best first, NaN and -1 where there are fewer.

    `form` is one of kernels' FORM_ numbers; -1 of a metric without a tile, where smaller is nearer.
    """

def nearest_f64(
    queries: _F64,
    base: _F64,
    ids: _I64 | None,
    allowed: _U8 | None,
    form: int,
    row_kernel: int,
    shift: _F64,
    scores: _F64,
    found: _I64,
) -> None:
    """As `nearest_f32`."""

def nearest_i8(
    queries: NDArray[np.int8],
    base: NDArray[np.int8],
    ids: _I64 | None,
    allowed: _U8 | None,
    form: int,
    row_kernel: int,
    scores: _F64,
    found: _I64,
) -> None:
    """As `nearest_f32`, always by row kernels, exactly."""
