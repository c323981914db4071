"""`SmartCache.memoize`: a function's results in a cache of several levels."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from raudo.cache.loading import MISSING

if TYPE_CHECKING:
    from raudo.cache.smart_cache import SmartCache

__all__ = ["call_key", "memoized"]


def call_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return a key of a call; keywords in another order make the same one."""
    return (args, *sorted(kwargs.items())) if kwargs else (args,)


def memoized(
    cache: SmartCache,
    fn: Any,
    ttl: float | None,
    key: Callable[..., Hashable] | None,
    tags: tuple[str, ...],
) -> Any:
    """Wrap a function or coroutine function so that its results are kept in the cache."""
    name = f"{fn.__module__}.{fn.__qualname__}"
    stamp = cache._levels.tags.stamp

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        if key is not None:
            return (name, key(*args, **kwargs))
        return (name, *call_key(args, kwargs))

    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def remember_async(*args: Any, **kwargs: Any) -> Any:
            made = key_of(args, kwargs)
            value = await cache.get(made, MISSING)
            if value is not MISSING:
                return value

            async def load(_: Hashable) -> Any:
                return await fn(*args, **kwargs)

            # Stamped before the call: an invalidation during it makes its result invalid too.
            return await cache._load(made, load, ttl, stamps=stamp(tags))

        return remember_async

    @functools.wraps(fn)
    def remember(*args: Any, **kwargs: Any) -> Any:
        made = key_of(args, kwargs)
        value = cache.get_nowait(made, MISSING)
        if value is not MISSING:
            return value
        return cache._load_now(made, lambda: fn(*args, **kwargs), ttl, stamp(tags))

    return remember
