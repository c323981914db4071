"""What the memoising decorators share: how a call is answered, with or without a lock.

Three ways to call, each with or without statistics: plain; under a lock (the function itself runs
outside it, and of two results the one stored first wins); with a condition variable (a second
caller of the same key waits for the first). They read `cache`, `cache_key`, `cache_lock` and
`cache_condition` of whatever they are mixed into.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from raudo.compat.cachetools import keys
from raudo.compat.cachetools._cache import Cache

__all__ = ["CacheInfo"]


class CacheInfo(NamedTuple):
    """Statistics of a memoised function; `maxsize` is None where its cache has none."""

    hits: int
    misses: int
    maxsize: float | None
    currsize: float


class Memo:
    """A memoised callable without statistics; `prepare` is called once the attributes are there."""

    cache: Any
    cache_key: Callable[..., Any]
    cache_lock: Any
    cache_condition: Any

    def prepare(self, fn: Callable[..., Any]) -> None:
        self._raudo_fn = fn
        self._raudo_hits = 0
        self._raudo_misses = 0
        self._raudo_pending: set[Any] = set()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        cache, key_of = self.cache, self.cache_key
        key = args if key_of is keys.hashkey and not kwargs else key_of(*args, **kwargs)
        try:
            return cache[key]
        except KeyError:
            pass
        value = self._raudo_fn(*args, **kwargs)
        with suppress(ValueError):  # too large for the cache
            cache[key] = value
        return value

    def cache_clear(self) -> None:
        """Drop all results, and set the statistics to zero."""
        self.cache.clear()
        self._raudo_hits = self._raudo_misses = 0


class CountedMemo(Memo):
    """A memoised callable with statistics."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        cache, key_of = self.cache, self.cache_key
        key = args if key_of is keys.hashkey and not kwargs else key_of(*args, **kwargs)
        try:
            value = cache[key]
        except KeyError:
            self._raudo_misses += 1
        else:
            self._raudo_hits += 1
            return value
        value = self._raudo_fn(*args, **kwargs)
        with suppress(ValueError):  # too large for the cache
            cache[key] = value
        return value

    def cache_info(self) -> CacheInfo:
        """Return hits, misses, and the size of the cache."""
        cache = self.cache
        if isinstance(cache, Cache):
            return CacheInfo(self._raudo_hits, self._raudo_misses, cache.maxsize, cache.currsize)
        return CacheInfo(self._raudo_hits, self._raudo_misses, None, len(cache))


class LockedMemo(Memo):
    """A memoised callable whose cache is touched under a lock only."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        cache, key, lock = self.cache, self.cache_key(*args, **kwargs), self.cache_lock
        with lock:
            try:
                value = cache[key]
            except KeyError:
                self._raudo_misses += 1
            else:
                self._raudo_hits += 1
                return value
        value = self._raudo_fn(*args, **kwargs)
        with lock:
            try:
                return cache.setdefault(key, value)  # another thread may have been first
            except ValueError:
                return value

    def cache_clear(self) -> None:
        """Drop all results, and set the statistics to zero."""
        with self.cache_lock:
            super().cache_clear()


class WaitingMemo(LockedMemo):
    """A memoised callable that runs once for a key, while other callers of that key wait."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        cache, key = self.cache, self.cache_key(*args, **kwargs)
        lock, condition, pending = self.cache_lock, self.cache_condition, self._raudo_pending
        with lock:
            while key in pending:
                condition.wait()
            try:
                value = cache[key]
            except KeyError:
                pending.add(key)
                self._raudo_misses += 1
            else:
                self._raudo_hits += 1
                return value
        try:
            value = self._raudo_fn(*args, **kwargs)
            with lock, suppress(ValueError):  # too large for the cache
                cache[key] = value
            return value
        finally:
            with lock:
                pending.remove(key)
                condition.notify_all()


class _LockedInfo(LockedMemo, CountedMemo):
    def cache_info(self) -> CacheInfo:
        """Return hits, misses, and the size of the cache."""
        with self.cache_lock:
            return super().cache_info()


class LockedCountedMemo(_LockedInfo):
    """A memoised callable under a lock, with statistics."""


class WaitingCountedMemo(WaitingMemo, _LockedInfo):
    """A memoised callable that runs once for a key, with statistics."""


def kind_of(lock: object, condition: object, info: bool) -> type[Memo]:
    """Return the class that calls the way these arguments of a decorator ask for."""
    if condition is not None:
        return WaitingCountedMemo if info else WaitingMemo
    if lock is not None:
        return LockedCountedMemo if info else LockedMemo
    return CountedMemo if info else Memo
