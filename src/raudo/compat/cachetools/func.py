"""Memoising decorators with the interface of `functools.lru_cache`, thread-safe, one per policy."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from threading import Condition
from typing import Any

from raudo.compat.cachetools import keys
from raudo.compat.cachetools._caches import FIFOCache, LFUCache, LRUCache, RRCache, TTLCache
from raudo.compat.cachetools._decorators import cached

__all__ = ["fifo_cache", "lfu_cache", "lru_cache", "rr_cache", "ttl_cache"]


class _UnboundedTTLCache(TTLCache[Any, Any]):
    """A TTLCache whose `maxsize` reads None, as `cache_info` is to show it."""

    @property
    def maxsize(self) -> Any:
        return None


def _decorate(
    maxsize: Any, typed: bool, make: Callable[[float], Any], unbounded: Callable[[], Any] = dict
) -> Any:
    """Return a decorator, or the decorated function where `maxsize` is that function."""
    if callable(maxsize):
        return _decorate(128, typed, make, unbounded)(maxsize)
    cache = unbounded() if maxsize is None else make(maxsize)
    key = keys.typedkey if typed else keys.hashkey

    def decorate(fn: Callable[..., Any]) -> Any:
        memo = cached(cache, key, condition=Condition(), info=True)(fn)
        memo.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
        return memo

    return decorate


def fifo_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Memoise in a `FIFOCache` of `maxsize` results, without a bound when None."""
    return _decorate(maxsize, typed, FIFOCache)


def lfu_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Memoise in an `LFUCache` of `maxsize` results, without a bound when None."""
    return _decorate(maxsize, typed, LFUCache)


def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Memoise in an `LRUCache` of `maxsize` results, without a bound when None."""
    return _decorate(maxsize, typed, LRUCache)


def rr_cache(
    maxsize: Any = 128, choice: Callable[[Sequence[Any]], Any] = random.choice, typed: bool = False
) -> Any:
    """Memoise in an `RRCache` of `maxsize` results, without a bound when None."""
    return _decorate(maxsize, typed, lambda size: RRCache(size, choice))


def ttl_cache(
    maxsize: Any = 128,
    ttl: Any = 600,
    timer: Callable[[], Any] = time.monotonic,
    typed: bool = False,
) -> Any:
    """Memoise in a `TTLCache` of `maxsize` results, without a bound when None."""
    return _decorate(
        maxsize,
        typed,
        lambda size: TTLCache(size, ttl, timer),
        lambda: _UnboundedTTLCache(math.inf, ttl, timer),
    )
