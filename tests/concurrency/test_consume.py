"""`AsyncProcessor.consume` over the queue in the process, and over one that fails as told."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from concurrency.virtual_time import run_virtual
from raudo import AsyncProcessor, events
from raudo.concurrency import LocalQueue, RecentKeys
from raudo.concurrency.limits import CircuitBreaker
from raudo.errors import QueueFull, SourceUnavailable


def filled(n=0, **options):
    queue = LocalQueue(**options)
    for i in range(n):
        queue.send_nowait(i)
    return queue


async def emptied(queue, within=60):
    async with asyncio.timeout(within):
        while len(queue):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Flaky(LocalQueue):
    """Fails the next calls of a name with what `failures` has for it."""

    def __init__(self, **failures):
        super().__init__()
        self.failures = failures

    def _fail(self, name):
        left = self.failures.get(name)
        if left:
            raise left.pop(0)

    async def receive(self, limit, timeout):
        self._fail("receive")
        return await super().receive(limit, timeout)

    async def ack(self, messages):
        self._fail("ack")
        await super().ack(messages)

    async def dead_letter(self, message, reason):
        self._fail("dead_letter")
        await super().dead_letter(message, reason)

    async def lag(self):
        self._fail("lag")
        return await super().lag()


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


# --- a source that fails ------------------------------------------------------------------------


def test_a_source_that_fails_is_asked_again():
    async def main():
        def errors():
            return [SourceUnavailable("away"), ConnectionResetError("gone")]

        queue = Flaky(receive=errors(), ack=errors(), dead_letter=errors(), lag=errors())
        for i in range(10):
            queue.send_nowait(i)
        told, handled = [], []

        async def handle(message):
            if message.body == 4:
                raise ValueError("four")
            handled.append(message.body)

        unsubscribe = events.subscribe(events.SourceFailed, told.append)
        try:
            async with AsyncProcessor(name="p") as processor:
                async with processor.consume(queue, handle, retries=0):
                    await emptied(queue)
                samples = {sample.name: sample for sample in processor.samples()}
        finally:
            unsubscribe()
        assert sorted(handled) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert {event.operation for event in told} == {"receive", "ack", "dead_letter"}
        assert samples["raudo_queue_errors_total"].value == 6
        assert samples["raudo_queue_handled_total"].value == 9
        assert samples["raudo_queue_dead_total"].value == 1
        assert samples["raudo_queue_held"].value == 0
        assert samples["raudo_queue_handled_total"].labels == (
            ("processor", "p"),
            ("source", "local"),
        )

    run_virtual(main())


def test_lag_is_among_the_samples():
    async def main():
        queue = filled(100)
        async with (
            AsyncProcessor() as processor,
            processor.consume(queue, lambda _: asyncio.sleep(1), 2, kind="inline"),
        ):
            await asyncio.sleep(5.5)
            (lag,) = [s for s in processor.samples() if s.name == "raudo_queue_lag"]
            assert 85 <= lag.value <= 92

    run_virtual(main())


def test_a_bug_of_the_source_ends_it_and_loses_nothing():
    async def main():
        queue = Flaky(ack=[TypeError("a bug")])
        queue.send_nowait("a")

        async def handle(message):
            pass

        async with AsyncProcessor() as processor:
            with pytest.raises(TypeError, match="a bug"):
                await processor.consume(queue, handle)
        assert len(queue._waiting) == 1

    run_virtual(main())


def test_an_end_does_not_wait_for_a_source_that_stays_away():
    async def main():
        queue = Flaky(ack=[SourceUnavailable("away")] * 1000)
        queue.send_nowait("a")
        loop = asyncio.get_running_loop()

        async def handle(message):
            pass

        async with AsyncProcessor() as processor:
            async with processor.consume(queue, handle) as consumer:
                await asyncio.sleep(1)
                begun = loop.time()
            assert loop.time() - begun < 12
            assert (await consumer).given_back == 1

    run_virtual(main())


def test_what_was_lost_to_another_is_let_go():
    async def main():
        queue, handled = filled(4), []

        async def handle(message):
            handled.append(message.body)
            await asyncio.sleep(1)

        async with AsyncProcessor() as processor:
            async with processor.consume(queue, handle, 1) as consumer:
                await asyncio.sleep(0.5)
                for lost in list(queue._held.values())[1:]:
                    del queue._held[lost.id]
                await asyncio.sleep(2)
            assert (await consumer)[:1] == (1,)
        assert handled == [0]

    run_virtual(main())


# --- the end ------------------------------------------------------------------------------------


def test_stop_ends_what_runs_and_gives_back_the_rest():
    async def main():
        queue, handled = filled(30), []

        async def handle(message):
            await asyncio.sleep(0.1)
            handled.append(message.body)
            if message.body == 4:  # the first of the two that run
                consumer.stop()

        async with AsyncProcessor() as processor:
            consumer = processor.consume(queue, handle, 2)
            ended = await consumer
        assert ended.handled == len(handled) == 6
        assert len(queue) == 24
        assert [message.deliveries for message in await queue.receive(99, 0)][:3] == [2, 2, 2]

    run_virtual(main())


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_the_processor_s_end_is_the_consumer_s(is_cancelled):
    async def main():
        queue, handled = filled(30), []

        async def handle(message):
            await asyncio.sleep(0.1)
            handled.append(message.body)

        processor = AsyncProcessor()
        task = asyncio.ensure_future(processor.consume(queue, handle, 2).run())
        await asyncio.sleep(0.25)
        ended = await processor.stop(cancel=is_cancelled)
        assert (await task).handled == len(handled) == (4 if is_cancelled else 6)
        assert ended[:3] == ((0, 0, 2) if is_cancelled else (2, 0, 0))
        assert len(queue._waiting) == 30 - len(handled)
        stats = processor.get_stats()
        assert (stats["running"], stats["queue_size"]) == (0, 0)

    run_virtual(main())


def test_a_cancelled_consumer_gives_all_back():
    async def main():
        queue, was_cancelled = filled(10), []

        async def handle(message):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                was_cancelled.append(message.body)
                raise

        async with AsyncProcessor() as processor:
            task = asyncio.ensure_future(processor.consume(queue, handle, 3).run())
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert was_cancelled == [0, 1, 2]
        assert len(queue._waiting) == 10

    run_virtual(main())


def test_a_loop_that_shuts_down_buries_nothing():
    queue = filled(10)

    async def main():
        async def handle(message):
            await asyncio.sleep(100)

        processor = AsyncProcessor()
        asyncio.ensure_future(processor.consume(queue, handle, 3).run())  # noqa: RUF006
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert len(queue.dead) == 0
    assert len(queue._waiting) == 10


def test_a_message_between_attempts_goes_back_at_once():
    async def main():
        queue = filled(1)

        async def handle(message):
            raise ValueError("always")

        loop = asyncio.get_running_loop()
        async with AsyncProcessor() as processor:
            async with processor.consume(queue, handle, backoff=20.0):
                await asyncio.sleep(1)
                begun = loop.time()
            assert loop.time() - begun < 0.1
        assert len(queue._waiting) == 1

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
