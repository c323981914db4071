"""The contract suite for queues: inherit it in a test class and give it its subject.

    class TestMyQueue(MessageSourceContract):
        def make_source(self, queue): return MyQueue(queue, group="test")
        async def dead(self, queue): return [(body, reason), ...]

Each test has a queue of its own name. `make_source` is called again for a second consumer.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from raudo.concurrency import AsyncProcessor
from raudo.types import Message, MessageSource

__all__ = ["MessageSourceContract"]

_names = itertools.count()


class _Queue:
    """One test's queue, and its consumers so far."""

    def __init__(self, suite: MessageSourceContract) -> None:
        self.name = f"contract-{uuid.uuid4().hex[:8]}-{next(_names)}"
        self._suite = suite
        self.sources: list[MessageSource] = []

    def join(self) -> MessageSource:
        self.sources.append(self._suite.make_source(self.name))
        return self.sources[-1]

    async def send(self, *bodies: bytes, key: bytes | None = None, same: str | None = None) -> None:
        for body in bodies:
            await self._suite.send(self.sources[0], body, key, same)

    async def take(self, source: MessageSource, n: int) -> list[Message]:
        """Receive until n messages have come; fail where that takes too long."""
        found: list[Message] = []
        async with asyncio.timeout(self._suite.patience):
            while len(found) < n:
                found += await source.receive(n - len(found), 0.2)
        return found

    async def dead(self) -> list[tuple[bytes, str]]:
        return await self._suite.dead(self.name)


class MessageSourceContract:
    """What `raudo.types.MessageSource` promises."""

    patience = 15.0
    """Seconds within which a message has to come, a change of consumers included."""

    def make_source(self, queue: str) -> MessageSource:
        """Return a consumer of this queue; those of one queue are of one group."""
        raise TypeError(f"{type(self).__name__} must define make_source")

    async def dead(self, queue: str) -> list[tuple[bytes, str]]:
        """Return body and reason of the queue's dead letters."""
        raise TypeError(f"{type(self).__name__} must define dead")

    async def prepare(self, queue: str) -> None:
        """Make the queue, where that has to be done."""

    async def send(
        self, source: Any, body: bytes, key: bytes | None, idempotency_key: str | None
    ) -> None:
        """Append a message to the source's queue."""
        await source.send(body, key=key, idempotency_key=idempotency_key)

    def _run(self, body: Callable[[_Queue, MessageSource], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            queue = _Queue(self)
            await self.prepare(queue.name)
            try:
                await body(queue, queue.join())
            finally:
                for source in queue.sources:
                    await source.close()

        asyncio.run(main())

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(self.patience):
            while not condition():  # noqa: ASYNC110  # what it looks at has no event
                await asyncio.sleep(0.002)

    def test_messages_come_in_order_and_whole_and_no_more_than_asked_for(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            assert isinstance(source.name, str)
            assert source.name
            assert list(await source.receive(10, 0.05)) == []
            await queue.send(b"0", b"1", b"2", key=b"k")
            await queue.send(bytes(range(256)), key=b"k", same="once")
            first = await queue.take(source, 1)
            assert len(first) == 1
            messages = [*first, *await queue.take(source, 3)]
            assert list(await source.receive(10, 0.05)) == []
            assert [each.body for each in messages] == [b"0", b"1", b"2", bytes(range(256))]
            assert [each.key for each in messages] == [b"k"] * 4
            assert len({each.id for each in messages}) == 4
            assert messages[0].idempotency_key == messages[0].id
            assert messages[3].idempotency_key == "once"
            assert {each.deliveries for each in messages} == {1}
            assert all(source.holds(each) for each in messages)

        self._run(body)

    def test_what_was_acknowledged_does_not_come_again(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            await queue.send(b"0", b"1")
            await source.ack(await queue.take(source, 2))
            await source.close()
            after = queue.join()
            await queue.send(b"2")
            assert [each.body for each in await queue.take(after, 1)] == [b"2"]

        self._run(body)

    def test_what_was_not_goes_to_another_when_the_consumer_leaves(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            await queue.send(b"0", b"1", b"2")
            first = await queue.take(source, 3)
            await source.ack(first[:1])
            await source.retry(first[1:])
            await source.close()
            again = await queue.take(queue.join(), 2)
            assert [each.body for each in again] == [b"1", b"2"]
            assert [each.id for each in again] == [each.id for each in first[1:]]

        self._run(body)

    def test_what_is_given_back_comes_again_and_counts_until_it_is_settled(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            await queue.send(b"0", b"1", b"2")
            first, second = await queue.take(source, 2)
            assert await source.lag() == 3
            await source.ack([second])
            loop = asyncio.get_running_loop()
            given = loop.time()
            await source.retry([first], 0.3)
            assert not source.holds(first)
            (third,) = await queue.take(source, 1)
            assert third.body == b"2"
            (again,) = await queue.take(source, 1)
            assert loop.time() - given >= 0.29
            assert (again.id, again.body, again.deliveries) == (first.id, b"0", 2)
            await source.ack([again])
            await source.ack([again])  # again, or late, is harmless
            await source.retry([again])
            assert list(await source.receive(2, 0.05)) == []
            assert await source.lag() == 1
            await source.ack([third])
            assert await source.lag() == 0

        self._run(body)

    def test_dead_letters_are_kept_with_their_reason(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            await queue.send(b"good", b"bad")
            good, bad = await queue.take(source, 2)
            await source.dead_letter(bad, "it is bad")
            assert await queue.dead() == [(b"bad", "it is bad")]
            await source.ack([good])
            assert await source.lag() == 0

        self._run(body)

    def test_a_processor_handles_all_by_key_in_order_and_buries_poison(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            for i in range(30):
                await queue.send(b"%d" % i, key=b"k%d" % (i % 3))
            await queue.send(b"twice", b"twice", key=b"k0", same="once")
            handled: list[bytes] = []
            running: set[bytes] = set()

            async def handle(message: Message) -> None:
                assert message.key not in running
                running.add(message.key)
                await asyncio.sleep(0.001)
                running.discard(message.key)
                if message.body == b"7":
                    raise ValueError("seven")
                handled.append(message.body)

            async with AsyncProcessor(use_processes=False) as processor:
                consumer = processor.consume(source, handle, 8, retries=2, backoff=0.01)
                async with consumer:
                    await self._until(lambda: sum(consumer.counts[:3]) == 32)
                ended = await consumer
                assert (ended.handled, ended.duplicates, ended.dead) == (30, 1, 1)
            for k in range(3):
                got = [int(each) for each in handled if each.isdigit() and int(each) % 3 == k]
                assert got == [i for i in range(30) if i % 3 == k and i != 7]
            assert handled.count(b"twice") == 1
            assert await queue.dead() == [(b"7", "ValueError: seven")]
            assert list(await queue.join().receive(1, 0.3)) == []

        self._run(body)

    def test_a_processor_that_stops_gives_back_what_it_did_not_handle(self) -> None:
        async def body(queue: _Queue, source: MessageSource) -> None:
            await queue.send(*(b"%d" % i for i in range(40)))
            handled: list[bytes] = []

            async def handle(message: Message) -> None:
                await asyncio.sleep(0.002)
                handled.append(message.body)

            async with AsyncProcessor(use_processes=False) as processor:
                first = processor.consume(source, handle, 2)
                async with first:
                    await self._until(lambda: len(handled) >= 5)
                assert (await first).handled == len(handled) < 40
                second = processor.consume(queue.join(), handle, 8)
                async with second:
                    await self._until(lambda: len(handled) == 40)
            assert sorted(map(int, handled)) == list(range(40))

        self._run(body)
