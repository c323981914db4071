"""Timeouts, retries and micro-batches beside asyncio's own ways, interleaved, medians.

    python benchmarks/bench_concurrency_async.py            # all tables
    python benchmarks/bench_concurrency_async.py timeout --n 20000 --rounds 5

Batches, threads and HTTP have bars to meet:
`raudo bench concurrency --only coroutines,threads,http`.

Each round runs every contender once, in turn, so that a slow moment of the machine falls on all of
them; what is printed is the median over the rounds and its ratio to raudo's.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from raudo.concurrency import AsyncProcessor, BatchProcessor, retry

Contender = Callable[[int], Awaitable[Any]]


async def nothing(x: int) -> int:
    return x


async def one_hop(x: int) -> int:
    await asyncio.sleep(0)
    return x


def batches(processor: AsyncProcessor, fn: Any, **options: Any) -> Contender:
    async def run(n: int) -> None:
        await processor.process_batch([(fn, (x,), {}) for x in range(n)], **options)

    return run


async def race(title: str, contenders: dict[str, Contender], n: int, rounds: int) -> None:
    """Print nanoseconds per item of each contender, and the ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, contender in contenders.items():
            begun = time.perf_counter_ns()
            await contender(n)
            times[name].append((time.perf_counter_ns() - begun) / n)
    medians = {name: statistics.median(each[1:]) for name, each in times.items()}
    first = next(iter(medians.values()))
    print(f"\n{title}, {n} items")
    for name, ns in medians.items():
        print(f"  {name:28} {ns:12.0f} ns/item {ns / first:8.2f}x")


async def table_timeout(n: int, rounds: int) -> None:
    processor = AsyncProcessor()

    async def wait_for(n: int) -> None:
        for x in range(n):
            await asyncio.wait_for(one_hop(x), 5)

    async def timeout(n: int) -> None:
        for x in range(n):
            async with asyncio.timeout(5):
                await one_hop(x)

    async def process(n: int) -> None:
        for x in range(n):
            await processor.process(one_hop, x, timeout=5)

    await race(
        "a timeout around each",
        {
            "raudo process_batch": batches(processor, one_hop, timeout=5, max_concurrent=1),
            "raudo process": process,
            "asyncio.wait_for": wait_for,
            "asyncio.timeout": timeout,
        },
        n,
        rounds,
    )


async def table_retry(n: int, rounds: int) -> None:
    decorated = retry(nothing)

    async def plain(n: int) -> None:
        for x in range(n):
            await nothing(x)

    async def decorated_calls(n: int) -> None:
        for x in range(n):
            await decorated(x)

    async def direct(n: int) -> None:
        for x in range(n):
            await retry(nothing, x)

    await race(
        "retry, success path",
        {"@retry": decorated_calls, "await retry(fn, x)": direct, "no retry": plain},
        n,
        rounds,
    )


async def table_batcher(n: int, rounds: int) -> None:
    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return items

    batch = BatchProcessor(256, 2.0, handle)

    async def clients(n: int) -> None:
        async def client() -> None:
            for x in range(n // 256 + 1):
                await batch.submit(x)

        await asyncio.gather(*(client() for _ in range(256)))

    async def lone(n: int) -> None:
        for x in range(n):
            await batch.submit(x)

    await race("micro-batching", {"256 clients": clients, "a lone client": lone}, n, rounds)


TABLES = {
    "timeout": table_timeout,
    "retry": table_retry,
    "batcher": table_batcher,
}


@pytest.mark.parametrize("table", TABLES)
def bench_table(benchmark: Any, sized: Callable[[int], int], table: str) -> None:
    """Run one table once; with `--benchmark-disable` a small one, to see that it runs."""

    def run() -> None:
        asyncio.run(TABLES[table](sized(20_000), 1))

    benchmark.pedantic(run, rounds=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="*", help=f"which of {', '.join(TABLES)}; all by default")
    parser.add_argument("--n", type=int, default=20_000, help="items a round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    print(f"Python {sys.version.split()[0]}")
    for name in options.tables or TABLES:
        asyncio.run(TABLES[name](options.n, options.rounds))


if __name__ == "__main__":
    main()
