"""`AsyncProcessor`: contexts and loops, and how it starts, drains and stops."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from concurrency.async_helpers import (
    check_accounts,
    double,
    fail,
    other_tasks,
    plain_double,
)
from raudo.concurrency import AsyncProcessor
from raudo.errors import Closed

pytestmark = pytest.mark.timeout(60)


request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


async def test_context_variables_reach_every_kind() -> None:
    async with AsyncProcessor(2, use_processes=False) as processor:
        request_id.set("r1")
        assert await processor.process(request_id.get, kind="thread") == "r1"
        assert await processor.process(request_id.get, kind="inline") == "r1"
        assert await processor.process_batch([(request_id.get, ())] * 4) == ["r1"] * 4
        future = await processor.submit(request_id.get)
        assert await future == "r1"
        await processor.process(request_id.set, "r2", kind="thread")
        assert request_id.get() == "r1"


def test_one_processor_serves_loops_one_after_another() -> None:
    processor = AsyncProcessor(2, use_processes=False)

    async def use(n: int) -> None:
        assert await processor.process(plain_double, n) == 2 * n
        assert await processor.process_batch([(double, (i,)) for i in range(5)]) == [0, 2, 4, 6, 8]
        assert await (await processor.submit(double, n)) == 2 * n
        assert [o.value async for o in processor.stream([(double, (1,))])] == [2]

    for n in range(3):
        asyncio.run(use(n))
    assert check_accounts(processor)["processed_tasks"] == 24
    asyncio.run(processor.stop())


def test_loops_in_several_threads_share_a_processor() -> None:
    processor = AsyncProcessor(4, use_processes=False)
    failures: list[BaseException] = []

    def serve() -> None:
        async def use() -> None:
            for _ in range(5):
                tasks = [(plain_double, (i,)) for i in range(40)]
                assert await processor.process_batch(tasks) == [2 * i for i in range(40)]

        try:
            asyncio.run(use())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert check_accounts(processor)["processed_tasks"] == 800
    asyncio.run(processor.stop())


def test_tasks_of_a_loop_that_was_closed_under_them_count_as_cancelled() -> None:
    release = threading.Event()
    processor = AsyncProcessor(2, use_processes=False)
    loop = asyncio.new_event_loop()
    task = loop.create_task(processor.process(release.wait, 30, kind="thread"))
    loop.run_until_complete(asyncio.sleep(0.02))
    assert processor.get_stats()["running"] == 1
    loop.close()
    release.set()  # its thread now reports to a closed loop
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert check_accounts(processor)["cancelled"] == 1
    asyncio.run(processor.process(double, 1))
    del task
    asyncio.run(processor.stop())


async def test_stop_finishes_what_is_in_flight() -> None:
    processor = AsyncProcessor(2, use_processes=False)
    futures = [await processor.submit(asyncio.sleep, 0.01, i) for i in range(6)]
    ended = await processor.stop()
    assert (ended.succeeded, ended.failed, ended.cancelled) == (6, 0, 0)
    assert [future.result() for future in futures] == list(range(6))
    with pytest.raises(Closed):
        await processor.process(double, 1)
    with pytest.raises(Closed):
        await processor.submit(double, 1)
    assert await processor.stop() == (0, 0, 0, 0)
    assert not other_tasks()
    check_accounts(processor)


async def test_stop_cancels_if_it_is_told_to() -> None:
    processor = AsyncProcessor(2, use_processes=False)
    futures = [await processor.submit(asyncio.sleep, 3600) for _ in range(5)]
    call = asyncio.create_task(processor.process(asyncio.sleep, 3600))
    batch = asyncio.create_task(processor.process_batch([(asyncio.sleep, (3600,))] * 4, 2))

    async def consume() -> None:
        async for _ in processor.stream([(asyncio.sleep, (3600,))] * 4, 2):
            pass

    stream = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    ended = await processor.stop(cancel=True)
    assert ended.cancelled == 5 + 1 + 2 + 2
    assert all(future.cancelled() for future in futures)
    for task in (call, batch, stream):
        with pytest.raises(Closed):
            await task
    assert not other_tasks()
    check_accounts(processor)


async def test_stop_gives_up_waiting_after_its_timeout() -> None:
    processor = AsyncProcessor(2, use_processes=False)
    quick = await processor.submit(asyncio.sleep, 0, "quick")
    slow = await processor.submit(asyncio.sleep, 3600)
    ended = await processor.stop(timeout=0.02)
    assert (ended.succeeded, ended.cancelled) == (1, 1)
    assert quick.result() == "quick"
    assert slow.cancelled()


async def test_start_makes_it_usable_again_and_leaves_nothing() -> None:
    processor = AsyncProcessor(2, use_processes=False)
    for i in range(100):
        async with processor:
            assert await processor.process(plain_double, i, kind="thread") == 2 * i
    assert not [t for t in threading.enumerate() if t.name.startswith("raudo-async")]
    assert check_accounts(processor)["processed_tasks"] == 100


async def test_drain_waits_and_counts() -> None:
    processor = AsyncProcessor(2, use_processes=False)
    assert await processor.drain() == (0, 0, 0, 0)
    for i in range(4):
        await processor.submit(asyncio.sleep, 0.001, i)
    bad = await processor.submit(fail, OSError("x"))
    ended = await processor.drain()
    assert (ended.succeeded, ended.failed) == (4, 1)
    assert isinstance(bad.exception(), OSError)
    await processor.stop()


async def test_leaving_with_an_error_cancels() -> None:
    with pytest.raises(ZeroDivisionError):
        async with AsyncProcessor(2, use_processes=False) as processor:
            future = await processor.submit(asyncio.sleep, 3600)
            raise ZeroDivisionError
    assert future.cancelled()
