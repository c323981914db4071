from collections.abc import Callable, Coroutine
from types import GenericAlias
from typing import Any, Generic, NoReturn, TypedDict, TypeVar

from typing_extensions import disjoint_base

from raudo._core.lend import Lease

_T = TypeVar("_T")

class _Stats(TypedDict):
    created: int
    reused: int
    released: int
    discarded: int
    lost: int
    in_use: int
    idle: int
    waiting: int
    max_size: int
    hit_rate: float

@disjoint_base
class ObjectPool(Generic[_T]):
    """Lends objects that are costly to make, and takes them back for the next.

    Args:
        factory: Makes an object; called without arguments when none is idle.
        max_size: Most objects that are kept idle.
        reset: Called with an object that comes back; None calls its own `reset()`, if it has one.
            Exact lists, dicts, sets, bytearrays, StringIO and BytesIO are emptied after it in any case;
            of what else is a list, dict, set, bytearray or deque `clear()` is called, where neither is.
        name: For messages and metrics.
        limit: Most objects there are, lent and idle ones; None for any number.
        timeout: Seconds that an acquire waits at the limit, 0 to refuse at once, None to wait for ever.
        check: Called with an idle object before it is lent again; one that it returns false for, or
            raises `Exception` for, is discarded.
        close: Called with every object that the pool lets go, but for those that were dropped.
        max_age: Seconds after which an object is not lent again.
        max_idle: Seconds without use after which an idle object is discarded, when it is next seen.
        timer: What `max_age` and `max_idle` are measured by; `time.monotonic` when None.

    An object that was dropped instead of released is forgotten. Thread-safe; an acquire and a
    release take some ten nanoseconds each, more where there is a reset, limit, check or age. What
    `factory` or `reset` raise is passed on: a failed `factory` changes nothing, an object whose `reset`
    failed is discarded. What `close` raises is logged.
    """

    def __init__(
        self,
        factory: Callable[[], _T],
        max_size: int = 1000,
        reset: Callable[[_T], object] | None = None,
        name: str | None = None,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        check: Callable[[_T], object] | None = None,
        close: Callable[[_T], object] | None = None,
        max_age: float | None = None,
        max_idle: float | None = None,
        timer: Callable[[], float] | None = None,
    ) -> None: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    @property
    def factory(self) -> Callable[[], _T]: ...
    @property
    def reset(self) -> Callable[[_T], object] | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def max_size(self) -> int:
        """Most objects that are kept idle."""
    @property
    def limit(self) -> int | None:
        """Most objects there are, or None."""
    @property
    def idle(self) -> int:
        """How many objects wait to be lent."""
    @property
    def in_use(self) -> int:
        """How many objects are lent, those included that were dropped and not yet missed."""
    def acquire(self) -> _T:
        """Lend an idle object, the one that came back last; make one when there is none.

        Raises:
            PoolExhausted: The limit is reached, and nothing came back in time.
        """
    def release(self, obj: _T, /) -> None:
        """Take a lent object back, emptied or reset.

        Raises:
            PoolError: It is back already, or was never lent by this pool.
        """
    def borrow(self) -> Lease[_T]:
        """Return a context manager that acquires on entry and releases on exit, error or not.

        With `async with` it waits at the limit without blocking the event loop.
        """
    def acquire_async(self) -> Coroutine[Any, Any, _T]:
        """Lend an object as `acquire` does; `await` it. At the limit the task waits, not the event loop."""
    def trim(self, keep: int = 0) -> int:
        """Drop idle objects until `keep` are left, and forget what was dropped; return how many.

        Those that were idle longest go first.
        """
    def trim_unused(self) -> int:
        """Drop the idle objects that no acquire has needed since the last call; return how many."""
    def stats(self) -> _Stats:
        """Return the counts as a dict, after forgetting what was dropped. Takes no lock. O(objects).

        `created == in_use + idle + discarded + lost`; `hit_rate` is the share of the acquires that
        needed no new object; `lost` objects were lent and dropped without a release.
        """
    def __sizeof__(self) -> int:
        """Bytes of the pool itself, without the objects."""
    def __reduce__(self) -> NoReturn: ...
