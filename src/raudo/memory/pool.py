"""The object pool: compiled, see `raudo._core.pool`."""

from raudo._core.pool import ObjectPool, register_error
from raudo.errors import PoolError

__all__ = ["ObjectPool"]

# The compiled floor imports nothing of raudo, so it is told which error is the public one.
register_error(PoolError)
