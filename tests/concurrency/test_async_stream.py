"""`AsyncProcessor.stream`: any input, bounded read-ahead, nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from concurrency.async_helpers import (
    check_accounts,
    double,
    fail,
    hop,
    other_tasks,
    plain_double,
)
from concurrency.virtual_time import run_virtual
from raudo.concurrency import AsyncProcessor, Backoff
from raudo.errors import TaskTimeout
from raudo.types import Outcome

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=[False, True], ids=["shared", "isolated"])
def processor(request: pytest.FixtureRequest) -> AsyncProcessor:
    return AsyncProcessor(4, use_processes=False, isolate=request.param)


async def as_async(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("source", [list, iter, as_async], ids=["list", "iterator", "async"])
async def test_every_task_has_its_outcome(
    processor: AsyncProcessor, ordered: bool, source: Any
) -> None:
    tasks = [((double, hop, plain_double)[i % 3], (i,)) for i in range(100)]
    outcomes = [each async for each in processor.stream(source(tasks), 8, ordered)]
    assert sorted(each.index for each in outcomes) == list(range(100))
    assert all(each.ok and each.unwrap() == 2 * each.index for each in outcomes)
    if ordered:
        assert [each.index for each in outcomes] == list(range(100))
    assert not other_tasks()
    check_accounts(processor)
    await processor.stop()


@pytest.mark.parametrize("source", [list, as_async])
async def test_empty_input(processor: AsyncProcessor, source: Any) -> None:
    assert [each async for each in processor.stream(source([]))] == []
    assert not other_tasks()


def test_outcomes_come_as_they_are_done_or_in_order(processor: AsyncProcessor) -> None:
    async def main() -> None:
        tasks = [(asyncio.sleep, (s, s)) for s in (3, 1, 2)]
        assert [o.value async for o in processor.stream(tasks)] == [1, 2, 3]
        assert [o.value async for o in processor.stream(tasks, ordered=True)] == [3, 1, 2]

    run_virtual(main())


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
async def test_endless_input_is_read_no_further_than_the_window(
    processor: AsyncProcessor, ordered: bool, is_async: bool
) -> None:
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        for i in itertools.count():
            taken += 1
            yield hop, (i,)

    source: Any = as_async(endless()) if is_async else endless()
    async with aclosing(processor.stream(source, 4, ordered, window=6)) as outcomes:
        seen = 0
        async for outcome in outcomes:
            assert outcome.ok
            for _ in range(10):
                await asyncio.sleep(0)
            seen += 1
            # The window, and one more that an async input may have been asked for.
            assert taken <= seen + 6 + 1
            if seen == 50:
                break
    assert not other_tasks()
    check_accounts(processor)


async def test_closing_early_cancels_what_is_in_flight(processor: AsyncProcessor) -> None:
    cancelled = 0

    async def work(i: int) -> int:
        nonlocal cancelled
        try:
            await asyncio.sleep(3600 if i else 0)
        except asyncio.CancelledError:
            await asyncio.sleep(0.002)
            cancelled += 1
            raise
        return i

    async with aclosing(processor.stream(((work, (i,)) for i in itertools.count()), 5)) as outcomes:
        async for outcome in outcomes:
            assert outcome.value == 0
            await asyncio.sleep(0)
            break
    assert cancelled >= 4
    assert not other_tasks()
    check_accounts(processor)


async def test_cancelling_the_reader_cancels_what_is_in_flight(processor: AsyncProcessor) -> None:
    async def read() -> None:
        async for _ in processor.stream([(asyncio.sleep, (3600,))] * 10, 3):
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await asyncio.get_running_loop().shutdown_asyncgens()
    assert not other_tasks()
    assert check_accounts(processor)["cancelled"] == 3


async def test_generator_that_is_never_begun_starts_nothing(processor: AsyncProcessor) -> None:
    outcomes = processor.stream([(double, (1,))])
    assert not other_tasks()
    await outcomes.aclose()
    assert processor.get_stats()["submitted_tasks"] == 0


async def test_errors_are_outcomes(processor: AsyncProcessor) -> None:
    errors = [ValueError("a"), asyncio.CancelledError(), StopAsyncIteration()]
    tasks: list[Any] = [(fail, (error,)) for error in errors] + [(double, (4,))]
    outcomes = [each async for each in processor.stream(tasks, 2, ordered=True)]
    assert [type(each.error) for each in outcomes] == [*map(type, errors), type(None)]
    assert not outcomes[0].ok
    with pytest.raises(ValueError):
        outcomes[0].unwrap()
    stats = check_accounts(processor)
    assert (stats["failed_tasks"], stats["cancelled"], stats["succeeded_tasks"]) == (2, 1, 1)


async def test_item_that_cancels_itself_harms_no_other(processor: AsyncProcessor) -> None:
    async def cancel_self() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    tasks = [cancel_self if i % 3 == 0 else (hop, (i,)) for i in range(30)]
    outcomes = [each async for each in processor.stream(tasks, 2, ordered=True)]
    assert len(outcomes) == 30
    assert all(each.value == 2 * each.index for each in outcomes if each.index % 3)
    check_accounts(processor)


@pytest.mark.parametrize("is_async", [False, True])
async def test_error_of_the_input_comes_after_what_was_taken(
    processor: AsyncProcessor, is_async: bool
) -> None:
    def broken() -> Iterator[Any]:
        yield from ((hop, (i,)) for i in range(5))
        raise OSError("the input broke")

    seen: list[Outcome] = []
    with pytest.raises(OSError, match="the input broke"):
        async for outcome in processor.stream(as_async(broken()) if is_async else broken(), 3):
            seen.append(outcome)
    assert sorted(each.value for each in seen) == [0, 2, 4, 6, 8]
    assert not other_tasks()
    check_accounts(processor)


async def test_what_is_no_task_is_an_error_of_the_input(processor: AsyncProcessor) -> None:
    seen = []
    with pytest.raises(TypeError, match="task 1 must"):
        async for outcome in processor.stream([(double, (1,)), 5]):
            seen.append(outcome.value)
    assert seen == [2]
    with pytest.raises(TypeError, match="tasks must be"):
        processor.stream(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="window"):
        processor.stream([], window=0)


def test_outcomes_tell_what_it_took() -> None:
    calls = 0

    async def flaky() -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(2)
        if calls < 3:
            raise OSError
        return "ok"

    async def main() -> None:
        processor = AsyncProcessor(retries=3, backoff=Backoff(1, jitter=0))
        (outcome,) = [each async for each in processor.stream([flaky])]
        assert (outcome.value, outcome.attempts) == ("ok", 3)
        assert outcome.ran_s == pytest.approx(6)
        assert outcome.waited_s == pytest.approx(3)
        (late,) = [o async for o in processor.stream([flaky], timeout=1, retries=0)]
        assert isinstance(late.error, TaskTimeout)

    run_virtual(main())


async def test_hundred_thousand_items_pass_through_a_small_window() -> None:
    processor = AsyncProcessor()
    held = most = 0

    class Item:
        def __init__(self) -> None:
            nonlocal held, most
            held += 1
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= 1

    async def same(item: Item) -> Item:
        return item

    n = 0
    async for outcome in processor.stream(((same, (Item(),)) for _ in range(30_000)), 4):
        assert outcome.ok
        n += 1
    assert n == 30_000
    assert most <= 8 + 4 + 4  # the window, the workers' last, and what the reader holds
    assert check_accounts(processor)["processed_tasks"] == 30_000
