"""Many coroutines at once: raudo's batches beside asyncio's own ways and the libraries for it."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from raudo.cli._bench_rows import Row, is_installed, race
from raudo.concurrency import AsyncProcessor

__all__ = ["gathered", "rows", "timed"]

LIMIT = 16
_OF_ASYNCIO = ("gather + Semaphore",)

Work = Callable[[int], Awaitable[Any]]
Pass = Callable[[Work, int], Awaitable[Any]]


async def _nothing(x: int) -> int:
    return x


async def _one_hop(x: int) -> int:
    await asyncio.sleep(0)
    return x


async def gathered(work: Work, n: int, limit: int = LIMIT) -> list[Any]:
    """Do what most programs do: a Task each, held back by a semaphore."""
    semaphore = asyncio.Semaphore(limit)

    async def one(x: int) -> Any:
        async with semaphore:
            return await work(x)

    return await asyncio.gather(*[one(x) for x in range(n)])


async def _grouped(work: Work, n: int) -> list[Any]:
    semaphore = asyncio.Semaphore(LIMIT)

    async def one(x: int) -> Any:
        async with semaphore:
            return await work(x)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(x)) for x in range(n)]
    return [task.result() for task in tasks]


async def _queued(work: Work, n: int) -> list[Any]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    results: list[Any] = [None] * n
    for x in range(n):
        queue.put_nowait(x)

    async def worker() -> None:
        while not queue.empty():
            x = queue.get_nowait()
            results[x] = await work(x)

    await asyncio.gather(*(worker() for _ in range(LIMIT)))
    return results


async def _aiometer(work: Work, n: int) -> None:
    import aiometer

    await aiometer.run_on_each(work, range(n), max_at_once=LIMIT)


async def _anyio(work: Work, n: int) -> None:
    import anyio

    limiter = anyio.CapacityLimiter(LIMIT)

    async def one(x: int) -> None:
        async with limiter:
            await work(x)

    async with anyio.create_task_group() as group:
        for x in range(n):
            group.start_soon(one, x)


def _tasks(work: Work, n: int) -> Iterator[tuple[Work, tuple[int]]]:
    return ((work, (x,)) for x in range(n))


def _batches(processor: AsyncProcessor, *, is_lazy: bool = True) -> Pass:
    made: dict[tuple[Work, int], list[Any]] = {}

    def run(work: Work, n: int) -> Awaitable[Any]:
        if is_lazy:
            return processor.process_batch(_tasks(work, n), LIMIT)
        if (work, n) not in made:  # in the first round, which does not count
            made[work, n] = list(_tasks(work, n))
        return processor.process_batch(made[work, n], LIMIT)

    return run


def _streams(processor: AsyncProcessor) -> Pass:
    async def run(work: Work, n: int) -> None:
        async for _ in processor.stream(_tasks(work, n), LIMIT):
            pass

    return run


def timed(runner: asyncio.Runner, run: Callable[[], Awaitable[Any]], n: int) -> Callable[[], float]:
    """Return a contender: nanoseconds an item of a pass."""

    async def once() -> float:
        begun = time.perf_counter_ns()
        await run()
        return (time.perf_counter_ns() - begun) / n

    return lambda: runner.run(once())


def _bytes_a_task(runner: asyncio.Runner, n: int) -> float:
    """Return the peak beyond the input, which is one tuple over and over, for each task."""
    processor = AsyncProcessor()
    task = (_one_hop, (1,))

    async def peak() -> float:
        tracemalloc.start()
        try:
            await processor.process_batch((task for _ in range(n)), LIMIT)
            return tracemalloc.get_traced_memory()[1] / n
        finally:
            tracemalloc.stop()

    return runner.run(peak())


def rows(quick: bool) -> list[Row]:
    """Measure batches of coroutines, 16 at once, of a list of calls made before."""
    n, n_slow, rounds = (200, 100, 1) if quick else (20_000, 5_000, 7)
    processor = AsyncProcessor()
    ways: dict[str, Pass] = {
        "raudo": _batches(processor, is_lazy=False),
        "raudo, input made meanwhile": _batches(processor),
        "raudo, isolate=True": _batches(AsyncProcessor(isolate=True)),
        "raudo stream": _streams(processor),
        "gather + Semaphore": gathered,
        "TaskGroup + Semaphore": _grouped,
        "Queue + workers": _queued,
    }
    slow: dict[str, Pass] = {}
    if is_installed("aiometer"):
        slow["aiometer"] = _aiometer
    if is_installed("anyio"):
        slow["anyio"] = _anyio
    made = []
    with asyncio.Runner() as runner:
        for case, work, bar in (
            ("no wait", _nothing, 30.0),
            ("one hop of the loop", _one_hop, 5.0),
        ):
            found = {
                name: timed(runner, lambda way=way, work=work: way(work, n), n)  # type: ignore[misc]
                for name, way in ways.items()
            } | {
                name: timed(runner, lambda way=way, work=work: way(work, n_slow), n_slow)  # type: ignore[misc]
                for name, way in slow.items()
            }
            made.append(
                Row(
                    "coroutines, 16 at once",
                    case,
                    "ns",
                    race(found, rounds),
                    times_better=bar,
                    rivals=_OF_ASYNCIO,
                )
            )
        n_large = 2_000 if quick else 1_000_000
        weight = _bytes_a_task(runner, n_large)
        made.append(
            Row(
                "memory beyond the input",
                f"{n_large:,} tasks",
                "bytes a task",
                {"raudo": weight},
                at_most=60.0,
            )
        )
    return made
