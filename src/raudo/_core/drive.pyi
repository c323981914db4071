from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Self, final

from typing_extensions import disjoint_base

SLICE_SECONDS: float

@disjoint_base
class Timed:
    started: float
    def __new__(cls, *args: object, **kwargs: object) -> Self: ...

@disjoint_base
class Counts:
    succeeded: int
    busy_s: float

@final
@disjoint_base
class Items:
    is_closing: bool
    def __new__(
        cls,
        source: Iterator[Any],
        on_progress: Callable[[int, int | None], object] | None,
        total: int | None,
    ) -> Self: ...
    @property
    def results(self) -> list[Any]: ...
    def drop_last(self) -> None: ...
    def note_done(self) -> None: ...

@final
@disjoint_base
class Drive:
    def __new__(
        cls,
        items: Items,
        run: Timed,
        counts: Counts,
        cancelling: Callable[[], int],
        clock: Callable[[], float] | None,
        is_coroutine_function: Callable[[Callable[..., Any]], bool],
        may_drive: bool,
    ) -> Self: ...
    @property
    def begun(self) -> float: ...
    @property
    def index(self) -> int: ...
    @property
    def is_done(self) -> bool: ...
    @property
    def is_call(self) -> bool: ...
    @property
    def fn(self) -> Any: ...
    @property
    def args(self) -> Any: ...
    @property
    def kwargs(self) -> Mapping[str, Any]: ...
    @property
    def error(self) -> BaseException | None: ...
    def __await__(self) -> Generator[Any, Any]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any: ...
    def close(self) -> None: ...
