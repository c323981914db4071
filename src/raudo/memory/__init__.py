"""Pools of reusable objects and buffers, and a garbage collector that is kept out of the way.

`MemoryOptimizer` is the facade; the parts stand alone too.
"""

from raudo.memory.buffer_pool import BufferPool
from raudo.memory.compact import compact
from raudo.memory.gc import gc_paused
from raudo.memory.optimizer import MemoryOptimizer
from raudo.memory.pool import ObjectPool

__all__ = ["BufferPool", "MemoryOptimizer", "ObjectPool", "compact", "gc_paused"]
