"""`BatchProcessor.process`: any iterable in batches, and how errors end it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from concurrency.async_helpers import other_tasks
from concurrency.batch_helpers import Recorder
from raudo.concurrency import BatchProcessor

pytestmark = pytest.mark.timeout(60)


async def as_async(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("source", [list, iter, as_async], ids=["list", "iterator", "async"])
@pytest.mark.parametrize("n", [0, 1, 9, 10, 11, 95])
async def test_any_iterable_is_cut_into_batches(source: Any, n: int) -> None:
    sizes: list[int] = []

    async def handle(items: list[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0.001 * random.random())
        return [2 * i for i in items]

    batch = BatchProcessor(10)
    assert await batch.process(source(range(n)), handle) == [2 * i for i in range(n)]
    assert sum(sizes) == n
    assert all(size == 10 for size in sorted(sizes, reverse=True)[: n // 10])
    assert not other_tasks()


async def test_process_refuses_what_it_cannot_do() -> None:
    batch = BatchProcessor()
    with pytest.raises(TypeError, match="items"):
        await batch.process(5, lambda items: items)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="handler"):
        await batch.process([1], 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="handler"):
        batch.handler(5)  # type: ignore[type-var]


async def test_first_error_ends_the_processing() -> None:
    cleaned = 0

    async def handle(items: list[int]) -> list[int]:
        nonlocal cleaned
        if items[0] == 4:
            await asyncio.sleep(0)
            raise OSError("bad batch")
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned += 1
        return items

    batch = BatchProcessor(2, max_concurrent=3)
    with pytest.raises(OSError, match="bad batch"):
        await batch.process(range(1000), handle)
    assert cleaned == 2
    assert not other_tasks()
    async with asyncio.timeout(5):  # the places of the cancelled are free again
        assert await batch.process(range(9), lambda items: items) == list(range(9))
    await batch.close()


async def test_error_of_the_input_ends_the_processing() -> None:
    def items() -> Any:
        yield from range(5)
        raise OSError("the input broke")

    batch = BatchProcessor(2, handler=Recorder())
    with pytest.raises(OSError, match="the input broke"):
        await batch.process(items())
    assert not other_tasks()


async def test_cancelling_process_cancels_its_batches() -> None:
    record = Recorder(3600)
    batch = BatchProcessor(2, handler=record, max_concurrent=3)
    work = asyncio.create_task(batch.process(range(100)))
    await asyncio.sleep(0.01)
    assert record.running == 3
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert record.running == 0
    assert not other_tasks()


async def test_hundred_thousand_items() -> None:
    most_ahead = taken = done = 0

    def items() -> Any:
        nonlocal taken, most_ahead
        for i in range(100_000):
            taken += 1
            most_ahead = max(most_ahead, taken - done)
            yield i

    async def count(batch_items: list[int]) -> list[int]:
        nonlocal done
        await asyncio.sleep(0)
        done += len(batch_items)
        return batch_items

    batch = BatchProcessor(1000, handler=count)
    assert await batch.process(items()) == list(range(100_000))
    assert most_ahead <= 5 * 1000
