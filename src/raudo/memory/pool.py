"""The object pool: compiled, see `raudo._core.pool`."""

from raudo._core.lend import register_errors
from raudo._core.pool import ObjectPool
from raudo.errors import PoolError, PoolExhausted

__all__ = ["ObjectPool"]

# The compiled floor imports nothing of raudo, so it is told which errors are the public ones.
register_errors(PoolError, PoolExhausted)
