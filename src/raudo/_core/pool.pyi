from collections.abc import Callable
from contextlib import AbstractContextManager
from types import GenericAlias, TracebackType
from typing import Any, Generic, NoReturn, TypedDict, TypeVar, final

from typing_extensions import disjoint_base

_T = TypeVar("_T")

class _Stats(TypedDict):
    created: int
    reused: int
    released: int
    discarded: int
    lost: int
    in_use: int
    idle: int
    max_size: int
    hit_rate: float

def register_error(kind: type[ValueError]) -> None:
    """Raise this class (a ValueError) where an object is released that was not lent."""

def first_unshared(items: list[Any]) -> int:
    """Return the index of the first item that nothing but the list refers to, or -1."""

def resize_bytearray(data: bytearray, size: int) -> None:
    """Set the length; bytes that come to light are arbitrary. No copy where the allocation fits."""

@disjoint_base
class ObjectPool(Generic[_T]):
    """Lends objects that are costly to make, and takes them back for the next.

    Args:
        factory: Makes an object; called without arguments when none is idle.
        max_size: Most objects that are kept idle; how many are lent is not bounded.
        reset: Called with an object that comes back. Exact lists, dicts, sets and bytearrays are
            emptied after it in any case.
        name: For messages and metrics.

    An object that was dropped instead of released is forgotten. Thread-safe; an acquire and a
    release take tens of nanoseconds each. What `factory` or `reset` raise is passed on: a failed
    `factory` changes nothing, an object whose `reset` failed is discarded.
    """

    def __init__(
        self,
        factory: Callable[[], _T],
        max_size: int = 1000,
        reset: Callable[[_T], object] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    @property
    def factory(self) -> Callable[[], _T]: ...
    @property
    def reset(self) -> Callable[[_T], object] | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def max_size(self) -> int: ...
    @property
    def idle(self) -> int:
        """How many objects wait to be lent."""
    @property
    def in_use(self) -> int:
        """How many objects are lent, those included that were dropped and not yet missed."""
    def acquire(self) -> _T:
        """Lend an idle object, the one that came back last; make one when there is none."""
    def release(self, obj: _T) -> None:
        """Take a lent object back, emptied or reset.

        Raises:
            PoolError: It is back already, or was never lent by this pool.
        """
    def borrow(self) -> AbstractContextManager[_T]:
        """Return a context manager that acquires on entry and releases on exit, error or not."""
    def trim(self, keep: int = 0) -> int:
        """Drop idle objects until `keep` are left, and forget what was dropped; return how many."""
    def stats(self) -> _Stats:
        """Return the counts as a dict, after forgetting what was dropped. O(objects).

        `created == in_use + idle + discarded + lost`; `hit_rate` is the share of the acquires that
        needed no new object; `lost` objects were lent and dropped without a release.
        """
    def __sizeof__(self) -> int:
        """Bytes of the pool itself, without the objects."""
    def __reduce__(self) -> NoReturn: ...

@final
class Lease(Generic[_T]):
    """An object of a pool for the length of a `with` block. One block at a time."""

    def __new__(cls, pool: ObjectPool[_T]) -> Lease[_T]: ...
    def __enter__(self) -> _T: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __reduce__(self) -> NoReturn: ...
