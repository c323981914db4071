"""Processors under load while tasks fail, hang, are cancelled and kill their workers at random.

Seconds by default; `RAUDO_SOAK_SECONDS=300 python -m pytest tests/soak --timeout 1200`, or
`make soak`, takes longer. In the end the accounts are exact, ours and the processors':
submitted = done + failed + cancelled. Nothing is left behind, and no result is wrong.
"""

from __future__ import annotations

import asyncio
import collections
import os
import random
import time
from typing import Any

import pytest

from concurrency import tasks
from concurrency.leaks import nothing_left_behind
from raudo import AsyncProcessor, BatchProcessor, ParallelExecutor
from raudo.errors import QueueFull, TaskTimeout, WorkerDied

__all__ = ["nothing_left_behind"]

SECONDS = float(os.environ.get("RAUDO_SOAK_SECONDS", "2"))
SEED = int(os.environ.get("RAUDO_SOAK_SEED", "1"))
N_CLIENTS = 16


class Injected(Exception):
    """What the tasks raise."""


async def wait_and_square(x: int) -> int:
    await asyncio.sleep(random.random() * 0.01)
    return x * x


async def fail_later(x: int) -> int:
    await asyncio.sleep(0)
    raise Injected(x)


async def never(x: int) -> int:
    await asyncio.sleep(3600)
    return x


def fail_now(x: int) -> int:
    raise Injected(x)


WORK: list[tuple[Any, str, float]] = [  # function, kind, weight
    (wait_and_square, "auto", 30),
    (tasks.square, "auto", 30),
    (tasks.square, "thread", 10),
    (tasks.square, "process", 10),
    (fail_later, "auto", 5),
    (fail_now, "thread", 5),
    (fail_now, "process", 2),
    (never, "auto", 3),
    (tasks.sleep_long, "process", 0.3),
    (tasks.exit_now, "process", 0.5),
]
CHOICES = [(tasks.square, "auto"), (fail_now, "auto"), (tasks.exit_now, "process")]
EXPECTED = (Injected, TaskTimeout, WorkerDied, QueueFull)


class Accounts:
    """What became of the tasks, as those who submitted them see it."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()

    async def settle(self, awaitable: Any, expected: Any) -> None:
        """Await a result that should be `expected`, or one of the errors that were injected."""
        try:
            result = await awaitable
        except asyncio.CancelledError:
            self.counts["cancelled"] += 1
        except EXPECTED:
            self.counts["failed"] += 1
        else:
            assert result == expected
            self.counts["done"] += 1


async def client(processor: AsyncProcessor, accounts: Accounts, chance: random.Random) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        fn, kind, _ = chance.choices(WORK, [weight for *_, weight in WORK])[0]
        x = chance.randrange(1000)
        call = asyncio.ensure_future(processor.process(fn, x, kind=kind, timeout=0.5))
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 0.005)
            call.cancel()
        accounts.counts["submitted"] += 1
        await accounts.settle(call, x * x)


async def submitter(processor: AsyncProcessor, accounts: Accounts, chance: random.Random) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        futures = []
        for x in range(chance.randrange(60)):
            fn = chance.choice([wait_and_square, fail_later, tasks.square])
            accounts.counts["submitted"] += 1
            futures.append((x, await processor.submit(fn, x, priority=chance.randrange(3))))
        for x, future in futures:
            if chance.random() < 0.05:
                future.cancel()
            await accounts.settle(future, x * x)


@pytest.mark.timeout(SECONDS + 120)
def test_a_processor_loses_nothing() -> None:
    accounts = Accounts()

    async def main() -> dict[str, Any]:
        processor = AsyncProcessor(8, queue_size=50, on_full="wait", timeout=1.0)
        async with asyncio.TaskGroup() as group:
            for i in range(N_CLIENTS):
                group.create_task(client(processor, accounts, random.Random(SEED * 100 + i)))
            group.create_task(submitter(processor, accounts, random.Random(SEED)))
        await processor.drain()
        stats = processor.get_stats()
        await processor.stop()
        return stats

    stats = asyncio.run(main())
    counts = accounts.counts
    assert counts["submitted"] == counts["done"] + counts["failed"] + counts["cancelled"]
    n_unseen = counts["submitted"] - stats["submitted_tasks"]  # cancelled before they began
    assert 0 <= n_unseen <= counts["cancelled"]
    assert stats["queue_size"] == stats["running"] == 0
    assert stats["submitted_tasks"] == (
        stats["succeeded_tasks"] + stats["failed_tasks"] + stats["cancelled"] + stats["dropped"]
    )
    assert stats["succeeded_tasks"] >= counts["done"]
    print(f"\nprocessor: {dict(counts)}")


@pytest.mark.timeout(SECONDS + 120)
def test_batches_lose_nothing() -> None:
    accounts, chance = Accounts(), random.Random(SEED)

    async def handler(items: list[int]) -> list[Any]:
        await asyncio.sleep(chance.random() * 0.003)
        if chance.random() < 0.05:
            raise Injected
        return [Injected(x) if chance.random() < 0.05 else x * x for x in items]

    async def one(batch: BatchProcessor) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            x = chance.randrange(1000)
            call = asyncio.ensure_future(batch.submit(x))
            if chance.random() < 0.1:
                await asyncio.sleep(chance.random() * 0.003)
                call.cancel()
            accounts.counts["submitted"] += 1
            await accounts.settle(call, x * x)

    async def main() -> dict[str, Any]:
        async with BatchProcessor(16, 0.01, handler, max_queue=40, adaptive=True) as batch:
            async with asyncio.TaskGroup() as group:
                for _ in range(64):
                    group.create_task(one(batch))
            await batch.drain()
            return batch.get_stats()

    stats = asyncio.run(main())
    counts = accounts.counts
    assert counts["submitted"] == counts["done"] + counts["failed"] + counts["cancelled"]
    assert stats["queue_size"] == stats["running"] == 0
    assert stats["submitted_items"] == stats["processed_items"] + stats["cancelled"]
    assert stats["processed_items"] >= counts["done"] + counts["failed"]
    print(f"\nbatches: {dict(counts)}")


@pytest.mark.timeout(SECONDS + 120)
def test_an_executor_loses_nothing() -> None:
    counts: collections.Counter[str] = collections.Counter()
    chance = random.Random(SEED)
    until = time.monotonic() + SECONDS
    executor, processes = ParallelExecutor(4, 2), ParallelExecutor(4, 2, kind="process")
    with executor, processes:
        while time.monotonic() < until:
            futures = []
            for x in range(chance.randrange(100)):
                fn, one = chance.choices(CHOICES, [90, 9, 1])[0]
                counts["submitted"] += 1
                futures.append((x, (executor if one == "auto" else processes).submit(fn, x)))
            for x, future in futures:
                if chance.random() < 0.1 and future.cancel():
                    counts["cancelled"] += 1
                elif future.exception() is not None:
                    assert isinstance(future.exception(), EXPECTED)
                    counts["failed"] += 1
                else:
                    assert future.result() == x * x
                    counts["done"] += 1
        stats = [executor.get_stats(), processes.get_stats()]
    assert counts["submitted"] == counts["done"] + counts["failed"] + counts["cancelled"]
    for name in ("submitted", "done", "failed", "cancelled"):
        assert sum(each[name] for each in stats) == counts[name]
    print(f"\nexecutor: {dict(counts)}")
