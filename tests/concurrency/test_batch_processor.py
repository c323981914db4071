"""`BatchProcessor`: when batches go, what their items get, and that nothing is lost."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from concurrency.async_helpers import other_tasks
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import BatchProcessor
from raudo.errors import Closed, QueueFull
from raudo.types import Sample

pytestmark = pytest.mark.timeout(60)


class Recorder:
    """A handler that takes `seconds` and remembers its batches and when they began."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[Any]] = []
        self.begun: list[float] = []
        self.running = self.most = 0

    async def __call__(self, items: list[Any]) -> list[Any]:
        self.batches.append(list(items))
        self.begun.append(now())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        return [2 * item for item in items]


def check_accounts(batch: BatchProcessor) -> dict[str, Any]:
    stats = batch.get_stats()
    assert stats["submitted_items"] == stats["processed_items"] + stats["cancelled"], stats
    assert stats["queue_size"] == stats["running"] == 0
    return stats


# --- when batches go ------------------------------------------------------------------------


def test_lone_item_does_not_wait() -> None:
    async def main() -> None:
        record = Recorder()
        batch = BatchProcessor(100, 2.0, record)
        begun = now()
        assert await batch.submit(21) == 42
        assert now() == begun
        assert record.batches == [[21]]

    run_virtual(main())


def test_what_comes_in_one_turn_goes_together() -> None:
    async def main() -> None:
        record = Recorder()
        batch = BatchProcessor(100, 2.0, record)
        assert await asyncio.gather(*map(batch.submit, range(50))) == [2 * i for i in range(50)]
        assert record.batches == [list(range(50))]

    run_virtual(main())


def test_items_collect_while_a_batch_runs() -> None:
    async def main() -> None:
        record = Recorder(1.0)
        batch = BatchProcessor(100, 60.0, record)
        tasks = [asyncio.create_task(batch.submit(0))]
        for i in range(1, 10):
            await asyncio.sleep(0.05)
            tasks.append(asyncio.create_task(batch.submit(i)))
        await asyncio.gather(*tasks)
        assert record.batches == [[0], list(range(1, 10))]
        assert record.begun[1] - record.begun[0] == pytest.approx(1.0)

    run_virtual(main())


def test_waiting_is_bounded_while_a_long_batch_runs() -> None:
    async def main() -> None:
        record = Recorder(100.0)
        batch = BatchProcessor(100, 2.0, record)
        first = asyncio.create_task(batch.submit(0))
        await asyncio.sleep(1)
        others = [asyncio.create_task(batch.submit(1))]
        await asyncio.sleep(1)
        others.append(asyncio.create_task(batch.submit(2)))
        await asyncio.gather(first, *others)
        assert record.batches == [[0], [1, 2]]
        assert record.begun[1] - record.begun[0] == pytest.approx(3.0)

    run_virtual(main())


def test_full_batch_goes_beside_one_that_runs() -> None:
    async def main() -> None:
        record = Recorder(1.0)
        batch = BatchProcessor(4, 60.0, record)
        tasks = [asyncio.create_task(batch.submit(0))]
        await asyncio.sleep(0.5)
        tasks += [asyncio.create_task(batch.submit(i)) for i in range(1, 7)]
        await asyncio.gather(*tasks)
        assert record.batches == [[0], [1, 2, 3, 4], [5, 6]]
        assert record.begun[1] - record.begun[0] == pytest.approx(0.5)

    run_virtual(main())


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_batches_run_than_may(most: int) -> None:
    async def main() -> None:
        record = Recorder(1.0)
        batch = BatchProcessor(2, 0.1, record, max_concurrent=most)
        process = asyncio.create_task(batch.process(range(20)))
        results = await asyncio.gather(*map(batch.submit, range(20)))
        assert results == [2 * i for i in range(20)]
        assert await process == results
        assert record.most == most
        assert all(len(each) <= 2 for each in record.batches)
        check_accounts(batch)

    run_virtual(main())


def test_batches_grow_with_the_load() -> None:
    async def main() -> None:
        record = Recorder(0.01)
        batch = BatchProcessor(64, 2.0, record)

        async def client(i: int) -> None:
            for _ in range(20):
                assert await batch.submit(i) == 2 * i

        await asyncio.gather(*map(client, range(256)))
        assert batch.get_stats()["avg_batch_size"] > 50
        check_accounts(batch)

    run_virtual(main())


# --- handlers -------------------------------------------------------------------------------


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


# --- submitters -----------------------------------------------------------------------------


