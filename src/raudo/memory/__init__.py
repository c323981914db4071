"""Pools of reusable objects and buffers, and a garbage collector that is kept out of the way.

`MemoryOptimizer` is the facade; the parts stand alone too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudo._core.objects import deep_size
    from raudo.memory.buffer_pool import BufferPool
    from raudo.memory.compacting import Compaction, compact, compaction
    from raudo.memory.folded import Numbers, Records
    from raudo.memory.gc import gc_paused
    from raudo.memory.idle import IdleASGI, IdleWSGI
    from raudo.memory.optimizer import MemoryOptimizer
    from raudo.memory.pool import ObjectPool

__all__ = [
    "BufferPool",
    "Compaction",
    "IdleASGI",
    "IdleWSGI",
    "MemoryOptimizer",
    "Numbers",
    "ObjectPool",
    "Records",
    "compact",
    "compaction",
    "deep_size",
    "gc_paused",
]

# On first use: a cache needs buffers, and nothing else of this room.
_MODULE_OF = {
    "BufferPool": "raudo.memory.buffer_pool",
    "Compaction": "raudo.memory.compacting",
    "IdleASGI": "raudo.memory.idle",
    "IdleWSGI": "raudo.memory.idle",
    "MemoryOptimizer": "raudo.memory.optimizer",
    "Numbers": "raudo.memory.folded",
    "ObjectPool": "raudo.memory.pool",
    "Records": "raudo.memory.folded",
    "compact": "raudo.memory.compacting",
    "compaction": "raudo.memory.compacting",
    "deep_size": "raudo._core.objects",
    "gc_paused": "raudo.memory.gc",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'raudo.memory' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
