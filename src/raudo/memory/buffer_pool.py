"""Reuses the memory of large arrays and bytearrays, by size class.

A fresh array of a few megabytes costs page faults each time: the kernel maps and zeroes its pages.
A pool keeps the pages. The contents of a borrowed buffer are arbitrary, as with `numpy.empty`.

No buffer is lent while anything still refers to it. A view that outlives its `with` block (the
block's own variable, most often) stays valid: its buffer is set aside until the last reference is
gone. Whether it is, its reference count tells, so there is nothing to release by hand.

Size classes are four to a doubling, as in jemalloc: at most a fifth of a buffer is unused.
"""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar

from raudo._core.pool import first_unshared, resize_bytearray

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["BufferPool"]

_ALIGNMENT = 64  # a cache line, and the width of an AVX-512 register
_SMALLEST_CLASS = 64

# What lies together: the kind of buffer and its size class in bytes.
_Shelf = tuple[Literal["array", "bytes"], int]
B = TypeVar("B")


class _Stats(TypedDict):
    created: int
    reused: int
    discarded: int
    in_use: int
    idle: int
    held_bytes: int
    max_bytes: int
    hit_rate: float


def size_class(n_bytes: int) -> int:
    """Return the size that holds `n_bytes` with the least waste, of four to a doubling."""
    if n_bytes <= _SMALLEST_CLASS:
        return _SMALLEST_CLASS if n_bytes else 0
    step = 1 << ((n_bytes - 1).bit_length() - 3)
    return -(-n_bytes // step) * step


def _shelf_of(buffer: Any) -> _Shelf:
    if not isinstance(buffer, bytearray):
        return "array", buffer.nbytes - _ALIGNMENT
    # The borrower may have resized it: the largest class that its allocation still serves.
    room = buffer.__alloc__() - 1
    if room < _SMALLEST_CLASS:
        return "bytes", 0
    step = 1 << (room.bit_length() - 3)
    return "bytes", room // step * step


class BufferPool:
    """Lends NumPy arrays and bytearrays, and keeps up to `max_bytes` of them for the next.

    Args:
        max_bytes: Bound on the memory of idle buffers; those least recently used go first. A
            buffer larger than this is never kept.
        name: For messages and metrics.

    >>> buffers = BufferPool(max_bytes=1 << 20)
    >>> with buffers.borrow((100, 8), "float32") as a:
    ...     a.shape, a.dtype.name, a.flags.c_contiguous
    ((100, 8), 'float32', True)
    >>> with buffers.borrow_bytes(1000) as b:
    ...     len(b)
    1000

    Thread-safe. Pays off from some tens of kilobytes on (`benchmarks/bench_memory_pools.py`).
    """

    def __init__(self, max_bytes: int = 256 << 20, *, name: str | None = None) -> None:
        if not isinstance(max_bytes, int) or isinstance(max_bytes, bool):
            raise TypeError(f"max_bytes is {max_bytes!r}, wanted a whole number")
        if max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes}, wanted a number >= 0")
        self.name = name
        self._max_bytes = max_bytes
        # Re-entrant: an allocation below may run the garbage collector, hence a finaliser that
        # borrows too.
        self._lock = threading.RLock()
        # Least recently used shelf first. Never read through a local variable of an item: it would
        # count as a reference to it.
        self._shelves: OrderedDict[_Shelf, list[Any]] = OrderedDict()
        self._held_bytes = 0
        self._n_created = self._n_reused = self._n_discarded = self._n_in_use = 0

    @property
    def max_bytes(self) -> int:
        """Bound on the memory of idle buffers."""
        return self._max_bytes

    def borrow(
        self, shape: int | tuple[int, ...], dtype: DTypeLike = "float64", *, zeroed: bool = False
    ) -> _Lease[NDArray[Any]]:
        """Lend an array for a `with` block: C order, 64-byte aligned, contents arbitrary.

        With `zeroed` it is filled with zeros, for those who must not see what was there before.
        """
        import numpy as np

        kind = np.dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"dtype is {kind}, wanted one without Python objects")
        sides = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        n_bytes = kind.itemsize
        for side in map(operator.index, sides):
            if side < 0:
                raise ValueError(f"shape is {shape}, wanted no negative side")
            n_bytes *= side
        shelf: _Shelf = ("array", size_class(n_bytes))

        def lend() -> tuple[NDArray[Any], NDArray[Any]]:
            owner = self._take(shelf, lambda size: np.empty(size + _ALIGNMENT, np.uint8))
            start = -owner.__array_interface__["data"][0] % _ALIGNMENT
            if zeroed:
                owner[start : start + n_bytes].fill(0)
            # All views of it, and views of those, have `owner` as their base: they count as
            # references to it.
            return owner, np.ndarray(sides, kind, buffer=owner, offset=start)

        return _Lease(self, lend)

    def borrow_bytes(self, size: int, *, zeroed: bool = False) -> _Lease[bytearray]:
        """Lend a bytearray of `size` bytes for a `with` block, contents arbitrary.

        It may be resized inside; a `memoryview` of it must be released before the block's end, or
        the buffer waits until it is.
        """
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"size is {size!r}, wanted a whole number")
        if size < 0:
            raise ValueError(f"size is {size}, wanted a number >= 0")
        shelf: _Shelf = ("bytes", size_class(size))

        def lend() -> tuple[bytearray, bytearray]:
            data = self._take(shelf, bytearray)
            resize_bytearray(data, size)
            if zeroed:
                data[:] = bytes(size)
            return data, data

        return _Lease(self, lend)

    def trim(self, keep_bytes: int = 0) -> int:
        """Drop idle buffers, least recently used first, to `keep_bytes`; return what went."""
        if keep_bytes < 0:
            raise ValueError(f"keep_bytes is {keep_bytes}, wanted a number >= 0")
        with self._lock:
            before = self._held_bytes
            self._drop_to(keep_bytes)
            return before - self._held_bytes

    def stats(self) -> _Stats:
        """Return the counts; `held_bytes` is the memory of the idle buffers."""
        with self._lock:
            borrowed = self._n_created + self._n_reused
            return {
                "created": self._n_created,
                "reused": self._n_reused,
                "discarded": self._n_discarded,
                "in_use": self._n_in_use,
                "idle": sum(map(len, self._shelves.values())),
                "held_bytes": self._held_bytes,
                "max_bytes": self._max_bytes,
                "hit_rate": self._n_reused / borrowed if borrowed else 0.0,
            }

    def _take(self, shelf: _Shelf, make: Callable[[int], Any]) -> Any:
        """Return an idle buffer that nobody refers to, or a new one. O(idle ones of the class)."""
        with self._lock:
            idle = self._shelves.get(shelf, [])
            at = first_unshared(idle)
            if at >= 0:
                buffer = idle.pop(at)
                if not idle:
                    del self._shelves[shelf]
                self._held_bytes -= shelf[1]
                self._n_reused += 1
                self._n_in_use += 1
                return buffer
        buffer = make(shelf[1])
        with self._lock:
            self._n_created += 1
            self._n_in_use += 1
        return buffer

    def _give_back(self, buffer: Any) -> None:
        shelf = _shelf_of(buffer)
        with self._lock:
            self._n_in_use -= 1
            if not 0 < shelf[1] <= self._max_bytes:
                self._n_discarded += 1
                return
            self._shelves.setdefault(shelf, []).append(buffer)
            self._shelves.move_to_end(shelf)
            self._held_bytes += shelf[1]
            self._drop_to(self._max_bytes)

    def _drop_to(self, keep_bytes: int) -> None:
        # No destructor of user code can run here: the items are plain arrays and bytearrays.
        while self._held_bytes > keep_bytes:
            shelf = next(iter(self._shelves))
            idle = self._shelves[shelf]
            del idle[0]
            self._held_bytes -= shelf[1]
            self._n_discarded += 1
            if not idle:
                del self._shelves[shelf]

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name is not None else ""
        return f"<BufferPool{named}: {self._n_in_use} in use, {self._held_bytes} bytes idle>"


class _Lease(Generic[B]):
    """A buffer for the length of a `with` block. One block at a time."""

    __slots__ = ("_lend", "_owner", "_pool")

    def __init__(self, pool: BufferPool, lend: Callable[[], tuple[Any, B]]) -> None:
        self._pool = pool
        self._lend = lend
        self._owner: Any = None

    def __enter__(self) -> B:
        if self._owner is not None:
            raise RuntimeError("this lease is in use; call borrow() once for each with block")
        self._owner, lent = self._lend()
        return lent

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        owner, self._owner = self._owner, None
        self._pool._give_back(owner)
