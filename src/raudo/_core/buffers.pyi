from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, NoReturn, TypedDict, TypeVar, final

from numpy.typing import DTypeLike, NDArray
from typing_extensions import disjoint_base

_T = TypeVar("_T")

class _Stats(TypedDict):
    created: int
    reused: int
    discarded: int
    in_use: int
    idle: int
    held_bytes: int
    max_bytes: int
    hit_rate: float

def register_listener(listener: Callable[[BufferPool], object]) -> None:
    """Call this with every pool that is made."""

def size_class(n_bytes: int) -> int:
    """Return the size that holds `n_bytes` with the least waste, of four to a doubling."""

@disjoint_base
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

    Thread-safe. A block costs half a microsecond, so that it pays from some tens of kilobytes on
    (`raudo bench memory` prints where). Arrays from 4 MB on ask the kernel for huge pages.
    """
    @property
    def name(self) -> str | None: ...
    def __init__(self, max_bytes: int = 268435456, *, name: str | None = None) -> None: ...
    @property
    def max_bytes(self) -> int:
        """Bound on the memory of idle buffers."""
    def borrow(
        self, shape: int | Sequence[int], dtype: DTypeLike = "float64", *, zeroed: bool = False
    ) -> AbstractContextManager[NDArray[Any]]:
        """Lend an array for a `with` block: C order, 64-byte aligned, contents arbitrary.

        With `zeroed` it is filled with zeros, for those who must not see what was there before.
        """
    def borrow_bytes(self, size: int, *, zeroed: bool = False) -> AbstractContextManager[bytearray]:
        """Lend a bytearray of `size` bytes for a `with` block, contents arbitrary.

        It may be resized inside; a `memoryview` of it must be released before the block's end, or
        the buffer waits until it is.
        """
    def trim(self, keep_bytes: int = 0) -> int:
        """Drop idle buffers, least recently used first, to `keep_bytes`; return what went."""
    def shrink(self, keep: float) -> int:
        """Drop idle buffers until the share `keep` of their bytes is left; return the bytes that went.

        Memory that is short calls this, see `raudo.events.MemoryShort`.
        """
    def stats(self) -> _Stats:
        """Return the counts; `held_bytes` is the memory of the idle buffers."""
    def __reduce__(self) -> NoReturn: ...

@final
class Block:
    """Memory of an array. All views of the array, and views of those, refer to it."""

    def __new__(cls, size: int) -> Block: ...
    def __sizeof__(self) -> int:
        """Bytes of the block, the memory it owns included."""

@final
class Shelf: ...

@final
class Plan: ...

@final
class Lease(Generic[_T]):
    """A buffer for the length of a `with` block. One block at a time."""

    def __init__(self, *args: object, **kwargs: object) -> NoReturn: ...
    def __enter__(self) -> _T:
        """Take an idle buffer of the class, or make one."""
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Give the buffer back; it is lent again once nothing refers to it."""
    def __reduce__(self) -> NoReturn: ...
