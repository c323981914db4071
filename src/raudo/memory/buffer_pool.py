"""The pool of buffers: compiled, see `raudo._core.buffers`; and the one that this library shares."""

from raudo._core.buffers import BufferPool, register_listener, size_class
from raudo._pressure import register

__all__ = ["SHARED_BUFFERS", "BufferPool", "size_class"]

# The compiled floor imports nothing of raudo: it is told whom to tell of a new pool.
register_listener(register)

SHARED_BUFFERS = BufferPool(256 << 20, name="shared")
"""For `raudo.memory.scratch`. Shrunk where memory is short, and by `MemoryOptimizer.optimize`."""