def test_cancelled_submitters_are_dropped_from_the_batch() -> None:
    async def main() -> None:
        record = Recorder(1.0)
        batch = BatchProcessor(100, 60.0, record)
        tasks = [asyncio.create_task(batch.submit(i)) for i in range(6)]
        await asyncio.sleep(0.1)
        late = [asyncio.create_task(batch.submit(i)) for i in range(6, 10)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # runs already: the batch goes on
        late[1].cancel()
        results = await asyncio.gather(*tasks, *late, return_exceptions=True)
        assert record.batches == [[0, 1, 2, 3, 4, 5], [6, 8, 9]]
        assert [isinstance(r, asyncio.CancelledError) for r in results] == [
            i in (0, 7) for i in range(10)
        ]
        assert check_accounts(batch)["cancelled"] == 1
        gone = asyncio.create_task(batch.submit(11))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        await batch.drain()
        assert len(record.batches) == 2  # nobody was left to make a batch for

    run_virtual(main())


def test_queue_is_bounded() -> None:
    async def main() -> None:
        record = Recorder(1.0)
        batch = BatchProcessor(2, 60.0, record, max_queue=3, max_concurrent=1)
        tasks = [asyncio.create_task(batch.submit(i)) for i in range(20)]
        most = 0
        while not all(task.done() for task in tasks):
            most = max(most, batch.get_stats()["queue_size"])
            await asyncio.sleep(0.1)
        assert most == 3
        assert [task.result() for task in tasks] == [2 * i for i in range(20)]
        check_accounts(batch)

        refusing = BatchProcessor(1, 60.0, record, max_queue=2, max_concurrent=1, on_full="raise")
        results = await asyncio.gather(*map(refusing.submit, range(6)), return_exceptions=True)
        assert sum(isinstance(r, QueueFull) for r in results) >= 2
        check_accounts(refusing)

    run_virtual(main())


async def test_one_processor_serves_loops_one_after_another() -> None:
    def serve() -> None:
        batch = BatchProcessor(handler=lambda items: [2 * i for i in items])

        async def use() -> None:
            assert await asyncio.gather(*map(batch.submit, range(5))) == [0, 2, 4, 6, 8]
            assert await batch.process(range(5)) == [0, 2, 4, 6, 8]

        for _ in range(3):
            asyncio.run(use())
        assert check_accounts(batch)["processed_items"] == 15
        asyncio.run(batch.close())

    await asyncio.to_thread(serve)


def test_loops_in_several_threads_share_a_processor() -> None:
    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return items

    batch = BatchProcessor(8, handler=handle)
    failures: list[BaseException] = []

    def serve() -> None:
        async def use() -> None:
            for _ in range(20):
                assert await asyncio.gather(*map(batch.submit, range(40))) == list(range(40))

        try:
            asyncio.run(use())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert check_accounts(batch)["processed_items"] == 3200


def test_items_of_a_closed_loop_count_as_cancelled() -> None:
    batch = BatchProcessor(handler=Recorder(3600))
    loop = asyncio.new_event_loop()
    task = loop.create_task(batch.submit(1))
    loop.run_until_complete(asyncio.sleep(0.01))
    assert batch.get_stats()["running"] == 1
    for each in asyncio.all_tasks(loop):
        each._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    del task
    assert check_accounts(batch)["cancelled"] == 1


# --- process --------------------------------------------------------------------------------


async def as_async(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("source", [list, iter, as_async], ids=["list", "iterator", "async"])
@pytest.mark.parametrize("n", [0, 1, 9, 10, 11, 95])
async def test_any_iterable_is_cut_into_batches(source: Any, n: int) -> None:
    sizes: list[int] = []

    async def handle(items: list[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0.001 * random.random())
        return [2 * i for i in items]

    batch = BatchProcessor(10)
    assert await batch.process(source(range(n)), handle) == [2 * i for i in range(n)]
    assert sum(sizes) == n
    assert all(size == 10 for size in sorted(sizes, reverse=True)[: n // 10])
    assert not other_tasks()


async def test_process_refuses_what_it_cannot_do() -> None:
    batch = BatchProcessor()
    with pytest.raises(TypeError, match="items"):
        await batch.process(5, lambda items: items)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="handler"):
        await batch.process([1], 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="handler"):
        batch.handler(5)  # type: ignore[type-var]


async def test_first_error_ends_the_processing() -> None:
    cleaned = 0

    async def handle(items: list[int]) -> list[int]:
        nonlocal cleaned
        if items[0] == 4:
            await asyncio.sleep(0)
            raise OSError("bad batch")
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned += 1
        return items

    batch = BatchProcessor(2, max_concurrent=3)
    with pytest.raises(OSError, match="bad batch"):
        await batch.process(range(1000), handle)
    assert cleaned == 2
    assert not other_tasks()
    async with asyncio.timeout(5):  # the places of the cancelled are free again
        assert await batch.process(range(9), lambda items: items) == list(range(9))
    await batch.close()


async def test_error_of_the_input_ends_the_processing() -> None:
    def items() -> Any:
        yield from range(5)
        raise OSError("the input broke")

    batch = BatchProcessor(2, handler=Recorder())
    with pytest.raises(OSError, match="the input broke"):
        await batch.process(items())
    assert not other_tasks()


async def test_cancelling_process_cancels_its_batches() -> None:
    record = Recorder(3600)
    batch = BatchProcessor(2, handler=record, max_concurrent=3)
    work = asyncio.create_task(batch.process(range(100)))
    await asyncio.sleep(0.01)
    assert record.running == 3
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert record.running == 0
    assert not other_tasks()


async def test_hundred_thousand_items() -> None:
    most_ahead = taken = done = 0

    def items() -> Any:
        nonlocal taken, most_ahead
        for i in range(100_000):
            taken += 1
            most_ahead = max(most_ahead, taken - done)
            yield i

    async def count(batch_items: list[int]) -> list[int]:
        nonlocal done
        await asyncio.sleep(0)
        done += len(batch_items)
        return batch_items

    batch = BatchProcessor(1000, handler=count)
    assert await batch.process(items()) == list(range(100_000))
    assert most_ahead <= 5 * 1000


# --- adaptive -------------------------------------------------------------------------------


def adaptive_run(
    overhead_s: float, per_item_s: float, clients: int, **settings: Any
) -> tuple[dict[str, Any], float]:
    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(overhead_s + per_item_s * len(items))
        return items

    async def main() -> tuple[dict[str, Any], float]:
        batch = BatchProcessor(1000, 2.0, handle, adaptive=True, max_concurrent=1, **settings)

        async def client(i: int) -> None:
            for _ in range(60):
                await batch.submit(i)

        begun = now()
        await asyncio.gather(*map(client, range(clients)))
        return batch.get_stats(), now() - begun

    result: tuple[dict[str, Any], float] = run_virtual(main())
    return result


def test_adaptive_learns_what_batches_cost() -> None:
    stats, _ = adaptive_run(0.010, 0.001, 300)
    assert stats["cost"]["overhead_s"] == pytest.approx(0.010, rel=0.05)
    assert stats["cost"]["per_item_s"] == pytest.approx(0.001, rel=0.05)


def test_adaptive_aims_for_nine_tenths_of_the_throughput() -> None:
    stats, _ = adaptive_run(0.010, 0.001, 300)
    assert stats["target_batch_size"] == pytest.approx(90, abs=5)


def test_adaptive_keeps_to_the_latency_goal() -> None:
    stats, _ = adaptive_run(0.010, 0.001, 300, latency_goal=0.05)
    assert stats["target_batch_size"] == pytest.approx(40, abs=3)


def test_adaptive_takes_all_where_items_cost_nothing() -> None:
    stats, _ = adaptive_run(0.010, 0.0, 300)
    assert stats["target_batch_size"] >= 300


def test_adaptive_follows_a_handler_that_changes() -> None:
    cost = [0.001, 0.001]

    async def handle(items: list[int]) -> list[int]:
        await asyncio.sleep(cost[0] + cost[1] * len(items))
        return items

    async def main() -> None:
        batch = BatchProcessor(500, 2.0, handle, adaptive=True, max_concurrent=1)

        async def clients() -> None:
            async def client(i: int) -> None:
                for _ in range(30):
                    await batch.submit(i)

            await asyncio.gather(*map(client, range(200)))

        await clients()
        assert batch.get_stats()["target_batch_size"] == pytest.approx(9, abs=2)
        cost[0] = 0.01
        await clients()
        await clients()
        assert batch.get_stats()["target_batch_size"] > 60

    run_virtual(main())


# --- the end --------------------------------------------------------------------------------


async def test_close_finishes_what_was_submitted() -> None:
    record = Recorder(0.002)
    batch = BatchProcessor(4, handler=record, max_concurrent=1)
    tasks = [asyncio.create_task(batch.submit(i)) for i in range(10)]
    await asyncio.sleep(0)
    drained = await batch.close()
    assert (drained.answered, drained.failed, drained.cancelled) == (10, 0, 0)
    assert await asyncio.gather(*tasks) == [2 * i for i in range(10)]
    with pytest.raises(Closed):
        await batch.submit(1)
    with pytest.raises(Closed):
        await batch.process([1])
    assert await batch.close() == (0, 0, 0)
    assert not other_tasks()
    check_accounts(batch)


async def test_close_cancels_if_it_is_told_to() -> None:
    record = Recorder(3600)
    batch = BatchProcessor(4, handler=record, max_concurrent=1, max_queue=3)
    tasks = [asyncio.create_task(batch.submit(i)) for i in range(12)]
    await asyncio.sleep(0.005)
    drained = await batch.close(cancel=True)
    assert drained.cancelled == batch.get_stats()["submitted_items"]
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, Closed)
    assert record.running == 0
    assert not other_tasks()
    check_accounts(batch)


async def test_leaving_the_block_closes() -> None:
    async with BatchProcessor(handler=Recorder(0.001)) as batch:
        task = asyncio.create_task(batch.submit(4))
        await asyncio.sleep(0)
    assert await task == 8
    with pytest.raises(ZeroDivisionError):
        async with BatchProcessor(handler=Recorder(3600)) as batch:
            task = asyncio.create_task(batch.submit(4))
            await asyncio.sleep(0.001)
            raise ZeroDivisionError
    with pytest.raises(Closed):
        await task


async def test_close_does_not_wait_for_a_stuck_thread() -> None:
    release, begun = threading.Event(), threading.Event()

    def handle(items: list[int]) -> list[int]:
        begun.set()
        release.wait(30)
        return items

    batch = BatchProcessor(handler=handle)
    task = asyncio.create_task(batch.submit(1))
    assert await asyncio.to_thread(begun.wait, 30)
    await batch.close(cancel=True)
    with pytest.raises(Closed):
        await task
    release.set()


async def test_drain_waits_and_counts() -> None:
    batch = BatchProcessor(4, handler=Recorder(0.001))
    assert await batch.drain() == (0, 0, 0)
    tasks = [asyncio.create_task(batch.submit(i)) for i in range(9)]
    await asyncio.sleep(0)
    assert (await batch.drain()).answered == 9
    await asyncio.gather(*tasks)


async def test_samples_tell_what_the_stats_tell() -> None:
    batch = BatchProcessor(handler=Recorder(), name="mine")
    await asyncio.gather(*map(batch.submit, range(5)))
    samples = list(batch.samples())
    assert all(isinstance(s, Sample) and s.labels == (("processor", "mine"),) for s in samples)
    assert {s.name: s.value for s in samples}["raudo_batch_answered_total"] == 5


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 1.5}, TypeError, "batch_size"),
        ({"max_wait_time": -1}, ValueError, "max_wait_time"),
        ({"max_wait_time": "2"}, TypeError, "max_wait_time"),
        ({"handler": 5}, TypeError, "handler"),
        ({"max_queue": 0}, ValueError, "max_queue"),
        ({"max_concurrent": 0}, ValueError, "max_concurrent"),
        ({"on_full": "drop"}, ValueError, "on_full"),
        ({"latency_goal": 1.0}, ValueError, "adaptive"),
    ],
)
def test_bad_settings_are_named(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        BatchProcessor(**arguments)


@pytest.mark.parametrize("seed", range(4))
async def test_accounts_are_exact_under_random_faults(seed: int) -> None:
    chance = random.Random(seed)

    async def handle(items: list[int]) -> list[Any]:
        await asyncio.sleep(0.0005 * chance.random())
        fate = chance.random()
        if fate < 0.1:
            raise OSError
        if fate < 0.2:
            return items[1:]
        return [ValueError() if chance.random() < 0.1 else i for i in items]

    def plain(items: list[int]) -> list[Any]:
        time.sleep(0.0002)
        return items

    batch = BatchProcessor(5, 0.001, chance.choice([handle, plain]), max_queue=12)

    async def client(i: int) -> None:
        for _ in range(30):
            try:
                async with asyncio.timeout(0.002 if chance.random() < 0.3 else 5):
                    assert await batch.submit(i) == i
            except (OSError, ValueError, TimeoutError):
                pass

    await asyncio.gather(*map(client, range(30)))
    await batch.close()
    assert not other_tasks()
    check_accounts(batch)
