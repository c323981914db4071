"""Arrays that are not NumPy's (PyTorch's, CuPy's, ...): where they lie, and how to speak to them.

What lies in the CPU's memory is seen by NumPy without a copy, and the compiled kernels do the work.
Anything else is computed by its own library on its own device: see `_device.py`.

No library is imported: one is known by an array that a caller brings. The functions used are those
of the array API standard (https://data-apis.org/array-api) that PyTorch and CuPy have under the
same names; `_Library` holds what differs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["Home", "dtype_name", "home_of"]


def home_of(*arrays: Any) -> Home | None:
    """Return where arrays of a library other than NumPy lie; None where there are none.

    `TypeError` where they do not lie together.
    """
    found: Home | None = None
    for array in arrays:
        if isinstance(array, np.ndarray | np.generic) or not hasattr(array, "__dlpack__"):
            continue
        if hasattr(array, "__array_namespace__"):
            library = array.__array_namespace__()
        else:
            library = _library_of(type(array))
            if library is None:
                continue  # a column of a table, say: NumPy reads it
        home = Home(library, array.device, _is_seen_by_numpy(array))
        if found is not None:
            if found != home:
                raise TypeError(
                    f"arrays are to lie in one place, some lie in {found}, some in {home}"
                )
            home.is_seen_by_numpy &= found.is_seen_by_numpy  # together, or none
        found = home
    return found


def _library_of(kind: type) -> Any:
    """Return the module that a class, or a class below it, belongs to; None: of no arrays."""
    modules = (sys.modules.get(each.__module__.partition(".")[0]) for each in kind.__mro__)
    return next((each for each in modules if hasattr(each, "matmul")), None)


def _is_seen_by_numpy(array: Any) -> bool:
    if array.__dlpack_device__()[0] != 1:  # kDLCPU
        return False
    try:
        np.asarray(array)
    except (TypeError, ValueError, RuntimeError):  # bfloat16, gradients, a device of its own
        return False
    return True


class _Library:
    """What PyTorch and CuPy call otherwise than the standard does."""

    def __init__(self, library: Any) -> None:
        self.xp = library
        self._is_torch = hasattr(library, "index_select")
        self._is_cupy = library.__name__.partition(".")[0] == "cupy"

    def cast(self, array: Any, dtype: Any) -> Any:
        if self._is_torch:
            return array.to(dtype)
        return array.astype(dtype) if self._is_cupy else self.xp.astype(array, dtype)

    def joined(self, arrays: list[Any], axis: int = 0) -> Any:
        join = self.xp.concatenate if self._is_cupy else self.xp.concat
        return join(arrays, axis=axis)

    def set_where(self, array: Any, mask: Any, places: tuple[Any, Any], values: Any) -> None:
        """Write values where the mask is true, which is at these places."""
        if self._is_torch or self._is_cupy:
            array[places] = values
        else:
            array[mask] = values

    def take(self, array: Any, rows: Any) -> Any:
        if self._is_torch:
            return self.xp.index_select(array, 0, rows)
        return self.xp.take(array, rows, axis=0)

    def along(self, array: Any, columns: Any) -> Any:
        if self._is_torch:
            return self.xp.take_along_dim(array, columns, 1)
        return self.xp.take_along_axis(array, columns, axis=1)

    def nonzero(self, mask: Any) -> tuple[Any, Any]:
        found = self.xp.nonzero(mask, as_tuple=True) if self._is_torch else self.xp.nonzero(mask)
        return cast(tuple[Any, Any], found)

    def sorted_columns(self, array: Any) -> Any:
        """Return which columns of each row come first; ties keep their order."""
        if self._is_cupy:  # which sorts stably, and has no word for it
            return self.xp.argsort(array, axis=1)
        return self.xp.argsort(array, axis=1, stable=True)

    def smallest(self, scores: Any, k: int) -> Any:
        """Return the columns of the k smallest of each row, ascending; of equals the first."""
        if not self._is_torch:
            return self.xp.sort(self.sorted_columns(scores)[:, :k], axis=1)
        topk = self.xp.topk
        best = topk(scores, k, largest=False, sorted=False)
        limit = best.values.max(1, keepdim=True).values
        if not ((scores <= limit).sum(1) > k).any():
            return self.xp.sort(best.indices, 1).values
        columns = self.xp.arange(scores.shape[1], device=scores.device)
        rank = self.xp.where(scores == limit, columns, scores.shape[1])
        rank = self.xp.where(scores < limit, -1, rank)  # topk leaves open which of equals it takes
        found = topk(rank, k, largest=False, sorted=False).indices
        return self.xp.sort(found, 1).values


class Home(_Library):
    """A library and a device of it, and the way from NumPy there and back."""

    def __init__(self, library: Any, device: Any, is_seen_by_numpy: bool) -> None:
        super().__init__(library)
        self.device = device
        self.is_seen_by_numpy = is_seen_by_numpy

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Home) and self.xp is other.xp and self.device == other.device
        return cast(bool, same)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.xp.__name__} on {self.device}"

    def put(self, array: NDArray[Any]) -> Any:
        """Return NumPy's array as one of here; of the CPU's memory no copy is made."""
        if self.is_seen_by_numpy:
            return self.xp.from_dlpack(array)
        return self._made(self.xp.asarray, array)

    def fetch(self, array: Any) -> NDArray[Any]:
        """Return an array of here as NumPy's; a copy where NumPy cannot see it."""
        if self.is_seen_by_numpy:
            return np.asarray(array)
        if hasattr(array, "get"):  # CuPy
            return cast(NDArray[Any], array.get())
        if hasattr(array, "detach"):
            return cast(NDArray[Any], array.detach().cpu().numpy())
        return np.array(np.from_dlpack(array))

    def copied(self, array: Any) -> Any:
        """Return a copy, which its owner may not change."""
        return self.joined([array, array[:0, :]])

    def full(self, shape: tuple[int, ...], value: float, dtype: Any) -> Any:
        return self._made(self.xp.full, shape, value, dtype=dtype)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._made(self.xp.empty, shape, dtype=dtype)

    def _made(self, make: Callable[..., Any], *given: Any, **options: Any) -> Any:
        if self._is_cupy:
            with self.device:
                return make(*given, **options)
        return make(*given, device=self.device, **options)

    def rows(self, name: str, array: Any, dtype: Any = None) -> Any:
        """Check that it is a matrix of real numbers that lies here."""
        if home_of(array) != self:
            where = home_of(array) or "NumPy"
            raise TypeError(f"{name} lies in {where}, the others lie in {self}")
        kind = dtype_name(array)
        if not kind.startswith(("float", "bfloat", "int", "uint", "bool")):
            raise TypeError(f"{name} has dtype {kind}, real numbers are wanted")
        if array.ndim != 2:
            shape = tuple(array.shape)
            raise ValueError(f"{name} has shape {shape}, two dimensions (rows, d) are wanted")
        return array if dtype is None else self.cast(array, dtype)


def dtype_name(array: Any) -> str:
    return str(array.dtype).rpartition(".")[2]
