"""What only shows where coroutines are driven by hand: odd awaitables, closing, turns."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import types
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from concurrency.async_helpers import check_accounts, double, hop, other_tasks
from raudo.concurrency import AsyncProcessor

pytestmark = pytest.mark.timeout(60)


class Bare:
    """An awaitable whose iterator can neither throw nor close."""

    def __init__(self, n_hops: int) -> None:
        self.n_hops = n_hops

    def __await__(self) -> Iterator[None]:
        return itertools.repeat(None, self.n_hops)  # type: ignore[return-value]


def marked(make: Callable[[], Any]) -> Callable[[], Any]:
    """Pass a plain function off as a coroutine function, as wrappers do."""

    @types.coroutine
    def generator_based() -> Generator[None, None, Any]:
        yield
        return make()

    async def call() -> Any:
        return await generator_based()

    def wrapper() -> Coroutine[Any, Any, Any]:
        return call()

    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(wrapper)
    return wrapper


@pytest.mark.parametrize("n_hops", [0, 1, 5])
async def test_iterator_without_throw_is_driven(n_hops: int) -> None:
    async def wait() -> int:
        await Bare(n_hops)
        return n_hops

    processor = AsyncProcessor()
    assert await processor.process_batch([wait] * 20, 3) == [n_hops] * 20
    assert await processor.process_batch([lambda: Bare(n_hops)] * 2, kind="async") == [None] * 2
    check_accounts(processor)


async def test_iterator_without_throw_can_be_cancelled() -> None:
    async def wait() -> None:
        await Bare(10**9)

    processor = AsyncProcessor()
    batch = asyncio.create_task(processor.process_batch([wait] * 5, 2))
    await asyncio.sleep(0.001)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert check_accounts(processor)["cancelled"] == 2
    assert not other_tasks()


async def test_wrapped_coroutine_functions_are_run() -> None:
    processor = AsyncProcessor()
    assert await processor.process_batch([marked(lambda: 3)] * 5) == [3] * 5
    if hasattr(inspect, "markcoroutinefunction"):
        wrong = inspect.markcoroutinefunction(lambda: 3)
        with pytest.raises(TypeError, match="await"):
            await processor.process_batch([wrong])
    await processor.stop()


async def test_bare_and_tuple_results_are_results() -> None:
    async def echo(value: Any) -> Any:
        return value

    values = [None, (), (1, 2), StopIteration, asyncio.CancelledError(), ValueError()]
    processor = AsyncProcessor()
    assert await processor.process_batch([(echo, (value,)) for value in values]) == values


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("way", ["batch", "stream"])
def test_exits_pass_through(error: type[BaseException], suspends: bool, way: str) -> None:
    processor = AsyncProcessor()

    async def leave() -> None:
        if suspends:
            await asyncio.sleep(0)
        raise error

    async def main() -> None:
        tasks: list[Any] = [(asyncio.sleep, (60,)), leave]
        if way == "batch":
            await processor.process_batch(tasks, 2, return_exceptions=True)
        else:
            async for _ in processor.stream(itertools.chain(tasks, itertools.repeat(double)), 2):
                pass

    with pytest.raises(error):
        asyncio.run(main())
    stats = check_accounts(processor)
    assert (stats["failed_tasks"], stats["cancelled"]) == (1, 1)


def test_loop_closed_under_a_batch_closes_its_coroutines() -> None:
    processor = AsyncProcessor()
    closed = []

    async def wait(i: int) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append(i)

    loop = asyncio.new_event_loop()
    batch = loop.create_task(processor.process_batch([(wait, (i,)) for i in range(9)], 4))
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to happen
    loop.close()
    del batch, task
    stats = processor.get_stats()
    gc.collect()
    assert (stats["submitted_tasks"], stats["cancelled"], stats["running"]) == (4, 4, 0)
    assert sorted(closed) == [0, 1, 2, 3]
    assert asyncio.run(processor.process_batch([(double, (2,))])) == [4]


async def test_workers_share_one_slice_of_the_loop() -> None:
    """The loop waits for one slice of a batch, not for one of each of its workers."""
    gaps = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            gaps.append(n_calls)

    n_calls = 0

    async def count() -> None:
        nonlocal n_calls
        n_calls += 1

    ticker = asyncio.create_task(tick())
    processor = AsyncProcessor()
    await processor.process_batch((count for _ in range(300_000)), 16)
    ticker.cancel()
    assert n_calls == 300_000
    assert len(gaps) >= 3


async def test_results_and_arguments_are_not_kept() -> None:
    class Thing:
        pass

    async def take(thing: Thing) -> Thing:
        await asyncio.sleep(0)
        return Thing()

    processor = AsyncProcessor()
    thing = Thing()
    gone = [weakref.ref(thing)]
    results = await processor.process_batch([(take, (thing,)), (hop, (1,))], 2)
    gone.append(weakref.ref(results[0]))
    del thing, results
    assert [each() for each in gone] == [None, None]
