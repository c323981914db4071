"""`AsyncProcessor.process_batch`: order, errors, cancellation, isolation, memory."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from concurrency.async_helpers import (
    check_accounts,
    double,
    fail,
    hop,
    other_tasks,
    pid_and,
    plain_double,
)
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import AsyncProcessor, Backoff
from raudo.errors import TaskTimeout
from raudo.types import Task

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=[False, True], ids=["shared", "isolated"])
def processor(request: pytest.FixtureRequest) -> AsyncProcessor:
    return AsyncProcessor(4, use_processes=False, isolate=request.param)


async def test_results_come_in_order(processor: AsyncProcessor) -> None:
    async def later(i: int) -> int:
        await asyncio.sleep(0.001 * (5 - i % 5))
        return i

    assert await processor.process_batch([(later, (i,), {}) for i in range(40)]) == list(range(40))
    assert check_accounts(processor)["processed_tasks"] == 40


async def test_all_shapes_of_tasks(processor: AsyncProcessor) -> None:
    async def both(x: int, y: int = 1) -> int:
        return x * y

    tasks: list[Any] = [
        (both, (2,), {"y": 3}),
        (both, (2,)),
        [both, [4], {"y": 2}],
        (lambda: both(7),),
        lambda: both(8),
        Task(both, (3,), {"y": 3}),
        (plain_double, (5,)),
    ]
    assert await processor.process_batch(tasks) == [6, 2, 8, 7, 8, 9, 10]
    await processor.stop()


@pytest.mark.parametrize("tasks", [[], (), iter(()), {}], ids=["list", "tuple", "iterator", "dict"])
async def test_empty_input(processor: AsyncProcessor, tasks: Any) -> None:
    assert await processor.process_batch(tasks) == []


@pytest.mark.parametrize(
    "bad", [3, (double,) * 4, (double, 5), (double, "ab"), (double, (), 3), (3, ()), None, (), ""]
)
async def test_what_is_no_task_ends_the_batch(processor: AsyncProcessor, bad: Any) -> None:
    with pytest.raises(TypeError, match="task 1 must"):
        await processor.process_batch([(double, (1,)), bad, (double, (2,))], return_exceptions=True)
    assert not other_tasks()
    check_accounts(processor)


async def test_input_must_be_iterable(processor: AsyncProcessor) -> None:
    async def endless() -> Any:
        yield double

    with pytest.raises(TypeError, match="tasks must be an iterable"):
        await processor.process_batch(double)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stream"):
        await processor.process_batch(endless())
    with pytest.raises(ValueError, match="max_concurrent"):
        await processor.process_batch([], 0)


async def test_input_that_raises_ends_the_batch(processor: AsyncProcessor) -> None:
    def tasks() -> Iterator[Any]:
        yield asyncio.sleep, (3600,)
        yield double, (1,)
        raise OSError("the input broke")

    with pytest.raises(OSError, match="the input broke"):
        await processor.process_batch(tasks(), 3)
    assert not other_tasks()
    check_accounts(processor)


@pytest.mark.parametrize("n", [1, 3, 16])
def test_no_more_than_max_concurrent_run(processor: AsyncProcessor, n: int) -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async def main() -> None:
        begun = now()
        await processor.process_batch([work] * 48, n)
        assert now() - begun == pytest.approx(48 / n)

    run_virtual(main())
    assert most == n


async def test_first_error_cancels_the_others(processor: AsyncProcessor) -> None:
    ended: list[int] = []

    async def long(i: int) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append(i)

    error = OSError("first")
    tasks = [(long, (0,)), (long, (1,)), (fail, (error,)), (long, (3,)), (double, (4,))]
    with pytest.raises(OSError) as caught:
        await processor.process_batch(tasks, 4)
    assert caught.value is error
    assert sorted(ended) == [0, 1, 3]
    assert not other_tasks()
    stats = check_accounts(processor)
    assert (stats["failed_tasks"], stats["cancelled"]) == (1, 3)


async def test_errors_take_their_places_if_asked_for(processor: AsyncProcessor) -> None:
    errors = [ValueError("a"), StopAsyncIteration(), asyncio.CancelledError()]
    tasks: list[Any] = [(double, (1,)), *((fail, (e,)) for e in errors), (hop, (2,))]
    results = await processor.process_batch(tasks, 2, return_exceptions=True)
    assert (results[0], results[-1]) == (2, 4)
    assert results[1:3] == errors[:2]
    assert isinstance(results[3], asyncio.CancelledError)
    stats = check_accounts(processor)
    assert (stats["failed_tasks"], stats["cancelled"], stats["succeeded_tasks"]) == (2, 1, 2)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("waits", [False, True], ids=["returns", "awaits"])
async def test_item_that_cancels_itself_harms_no_other(
    processor: AsyncProcessor, n: int, waits: bool
) -> None:
    async def cancel_self() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.sleep(0)
        return "returned"

    tasks: list[Any] = [(hop, (1,)), cancel_self, (hop, (2,)), cancel_self, (hop, (3,)), double]
    tasks[-1] = (double, (4,))
    results = await processor.process_batch(tasks, n, return_exceptions=True)
    assert (results[0], results[2], results[4], results[5]) == (2, 4, 6, 8)
    for result in (results[1], results[3]):
        assert result == "returned" or isinstance(result, asyncio.CancelledError)
        if waits:
            assert isinstance(result, asyncio.CancelledError)
    check_accounts(processor)
    if waits:
        with pytest.raises(asyncio.CancelledError):
            await processor.process_batch([(hop, (1,)), cancel_self, (hop, (2,))], n)
    assert not other_tasks()


async def test_item_that_awaits_something_cancelled(processor: AsyncProcessor) -> None:
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()

    async def wait() -> None:
        await gone

    results = await processor.process_batch([wait, (hop, (1,))], 1, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] == 2


async def test_cancelling_the_caller_cancels_all_and_waits_for_it(
    processor: AsyncProcessor,
) -> None:
    cleaned = 0

    async def work() -> None:
        nonlocal cleaned
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.005)
            cleaned += 1

    batch = asyncio.create_task(processor.process_batch([work] * 100, 7))
    await asyncio.sleep(0.005)
    batch.cancel()
    await asyncio.sleep(0)
    batch.cancel()  # impatience changes nothing
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert cleaned == 7
    assert not other_tasks()
    stats = check_accounts(processor)
    assert (stats["submitted_tasks"], stats["cancelled"]) == (7, 7)


async def test_caller_s_timeout_is_a_timeout(processor: AsyncProcessor) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await processor.process_batch([(asyncio.sleep, (3600,))] * 5, 2)
    assert not other_tasks()


async def test_item_that_refuses_to_be_cancelled_is_waited_for(processor: AsyncProcessor) -> None:
    async def deaf() -> str:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.005)
        return "late"

    with pytest.raises(OSError):
        await processor.process_batch([deaf, (fail, (OSError(),))], 2)
    assert not other_tasks()
    assert check_accounts(processor)["succeeded_tasks"] == 1


def test_each_task_has_its_own_time(processor: AsyncProcessor) -> None:
    async def main() -> None:
        tasks = [(asyncio.sleep, (0.5 if i % 3 else 9, i)) for i in range(30)]
        results = await processor.process_batch(tasks, 4, timeout=1, return_exceptions=True)
        for i, result in enumerate(results):
            assert isinstance(result, TaskTimeout) if i % 3 == 0 else result == i
        stats = check_accounts(processor)
        assert (stats["timed_out"], stats["failed_tasks"]) == (10, 10)

    run_virtual(main())


def test_short_tasks_never_time_out_however_long_the_batch(processor: AsyncProcessor) -> None:
    async def main() -> None:
        results = await processor.process_batch(
            [(asyncio.sleep, (0.0009, i)) for i in range(5000)], 3, timeout=0.001
        )
        assert results == list(range(5000))

    run_virtual(main())


def test_failed_items_are_retried_without_holding_up_others() -> None:
    calls: dict[int, int] = {}

    async def flaky(i: int) -> int:
        calls[i] = calls.get(i, 0) + 1
        if i % 4 == 0 and calls[i] < 3:
            raise OSError
        return i

    async def main() -> None:
        processor = AsyncProcessor(retries=2, backoff=Backoff(1, jitter=0))
        results = await processor.process_batch([(flaky, (i,), {}) for i in range(40)], 4)
        assert results == list(range(40))
        stats = check_accounts(processor)
        assert (stats["retried"], stats["succeeded_tasks"]) == (20, 40)

    run_virtual(main())


async def test_progress_is_told(processor: AsyncProcessor) -> None:
    told: list[tuple[int, int | None]] = []
    await processor.process_batch(
        [(double, (i,)) for i in range(5)], on_progress=lambda *a: told.append(a)
    )
    assert told == [(i, 5) for i in range(1, 6)]
    told.clear()
    await processor.process_batch(
        iter([(hop, (i,)) for i in range(3)]), on_progress=lambda *a: told.append(a)
    )
    assert told == [(1, None), (2, None), (3, None)]

    def explode(n: int, total: int | None) -> None:
        raise ArithmeticError("progress")

    with pytest.raises(ArithmeticError, match="progress"):
        await processor.process_batch([(hop, (i,)) for i in range(9)], 3, on_progress=explode)
    assert not other_tasks()
    check_accounts(processor)


async def test_loop_is_not_starved_by_items_that_never_suspend() -> None:
    processor = AsyncProcessor()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticker = asyncio.create_task(tick())
    await processor.process_batch(((double, (i,), {}) for i in range(100_000)), 2)
    ticker.cancel()
    assert ticks >= 2


variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


async def test_isolation_keeps_context_variables_apart() -> None:
    async def bump() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    def bump_plain() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    apart = AsyncProcessor(isolate=True)
    assert await apart.process_batch([bump] * 6, 2) == [1] * 6
    assert await apart.process_batch([bump_plain] * 6, 2, kind="inline") == [1] * 6
    shared = AsyncProcessor()
    assert sorted(await shared.process_batch([bump] * 3, 1)) == [1, 2, 3]  # as documented
    assert variable.get() == 0  # never the caller's


async def test_mixed_kinds_in_one_batch() -> None:
    async with AsyncProcessor(4) as processor:
        tasks: list[Any] = []
        for i in range(30):
            tasks += [(double, (i,)), (plain_double, (i,)), (hop, (i,))]
        assert await processor.process_batch(tasks) == [2 * i for i in range(30) for _ in range(3)]
        pids = await processor.process_batch([(pid_and, (i,)) for i in range(6)], kind="process")
        assert [i for _, i in pids] == list(range(6))
        stats = check_accounts(processor)
    assert stats["by_kind"]["process"] == 6
    assert stats["by_kind"]["async"] == 60


async def test_cancelled_batch_of_thread_tasks_drops_their_results() -> None:
    release, begun = threading.Event(), threading.Semaphore(0)
    processor = AsyncProcessor(2, use_processes=False)

    def wait() -> None:
        begun.release()
        release.wait(30)

    batch = asyncio.create_task(processor.process_batch([wait] * 6, 4, kind="thread"))
    for _ in range(2):
        assert await asyncio.to_thread(begun.acquire, timeout=30)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    stats = check_accounts(processor)
    assert (stats["cancelled"], stats["abandoned_threads"]) == (4, 2)
    release.set()
    assert await processor.process(plain_double, 3, kind="thread") == 6
    await processor.stop()


async def test_keyboard_interrupt_is_not_swallowed() -> None:
    def run() -> None:
        processor = AsyncProcessor(2, use_processes=False)

        async def interrupt() -> None:
            await asyncio.sleep(0)
            raise KeyboardInterrupt

        async def main() -> None:
            await processor.process_batch(
                [(asyncio.sleep, (3600,)), interrupt], 2, return_exceptions=True
            )

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        check_accounts(processor)

    await asyncio.to_thread(run)


async def test_hundred_thousand_items_hold_little_memory() -> None:
    processor = AsyncProcessor()

    def tasks() -> Iterator[Any]:
        for _ in range(100_000):
            yield none, (), {}

    async def none() -> None:
        await asyncio.sleep(0)

    await processor.process_batch(tasks())
    gc.collect()
    tracemalloc.start()
    try:
        results = await processor.process_batch([(none, (), {})] * 10_000)
        assert len(results) == 10_000
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        results = await processor.process_batch((none, (), {}) for _ in range(10_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (peak - before) / 10_000 <= 60
    assert check_accounts(processor)["processed_tasks"] == 120_000


async def test_failures_leave_no_reference_cycles() -> None:
    processor = AsyncProcessor(2, use_processes=False)

    async def bad(x: int) -> None:
        await asyncio.sleep(0)
        raise OSError

    async def once() -> None:
        tasks = [(hop, (1,)), (bad, (1,)), (hop, (2,))]
        for awaitable in (
            processor.process_batch(tasks, 2),
            processor.process_batch(tasks, 2, return_exceptions=True),
            processor.process(bad, 1),
            await processor.submit(bad, 1),
        ):
            with contextlib.suppress(OSError):  # pytest.raises itself makes cycles
                await awaitable
            del awaitable
        async for _ in processor.stream(tasks, 2):
            pass

    await once()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            await once()
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()
