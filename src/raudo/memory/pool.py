"""The object pool: compiled, see `raudo._core.pool`."""

import raudo._core.lend  # noqa: F401  (gives the class its acquire, release and borrow)
from raudo._core.pool import ObjectPool
from raudo._core.stock import register_errors
from raudo.errors import PoolError, PoolExhausted

__all__ = ["ObjectPool"]

# The compiled floor imports nothing of raudo, so it is told which errors are the public ones.
register_errors(PoolError, PoolExhausted)
