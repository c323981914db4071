"""Kafka on a real broker: the contract, kill -9, a rebalance, a broker that goes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

pytest.importorskip("redis")
from integrations.queue_faults import (
    Notes,
    grow_and_shrink,
    kill_9,
    until,
    worker,
)
from kafka_broker import FAST
from raudo import AsyncProcessor
from raudo.errors import SourceUnavailable
from raudo.testing import MessageSourceContract

pytest.importorskip("aiokafka")
from raudo.integrations.kafka import KafkaTopic

pytestmark = pytest.mark.slow  # servers, which no interpreter changes
# A member that the machine lets starve for so long is lost, and what it had in hand comes twice.
PATIENT = {**FAST, "session_timeout_ms": 5000}


class TestKafkaTopic(MessageSourceContract):
    @pytest.fixture(autouse=True)
    def _broker(self, kafka_broker):
        self.broker = kafka_broker

    async def prepare(self, queue):
        await self.broker.create_async(queue, f"{queue}.dead")

    def make_source(self, queue):
        return KafkaTopic(queue, "test", self.broker.url, **FAST)

    async def dead(self, queue):
        records = await self.broker.read(f"{queue}.dead")
        return [(record.value, dict(record.headers)["reason"].decode()) for record in records]


def fill(broker, queue, n):
    async def send():
        await broker.create_async(queue, partitions=4)
        topic = KafkaTopic(queue, "group", broker.url)
        await topic.send_many((str(i), str(i % 7)) for i in range(n))
        await topic.close()

    asyncio.run(send())


def test_kill_9_loses_nothing(kafka_broker, redis_server):
    def notes_of(queue):
        fill(kafka_broker, queue, 150)
        return Notes(redis_server.url, f"kafka-{queue}")

    def begin(notes, acks):
        queue = notes.queue.removeprefix("kafka-")
        return worker(notes, "kafka", kafka_broker.url, queue, acks=acks, **PATIENT)

    kill_9(notes_of, 150, begin)


def test_consumers_come_and_go(kafka_broker):
    made = []

    def make():
        made.append(KafkaTopic("grow", "group", kafka_broker.url, **PATIENT))
        return made[-1]

    async def send(first, last):
        await made[0].send_many((str(i), str(i % 10)) for i in range(first, last))

    def joined():
        return all(each._consumer is not None and each._consumer.assignment() for each in made)

    async def main():
        await kafka_broker.create_async("grow", partitions=4)
        return await grow_and_shrink(make, send, 300, joined)

    handled = asyncio.run(main())
    assert Counter(number for _, _, number in handled) == Counter(range(300))
    for key in range(10):  # in order for the whole group
        numbers = [number for _, of, number in handled if of == key]
        assert numbers == sorted(numbers)


def test_a_broker_that_goes_and_comes_back(kafka_broker):
    async def main():
        await kafka_broker.create_async("away", partitions=2)
        topic = KafkaTopic("away", "group", kafka_broker.url, **PATIENT)
        await topic.send_many((str(i), str(i % 10)) for i in range(300))
        handled = Counter()

        async def handle(message):
            await asyncio.sleep(0.002)
            handled[message.body] += 1

        async with AsyncProcessor(use_processes=False) as processor:
            consumer = processor.consume(topic, handle, 4)
            async with consumer:
                await until(lambda: len(handled) >= 80)
                await asyncio.to_thread(kafka_broker.proxy.cut)
                await asyncio.sleep(1.0)
                await asyncio.to_thread(kafka_broker.proxy.mend)
                await until(lambda: consumer.counts.handled == 300)
            assert (await consumer).given_back == 0
        return handled, await consumer

    handled, ended = asyncio.run(main())
    assert len(handled) == 300
    assert max(handled.values()) == 1  # what was delivered again was known
    assert ended.handled == 300


def test_a_broker_that_is_not_there_is_said():
    async def main():
        topic = KafkaTopic("t", "group", "127.0.0.1:1", timeout=1.0)
        with pytest.raises(SourceUnavailable, match="cannot read the topic"):
            await topic.receive(1, 0.1)
        with pytest.raises(SourceUnavailable, match="does not take"):
            await topic.send("a")
        assert await topic.lag() is None
        await topic.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"topic": ""}, "topic must be"),
        ({"group": 3}, "group must be"),
        ({"settle_within": 0}, "settle_within must be"),
        ({"timeout": 0}, "timeout must be"),
    ],
)
def test_wrong_arguments_are_named(settings, says):
    with pytest.raises(ValueError, match=says):
        KafkaTopic(**{"topic": "t", "group": "g", **settings})
