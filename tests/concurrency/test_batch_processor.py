"""`BatchProcessor`: when batches go, who submits, how it ends, and that nothing is lost."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

import pytest

from concurrency.async_helpers import other_tasks
from concurrency.batch_helpers import Recorder, check_accounts
from concurrency.virtual_time import now, run_virtual
from raudo.concurrency import BatchProcessor
from raudo.errors import Closed, QueueFull
from raudo.types import Sample

pytestmark = pytest.mark.timeout(60)


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
