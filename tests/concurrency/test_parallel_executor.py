from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import threading
from typing import Any

import pytest

from concurrency import tasks
from concurrency.leaks import nothing_left_behind
from raudo import ParallelExecutor
from raudo.concurrency.backends.local import _AutoScale
from raudo.errors import Closed, InitializerFailed, WorkerDied

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)

KINDS = ["auto", "inline", "thread", "process"]
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_is_an_executor(kind: Any) -> None:
    with ParallelExecutor(4, 2, kind=kind) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        futures = [executor.submit(pow, i, 2) for i in range(20)]
        assert {each.result() for each in concurrent.futures.as_completed(futures)} == {
            i * i for i in range(20)
        }
        assert executor.submit(int, "ff", base=16).result() == 255
        assert isinstance(executor.submit(int, "x").exception(), ValueError)
        assert list(executor.map(pow, [2, 3, 4], [5, 2, 1])) == [32, 9, 4]


@kinds
async def test_serves_an_event_loop(kind: Any) -> None:
    loop = asyncio.get_running_loop()
    with ParallelExecutor(4, 2, kind=kind) as executor:
        calls = (loop.run_in_executor(executor, tasks.square, i) for i in range(10))
        assert await asyncio.gather(*calls) == [i * i for i in range(10)]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_map_works_without_anyone_taking_results(kind: Any, tmp_path: Any) -> None:
    counter = tasks.FlakyFile(str(tmp_path / "calls"), 0)
    with ParallelExecutor(2, 2, kind=kind) as executor:
        executor.map(counter, range(100))
    assert (tmp_path / "calls").stat().st_size == 100


@kinds
def test_map_reads_endless_iterables_lazily(kind: Any) -> None:
    with ParallelExecutor(2, 2, kind=kind) as executor:
        results = executor.map(tasks.square, itertools.count(), buffersize=50)
        assert list(itertools.islice(results, 60)) == [i * i for i in range(60)]


def test_map_gives_up_after_its_timeout() -> None:
    gate = threading.Event()
    with ParallelExecutor(2) as executor:
        results = executor.map(lambda _: gate.wait(), range(2), timeout=0.05, kind="thread")
        with pytest.raises(TimeoutError):
            list(results)
        gate.set()


def test_map_of_one_item_gives_up_too() -> None:
    gate = threading.Event()
    with ParallelExecutor(2) as executor:
        results = executor.map(lambda _: gate.wait(10), [1], timeout=0.05)
        with pytest.raises(TimeoutError):
            list(results)
        gate.set()


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_map_raises_in_turn(kind: Any) -> None:
    with ParallelExecutor(2, 2, kind=kind) as executor:
        results = executor.map(tasks.fail_on_13, range(20), chunksize=1)
        assert list(itertools.islice(results, 13)) == list(range(13))
        with pytest.raises(ValueError, match="bad 13"):
            next(results)


def test_counts_add_up_at_every_moment() -> None:
    gate, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        gate.wait()

    def counts() -> tuple[int, ...]:
        stats = executor.get_stats()
        names = ("submitted", "done", "failed", "cancelled", "pending", "queue_size")
        return tuple(stats[name] for name in names)

    with ParallelExecutor(1, kind="thread", auto_scale=False) as executor:
        held = executor.submit(hold)
        begun.wait()
        queued = [executor.submit(tasks.square, i) for i in range(5)]
        assert counts() == (6, 0, 0, 0, 6, 5)
        assert queued[4].cancel()
        assert queued[4].cancel()
        failing = executor.submit(tasks.fail, "x")
        gate.set()
        held.result()
        failing.exception()
        assert counts() == (7, 5, 1, 1, 0, 0)
        assert list(executor.map(tasks.square, range(10))) == [i * i for i in range(10)]
        with pytest.raises(ValueError, match="bad 13"):
            list(executor.map(tasks.fail_on_13, [1, 13, 2], chunksize=3))
        submitted, done, failed, cancelled, pending, _ = counts()
        assert (submitted, done, failed, cancelled, pending) == (20, 16, 2, 2, 0)
    samples = {each.name: each.value for each in executor.samples()}
    assert samples["raudo_executor_tasks_submitted_total"] == 20


def test_a_dead_worker_fails_its_task_alone() -> None:
    with ParallelExecutor(max_processes=2, kind="process") as executor:
        futures = [executor.submit(tasks.exit_on_13, i) for i in range(20)]
        assert isinstance(futures[13].exception(), WorkerDied)
        assert [each.result() for i, each in enumerate(futures) if i != 13] == [
            i for i in range(20) if i != 13
        ]


def test_auto_learns_where_a_function_belongs() -> None:
    with ParallelExecutor(4, 2) as executor:
        for _ in range(20):
            executor.submit(tasks.square, 3).result()
            executor.submit(tasks.short_sleep, 3).result()
        routes = executor.get_stats()["routes"]
        assert routes["square"]["kind"] == "inline"
        assert routes["short_sleep"]["kind"] == "thread"
        assert set(routes["short_sleep"]["calls_by_kind"]) == {"thread"}


