"""The pool of buffers (compiled, see `raudo._core.buffers`), and the one that raudo shares."""

from raudo._core.buffers import BufferPool, register_listener, size_class
from raudo._pressure import register

__all__ = ["POOLED_FROM_BYTES", "SHARED_BUFFERS", "BufferPool", "size_class"]

# The compiled floor imports nothing of raudo: it is told whom to tell of a new pool.
register_listener(register)

# glibc keeps what was freed up to here (`DEFAULT_MMAP_THRESHOLD_MAX`) and maps what is larger anew
# each time, with a page fault for each of its pages (`raudo bench memory --only shared`).
POOLED_FROM_BYTES = 32 << 20

SHARED_BUFFERS = BufferPool(256 << 20, name="shared")
"""For `raudo.memory.scratch`. Shrunk where memory is short, and by `MemoryOptimizer.optimize`."""
