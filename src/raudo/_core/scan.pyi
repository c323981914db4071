import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

def nearest_f32(
    queries: F32,
    base: F32,
    ids: I64 | None,
    allowed: U8 | None,
    form: int,
    row_kernel: int,
    shift: F32,
    scores: F64,
    found: I64,
) -> None:
    """Write each query's best scores and ids, best first, NaN and -1 where there are fewer.

    `form` is one of kernels' FORM_ numbers; -1 of a metric without a tile, where smaller is nearer.
    """

def nearest_f64(
    queries: F64,
    base: F64,
    ids: I64 | None,
    allowed: U8 | None,
    form: int,
    row_kernel: int,
    shift: F64,
    scores: F64,
    found: I64,
) -> None:
    """As `nearest_f32`."""

def nearest_i8(
    queries: NDArray[np.int8],
    base: NDArray[np.int8],
    ids: I64 | None,
    allowed: U8 | None,
    form: int,
    row_kernel: int,
    scores: F64,
    found: I64,
) -> None:
    """As `nearest_f32`, always by row kernels, exactly."""

def nearest_bits(
    queries: U8,
    base: U8,
    ids: I64 | None,
    allowed: U8 | None,
    form: int,
    row_kernel: int,
    scores: F64,
    found: I64,
) -> None:
    """As `nearest_i8`, over packed bits."""
