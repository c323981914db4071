"""Caches: the compiled one-level `Cache`, the three-level `SmartCache`, and decorators.

`SmartCache` loads on first use; the rest is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from raudo._core.cache import Cache
from raudo.cache.strategies import CacheStrategy

if TYPE_CHECKING:
    from raudo.cache.decorators import cached, lru_cache
    from raudo.cache.smart_cache import SmartCache

__all__ = ["SmartCache", "Cache", "CacheStrategy", "lru_cache", "cached"]

_HOME_OF = {"SmartCache": "smart_cache", "lru_cache": "decorators", "cached": "decorators"}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"raudo.cache.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'raudo.cache' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
