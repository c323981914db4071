import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

def isa() -> str:
    """Return the name of the instruction set in use."""

def available_isas() -> tuple[str, ...]:
    """Return the names of those that this processor runs, slowest first."""

def force_isa(name: str | None) -> None:
    """Use the named instruction set from now on, in all threads; None: the fastest."""

def row_kernels() -> tuple[str, ...]:
    """Return the names of the row kernels, "inner_f32" and the like; the position is the number."""

def pairwise_f32(
    x: _F32, y: _F32, out: _F32, shift: _F32, form: int, root: bool, row_kernel: int
) -> None:
    """Fill out[i, j] by tiles. `shift` has the rows' width; zeros but for `FORM_SQEUCLIDEAN`."""

def pairwise_f64(
    x: _F64, y: _F64, out: _F64, shift: _F64, form: int, root: bool, row_kernel: int
) -> None:
    """As `pairwise_f32`."""

def rows_f32(x: _F32, y: _F32, out: _F32, row_kernel: int) -> None:
    """Fill out[i, j] by a row kernel."""

def rows_f64(x: _F64, y: _F64, out: _F64, row_kernel: int) -> None:
    """Fill out[i, j] by a row kernel."""

def rows_i8(x: NDArray[np.int8], y: NDArray[np.int8], out: _F64, row_kernel: int) -> None:
    """Fill out[i, j] by a row kernel, exactly."""
