"""`SmartCache.memoize`: a function's results in a cache of several levels."""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from raudo._core.ready import Ready
from raudo.cache._checks import check_function
from raudo.cache._forks import reset_after_fork
from raudo.cache._methods import mark_coroutine_function
from raudo.cache.loading import MISSING

if TYPE_CHECKING:
    from raudo.cache.smart_cache import SmartCache

__all__ = ["FunctionNames", "call_key", "memoized"]

# Compared by value when two closures are; all else by identity, as `==` may run anyone's code.
_PLAIN_TYPES = frozenset({int, float, str, bytes, bool, type(None)})


def call_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return a key of a call; keywords in another order make the same one."""
    return (args, *sorted(kwargs.items())) if kwargs else (args,)


class FunctionNames:
    """Gives different functions different names, and a function made anew its old one.

    The first of a qualified name has it bare, so that its results are found after a restart; a
    lambda or closure that shares it and does something else gets a number too. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._known: dict[str, weakref.WeakKeyDictionary[Any, str]] = {}
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def name_of(self, fn: Any) -> str:
        """Return the name that the keys of the function's results begin with."""
        kind = type(fn)
        module = getattr(fn, "__module__", kind.__module__)
        name = f"{module}.{getattr(fn, '__qualname__', kind.__qualname__)}"
        with self._lock:
            known = self._known.setdefault(name, weakref.WeakKeyDictionary())
            for other, its_name in known.items():
                if _do_the_same(fn, other):
                    return its_name
            count = self._counts[name] = self._counts.get(name, 0) + 1
            own_name = name if count == 1 else f"{name}#{count}"
            with suppress(TypeError):  # no weak reference or no hash: it is never met again
                known[fn] = own_name
            return own_name


def _do_the_same(fn: Any, other: Any) -> bool:
    """Say whether two functions are one, made twice of the same source over the same values."""
    if fn is other:
        return True
    code = getattr(fn, "__code__", None)
    if code is None or code != getattr(other, "__code__", None):
        return False
    ours, theirs = _bindings(fn), _bindings(other)
    return len(ours) == len(theirs) and all(
        a is b or (type(a) is type(b) and type(a) in _PLAIN_TYPES and a == b)
        for a, b in zip(ours, theirs, strict=True)
    )


def _bindings(fn: Any) -> list[Any]:
    """Return the values that a function was made over: its closure and its defaults."""
    values: list[Any] = [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()]
    for cell in fn.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not bound yet: the function's own name, in a recursive one
            values.append(None)
    return values


def memoized(
    cache: SmartCache,
    fn: Any,
    ttl: float | None,
    key: Callable[..., Hashable] | None,
    tags: tuple[str, ...],
) -> Any:
    """Wrap a function or coroutine function so that its results are kept in the cache."""
    if isinstance(fn, staticmethod | classmethod):
        return type(fn)(memoized(cache, fn.__func__, ttl, key, tags))
    check_function(fn, "memoize")
    name = cache._names.name_of(fn)
    stamp = cache._levels.tags.stamp

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        if key is not None:
            return (name, key(*args, **kwargs))
        return (name, *call_key(args, kwargs)) if kwargs else (name, args)

    if inspect.iscoroutinefunction(fn):
        get = cache.get

        @functools.wraps(fn)
        def remember_async(*args: Any, **kwargs: Any) -> Awaitable[Any]:
            made = key_of(args, kwargs)
            found = get(made, MISSING)
            if type(found) is Ready and found.value is not MISSING:
                return found
            return call_async(found, made, args, kwargs)

        async def call_async(
            found: Awaitable[Any], made: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            value = await found
            if value is not MISSING:
                return value

            async def load(_: Hashable) -> Any:
                return await fn(*args, **kwargs)

            # Stamped before the call: an invalidation during it makes its result invalid too.
            return await cache._load(made, load, ttl, stamps=stamp(tags))

        mark_coroutine_function(remember_async)
        return remember_async

    @functools.wraps(fn)
    def remember(*args: Any, **kwargs: Any) -> Any:
        made = key_of(args, kwargs)
        value = cache.get_nowait(made, MISSING)
        if value is not MISSING:
            return value
        return cache._load_now(made, lambda: fn(*args, **kwargs), ttl, stamp(tags))

    return remember
