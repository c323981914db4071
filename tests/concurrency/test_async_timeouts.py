"""`AsyncProcessor.process`: timeouts, cancellations, and which of them it was."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from concurrency.async_helpers import (
    check_accounts,
    double,
    pid_and,
    plain_double,
    spin,
)
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import AsyncProcessor
from raudo.errors import TaskTimeout

pytestmark = pytest.mark.timeout(60)


def test_coroutine_is_cancelled_at_its_timeout() -> None:
    ended: list[float] = []

    async def stuck() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(now())

    async def main() -> None:
        processor = AsyncProcessor(timeout=2)
        begun = now()
        with pytest.raises(TaskTimeout, match=r"longer than 2 s") as caught:
            await processor.process(stuck)
        assert isinstance(caught.value, TimeoutError)
        assert ended[0] - begun == pytest.approx(2, rel=0.01)
        with pytest.raises(TaskTimeout, match=r"longer than 0\.001 s"):
            await processor.process(stuck, timeout=0.001)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        stats = check_accounts(processor)
        assert (stats["timed_out"], stats["failed_tasks"]) == (2, 2)

    run_virtual(main())


def test_many_timeouts_each_come_in_time() -> None:
    async def main() -> None:
        processor = AsyncProcessor(timeout=1)
        begun = now()
        late: list[float] = []

        async def one(i: int) -> None:
            await asyncio.sleep(i / 100)
            start = now()
            with pytest.raises(TaskTimeout):
                await processor.process(asyncio.sleep, 60)
            late.append(now() - start - 1)

        await asyncio.gather(*map(one, range(200)))
        assert now() - begun < 3.1
        assert min(late) >= 0
        assert max(late) <= 1 / 128 + 1e-6

    run_virtual(main())


def test_outer_cancellation_is_not_taken_for_a_timeout() -> None:
    async def main() -> None:
        processor = AsyncProcessor(timeout=5)
        task = asyncio.create_task(processor.process(asyncio.sleep, 60))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stats = check_accounts(processor)
        assert (stats["cancelled"], stats["timed_out"]) == (1, 0)

    run_virtual(main())


def test_cancellation_and_timeout_at_once_is_a_cancellation() -> None:
    async def main() -> None:
        processor = AsyncProcessor(timeout=5)

        async def stubborn() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
                raise

        task = asyncio.create_task(processor.process(stubborn))
        await asyncio.sleep(5.5)  # timed out, but not yet gone
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        check_accounts(processor)

    run_virtual(main())


async def test_computed_timeouts_leave_no_timers_behind() -> None:
    loop: Any = asyncio.get_running_loop()
    async with AsyncProcessor(2) as processor:
        for n in range(2000):
            assert await processor.process(double, n, timeout=30 + n / 100) == 2 * n
        assert sum(not timer.cancelled() for timer in loop._scheduled) < 500


def test_nested_timeouts_are_told_apart() -> None:
    async def main() -> None:
        processor = AsyncProcessor()

        async def inner() -> None:
            await processor.process(asyncio.sleep, 60, timeout=50)

        with pytest.raises(TaskTimeout, match=r"longer than 2 s"):
            await processor.process(inner, timeout=2)
        with pytest.raises(TaskTimeout, match=r"longer than 0\.5 s"):
            async with asyncio.timeout(10):
                await processor.process(asyncio.sleep, 60, timeout=0.5)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(1):
                await processor.process(asyncio.sleep, 60, timeout=5)
        assert not isinstance(caught.value, TaskTimeout)
        check_accounts(processor)

    run_virtual(main())


def test_value_that_comes_in_spite_of_the_timeout_stands() -> None:
    async def deaf() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "done"

    async def main() -> None:
        processor = AsyncProcessor(timeout=1)
        assert await processor.process(deaf) == "done"
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
        await asyncio.sleep(0)
        assert await processor.process_batch([(deaf, (), {})] * 3, 2) == ["done"] * 3
        check_accounts(processor)

    run_virtual(main())


async def test_thread_that_exceeds_its_time_is_abandoned_and_counted() -> None:
    release = threading.Event()
    processor = AsyncProcessor(1, use_processes=False)
    await processor.process(plain_double, 1, kind="thread")  # the thread is there
    with pytest.raises(TaskTimeout):
        await processor.process(release.wait, 30, timeout=0.1, kind="thread")
    assert processor.get_stats()["abandoned_threads"] == 1
    # The one thread is still busy: the next task waits for it, and its time does not run yet.
    waiting = asyncio.create_task(processor.process(plain_double, 4, timeout=0.05, kind="thread"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    release.set()
    assert await waiting == 8
    await processor.stop()
    check_accounts(processor)


async def test_process_that_exceeds_its_time_is_killed() -> None:
    async with AsyncProcessor(1) as processor:
        pid, _ = await processor.process(pid_and, 0, kind="process")
        with pytest.raises(TaskTimeout):
            await processor.process(spin, 30, timeout=0.05, kind="process")
        new_pid, _ = await processor.process(pid_and, 0, kind="process")
        assert new_pid != pid
        assert check_accounts(processor)["timed_out"] == 1


async def test_cancelled_process_task_is_killed() -> None:
    async with AsyncProcessor(1) as processor:
        pid, _ = await processor.process(pid_and, 0, kind="process")
        task = asyncio.create_task(processor.process(spin, 30, kind="process"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        new_pid, _ = await processor.process(pid_and, 0, kind="process")
        assert new_pid != pid
