from types import TracebackType
from typing import Generic, NoReturn, TypeVar, final

from raudo._core.guard import POLL_S as POLL_S
from raudo._core.pool import ObjectPool

_T = TypeVar("_T")

@final
class Lease(Generic[_T]):
    """An object of a pool for the length of a `with` block. One block at a time."""

    def __init__(self, *args: object, **kwargs: object) -> NoReturn: ...
    def __enter__(self) -> _T:
        """Acquire an object."""
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Release the object."""
    async def __aenter__(self) -> _T: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def __reduce__(self) -> NoReturn: ...

async def lend_in_task(pool: ObjectPool[_T]) -> _T:
    """Lend an object once there is a place; the coroutine of `acquire_async`."""

async def wait_in_task(pool: ObjectPool[_T]) -> _T:
    """Wait for a place of the pool, from a task of the running event loop."""
