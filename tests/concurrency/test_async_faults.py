"""What may go wrong at any moment: cancellation, stops, hung threads; and nothing is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from concurrency.async_helpers import check_accounts, double, hop, other_tasks, plain_double
from raudo.concurrency import AsyncProcessor
from raudo.errors import Closed

pytestmark = pytest.mark.timeout(120)


async def nested(x: int) -> int:
    try:
        await asyncio.sleep(0)
        return await hop(x)
    finally:
        await asyncio.sleep(0)


async def source() -> AsyncIterator[Any]:
    for i in range(12):
        await asyncio.sleep(0)
        yield nested, (i,)


async def use(processor: AsyncProcessor, way: str) -> None:
    tasks: list[Any] = [(nested, (i,)) if i % 3 else (plain_double, (i,)) for i in range(12)]
    if way == "batch":
        await processor.process_batch(tasks, 4)
    elif way == "stream":
        async for _ in processor.stream(tasks, 4, ordered=True):
            await asyncio.sleep(0)
    elif way == "async stream":
        async with contextlib.aclosing(processor.stream(source(), 3)) as outcomes:
            async for _ in outcomes:
                await asyncio.sleep(0)
    elif way == "process":
        for i in range(6):
            await processor.process(nested, i, timeout=5)
            await processor.process(plain_double, i, kind="thread")
    else:
        futures = [await processor.submit(nested, i) for i in range(12)]
        await asyncio.gather(*futures)


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("way", ["batch", "stream", "async stream", "process", "submit"])
async def test_cancellation_in_every_turn_of_the_loop(way: str, isolate: bool) -> None:
    """Nothing is lost or left, wherever it strikes."""
    processor = AsyncProcessor(4, use_processes=False, isolate=isolate, queue_size=3)
    was_cancelled = n_turns = 0
    while True:
        task = asyncio.create_task(use(processor, way))
        for _ in range(n_turns):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        was_cancelled += task.cancelled()
        await processor.drain()
        gc.collect()
        for _ in range(4):  # the loop closes the input that was given up
            await asyncio.sleep(0)
        assert not other_tasks(), n_turns
        check_accounts(processor)
        n_turns += 1
        if n_turns > 300:  # threads may keep it from ever ending within its turns
            break
    await task
    assert was_cancelled >= 5
    await processor.stop()


@pytest.mark.parametrize("way", ["batch", "stream", "process", "submit"])
async def test_stop_in_every_turn_of_the_loop(way: str) -> None:
    for n_turns in range(40):
        processor = AsyncProcessor(4, use_processes=False, queue_size=3)
        task = asyncio.create_task(use(processor, way))
        for _ in range(n_turns):
            await asyncio.sleep(0)
        ended = await processor.stop(cancel=True)
        with contextlib.suppress(Closed, asyncio.CancelledError):
            await task
        stats = check_accounts(processor)
        assert ended.cancelled <= stats["cancelled"]
        assert not other_tasks()


async def test_hung_thread_does_not_hold_up_stop() -> None:
    gate, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        gate.wait(100)

    try:
        processor = AsyncProcessor(2, use_processes=False)
        hanging = asyncio.create_task(processor.process(hang, kind="thread"))
        assert await asyncio.to_thread(begun.wait, 30)
        async with asyncio.timeout(30):
            ended = await processor.stop(timeout=0.01)
        assert (ended.cancelled, ended.abandoned) == (1, 1)
        with pytest.raises(Closed):
            await hanging
        await processor.start()
        assert await processor.process(plain_double, 4, kind="thread") == 8
        await processor.stop()
    finally:
        gate.set()


async def test_hung_thread_fails_in_time_and_keeps_its_place() -> None:
    gate = threading.Event()
    processor = AsyncProcessor(1, use_processes=False)
    try:
        with pytest.raises(TimeoutError):
            await processor.process(gate.wait, 100, kind="thread", timeout=0.01)
        waiting = asyncio.create_task(processor.process(plain_double, 1, kind="thread"))
        await asyncio.sleep(0.02)
        assert not waiting.done()  # its own time has not begun either
    finally:
        gate.set()
    assert await waiting == 2
    await processor.stop()


def _counts() -> tuple[int, int, int]:
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(gc.get_objects())


def test_thousands_of_starts_and_stops_leave_nothing() -> None:
    async def cycle(n: int) -> None:
        for i in range(n):
            async with AsyncProcessor(2, use_processes=False) as processor:
                await processor.process_batch([(double, (i,)), (plain_double, (i,))], kind="auto")
                await (await processor.submit(hop, i))

    def run(n: int) -> None:
        asyncio.run(cycle(n))

    run(50)
    threads, descriptors, objects = _counts()
    run(2_000)
    for _ in range(20):
        run(5)
    after = _counts()
    assert after[0] <= threads
    assert after[1] <= descriptors
    assert after[2] <= objects + 200
