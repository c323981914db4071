"""raudo: a compiled cache, executors, pools and similarity search for data-heavy Python services.

The names below load their room on first use, so that `import raudo` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from raudo._version import __version__

if TYPE_CHECKING:
    from raudo import (
        analysis,
        compat,
        errors,
        events,
        export,
        memory,
        monitoring,
        similarity,
        types,
    )
    from raudo.cache import Cache, CacheStrategy, SmartCache, cached, lru_cache
    from raudo.concurrency import (
        AsyncProcessor,
        BatchProcessor,
        ParallelExecutor,
        parallel_imap,
        parallel_map,
        retry,
    )
    from raudo.memory import BufferPool, MemoryOptimizer, ObjectPool

__all__ = [
    "SmartCache",
    "CacheStrategy",
    "Cache",
    "lru_cache",
    "cached",
    "AsyncProcessor",
    "BatchProcessor",
    "ParallelExecutor",
    "parallel_map",
    "parallel_imap",
    "retry",
    "MemoryOptimizer",
    "ObjectPool",
    "BufferPool",
    "__version__",
]

_ROOM_OF = {
    "SmartCache": "cache",
    "CacheStrategy": "cache",
    "Cache": "cache",
    "lru_cache": "cache",
    "cached": "cache",
    "AsyncProcessor": "concurrency",
    "BatchProcessor": "concurrency",
    "ParallelExecutor": "concurrency",
    "parallel_map": "concurrency",
    "parallel_imap": "concurrency",
    "retry": "concurrency",
    "MemoryOptimizer": "memory",
    "ObjectPool": "memory",
    "BufferPool": "memory",
}
_ROOMS = frozenset(
    {"analysis", "cache", "compat", "concurrency", "errors", "events", "export", "memory"}
    | {"monitoring", "similarity", "testing", "types"}
)


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        value = getattr(importlib.import_module(f"raudo.{_ROOM_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return importlib.import_module(f"raudo.{name}")
    raise AttributeError(f"module 'raudo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
