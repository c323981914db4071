"""`lru_cache`, a drop-in for `functools.lru_cache`, and `cached`, which knows more.

Both rest on the compiled `Memo`: a hit runs no Python code. `cached` adds expiry, any strategy, one
call per key at a time, methods whose entries die with their instance, and coroutine functions.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, NamedTuple, TypeVar, cast, overload

from raudo._core.cache import Cache
from raudo._core.memo import Memo
from raudo._core.ready import Ready
from raudo.cache._checks import check_function
from raudo.cache._methods import CachedMethod, is_in_class_body
from raudo.cache.loading import MISSING, Flights
from raudo.cache.memoize import call_key
from raudo.cache.strategies import CacheStrategy

__all__ = ["CacheInfo", "cached", "lru_cache"]

F = TypeVar("F", bound=Callable[..., Any])


class CacheInfo(NamedTuple):
    """What `cache_info()` returns, as `functools` has it."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


@overload
def lru_cache(maxsize: F, typed: bool = False) -> F: ...
@overload
def lru_cache(maxsize: int | None = 128, typed: bool = False) -> Callable[[F], F]: ...
def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Remember a function's results, dropping what was used longest ago: a drop-in.

    As `functools.lru_cache`: `maxsize` None for no bound, 0 or less to remember nothing, with and
    without parentheses, `cache_info`, `cache_clear`, `cache_parameters`, `__wrapped__`.
    """
    if isinstance(maxsize, int):
        maxsize = max(0, maxsize)
    elif callable(maxsize) and isinstance(typed, bool):
        return _remember(maxsize, 128, typed)
    elif maxsize is not None:
        raise TypeError("Expected first argument to be an integer, a callable, or None")
    return lambda fn: _remember(fn, maxsize, typed)


def _remember(fn: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    cache: Cache[Any, Any] | None = None
    if maxsize != 0:
        # An int of a subclass (True) is a number here, as in functools.
        cache = Cache(None if maxsize is None else int(maxsize), strategy=CacheStrategy.LRU)
    memo: Any = Memo(fn, cache, typed=typed)
    functools.update_wrapper(memo, fn)
    memo.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
    return memo


@overload
def cached(maxsize: F, /) -> F: ...
@overload
def cached(
    maxsize: int | None = 128,
    ttl: float | None = None,
    strategy: object = CacheStrategy.ADAPTIVE,
    key: Callable[..., Hashable] | None = None,
    stampede: bool = True,
) -> Callable[[F], F]: ...
def cached(
    maxsize: Any = 128,
    ttl: float | None = None,
    strategy: object = CacheStrategy.ADAPTIVE,
    key: Callable[..., Hashable] | None = None,
    stampede: bool = True,
) -> Any:
    """Remember the results of a function, method or coroutine function.

    Args:
        maxsize: Most results kept; None for no bound. For a method: of each instance.
        ttl: Seconds that a result is kept; None for ever.
        strategy: Which result leaves first; a `CacheStrategy`, its name, or a policy.
        key: Makes the key of a call from its arguments. On a method it is given `self` too, and all
            instances share one cache.
        stampede: Let one call per key run at a time, the others wait for its outcome: across
            threads, and for coroutine functions across tasks, whatever event loop they are on.
            Exceptions reach all who wait and are not kept.

    What is returned has `cache_info()`, `cache_clear()`, `invalidate(*args, **kwargs)` and
    `__wrapped__`. A method's results are kept in the instance and die with it.
    """
    is_bare = callable(maxsize) and not isinstance(maxsize, int)
    if is_bare or isinstance(maxsize, classmethod):
        return cached()(cast(Any, maxsize))
    if maxsize is not None and (isinstance(maxsize, bool) or not isinstance(maxsize, int)):
        raise TypeError(f"maxsize must be an int or None, got {maxsize!r}")
    if maxsize is not None and maxsize < 1:
        raise ValueError(f"maxsize must be at least 1 or None, got {maxsize}")
    if key is not None and not callable(key):
        raise TypeError(f"key must be callable or None, got {key!r}")

    def new_cache() -> Cache[Any, Any]:
        return Cache(maxsize, strategy=strategy, ttl=ttl)

    new_cache()  # refuses a bad ttl or strategy where the decorator stands

    def decorate(fn: F) -> F:
        if isinstance(fn, staticmethod | classmethod):
            return cast(F, type(fn)(decorate(fn.__func__)))
        check_function(fn, "cached")
        is_async = inspect.iscoroutinefunction(fn)

        def build(target: Callable[..., Any]) -> Any:
            if is_async:
                return CachedCoroutine(target, new_cache(), key, stampede)
            return _remember_once(target, new_cache(), key, stampede)

        if key is None and is_in_class_body(fn):
            return cast(F, CachedMethod(fn, build))
        return cast(F, build(fn))

    return decorate


def _remember_once(
    fn: Callable[..., Any],
    cache: Cache[Any, Any],
    key: Callable[..., Hashable] | None,
    stampede: bool,
) -> Any:
    memo: Any
    flights = Flights()

    def call_once(*args: Any, **kwargs: Any) -> Any:
        made = memo.cache_key(*args, **kwargs)
        # Stored here already, so that none can begin a second call between ours and the memo's.
        return flights.run(
            made,
            functools.partial(fn, *args, **kwargs),  # no frame of its own: recursion goes deeper
            lambda value: cache.set(made, value),
            lambda: cache.peek(made, MISSING),
        )

    def invalidate(*args: Any, **kwargs: Any) -> bool:
        made = memo.cache_key(*args, **kwargs)
        flights.supersede(made)
        return cache.pop(made, MISSING) is not MISSING

    memo = Memo(call_once if stampede else fn, cache, key=key)
    functools.update_wrapper(memo, fn)
    memo.invalidate = invalidate
    return memo


class CachedCoroutine:
    """A coroutine function that remembers: a hit is awaitable at once and never suspends."""

    def __init__(
        self,
        fn: Callable[..., Awaitable[Any]],
        cache: Cache[Any, Any],
        key: Callable[..., Hashable] | None,
        stampede: bool,
    ) -> None:
        functools.update_wrapper(cast(Any, self), fn)
        self._fn = fn
        self._key = key if key is not None else _key_of
        self._stampede = stampede
        self._flights = Flights()
        self.cache = cache
        mark_coroutine_function(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        return self.call_as(self._fn, args, kwargs)

    def call_as(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Awaitable[Any]:
        """Answer a call from the cache, or by `fn`."""
        key = self._key(*args, **kwargs)
        value = self.cache.get(key, MISSING)
        if value is not MISSING:
            return Ready(value)
        if not self._stampede:
            return self._call_alone(fn, key, args, kwargs)
        return self._flights.run_async(
            key,
            lambda: fn(*args, **kwargs),
            lambda value: self.cache.set(key, value),
            lambda: self.cache.peek(key, MISSING),
        )

    async def _call_alone(
        self,
        fn: Callable[..., Awaitable[Any]],
        key: Hashable,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        value = await fn(*args, **kwargs)
        self.cache.set(key, value)
        return value

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    # As a function: pickled by name, and its copy is itself.
    def __reduce__(self) -> str:
        return cast(str, cast(Any, self).__qualname__)

    def __copy__(self) -> CachedCoroutine:
        return self

    def __deepcopy__(self, memo: Any) -> CachedCoroutine:
        return self

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Forget the result of such a call, also of one that is under way."""
        key = self._key(*args, **kwargs)
        self._flights.supersede(key)
        return self.cache.pop(key, MISSING) is not MISSING

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, maxsize and currsize."""
        stats = self.cache.stats()
        return CacheInfo(stats["hits"], stats["misses"], self.cache.maxsize, len(self.cache))

    def cache_clear(self) -> None:
        """Forget all results and counts."""
        self._flights.supersede_all()
        self.cache.clear()
        self.cache.reset_stats()


def _key_of(*args: Any, **kwargs: Any) -> Hashable:
    # A named tuple too is kept apart: it equals the plain one that stands for several arguments.
    if not kwargs and len(args) == 1 and not isinstance(args[0], tuple):
        return cast(Hashable, args[0])
    return call_key(args, kwargs)


def mark_coroutine_function(wrapper: Any) -> None:
    """Have `iscoroutinefunction` say so of a callable that is no function."""
    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(wrapper)
    else:  # Python 3.11: asyncio's own mark
        from asyncio import coroutines

        wrapper._is_coroutine = getattr(coroutines, "_is_coroutine", None)
