"""`AsyncProcessor.consume`: a source that fails, and how consuming ends."""

from __future__ import annotations

import asyncio

import pytest

from concurrency.consume_helpers import emptied, filled
from concurrency.virtual_time import run_virtual
from raudo import AsyncProcessor, events
from raudo.concurrency import LocalQueue
from raudo.errors import SourceUnavailable


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
