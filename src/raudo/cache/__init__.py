"""Caches: the compiled one-level `Cache`, the three-level `SmartCache`, and decorators.

`SmartCache` loads on first use; the rest is light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raudo._core.cache import Cache
from raudo.cache.strategies import CacheStrategy

if TYPE_CHECKING:
    from raudo.cache.decorators import cached, lru_cache
    from raudo.cache.smart_cache import SmartCache

__all__ = ["SmartCache", "Cache", "CacheStrategy", "lru_cache", "cached"]


def __getattr__(name: str) -> Any:
    if name == "SmartCache":
        from raudo.cache.smart_cache import SmartCache

        return SmartCache
    if name in ("lru_cache", "cached"):
        from raudo.cache import decorators

        return getattr(decorators, name)
    raise AttributeError(f"module 'raudo.cache' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
