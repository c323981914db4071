from collections.abc import Callable, Hashable
from typing import Any, Self

from typing_extensions import disjoint_base

def hashkey(*args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key of all arguments; 1 and 1.0 make the same key."""

def methodkey(self: object, /, *args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key of all arguments but the first, which need not be hashable."""

def typedkey(*args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key of all arguments and their types; 1 and 1.0 make different keys."""

def typedmethodkey(self: object, /, *args: Hashable, **kwargs: Hashable) -> tuple[Any, ...]:
    """Return a key as `typedkey` does, of all arguments but the first."""

@disjoint_base
class Memo:
    """A memoised function. `cache_info` is there only where `make_info` is not None."""

    __wrapped__: Callable[..., Any]
    def __new__(
        cls,
        fn: Callable[..., Any],
        cache: Any,
        key: Callable[..., Any],
        lock: Any,
        condition: Any,
        make_info: Callable[[Any, int, int], Any] | None,
        *more: Any,
    ) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...
    def cache_clear(self) -> None:
        """Drop all results, and set the statistics to zero."""

class FunctionMemo(Memo):
    """A memoised function: binds, copies and pickles as a function does."""

    cache: Any
    cache_key: Callable[..., Any]
    cache_lock: Any
    cache_condition: Any
    def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...
    def __copy__(self) -> FunctionMemo: ...
    def __deepcopy__(self, memo: object) -> FunctionMemo: ...

@disjoint_base
class MethodMemo(Memo):
    """A memoised method of one instance; asks it for its cache and lock at each call."""

    @property
    def cache(self) -> Any: ...
    @property
    def cache_key(self) -> Callable[..., Any]: ...
    @property
    def cache_lock(self) -> Any: ...
    @property
    def cache_condition(self) -> Any: ...
