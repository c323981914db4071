"""`BatchProcessor`: what a handler may be and return, and whose its errors are."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from concurrency.batch_helpers import check_accounts
from raudo.concurrency import BatchProcessor

pytestmark = pytest.mark.timeout(60)


async def test_plain_handler_runs_on_a_thread() -> None:
    threads = []

    def handle(items: list[int]) -> list[int]:
        threads.append(threading.get_ident())
        return [i + 1 for i in items]

    async with BatchProcessor(handler=handle) as batch:
        assert await asyncio.gather(*map(batch.submit, range(10))) == list(range(1, 11))
    assert threading.get_ident() not in threads
    assert not [t for t in threading.enumerate() if t.name.startswith("raudo-batch")]


async def test_handler_can_be_set_by_decorator() -> None:
    batch = BatchProcessor()
    with pytest.raises(ValueError, match="no handler"):
        await batch.submit(1)
    with pytest.raises(ValueError, match="no handler"):
        await batch.process([1])

    @batch.handler
    async def handle(items: list[int]) -> list[int]:
        return [i + 1 for i in items]

    assert await handle([1]) == [2]
    assert await batch.submit(1) == 2


async def test_plain_handler_may_return_an_awaitable() -> None:
    async def answer(items: list[int]) -> list[int]:
        return items

    async with BatchProcessor(handler=lambda items: answer(items)) as batch:
        assert await batch.submit(7) == 7


@pytest.mark.parametrize("make", [list, tuple, iter, lambda x: (i for i in x)])
async def test_any_sequence_of_results_will_do(make: Any) -> None:
    async def handle(items: list[int]) -> Any:
        return make([i + 1 for i in items])

    batch = BatchProcessor(handler=handle)
    assert await asyncio.gather(*map(batch.submit, range(3))) == [1, 2, 3]


async def test_error_in_an_item_s_place_is_that_item_s_alone() -> None:
    async def handle(items: list[int]) -> list[Any]:
        kinds = {3: ValueError("3"), 5: StopIteration(), 6: KeyError(6)}
        return [kinds.get(i, i) for i in items]

    batch = BatchProcessor(handler=handle)
    results = await asyncio.gather(*map(batch.submit, range(8)), return_exceptions=True)
    assert [r for r in results if not isinstance(r, Exception)] == [0, 1, 2, 4, 7]
    assert isinstance(results[3], ValueError)
    assert isinstance(results[5], RuntimeError)  # a Future cannot carry StopIteration
    assert isinstance(results[6], KeyError)
    assert check_accounts(batch)["failed_items"] == 3
    in_place = await batch.process(range(8))
    assert isinstance(in_place[3], ValueError)
    assert in_place[4] == 4


@pytest.mark.parametrize("error", [OSError("db"), StopIteration(), asyncio.InvalidStateError()])
@pytest.mark.parametrize("is_async", [False, True])
async def test_error_of_the_handler_is_everyone_s(error: Exception, is_async: bool) -> None:
    def plain(items: list[int]) -> list[int]:
        raise error

    async def coroutine(items: list[int]) -> list[int]:
        raise error

    async with BatchProcessor(handler=coroutine if is_async else plain) as batch:
        results = await asyncio.gather(*map(batch.submit, range(5)), return_exceptions=True)
        wanted = RuntimeError if isinstance(error, StopIteration) else type(error)
        assert [type(r) for r in results] == [wanted] * 5
        with pytest.raises(wanted):
            await batch.process(range(5))
        assert check_accounts(batch)["failed_items"] == 5


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ([1], ValueError, "1 results for 3 items"),
        ([1] * 4, ValueError, "4 results for 3 items"),
        (None, TypeError, "not NoneType"),
        ("abc", TypeError, "not str"),
        ({1: 1, 2: 2, 3: 3}, TypeError, "not dict"),
        ({1, 2, 3}, TypeError, "not set"),
    ],
)
async def test_wrong_answers_are_everyone_s_error(
    answer: Any, error: type[Exception], says: str
) -> None:
    async def handle(items: list[int]) -> Any:
        return answer

    batch = BatchProcessor(handler=handle)
    for result in await asyncio.gather(*map(batch.submit, range(3)), return_exceptions=True):
        with pytest.raises(error, match=says):
            raise result
    check_accounts(batch)


async def test_handler_may_do_as_it_likes_with_its_list() -> None:
    async def handle(items: list[int]) -> list[int]:
        answers = [2 * item for item in items]
        items.clear()
        return answers

    batch = BatchProcessor(handler=handle)
    assert await batch.submit(2) == 4
    assert await batch.process([1, 2, 3]) == [2, 4, 6]


async def test_handler_that_is_cancelled_cancels_its_items() -> None:
    async def handle(items: list[int]) -> list[int]:
        raise asyncio.CancelledError

    batch = BatchProcessor(handler=handle)
    futures = [asyncio.ensure_future(batch.submit(i)) for i in range(3)]
    await asyncio.wait(futures)
    assert all(future.cancelled() for future in futures)
    with pytest.raises(asyncio.CancelledError):
        await batch.process([1])
    check_accounts(batch)


who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


async def test_handler_runs_in_the_context_of_the_making() -> None:
    async def handle(items: list[int]) -> list[str]:
        seen = who.get()
        who.set("handler")
        return [seen] * len(items)

    who.set("maker")
    batch = BatchProcessor(handler=handle)
    who.set("submitter")
    assert await batch.submit(1) == "maker"
    assert await batch.submit(1) == "maker"
