from collections.abc import Callable
from typing import Any, Self, final

from typing_extensions import disjoint_base

from raudo._core.cache import Cache
from raudo._core.memo import CacheInfo, Memo

@final
class Results:
    """The memos of one instance, by method. Equal to any other: it is no part of the state."""

    def __new__(cls, instance: object = None) -> Self: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@disjoint_base
class CachedMethod:
    """What a cached function in a class body becomes: a memo for each instance.

    Called with the instance first, as functions are. Where no class has named it and `is_method` is
    False it is a plain function, with one memo for all. Thread-safe.
    """

    __wrapped__: Callable[..., Any]
    def __new__(
        cls,
        fn: Callable[..., Any],
        build: Callable[[Callable[..., Any], int], Memo],
        *,
        is_method: bool,
    ) -> Self:
        """Have `build(fn, n_skipped)` make a memo that leaves so many arguments out of keys."""
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __set_name__(self, owner: type, name: str, /) -> None: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...
    def __copy__(self) -> CachedMethod: ...
    def __deepcopy__(self, memo: object) -> CachedMethod: ...
    def memo_of(self, *args: Any) -> Memo:
        """Return the memo of an instance, the first of the arguments; of all where it is none's."""
    def caches(self) -> list[Memo]:
        """Return the memos of the instances that are alive."""
    def cache_info(self) -> CacheInfo:
        """Return the sums over all instances."""
    def cache_clear(self) -> None:
        """Forget the results of all instances."""
    def cache_key(self, *args: Any, **kwargs: Any) -> Any:
        """Return the key of such a call in the memo of the instance."""
    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of such a call, the instance first."""

@final
class BoundMethod:
    """The method as seen on an instance; keeps it alive as any bound method does."""

    __self__: Any
    __func__: CachedMethod
    def __new__(cls, instance: object, method: CachedMethod) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def cache(self) -> Cache[Any, Any]: ...
    @property
    def __signature__(self) -> Any: ...
    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize and currsize of this instance."""
    def cache_clear(self) -> None:
        """Forget the results of this instance."""
    def cache_key(self, *args: Any, **kwargs: Any) -> Any:
        """Return the key under which the result of such a call is kept in `cache`."""
    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of such a call of this instance."""
    def __getattr__(self, name: str) -> Any: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def forget(without_dict: dict[int, Any], number: int, reference: object) -> None:
    """Drop what was kept for an instance that is gone, unless its id has another one by now."""

def enable_vectorcall_probe() -> None:
    """Stand for a function while the offsets are taken."""
