"""`AsyncProcessor.process`: kinds, timeouts, retries, errors and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import statistics
import threading
from typing import Any

import pytest

from concurrency.async_helpers import (
    check_accounts,
    double,
    fail,
    other_tasks,
    pid_and,
    plain_double,
    spin,
)
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import AsyncProcessor, Backoff
from raudo.concurrency._pools import Pools
from raudo.errors import Closed, TaskTimeout
from raudo.types import Sample

pytestmark = pytest.mark.timeout(60)


class Callable:
    async def __call__(self, x: int) -> int:
        return 2 * x

    async def method(self, x: int) -> int:
        return 2 * x


@pytest.mark.parametrize(
    "fn",
    [
        double,
        plain_double,
        functools.partial(double),
        Callable(),
        Callable().method,
        lambda x: double(x),
        lambda x: 2 * x,
    ],
    ids=["async", "plain", "partial", "callable", "method", "lambda-async", "lambda"],
)
@pytest.mark.parametrize("isolate", [False, True])
async def test_any_callable_is_run(fn: Any, isolate: bool) -> None:
    async with AsyncProcessor(2, use_processes=False, isolate=isolate) as processor:
        assert await processor.process(fn, 21) == 42
        assert await processor.process_batch([(fn, (21,))] * 3) == [42] * 3
        check_accounts(processor)


async def test_kinds_say_where_it_runs() -> None:
    me = threading.get_ident()
    async with AsyncProcessor(2) as processor:
        assert await processor.process(threading.get_ident, kind="inline") == me
        assert await processor.process(threading.get_ident, kind="thread") != me
        pid, x = await processor.process(pid_and, 5, kind="process")
        assert (pid != os.getpid(), x) == (True, 5)
        assert await processor.process(lambda: double(1), kind="async") == 2
        with pytest.raises(TypeError, match="coroutine function"):
            await processor.process(plain_double, 1, kind="async")
        stats = check_accounts(processor)
    assert stats["by_kind"] == {"async": 1, "thread": 1, "process": 1, "inline": 1}
    assert stats["processed_tasks"] == 5
    assert stats["failed_tasks"] == 1
    assert stats["success_rate"] == 0.8


async def test_kinds_that_are_switched_off_are_refused() -> None:
    async with AsyncProcessor(2, use_threads=False, use_processes=False) as processor:
        with pytest.raises(ValueError, match="use_threads"):
            await processor.process(plain_double, 1, kind="thread")
        with pytest.raises(ValueError, match="use_processes"):
            await processor.process(plain_double, 1, kind="process")
        with pytest.raises(ValueError, match="kind must be"):
            await processor.process(plain_double, 1, kind="fiber")  # type: ignore[arg-type]
        me = threading.get_ident()
        assert await processor.process(threading.get_ident) == me
        assert processor.get_stats()["workers"]["threads"] == 0


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_workers": 0}, ValueError, "max_workers"),
        ({"max_workers": 2.0}, TypeError, "max_workers"),
        ({"min_workers": 40}, ValueError, "min_workers"),
        ({"queue_size": 0}, ValueError, "queue_size"),
        ({"on_full": "explode"}, ValueError, "on_full"),
        ({"timeout": 0.0005}, ValueError, "timeout"),
        ({"timeout": 61}, ValueError, "timeout"),
        ({"timeout": "1"}, TypeError, "timeout"),
        ({"retries": -1}, ValueError, "retries"),
        ({"retry_on": BaseException}, ValueError, "retry_on"),
        ({"backoff": -1}, ValueError, "backoff"),
        ({"rate": 0}, ValueError, "rate"),
        ({"rate": "10"}, TypeError, "rate"),
        ({"breaker": 5}, TypeError, "breaker"),
        ({"retry_budget": 5}, TypeError, "retry_budget"),
    ],
)
def test_bad_settings_are_named(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        AsyncProcessor(**arguments)


async def test_bad_calls_are_named() -> None:
    processor = AsyncProcessor()
    with pytest.raises(ValueError, match="timeout"):
        await processor.process(double, 1, timeout=0)
    with pytest.raises(ValueError, match="retries"):
        await processor.process(double, 1, retries=-1)
    with pytest.raises(TypeError, match="function"):
        await processor.process(3)  # type: ignore[arg-type]
    assert processor.get_stats()["submitted_tasks"] == 0


# --- timeouts -------------------------------------------------------------------------------


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


# --- retries and errors ---------------------------------------------------------------------


def test_retries_back_off_and_are_counted() -> None:
    times: list[float] = []

    async def flaky() -> str:
        times.append(now())
        if len(times) < 4:
            raise OSError("busy")
        return "ok"

    async def main() -> None:
        processor = AsyncProcessor(retries=3, retry_on=OSError, backoff=Backoff(1, jitter=0))
        assert await processor.process(flaky) == "ok"
        assert [late - times[0] for late in times] == pytest.approx([0, 1, 3, 7])
        with pytest.raises(ValueError):
            await processor.process(fail, ValueError("not named"))
        stats = check_accounts(processor)
        assert (stats["retried"], stats["failed_tasks"], stats["processed_tasks"]) == (3, 1, 2)

    run_virtual(main())


def test_timeouts_are_retried_if_named() -> None:
    async def main() -> None:
        processor = AsyncProcessor(retries=2, retry_on=TimeoutError, backoff=0, timeout=1)
        begun = now()
        with pytest.raises(TaskTimeout) as caught:
            await processor.process(asyncio.sleep, 60)
        assert caught.value.__notes__ == ["gave up after 3 attempts"]
        assert now() - begun == pytest.approx(3, rel=0.02)
        assert check_accounts(processor)["timed_out"] == 3

    run_virtual(main())


class TwoArguments(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)


@pytest.mark.parametrize("kind", ["inline", "thread", "auto"])
@pytest.mark.parametrize(
    "error", [ValueError("x"), TwoArguments(1, "x"), StopAsyncIteration(), GeneratorExit()]
)
async def test_errors_arrive_as_they_are(kind: Any, error: BaseException) -> None:
    def bad() -> None:
        raise error

    async with AsyncProcessor(2, use_processes=False) as processor:
        with pytest.raises(type(error)) as caught:
            await processor.process(bad, kind=kind)
        assert caught.value is error
        assert check_accounts(processor)["failed_tasks"] == 1


@pytest.mark.parametrize("kind", ["inline", "thread"])
async def test_stop_iteration_becomes_a_runtime_error(kind: Any) -> None:
    async with AsyncProcessor(2) as processor:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await processor.process(next, iter(()), kind=kind)
        check_accounts(processor)


async def test_cancelled_error_of_the_task_passes_through_unretried() -> None:
    calls = 0

    async def cancels() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    processor = AsyncProcessor(retries=5, backoff=0)
    with pytest.raises(asyncio.CancelledError):
        await processor.process(cancels)
    assert calls == 1
    assert check_accounts(processor)["cancelled"] == 1


# --- context, loops, life -------------------------------------------------------------------

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


async def test_samples_tell_what_the_stats_tell() -> None:
    async with AsyncProcessor(2, use_processes=False, name="mine") as processor:
        await processor.process_batch([(double, (i,)) for i in range(7)])
        samples = list(processor.samples())
    assert all(isinstance(each, Sample) for each in samples)
    assert all(("processor", "mine") in each.labels for each in samples)
    values = {(each.name, each.labels): each.value for each in samples}
    assert len(values) == len(samples)
    done = ("raudo_processor_tasks_total", (("processor", "mine"), ("state", "succeeded")))
    assert values[done] == 7


@pytest.mark.parametrize("way", ["process", "batch", "stream", "submit"])
async def test_task_that_would_wait_for_itself_is_refused(way: str) -> None:
    processor = AsyncProcessor(2, use_processes=False)

    async def end() -> None:
        with pytest.raises(RuntimeError, match="drain was called by a task"):
            await processor.drain()
        with pytest.raises(RuntimeError, match="stop was called by a task"):
            await processor.stop()

    if way == "process":
        await processor.process(end)
    elif way == "batch":
        await processor.process_batch([end])
    elif way == "stream":
        assert [each.ok async for each in processor.stream([end])] == [True]
    else:
        await (await processor.submit(end))
    check_accounts(processor)
    await processor.stop()


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("knee", [2, 6, 12])
def test_number_of_workers_follows_the_throughput_they_bring(
    knee: int, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resource that serves `knee` at a time: more workers than that only queue up for it."""
    monkeypatch.setattr("raudo.concurrency._pools.usable_cpus", lambda: 24)
    pools = Pools(24, use_threads=True, use_processes=True, min_workers=1, auto_scale=True)
    other: Any = "process" if kind == "thread" else "thread"
    limits = []
    for _ in range(10_000):
        limits.append(pools.limit(kind))
        pools.record(kind, 0.001 / min(pools.limit(kind), knee))
    settled = limits[len(limits) // 2 :]
    assert knee * 0.8 <= statistics.mean(settled) <= knee * 1.5
    before = pools.limit(kind)
    for _ in range(1000):
        assert pools.record(kind, None) == before  # idle workers tell nothing
    assert pools.limit(other) == 24  # each kind for itself


async def test_number_of_threads_stays_within_its_bounds() -> None:
    async with AsyncProcessor(8, use_processes=False, min_workers=2) as processor:
        for _ in range(5):
            await processor.process_batch([(plain_double, (1,))] * 200, 40, kind="thread")
            assert 2 <= processor.get_stats()["workers"]["thread_limit"] <= 8
    async with AsyncProcessor(8, use_processes=False, auto_scale=False) as fixed:
        await fixed.process_batch([(plain_double, (1,))] * 500, 40, kind="thread")
        assert fixed.get_stats()["workers"]["thread_limit"] == 8
