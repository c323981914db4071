"""What a pool saves: an object made and dropped, beside one acquired and released.

    python -m pytest benchmarks/bench_memory_pools.py --benchmark-sort=mean

Each group is one kind of object; `made` allocates, `pooled` uses an `ObjectPool` or `BufferPool`,
`queue` the standard library's queue, `stack` a plain list. Writing to the buffers is part of the
work: fresh pages cost only when they are touched.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raudo.memory import BufferPool, ObjectPool, compact


class Slotted:
    """Twelve fields, set one by one: what a request or record object costs."""

    __slots__ = tuple("abcdefghijkl")

    def __init__(self) -> None:
        self.a = self.b = self.c = self.d = self.e = self.f = None
        self.g = self.h = self.i = self.j = self.k = self.l = None


FACTORIES = {"list": list, "dict": dict, "slotted": Slotted}
WAYS = ("made", "pooled", "stack", "queue")


def steps_of(way: str, factory: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that gets one object and gives it back."""
    if way == "made":
        return factory
    if way == "pooled":
        pool = ObjectPool(factory)
        acquire, release = pool.acquire, pool.release
        return lambda: release(acquire())
    if way == "stack":
        stack = [factory()]
        pop, append = stack.pop, stack.append
        return lambda: append(pop())
    shared: queue.SimpleQueue[Any] = queue.SimpleQueue()
    shared.put(factory())
    return lambda: shared.put(shared.get())


@pytest.mark.parametrize("kind", FACTORIES)
@pytest.mark.parametrize("way", WAYS)
def bench_objects(benchmark: Any, sized: Callable[[int], int], kind: str, way: str) -> None:
    benchmark.group = f"object: {kind}"
    step = steps_of(way, FACTORIES[kind])
    n = sized(10_000)

    def loop() -> None:
        for _ in range(n):
            step()

    benchmark.extra_info["operations"] = n
    benchmark(loop)


@pytest.mark.parametrize("n_bytes", [1 << 12, 1 << 16, 1 << 20, 1 << 24])
@pytest.mark.parametrize("way", ["made", "zeros", "pooled"])
def bench_arrays(benchmark: Any, sized: Callable[[int], int], n_bytes: int, way: str) -> None:
    benchmark.group = f"array of {n_bytes} bytes, filled"
    n = sized(n_bytes // 4)
    buffers = BufferPool()

    def made() -> None:
        np.empty(n, np.float32).fill(1.0)

    def zeros() -> None:
        np.zeros(n, np.float32)

    def pooled() -> None:
        with buffers.borrow(n, np.float32) as array:
            array.fill(1.0)

    benchmark({"made": made, "zeros": zeros, "pooled": pooled}[way])


@pytest.mark.parametrize("n_bytes", [1 << 12, 1 << 16, 1 << 20])
@pytest.mark.parametrize("way", ["made", "pooled"])
def bench_bytearrays(benchmark: Any, sized: Callable[[int], int], n_bytes: int, way: str) -> None:
    benchmark.group = f"bytearray of {n_bytes} bytes"
    n = sized(n_bytes)
    buffers = BufferPool()

    def made() -> None:
        bytearray(n)

    def pooled() -> None:
        with buffers.borrow_bytes(n):
            pass

    benchmark({"made": made, "pooled": pooled}[way])


def bench_borrow(benchmark: Any) -> None:
    benchmark.group = "with pool.borrow()"
    pool = ObjectPool(list)

    def borrow() -> None:
        with pool.borrow():
            pass

    benchmark(borrow)


def bench_compact(benchmark: Any, sized: Callable[[int], int]) -> None:
    benchmark.group = "compact"
    n = sized(20_000)

    def records() -> tuple[tuple[list[Any]], dict[str, Any]]:
        return ([{"city": f"city {i % 50}", "tags": [f"tag {i % 10}"]} for i in range(n)],), {}

    benchmark.pedantic(compact, setup=records, rounds=5)
