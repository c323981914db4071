"""Single items gathered into batches: what an item costs under many clients, and a lone call.

The handlers do nothing, so that what is measured is the gathering; in the last row they do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from raudo.cli._bench_rows import Row, is_installed, race
from raudo.concurrency import BatchProcessor

__all__ = ["rows"]

N_CLIENTS = 256
BATCH_SIZE = 64
Submit = Callable[[int], Awaitable[Any]]


async def _answer(items: list[int]) -> list[int]:
    return items


def _answer_plainly(items: list[int]) -> list[int]:
    return items


async def _answer_slowly(items: list[int]) -> list[int]:
    """Take as long as a call to a service or a model does: so much, and a little for each item."""
    await asyncio.sleep(0.002 + 20e-6 * len(items))
    return items


class _ByHand:
    """What one would write: collects during one turn of the loop; no bound, no errors, no limit."""

    def __init__(self, handler: Callable[[list[int]], Awaitable[list[int]]]) -> None:
        self._handler = handler
        self._waiting: list[tuple[asyncio.Future[int], int]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: int) -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((future, item))
        return await future

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._serve(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, batch: list[tuple[asyncio.Future[int], int]]) -> None:
        results = await self._handler([item for _, item in batch])
        for (future, _), result in zip(batch, results, strict=True):
            future.set_result(result)


def _submitters(handler: Any, is_async: bool) -> dict[str, Submit]:
    """Return every way to have items handled, made anew: some bind to the running loop."""
    found: dict[str, Submit] = {"raudo": BatchProcessor(BATCH_SIZE, handler=handler).submit}
    adaptive = BatchProcessor(4 * BATCH_SIZE, handler=handler, adaptive=True)
    found["raudo adaptive"] = adaptive.submit
    if is_installed("batched"):
        from batched.aio import AsyncBatchProcessor

        found["batched"] = AsyncBatchProcessor(handler, batch_size=BATCH_SIZE)
        found["batched, 1 ms"] = AsyncBatchProcessor(handler, batch_size=BATCH_SIZE, timeout_ms=1)
    if is_async:
        found["by hand"] = _ByHand(handler).submit
    else:

        async def unbatched(x: int) -> Any:
            return await asyncio.to_thread(handler, [x])

        found["to_thread, unbatched"] = unbatched
    return found


async def _clients(submit: Submit, n: int) -> float:
    """Return microseconds an item: each client submits, waits for the answer, submits again."""

    async def client() -> None:
        for x in range(n // N_CLIENTS):
            await submit(x)

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(N_CLIENTS)))
    return (time.perf_counter() - begun) / n * 1e6


async def _lone(submit: Submit, n: int) -> float:
    """Return microseconds a call: one client alone."""
    begun = time.perf_counter()
    for x in range(n):
        await submit(x)
    return (time.perf_counter() - begun) / n * 1e6


def _run(runner: asyncio.Runner, measure: Any, submit: Submit, n: int) -> float:
    figure: float = runner.run(measure(submit, n))
    return figure


def rows(quick: bool) -> list[Row]:
    """Measure 256 clients and one, with handlers that do nothing and one that takes its time."""
    n, n_slow, n_lone, rounds = (512, 512, 4, 1) if quick else (10_240, 5_120, 200, 7)
    made = []
    with asyncio.Runner() as runner:

        def raced(measure: Any, submitters: dict[str, Submit], n: int) -> dict[str, float]:
            return race(
                {
                    name: partial(_run, runner, measure, submit, n)
                    for name, submit in submitters.items()
                },
                rounds,
            )

        answering = _submitters(_answer, is_async=True)
        plainly = _submitters(_answer_plainly, is_async=False)
        slowly = _submitters(_answer_slowly, is_async=True)
        for case, submitters, n_items in (
            ("coroutine function", answering, n),
            ("plain function", plainly, n),
            ("2 ms + 20 us an item", slowly, n_slow),
        ):
            made.append(
                Row(
                    f"batching, {N_CLIENTS} clients",
                    case,
                    "us",
                    raced(_clients, submitters, n_items),
                    times_better=4 if submitters is answering else None,
                    rivals=("batched",),
                )
            )
        for case, submitters in (("coroutine function", answering), ("plain function", plainly)):
            made.append(
                Row(
                    "batching, a lone call",
                    case,
                    "us",
                    raced(_lone, submitters, n_lone),
                    at_most=50,
                    rivals=("batched",),
                )
            )
    return made
