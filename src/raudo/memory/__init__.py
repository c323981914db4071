"""Pools of reusable objects and buffers, and a garbage collector that is kept out of the way.

`MemoryOptimizer` is the facade; the parts stand alone too.
"""

from raudo._core.objects import deep_size
from raudo.memory.buffer_pool import BufferPool
from raudo.memory.compact import Compaction, compact, compaction
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
