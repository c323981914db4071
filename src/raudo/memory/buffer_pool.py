"""The pool of buffers: compiled, see `raudo._core.buffers`."""

from raudo._core.buffers import BufferPool, register_listener, size_class
from raudo._pressure import register

__all__ = ["BufferPool", "size_class"]

# The compiled floor imports nothing of raudo: it is told whom to tell of a new pool.
register_listener(register)
