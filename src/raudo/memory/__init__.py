"""Pools of reusable objects and buffers, and a garbage collector that is kept out of the way.

`MemoryOptimizer` is the facade; the parts stand alone too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from raudo._core.objects import deep_size
from raudo.memory.buffer_pool import BufferPool
from raudo.memory.compact import Compaction, compact, compaction
from raudo.memory.folded import Numbers, Records
from raudo.memory.gc import gc_paused
from raudo.memory.pool import ObjectPool

if TYPE_CHECKING:
    from raudo.memory.idle import IdleASGI, IdleWSGI
    from raudo.memory.optimizer import MemoryOptimizer

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

# On first use: a cache needs buffers, and not what watches the memory of a process.
_MODULE_OF = {"IdleASGI": "idle", "IdleWSGI": "idle", "MemoryOptimizer": "optimizer"}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'raudo.memory' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"raudo.memory.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
