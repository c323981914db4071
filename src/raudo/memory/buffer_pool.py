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
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from raudo._core.buffers import first_unshared, resize_bytearray

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

__all__ = ["BufferPool"]

_ALIGNMENT = 64  # a cache line, and the width of an AVX-512 register
_SMALLEST_CLASS = 64

# What lies together: the kind of buffer and its size class in bytes.
_Shelf = tuple[Literal["array", "bytes"], int]


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


def _bytes_shelf_of(buffer: bytearray) -> _Shelf:
    """Return the largest class that it still serves: the borrower may have resized it."""
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

    Thread-safe. A block costs a few microseconds, so that it pays from some hundreds of kilobytes
    on, where fresh memory comes as fresh pages (`benchmarks/bench_memory_pools.py`).
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
        self, shape: int | Sequence[int], dtype: DTypeLike = "float64", *, zeroed: bool = False
    ) -> AbstractContextManager[NDArray[Any]]:
        """Lend an array for a `with` block: C order, 64-byte aligned, contents arbitrary.

        With `zeroed` it is filled with zeros, for those who must not see what was there before.
        """
        kind = _numpy().dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"dtype is {kind}, wanted one without Python objects")
        sides = tuple(map(operator.index, shape if isinstance(shape, (tuple, list)) else (shape,)))
        n_bytes = kind.itemsize
        for side in sides:
            if side < 0:
                raise ValueError(f"shape is {shape}, wanted no negative side")
            n_bytes *= side
        return _ArrayLease(self, n_bytes, sides, kind, zeroed)

    def borrow_bytes(self, size: int, *, zeroed: bool = False) -> AbstractContextManager[bytearray]:
        """Lend a bytearray of `size` bytes for a `with` block, contents arbitrary.

        It may be resized inside; a `memoryview` of it must be released before the block's end, or
        the buffer waits until it is.
        """
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"size is {size!r}, wanted a whole number")
        if size < 0:
            raise ValueError(f"size is {size}, wanted a number >= 0")
        return _BytesLease(self, size, zeroed)

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
            idle = self._shelves.get(shelf)
            at = first_unshared(idle) if idle else -1
            if idle and at >= 0:
                buffer = idle.pop(at)
                self._held_bytes -= shelf[1]
                self._n_reused += 1
                self._n_in_use += 1
                return buffer
        buffer = make(shelf[1])
        with self._lock:
            self._n_created += 1
            self._n_in_use += 1
        return buffer

    def _give_back(self, shelf: _Shelf, buffer: Any) -> None:
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
        # Shelves that are empty stay: there are few, and the next buffer needs them again.
        while self._held_bytes > keep_bytes:
            shelf = next(each for each in self._shelves if self._shelves[each])
            del self._shelves[shelf][0]
            self._held_bytes -= shelf[1]
            self._n_discarded += 1

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name is not None else ""
        return f"<BufferPool{named}: {self._n_in_use} in use, {self._held_bytes} bytes idle>"


class _Lease:
    """A buffer for the length of a `with` block. One block at a time."""

    __slots__ = ("_buffer", "_pool", "_shelf", "_zeroed")

    def __init__(self, pool: BufferPool, shelf: _Shelf, zeroed: bool) -> None:
        self._pool = pool
        self._shelf = shelf
        self._zeroed = zeroed
        self._buffer: Any = None

    def _take(self, make: Callable[[int], Any]) -> Any:
        if self._buffer is not None:
            raise RuntimeError("this lease is in use; call borrow() once for each with block")
        self._buffer = self._pool._take(self._shelf, make)
        return self._buffer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._buffer is None:
            raise RuntimeError("this lease is not in use; its buffer is back already")
        buffer, self._buffer = self._buffer, None
        shelf = _bytes_shelf_of(buffer) if type(buffer) is bytearray else self._shelf
        self._pool._give_back(shelf, buffer)


class _ArrayLease(_Lease):
    __slots__ = ("_dtype", "_n_bytes", "_sides")

    def __init__(
        self,
        pool: BufferPool,
        n_bytes: int,
        sides: tuple[int, ...],
        dtype: np.dtype[Any],
        zeroed: bool,
    ) -> None:
        super().__init__(pool, ("array", size_class(n_bytes)), zeroed)
        self._n_bytes, self._sides, self._dtype = n_bytes, sides, dtype

    def __enter__(self) -> NDArray[Any]:
        # All views of the array, and views of those, lead to the owner: they count as references.
        owner = self._take(_new_owner)
        start = owner.start
        if self._zeroed:
            owner[start : start + self._n_bytes].fill(0)
        array: NDArray[Any] = _numpy().ndarray(self._sides, self._dtype, owner, start)
        return array


class _BytesLease(_Lease):
    __slots__ = ("_size",)

    def __init__(self, pool: BufferPool, size: int, zeroed: bool) -> None:
        super().__init__(pool, ("bytes", size_class(size)), zeroed)
        self._size = size

    def __enter__(self) -> bytearray:
        data: bytearray = self._take(bytearray)
        resize_bytearray(data, self._size)
        if self._zeroed:
            data[:] = bytes(self._size)
        return data


@lru_cache(maxsize=1)
def _numpy() -> Any:
    """Return the numpy module, imported when the first array is borrowed."""
    import numpy

    return numpy


@lru_cache(maxsize=1)
def _owner_class() -> Any:
    class Owner(_numpy().ndarray):  # type: ignore[misc]
        """The memory of an array, and where in it the first aligned byte is."""

        start: int

    return Owner


def _new_owner(size: int) -> Any:
    # It must own its memory: a view's base is the last owner in line, whatever lies between.
    owner = _owner_class()(size + _ALIGNMENT, "uint8")
    owner.start = -owner.ctypes.data % _ALIGNMENT
    return owner
