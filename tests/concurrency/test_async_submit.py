"""`AsyncProcessor.submit`: the bounded queue, priorities, cancellation, exact accounts."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from typing import Any

import pytest

from concurrency.async_helpers import check_accounts, double, fail, hop, other_tasks, plain_double
from concurrency.virtual_time import run_virtual
from raudo.concurrency import AsyncProcessor
from raudo.errors import Closed, QueueFull, TaskTimeout

pytestmark = pytest.mark.timeout(60)


class Gate:
    """Tasks that note that they began and wait to be let through."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.open = asyncio.Event()

    async def pass_through(self, i: int) -> int:
        self.began.append(i)
        await self.open.wait()
        return i


async def test_future_has_the_result() -> None:
    processor = AsyncProcessor(2, use_processes=False)
    future = await processor.submit(double, 21)
    assert isinstance(future, asyncio.Future)
    assert await future == 42
    assert await (await processor.submit(plain_double, 4)) == 8
    with pytest.raises(OSError):
        await (await processor.submit(fail, OSError()))
    assert not other_tasks()
    await processor.stop()
    check_accounts(processor)


async def test_no_more_than_max_workers_run() -> None:
    gate = Gate()
    processor = AsyncProcessor(3)
    futures = [await processor.submit(gate.pass_through, i) for i in range(8)]
    await asyncio.sleep(0)
    assert gate.began == [0, 1, 2]
    stats = processor.get_stats()
    assert (stats["queue_size"], stats["running"], stats["submitted_tasks"]) == (5, 3, 8)
    gate.open.set()
    assert await asyncio.gather(*futures) == list(range(8))
    check_accounts(processor)


