"""Nothing that a pool of objects or buffers does leaks, errors and what was dropped included."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from typing import Any

import numpy as np
from counting import assert_no_growth

from raudo.errors import PoolError, PoolExhausted
from raudo.memory import BufferPool, MemoryOptimizer, ObjectPool
from raudo.testing import FakeClock

logging.disable(logging.CRITICAL)


class Connection:
    is_open = True

    def close(self) -> None:
        raise OSError


class Slotted:
    __slots__ = ("pool",)

    def reset(self) -> None:
        pass


def fail(obj: Any = None) -> Any:
    raise OSError


def plain_pools() -> None:
    for factory in (list, dict, set, bytearray, io.StringIO, Connection, Slotted, lambda: "text"):
        pool: ObjectPool[Any] = ObjectPool(factory, 3)
        lent = [pool.acquire() for _ in range(9)]
        for obj in lent[:6]:
            pool.release(obj)
        with contextlib.suppress(PoolError):
            pool.release(lent[0])
        with contextlib.suppress(PoolError):
            pool.release(object())
        del lent, obj
        with pool.borrow() as obj:
            if isinstance(obj, list):
                obj.append([pool])
        pool.stats()
        pool.trim_unused()
        pool.trim()
        if isinstance(obj, Connection | Slotted):
            obj.pool = pool  # type: ignore[union-attr]
            pool.release(pool.acquire())  # it is idle, and refers to its pool


def failing_pools() -> None:
    with contextlib.suppress(OSError):
        ObjectPool(fail).acquire()
    pool = ObjectPool(list, reset=fail)
    with contextlib.suppress(OSError), pool.borrow():
        pass
    same: list[Any] = []
    stubborn = ObjectPool(lambda: same)
    stubborn.acquire()
    with contextlib.suppress(PoolError):
        stubborn.acquire()


def guarded_pools() -> None:
    clock = FakeClock()
    for check in (lambda each: each.is_open, fail):
        pool = ObjectPool(
            Connection,
            limit=4,
            timeout=0,
            check=check,
            close=Connection.close,
            max_age=10,
            max_idle=3,
            timer=clock,
        )
        lent = [pool.acquire() for _ in range(4)]
        with contextlib.suppress(PoolExhausted):
            pool.acquire()
        lent[0].is_open = False
        for each in lent:
            pool.release(each)
        pool.release(pool.acquire())
        clock.advance(4)
        pool.release(pool.acquire())
        clock.advance(20)
        pool.trim_unused()


async def waiting() -> None:
    pool = ObjectPool(list, limit=1, timeout=5)

    async def borrow() -> None:
        async with pool.borrow():
            await asyncio.sleep(0)

    async with pool.borrow():
        cancelled = asyncio.create_task(borrow())
        others = [asyncio.create_task(borrow()) for _ in range(3)]
        await asyncio.sleep(0)
        cancelled.cancel()
    await asyncio.gather(cancelled, *others, return_exceptions=True)


def buffers() -> None:
    pool = BufferPool(1 << 20)
    for size in (0, 10, 1000, 70_000, 2 << 20):
        with pool.borrow(size, np.uint8, zeroed=True) as array:
            view = array[::2]
        with pool.borrow((size, 2), "float32") as array:
            pass
        with pool.borrow_bytes(size) as data:
            data += b"more"
        with pool.borrow_bytes(size, zeroed=True) as data:
            kept = memoryview(data)
        kept.release()
        with contextlib.suppress(RuntimeError):
            lease = pool.borrow(size)
            with lease, lease:
                pass
    for shape in (-1, (1, -1), 1 << 62, "x"):
        with contextlib.suppress(ValueError, TypeError, MemoryError), pool.borrow(shape):  # type: ignore[arg-type]
            pass
    with contextlib.suppress(TypeError):
        pool.borrow(3, object)
    pool.shrink(0.5)
    pool.trim()
    del view


def optimizers() -> None:
    with MemoryOptimizer(auto_optimize=False) as optimizer:
        optimizer.create_pool("lists", list)
        optimizer.attach("buffers", BufferPool(1 << 20))
        with optimizer.request(0.0):
            optimizer.get_pool("lists").acquire()
        optimizer.idle(0.0)


assert_no_growth("plain pools", plain_pools)
assert_no_growth("failing pools", failing_pools)
assert_no_growth("pools with rules", guarded_pools)
assert_no_growth("tasks that wait for a pool", lambda: asyncio.run(waiting()))
assert_no_growth("buffers", buffers)
assert_no_growth("optimizers", optimizers)
