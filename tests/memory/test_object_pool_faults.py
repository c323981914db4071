"""Factories, resets and destructors that fail or use the pool leave it whole."""

from __future__ import annotations

import pytest

from memory.pool_helpers import Plain, balance
from raudo.errors import PoolError
from raudo.memory import ObjectPool


def test_failing_factory_changes_nothing():
    faults = [OSError("no"), None]

    def factory():
        if (fault := faults.pop(0)) is not None:
            raise fault
        return Plain()

    pool = ObjectPool(factory)
    with pytest.raises(OSError, match="no"):
        pool.acquire()
    assert pool.stats()["created"] == pool.in_use == 0
    pool.release(pool.acquire())
    assert balance(pool)


def test_object_whose_reset_failed_is_discarded():
    def reset(obj):
        raise RuntimeError("broken")

    pool = ObjectPool(Plain, reset=reset)
    obj = pool.acquire()
    with pytest.raises(RuntimeError, match="broken"):
        pool.release(obj)
    stats = pool.stats()
    assert (stats["in_use"], stats["idle"], stats["discarded"]) == (0, 0, 1)
    assert pool.acquire() is not obj
    assert balance(pool)


def test_bytearray_with_a_view_is_discarded():
    pool = ObjectPool(bytearray)
    data = pool.acquire()
    data += b"abc"
    with memoryview(data), pytest.raises(BufferError):
        pool.release(data)
    assert pool.idle == 0
    assert balance(pool)


def test_factory_that_returns_the_same_object_again_is_an_error():
    shared = Plain()
    pool = ObjectPool(lambda: shared)
    pool.acquire()
    with pytest.raises(PoolError, match="must make a new object"):
        pool.acquire()
    pool.release(shared)
    assert balance(pool)


def test_container_refilled_by_a_destructor_is_not_lent_again():
    class Refill:
        def __init__(self, target):
            self.target = target

        def __del__(self):
            self.target.append("back")

    pool = ObjectPool(list)
    obj = pool.acquire()
    obj.append(Refill(obj))
    pool.release(obj)
    assert pool.idle == 0
    assert pool.acquire() == []


def test_factory_reset_and_destructors_may_use_the_pool():
    class Nested:
        def __del__(self):
            pool.release(pool.acquire())

    def reset(obj):
        if depth and depth.pop():
            pool.release(pool.acquire())

    depth = [True, True]
    pool = ObjectPool(list, max_size=2, reset=reset)
    lent = [pool.acquire() for _ in range(8)]
    for each in lent:
        each.append(Nested())
    while lent:
        pool.release(lent.pop())
    pool.trim()
    assert balance(pool)


def test_release_while_its_reset_is_under_way_is_refused():
    def reset(obj):
        with pytest.raises(PoolError, match="twice"):
            pool.release(obj)
        pool.stats()
        pool.trim()

    pool = ObjectPool(Plain, reset=reset)
    pool.release(pool.acquire())
    assert pool.idle == 1
