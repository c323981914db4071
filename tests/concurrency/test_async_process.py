"""`AsyncProcessor.process`: kinds, retries, errors and what is counted."""

from __future__ import annotations

import asyncio
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
    pid_and,
    plain_double,
)
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import AsyncProcessor, Backoff
from raudo.concurrency._pools import Pools
from raudo.errors import TaskTimeout
from raudo.types import Sample

pytestmark = pytest.mark.timeout(60)


class Callable:
    async def __call__(self, x: int) -> int:
        return 2 * x

    async def method(self, x: int) -> int:
        return 2 * x


async def test_a_coroutine_in_place_of_its_function_is_told_from_other_mistakes() -> None:
    async with AsyncProcessor() as processor:
        with pytest.raises(TypeError, match=r"process\(fn, 1\), not the coroutine"):
            await processor.process(double(1))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="process needs a function, not int"):
            await processor.process(5)  # type: ignore[arg-type]


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
