"""Stands in for cachetools 8: the same classes, decorators, signatures and subclass hooks.

`import raudo.compat.cachetools as cachetools` is the whole migration. As there, the caches are not
thread-safe by themselves: hand `cached` a lock or a condition, or use `raudo.Cache`, which is.

What may be overridden is what may be overridden there: `__missing__`, `getsizeof`, `popitem` (it is
called for every eviction), `__getitem__`, `__setitem__` and `__delitem__`.
"""

from __future__ import annotations

from raudo.compat.cachetools import keys
from raudo.compat.cachetools._caches import (
    Cache,
    FIFOCache,
    LFUCache,
    LRUCache,
    RRCache,
    TLRUCache,
    TTLCache,
)
from raudo.compat.cachetools._decorators import CacheInfo, cached, cachedmethod

__all__ = [
    "Cache",
    "FIFOCache",
    "LFUCache",
    "LRUCache",
    "RRCache",
    "TTLCache",
    "TLRUCache",
    "CacheInfo",
    "cached",
    "cachedmethod",
    "keys",
]

#: The release of cachetools whose behaviour this follows.
__version__ = "8.0.2"