async def test_full_queue_makes_submitters_wait_in_order() -> None:
    gate = Gate()
    processor = AsyncProcessor(1, queue_size=2)
    for i in range(3):
        await processor.submit(gate.pass_through, i)
    waiting = [asyncio.create_task(processor.submit(gate.pass_through, i)) for i in range(3, 6)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    assert processor.get_stats()["queue_size"] == 2
    waiting[1].cancel()
    gate.open.set()
    await asyncio.wait(waiting)
    await processor.drain()
    assert gate.began == [0, 1, 2, 3, 5]
    stats = check_accounts(processor)
    assert stats["submitted_tasks"] == 5  # what never got in was never taken


async def test_full_queue_refuses_if_told_to() -> None:
    gate = Gate()
    processor = AsyncProcessor(1, queue_size=2, on_full="raise")
    for i in range(3):
        await processor.submit(gate.pass_through, i)
    with pytest.raises(QueueFull, match="2 tasks wait") as caught:
        await processor.submit(gate.pass_through, 3)
    assert isinstance(caught.value, asyncio.QueueFull)
    gate.open.set()
    await processor.drain()
    assert await (await processor.submit(double, 1)) == 2
    check_accounts(processor)


async def test_full_queue_drops_the_oldest_if_told_to() -> None:
    gate = Gate()
    processor = AsyncProcessor(1, queue_size=2, on_full="drop_oldest")
    futures = [await processor.submit(gate.pass_through, i) for i in range(5)]
    for i in (1, 2):
        with pytest.raises(QueueFull, match="dropped"):
            await futures[i]
    gate.open.set()
    assert await asyncio.gather(futures[0], futures[3], futures[4]) == [0, 3, 4]
    stats = check_accounts(processor)
    assert (stats["dropped"], stats["succeeded_tasks"]) == (2, 3)


async def test_drop_takes_the_least_urgent_first() -> None:
    gate = Gate()
    processor = AsyncProcessor(1, queue_size=2, on_full="drop_oldest")
    await processor.submit(gate.pass_through, 0)
    urgent = await processor.submit(gate.pass_through, 1, priority=5)
    idle = await processor.submit(gate.pass_through, 2, priority=-5)
    last = await processor.submit(gate.pass_through, 3)
    with pytest.raises(QueueFull):
        await idle
    gate.open.set()
    assert await asyncio.gather(urgent, last) == [1, 3]


async def test_submit_nowait() -> None:
    gate = Gate()
    processor = AsyncProcessor(1, queue_size=1)
    futures = [processor.submit_nowait(gate.pass_through, i) for i in range(2)]
    with pytest.raises(QueueFull):
        processor.submit_nowait(gate.pass_through, 2)
    gate.open.set()
    assert await asyncio.gather(*futures) == [0, 1]
    with pytest.raises(TypeError, match="function"):
        processor.submit_nowait(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="priority"):
        processor.submit_nowait(double, 1, priority="high")  # type: ignore[arg-type]
    check_accounts(processor)


async def test_higher_priorities_go_first_and_equal_ones_in_order() -> None:
    gate = Gate()
    processor = AsyncProcessor(1)
    await processor.submit(gate.pass_through, -1)
    await asyncio.sleep(0)
    jobs = [(i, random.Random(i).choice([-1, 0, 3])) for i in range(30)]
    for i, priority in jobs:
        await processor.submit(gate.pass_through, i, priority=priority)
    gate.open.set()
    await processor.drain()
    assert gate.began == [-1, *(i for i, _ in sorted(jobs, key=lambda job: -job[1]))]


async def test_cancelling_a_future_takes_its_task_back() -> None:
    gate = Gate()
    processor = AsyncProcessor(1, queue_size=2)
    running = await processor.submit(gate.pass_through, 0)
    queued = [await processor.submit(gate.pass_through, i) for i in (1, 2)]
    await asyncio.sleep(0)
    queued[0].cancel()
    await asyncio.sleep(0)
    assert processor.get_stats()["queue_size"] == 1
    await processor.submit(gate.pass_through, 3)  # there is room again
    running.cancel()
    await asyncio.sleep(0)
    gate.open.set()
    await processor.drain()
    assert gate.began == [0, 2, 3]
    stats = check_accounts(processor)
    assert (stats["cancelled"], stats["succeeded_tasks"]) == (2, 2)


async def test_queued_and_cancelled_in_one_turn_never_runs() -> None:
    processor = AsyncProcessor(1)
    ran = []

    async def note() -> None:
        ran.append(1)

    blocker = await processor.submit(asyncio.sleep, 0)
    queued = await processor.submit(note)
    await blocker
    queued.cancel()
    await processor.drain()
    assert not ran or queued.done()
    check_accounts(processor)


def test_queued_time_does_not_count_as_running() -> None:
    async def main() -> None:
        processor = AsyncProcessor(1, timeout=2)
        futures = [await processor.submit(asyncio.sleep, 1.5, i) for i in range(5)]
        late = await processor.submit(asyncio.sleep, 60)
        assert await asyncio.gather(*futures) == list(range(5))
        with pytest.raises(TaskTimeout):
            await late
        check_accounts(processor)

    run_virtual(main())


user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


async def test_each_task_sees_its_submitter_s_context() -> None:
    processor = AsyncProcessor(1, use_processes=False)

    async def who() -> str:
        await asyncio.sleep(0)
        seen = user.get()
        user.set("changed")
        return seen

    async def submit_as(name: str) -> Any:
        user.set(name)
        futures = [await processor.submit(who), await processor.submit(user.get)]
        return await asyncio.gather(*futures)

    names = [f"user{i}" for i in range(10)]
    seen = await asyncio.gather(*map(submit_as, names))
    assert seen == [[name, name] for name in names]
    await processor.stop()


async def test_those_who_wait_for_room_learn_of_the_end() -> None:
    processor = AsyncProcessor(1, queue_size=1)
    for _ in range(2):
        await processor.submit(asyncio.sleep, 3600)
    waiting = asyncio.create_task(processor.submit(double, 1))
    await asyncio.sleep(0)
    await processor.stop(cancel=True)
    with pytest.raises(Closed):
        await waiting
    assert check_accounts(processor)["cancelled"] == 2


async def test_task_that_swallows_its_cancellation_is_counted_once() -> None:
    processor = AsyncProcessor(1)

    async def deaf() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return "still here"

    future = await processor.submit(deaf)
    await asyncio.sleep(0)
    future.cancel()
    await processor.drain()
    assert future.cancelled()
    assert check_accounts(processor)["succeeded_tasks"] == 1


@pytest.mark.parametrize("on_full", ["wait", "raise", "drop_oldest"])
@pytest.mark.parametrize("seed", range(3))
async def test_accounts_are_exact_under_random_faults(on_full: Any, seed: int) -> None:
    chance = random.Random(seed)
    processor = AsyncProcessor(
        3, use_processes=False, queue_size=5, on_full=on_full, retries=1, backoff=0, timeout=0.005
    )

    async def task(i: int) -> int:
        fate = chance.random()
        if fate < 0.2:
            raise OSError
        if fate < 0.3:
            await asyncio.sleep(1)
        if fate < 0.4:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
        await asyncio.sleep(0)
        return i

    async def client(n: int) -> int:
        refused = 0
        for i in range(n):
            try:
                future = await processor.submit(
                    chance.choice([task, hop, plain_double]), i, priority=chance.randrange(3)
                )
            except QueueFull:
                refused += 1
                await asyncio.sleep(0)
                continue
            if chance.random() < 0.2:
                future.cancel()
            elif chance.random() < 0.5:
                await asyncio.wait([future])
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return refused

    clients = [asyncio.create_task(client(40)) for _ in range(8)]
    batch = processor.process_batch([(task, (i,)) for i in range(50)], 4, return_exceptions=True)
    clients.append(asyncio.create_task(batch))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    chance.choice(clients[:4]).cancel()
    await asyncio.wait(clients)
    await processor.stop()
    assert not other_tasks()
    stats = check_accounts(processor)
    assert stats["submitted_tasks"] > 50
    assert stats["failed_tasks"]
    assert stats["cancelled"]
    assert stats["retried"]


async def test_a_second_stop_may_cancel_what_the_first_waits_for() -> None:
    processor = AsyncProcessor(1)
    running = await processor.submit(asyncio.Event().wait)
    queued = await processor.submit(double, 1)
    first = asyncio.ensure_future(processor.stop())
    await asyncio.sleep(0)
    assert await processor.stop() == (0, 0, 0, 0)
    assert not first.done()
    assert await processor.stop(cancel=True) == (0, 0, 0, 0)
    assert await first == (0, 0, 2, 0)
    assert running.cancelled()
    assert queued.cancelled()
    check_accounts(processor)
