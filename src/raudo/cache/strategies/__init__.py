"""The eviction strategies by name: the compiled ones, and those that plug-ins bring.

A plug-in registers the class of a policy (see `raudo.types.EvictionPolicy`) under the entry point
group `raudo.policies`, or calls `register`; `Cache(..., strategy="its-name")` then makes one for
each cache.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from raudo._core import cache as _cache  # noqa: F401  registers the compiled policies
from raudo._core import policy as _policy
from raudo._plugins import entry_points

__all__ = ["CacheStrategy", "available", "register"]


class CacheStrategy(str, Enum):
    """Which entry leaves first when the cache is full."""

    LRU = "lru"
    """What was used longest ago."""
    LFU = "lfu"
    """What was used least often; ties: longest ago."""
    TTL = "ttl"
    """What expires first; what never does leaves last."""
    ADAPTIVE = "adaptive"
    """What the expert that does best on this very workload would drop; the default."""
    FIFO = "fifo"
    """What came first."""
    SIEVE = "sieve"
    """What a hand moving through the queue finds unused (NSDI 2024)."""
    S3FIFO = "s3fifo"
    """Newcomers that were not used again, then the oldest unused (SOSP 2023)."""
    TINYLFU = "tinylfu"
    """What is used less often than a newcomer that has passed a window (W-TinyLFU, 2018)."""
    ML = "ml"
    """What is worth least by its age, uses and gaps, as learned online from this workload."""

    def __str__(self) -> str:
        return self.value


def register(name: str, factory: Callable[[], Any]) -> None:
    """Offer a policy under a name; `factory()` is called for each cache that asks for it."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"name: wanted a non-empty string, got {name!r}")
    if not callable(factory):
        raise TypeError(f"factory: wanted a callable, got {factory!r}")
    key = name.lower()
    if key in _policy.REGISTRY:
        raise ValueError(f"name: a policy {key!r} is registered already")
    _policy.REGISTRY[key] = factory


def available() -> list[str]:
    """Return the names that `strategy=` takes now."""
    return sorted(_policy.REGISTRY)


def _load_plug_in(name: str) -> Callable[[], Any] | None:
    for entry in entry_points(group="raudo.policies"):
        if entry.name.lower() == name:
            factory: Callable[[], Any] = entry.load()
            _policy.REGISTRY[name] = factory
            return factory
    return None


_policy.find_unknown(_load_plug_in)