@kinds
def test_after_shutdown_it_refuses(kind: Any) -> None:
    executor = ParallelExecutor(2, 2, kind=kind)
    executor.submit(tasks.square, 1).result()
    executor.shutdown()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(tasks.square, 1)
    with pytest.raises(Closed):
        executor.map(tasks.square, [1])


def test_shutdown_with_cancel_lets_the_running_task_end() -> None:
    gate, begun = threading.Event(), threading.Event()

    def hold() -> str:
        begun.set()
        gate.wait()
        return "ended"

    executor = ParallelExecutor(1, kind="thread")
    held, queued = executor.submit(hold), executor.submit(tasks.square, 1)
    begun.wait()
    executor.shutdown(wait=False, cancel_futures=True)
    assert queued.cancelled()
    gate.set()
    assert held.result() == "ended"
    stats = executor.get_stats()
    assert (stats["submitted"], stats["done"], stats["cancelled"]) == (2, 1, 1)


def test_shutdown_without_waiting_finishes_a_map() -> None:
    executor = ParallelExecutor(2, kind="thread")
    results = executor.map(tasks.short_sleep, range(20))
    executor.shutdown(wait=False)
    assert list(results) == list(range(20))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_initializers_run_and_may_fail(kind: Any) -> None:
    with ParallelExecutor(
        1, 1, kind=kind, initializer=tasks.initialize, initargs=("hello",)
    ) as executor:
        assert "hello" in executor.submit(tasks.initialized).result()
    with ParallelExecutor(1, 1, kind=kind, initializer=tasks.initialize_badly) as executor:
        error = executor.submit(tasks.square, 1).exception()
        assert isinstance(error, InitializerFailed)
        assert isinstance(error, concurrent.futures.BrokenExecutor)
        with pytest.raises(InitializerFailed):
            executor.submit(tasks.square, 1)
        stats = executor.get_stats()
        assert (stats["submitted"], stats["pending"]) == (2, 0)


class FakePool:
    max_workers = 16
    queue_size = 5

    def resize(self, n: int) -> None:
        self.max_workers = n


def test_the_pool_shrinks_when_more_threads_do_not_help() -> None:
    now = 0.0
    pool: Any = FakePool()
    scale = _AutoScale(16, 16, lambda: now)
    for _ in range(3000):
        now += 0.001  # a thousand a second, however many threads
        scale.task_ended(pool)
    assert pool.max_workers == scale.limit <= 2
    for _ in range(30_000):
        now += 0.001 / scale.limit  # now every thread counts
        scale.task_ended(pool)
    assert pool.max_workers == scale.limit >= 14


def test_idle_workers_say_nothing_about_the_limit() -> None:
    now = 0.0
    pool: Any = FakePool()
    pool.queue_size = 0
    scale = _AutoScale(16, 16, lambda: now)
    for _ in range(1000):
        now += 0.001
        scale.task_ended(pool)
    assert pool.max_workers == scale.limit == 16


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"max_threads": 0}, ValueError, "max_threads"),
        ({"max_processes": "2"}, TypeError, "max_processes"),
        ({"kind": "fiber"}, ValueError, "kind"),
        ({"backend": "cloud"}, ValueError, "'local'"),
        ({"backend": 3}, TypeError, "backend"),
        ({"initializer": 3}, TypeError, "initializer"),
        ({"initargs": 3}, TypeError, "initargs"),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        ParallelExecutor(**arguments)


@pytest.mark.parametrize("kind", ["auto", "thread", "process"])
def test_asyncio_and_dask_take_the_executor(kind: Any) -> None:
    with ParallelExecutor(2, 2, kind=kind) as executor:

        async def use() -> list[int]:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(executor, tasks.square, i) for i in range(20)]
            return list(await asyncio.gather(*calls))

        assert asyncio.run(use()) == [i * i for i in range(20)]
        dask = pytest.importorskip("dask")
        squares = [dask.delayed(tasks.square)(i) for i in range(20)]
        total = dask.delayed(sum)(squares)
        assert total.compute(scheduler=executor) == sum(i * i for i in range(20))


def test_a_map_of_tiny_calls_starts_no_thread() -> None:
    seen: list[str] = []

    def note(x: int) -> int:
        seen.append(threading.current_thread().name)
        return 10 // x

    with ParallelExecutor(2) as executor:
        assert list(executor.map(note, [1] * 1000)) == [10] * 1000
        seen.clear()
        results = executor.map(note, [1, 2, 0, 5])
        assert seen == ["MainThread"] * 3, "run though nobody takes the results"
        assert [next(results), next(results)] == [10, 5]
        with pytest.raises(ZeroDivisionError):
            next(results)
        stats = executor.get_stats()
        assert (stats["failed"], stats["pending"]) == (1, 0)


@kinds
@pytest.mark.parametrize("is_eager", [True, False])
def test_a_map_is_closed_as_a_generator_is(kind: Any, is_eager: bool) -> None:
    items = range(10_000) if is_eager else iter(range(10_000))
    with (
        ParallelExecutor(2, 1, kind=kind) as executor,
        contextlib.closing(executor.map(lambda x: x, items)) as results,
    ):
        assert next(results) == 0
        results.close()
        assert list(results) == []
        results.close()
