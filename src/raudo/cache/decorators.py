"""`lru_cache`, a drop-in for `functools.lru_cache`, and `cached`, which knows more.

Both rest on the compiled `Memo`: a hit runs no Python code. `cached` adds expiry, any strategy, one
call per key at a time, methods whose entries die with their instance, coroutine functions, and
arguments that make no difference.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any, NamedTuple, TypeVar, cast, overload

from raudo._core.cache import Cache
from raudo._core.memo import Memo
from raudo._core.methods import CachedMethod
from raudo.cache._checks import check_function
from raudo.cache._methods import (
    is_in_class_body,
    mark_coroutine_function,
    names_to_ignore,
    places_of,
    takes_self,
)
from raudo.cache.loading import MISSING, Flights
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
    if not callable(fn):
        raise TypeError(f"lru_cache: the first argument must be callable, got {fn!r}")
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
    *,
    typed: bool = False,
    ignore: str | Iterable[str] = (),
) -> Callable[[F], F]: ...
def cached(
    maxsize: Any = 128,
    ttl: float | None = None,
    strategy: object = CacheStrategy.ADAPTIVE,
    key: Callable[..., Hashable] | None = None,
    stampede: bool = True,
    *,
    typed: bool = False,
    ignore: str | Iterable[str] = (),
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
        typed: Keep arguments of different types apart, also where they are equal (1 and 1.0).
        ignore: Names of parameters, or one name, that make no difference to the result: a
            connection, a logger. The call that is made is given them as ever.

    Keyword arguments in another order make the same key; the same argument given by its name and by
    its place makes two. What is returned has `cache_info()`, `cache_clear()`,
    `invalidate(*args, **kwargs)`, `cache_key(*args, **kwargs)` and `__wrapped__`. A method's
    results are kept in the instance and die with it. Thread-safe; a hit takes no lock.
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
    for name, flag in (("stampede", stampede), ("typed", typed)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, got {flag!r}")
    ignored_names = names_to_ignore(ignore)
    if key is not None and (typed or ignored_names):
        raise ValueError("key makes the whole key: typed and ignore cannot be given with it")

    def new_cache() -> Cache[Any, Any]:
        return Cache(maxsize, strategy=strategy, ttl=ttl)

    new_cache()  # refuses a bad ttl or strategy where the decorator stands

    def decorate(fn: F) -> F:
        if isinstance(fn, staticmethod | classmethod):
            return cast(F, type(fn)(decorate(fn.__func__)))
        check_function(fn, "cached")
        ignored = places_of(fn, ignored_names)
        is_async = inspect.iscoroutinefunction(fn)

        def build(target: Callable[..., Any], n_skipped: int) -> Memo:
            cache = new_cache()
            flights = Flights() if stampede else None
            once: Callable[..., Any] | None = None
            if is_async:
                once = functools.partial(_call_async, cache, flights, target)
            elif flights is not None:
                once = functools.partial(_call_once, cache, flights, target)
            return Memo(
                target,
                cache,
                typed=typed,
                key=key,
                sorts_keywords=True,
                ignored=ignored,
                n_skipped=n_skipped,
                once=once,
                flights=flights,
                is_async=is_async,
            )

        made: Any
        if key is None and is_in_class_body(fn):
            made = CachedMethod(fn, build, is_method=takes_self(fn))
        else:
            made = build(fn, 0)
            functools.update_wrapper(made, fn)
        if is_async:
            mark_coroutine_function(made)
        return cast(F, made)

    return decorate


def _call_once(
    cache: Cache[Any, Any],
    flights: Flights,
    fn: Callable[..., Any],
    key: Hashable,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call on a miss, once for all who ask meanwhile, and store the result."""
    return flights.run(
        key,
        functools.partial(fn, *args, **kwargs),  # no frame of its own: recursion goes deeper
        functools.partial(cache.set, key),
        functools.partial(cache.peek, key, MISSING),
    )


def _call_async(
    cache: Cache[Any, Any],
    flights: Flights | None,
    fn: Callable[..., Awaitable[Any]],
    key: Hashable,
    /,
    *args: Any,
    **kwargs: Any,
) -> Awaitable[Any]:
    """Do the same for a coroutine function; without flights, each one who asks calls."""
    if flights is None:
        return _call_alone(cache, fn, key, args, kwargs)
    return flights.run_async(
        key,
        functools.partial(fn, *args, **kwargs),
        functools.partial(cache.set, key),
        functools.partial(cache.peek, key, MISSING),
    )


async def _call_alone(
    cache: Cache[Any, Any],
    fn: Callable[..., Awaitable[Any]],
    key: Hashable,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    value = await fn(*args, **kwargs)
    cache.set(key, value)
    return value
