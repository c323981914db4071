"""Functions on threads: raudo's beside the standard pools'."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.pool import ThreadPool
from typing import Any

from raudo.cli._bench_coroutines import gathered, timed
from raudo.cli._bench_rows import Row, race
from raudo.concurrency import AsyncProcessor, ParallelExecutor

__all__ = ["rows"]

N_THREADS = 16


def _tiny(x: int) -> int:
    return x


def _sleep_ms(_: int) -> None:
    time.sleep(0.001)


def _submits(pool: Executor, n: int) -> Callable[[], float]:
    def once() -> float:
        begun = time.perf_counter_ns()
        futures = [pool.submit(_tiny, x) for x in range(n)]
        for future in futures:
            future.result()
        return (time.perf_counter_ns() - begun) / n

    return once


def _maps(
    run: Callable[[Callable[[int], Any], range], Any], fn: Callable[[int], Any], n: int
) -> Callable[[], float]:
    def once() -> float:
        begun = time.perf_counter_ns()
        list(run(fn, range(n)))
        return (time.perf_counter_ns() - begun) / n

    return once


def _awaited(processor: AsyncProcessor, n: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    async def one_after_another() -> None:
        for x in range(n):
            await asyncio.to_thread(_tiny, x)

    async def processed() -> None:
        for x in range(n):
            await processor.process(_tiny, x, kind="thread")

    def to_thread(x: int) -> Awaitable[int]:
        return asyncio.to_thread(_tiny, x)

    return {
        "raudo": lambda: processor.process_batch(
            ((_tiny, (x,)) for x in range(n)), N_THREADS, kind="thread"
        ),
        "raudo process, one after another": processed,
        "to_thread": lambda: asyncio.gather(*[to_thread(x) for x in range(n)]),
        "to_thread + Semaphore": lambda: gathered(to_thread, n, N_THREADS),
        "to_thread, one after another": one_after_another,
    }


def rows(quick: bool) -> list[Row]:
    """Measure 16 threads; a pass submits everything and takes every result."""
    n, n_awaited, n_sleeps, rounds = (200, 50, 32, 1) if quick else (5_000, 2_000, 400, 7)
    made = []
    with ExitStack() as stack:
        ours = stack.enter_context(ParallelExecutor(N_THREADS, kind="thread"))
        standard = stack.enter_context(ThreadPoolExecutor(N_THREADS))
        pool = stack.enter_context(ThreadPool(N_THREADS))
        runner = stack.enter_context(asyncio.Runner())
        found = {"raudo": _submits(ours, n), "ThreadPoolExecutor": _submits(standard, n)}
        figures = race(found, rounds)
        table = "threads, a tiny function"
        made.append(Row(table, "submit and result", "ns", figures, times_better=10.0))
        processor = AsyncProcessor(N_THREADS, use_processes=False, auto_scale=False)
        waits = {
            name: timed(runner, run, n_awaited)
            for name, run in _awaited(processor, n_awaited).items()
        }
        made.append(
            Row(
                table,
                "awaited",
                "ns",
                race(waits, rounds),
                times_better=4.0,
                rivals=("to_thread", "to_thread + Semaphore"),
            )
        )
        runner.run(processor.stop())
        for case, fn, count in (("map", _tiny, n), ("map, 1 ms asleep", _sleep_ms, n_sleeps)):
            found = {
                "raudo": _maps(ours.map, fn, count),
                "ThreadPool": _maps(pool.map, fn, count),
                "ThreadPoolExecutor": _maps(standard.map, fn, count),
            }
            made.append(
                Row(
                    "threads, map" if fn is _tiny else "threads, map of sleeps",
                    case,
                    "ns",
                    race(found, rounds),
                    times_better=1.0 if fn is _sleep_ms else None,
                    rivals=("ThreadPool",),
                )
            )
    return made
