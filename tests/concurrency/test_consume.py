"""`AsyncProcessor.consume`: how messages are handled, and each once."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from concurrency.consume_helpers import emptied, filled
from concurrency.virtual_time import run_virtual
from raudo import AsyncProcessor
from raudo.concurrency import LocalQueue, RecentKeys
from raudo.concurrency.limits import CircuitBreaker
from raudo.errors import QueueFull

# --- handling -----------------------------------------------------------------------------------


def test_a_message_is_tried_again_and_then_buried_while_others_go_on():
    async def main():
        queue, tries, ends = filled(20), [], []
        loop = asyncio.get_running_loop()

        async def handle(message):
            if message.body == 3:
                tries.append(loop.time())
                raise ValueError("three")
            ends.append(message.body)

        async with AsyncProcessor() as processor:
            async with processor.consume(queue, handle, 1, retries=3, backoff=1.0) as consumer:
                await asyncio.sleep(0.4)
                assert len(ends) == 19  # one worker, and the pause holds nobody up
                await emptied(queue)
            ended = await consumer
        assert (ended.handled, ended.dead, ended.given_back) == (19, 1, 0)
        pauses = [b - a for a, b in itertools.pairwise(tries)]
        assert all(0.5 * w <= pause <= w for pause, w in zip(pauses, (1, 2, 4), strict=True))
        ((message, reason),) = queue.dead
        assert (message.body, reason) == (3, "ValueError: three")

    run_virtual(main())


def test_no_more_run_and_no_more_are_held_than_said():
    async def main():
        queue, running, most_running, most_held = filled(300), 0, 0, 0

        async def handle(message):
            nonlocal running, most_running, most_held
            running += 1
            most_running = max(most_running, running)
            most_held = max(most_held, len(queue._held))
            await asyncio.sleep(0.01)
            running -= 1

        async with AsyncProcessor() as processor, processor.consume(queue, handle, 5, window=12):
            await emptied(queue)
        assert (most_running, most_held) == (5, 12)

    run_virtual(main())


def test_messages_of_a_key_keep_their_order_through_failures():
    async def main():
        queue, handled, failed = LocalQueue(), [], set()
        for i in range(60):
            queue.send_nowait(i, key="even" if i % 2 == 0 else None)

        async def handle(message):
            await asyncio.sleep(0.001 * (7 - message.body % 7))
            if message.body % 10 == 0 and message.body not in failed:
                failed.add(message.body)
                raise OSError("once")
            handled.append(message.body)

        async with AsyncProcessor() as processor, processor.consume(queue, handle, 8, backoff=0.05):
            await emptied(queue)
        even = [i for i in handled if i % 2 == 0]
        assert even == sorted(even)
        assert sorted(handled) == list(range(60))

    run_virtual(main())


def test_a_handler_that_takes_too_long_fails():
    async def main():
        queue = filled(1)
        async with AsyncProcessor() as processor:
            async with processor.consume(
                queue, lambda _: asyncio.sleep(9), timeout=0.5, retries=1, kind="inline"
            ):
                await emptied(queue)
            assert processor.get_stats()["timed_out"] == 2
        assert "longer than 0.5 s" in queue.dead[0].reason

    run_virtual(main())


async def test_plain_functions_run_on_threads():
    queue, handled = filled(50), []

    def handle(message):
        time.sleep(0.001)
        handled.append(message.body)

    async with AsyncProcessor(use_processes=False) as processor:
        async with processor.consume(queue, handle, 8, kind="thread"):
            await emptied(queue)
        stats = processor.get_stats()
    assert sorted(handled) == list(range(50))
    assert (stats["by_kind"]["thread"], stats["submitted_tasks"], stats["running"]) == (50, 50, 0)


def test_an_open_circuit_is_no_attempt():
    async def main():
        queue, is_up = filled(40), False

        async def handle(message):
            if not is_up:
                raise ConnectionError("down")

        breaker = CircuitBreaker(failures=3, reset_after=1.0)
        async with (
            AsyncProcessor(breaker=breaker) as processor,
            processor.consume(queue, handle, 4, retries=8, backoff=0.1),
        ):
            await asyncio.sleep(20)
            is_up = True
            await emptied(queue)
        assert len(queue.dead) == 0

    run_virtual(main())


def test_a_handler_that_cancels_itself_fails():
    async def main():
        queue = filled(3)

        async def handle(message):
            if message.body == 1:
                raise asyncio.CancelledError

        async with AsyncProcessor() as processor, processor.consume(queue, handle, 2) as consumer:
            await emptied(queue)
        assert (await consumer)[:3] == (2, 0, 1)

    run_virtual(main())


def test_what_was_delivered_in_vain_too_often_is_buried():
    async def main():
        queue = filled(2)
        for _ in range(3):
            await queue.retry(await queue.receive(1, 0.0))
        seen = []

        async def handle(message):
            seen.append(message.body)

        async with (
            AsyncProcessor() as processor,
            processor.consume(queue, handle, max_deliveries=3),
        ):
            await emptied(queue)
        assert seen == [1]
        assert queue.dead[0].reason == "delivered 3 times in vain"

    run_virtual(main())


# --- duplicates ---------------------------------------------------------------------------------


def test_a_key_is_handled_once_within_the_window():
    async def main():
        queue, handled = LocalQueue(), []
        for i in range(8):
            queue.send_nowait(i, idempotency_key=f"k{i // 2}")

        async def handle(message):
            await asyncio.sleep(0.01)
            handled.append(message.idempotency_key)

        seen = RecentKeys(3)
        async with (
            AsyncProcessor() as processor,
            processor.consume(queue, handle, seen=seen) as consumer,
        ):
            await emptied(queue)
            for i in (0, 3):  # the oldest of the four is forgotten
                queue.send_nowait(i, idempotency_key=f"k{i}")
            await emptied(queue)
        assert sorted(handled) == ["k0", "k0", "k1", "k2", "k3"]
        assert (await consumer).duplicates == 5
        assert len(seen) == 3

    run_virtual(main())


def test_a_duplicate_has_its_turn_where_the_first_failed():
    async def main():
        queue, tries = LocalQueue(), []
        for i in range(3):
            queue.send_nowait(i, key="same", idempotency_key="once")

        async def handle(message):
            tries.append(message.body)
            if message.body == 0:
                raise ValueError("the first")

        async with (
            AsyncProcessor() as processor,
            processor.consume(queue, handle, retries=0) as consumer,
        ):
            await emptied(queue)
        assert tries == [0, 1]
        assert (await consumer)[:3] == (1, 1, 1)

    run_virtual(main())


def test_consumers_share_what_they_have_seen():
    async def main():
        seen, queues, handled = RecentKeys(), [filled(5), filled(5)], []

        async def handle(message):
            handled.append(message.body)

        async with AsyncProcessor() as processor:
            for queue in queues:
                async with processor.consume(queue, handle, seen=seen):
                    await emptied(queue)
        assert sorted(handled) == list(range(5))

    run_virtual(main())


# --- the edges ----------------------------------------------------------------------------------


async def test_wrong_arguments_are_named():
    async with AsyncProcessor() as processor:
        queue = LocalQueue()
        with pytest.raises(TypeError, match="handler must be a function, not int"):
            processor.consume(queue, 3)
        for name in ("max_concurrent", "window", "max_deliveries"):
            with pytest.raises(ValueError, match=name):
                processor.consume(queue, print, **{name: 0})
        with pytest.raises(ValueError, match="retries"):
            processor.consume(queue, print, retries=-1)


async def test_a_full_queue_holds_the_sender_back():
    queue = LocalQueue(2)
    await queue.send(0)
    await queue.send(1)
    with pytest.raises(QueueFull, match="holds 2"):
        queue.send_nowait(2)
    sending = asyncio.ensure_future(queue.send(2))
    await asyncio.sleep(0)
    assert not sending.done()
    await queue.ack(await queue.receive(1, 0))
    assert await sending == "2"
