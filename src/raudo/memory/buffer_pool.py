"""The pool of buffers: compiled, see `raudo._core.buffers`."""

from raudo._core.buffers import BufferPool, size_class

__all__ = ["BufferPool", "size_class"]
