"""Redis Streams on a real server: the contract, kill -9, several consumers, a server that goes."""

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
from raudo import AsyncProcessor, events
from raudo.errors import SourceUnavailable
from raudo.integrations.redis_streams import RedisSeen, RedisStream
from raudo.testing import MessageSourceContract
from redis_servers import Server

pytestmark = pytest.mark.slow  # servers, which no interpreter changes


class TestRedisStream(MessageSourceContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.server = redis_server

    def make_source(self, queue):
        return RedisStream(queue, "test", self.server.url)

    async def dead(self, queue):
        entries = self.server.client().xrange(f"{queue}:dead")
        return [(fields[b"body"], fields[b"reason"].decode()) for _, fields in entries]


def fill(server, queue, n):
    async def send():
        stream = RedisStream(queue, "group", server.url)
        await stream.send_many((str(i), str(i % 7)) for i in range(n))
        await stream.close()

    asyncio.run(send())


def test_kill_9_loses_nothing(redis_server):
    url = redis_server.url

    def notes_of(queue):
        fill(redis_server, queue, 300)
        return Notes(url, queue)

    def begin(notes, acks):
        return worker(notes, "redis", url, notes.queue, acks=acks, claim_after=0.5)

    kill_9(notes_of, 300, begin)


def test_consumers_come_and_go(redis_server):
    made = []

    def make():
        made.append(RedisStream("grow", "group", redis_server.url, claim_after=1.0))
        return made[-1]

    async def send(first, last):
        await made[0].send_many((str(i), str(i % 10)) for i in range(first, last))

    handled = asyncio.run(grow_and_shrink(make, send, 600))
    assert Counter(number for _, _, number in handled) == Counter(range(600))
    client = redis_server.client()
    (group,) = client.xinfo_groups("grow")
    assert group["pending"] == 0
    left = {each["name"] for each in client.xinfo_consumers("grow", "group")}
    assert left <= {b"-"}  # whom entries that are given back belong to, until they are taken


def test_what_a_living_consumer_is_at_is_not_taken_from_it(redis_server):
    async def main():
        slow = RedisStream("slow", "group", redis_server.url, claim_after=0.3)
        other = RedisStream("slow", "group", redis_server.url, claim_after=0.3)
        await slow.send("long")
        (message,) = await slow.receive(1, 1.0)
        assert list(await other.receive(1, 0.8)) == []
        assert slow.holds(message)
        slow._keeper.cancel()  # as if the process had stood still
        (taken,) = await other.receive(1, 2.0)
        assert (taken.id, taken.deliveries) == (message.id, 2)
        slow._keeper = asyncio.ensure_future(slow._keep())
        await asyncio.sleep(0.3)
        assert not slow.holds(message)
        assert other.holds(taken)
        await slow.close()
        await other.ack([taken])
        await other.close()

    asyncio.run(main())


def test_entries_of_other_producers_can_be_read(redis_server):
    async def main():
        redis_server.client().xadd("foreign", {"kind": "order", "total": 3})
        stream = RedisStream("foreign", "group", redis_server.url)
        (message,) = await stream.receive(1, 1.0)
        assert (message.body, message.key) == (b"", None)
        assert message.headers == {"kind": b"order", "total": b"3"}
        await stream.close()

    asyncio.run(main())


def test_a_server_that_goes_and_comes_back(tmp_path):
    server = Server(tmp_path, "--appendonly", "yes", "--appendfsync", "always")

    async def main():
        stream = RedisStream("s", "group", server.url, claim_after=0.5, timeout=0.5)
        seen = RedisSeen(server.url, timeout=0.5)
        await stream.send_many((str(i),) for i in range(400))
        handled, failures = Counter(), []
        unsubscribe = events.subscribe(events.SourceFailed, failures.append)

        async def handle(message):
            await asyncio.sleep(0.002)
            handled[message.body] += 1

        async with (
            AsyncProcessor(use_processes=False) as processor,
            processor.consume(stream, handle, 4, seen=seen),
        ):
            await until(lambda: len(handled) >= 100)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
            await until(lambda: len(handled) == 400)
        unsubscribe()
        await seen.aclose()
        return handled, failures

    try:
        handled, failures = asyncio.run(main())
        (group,) = server.client().xinfo_groups("s")
        assert group["pending"] == 0
    finally:
        server.stop()
    assert failures
    assert all(isinstance(event.error, SourceUnavailable) for event in failures)
    assert max(handled.values()) == 1  # this process never forgot what it had in hand


def test_a_server_that_forgot_the_stream_is_given_a_group_again(redis_server):
    async def main():
        stream = RedisStream("forgot", "group", redis_server.url)
        await stream.send("a")
        messages = await stream.receive(1, 1.0)
        redis_server.client().delete("forgot")
        await stream.ack(messages)
        await stream.send("b")
        with pytest.raises(SourceUnavailable, match="NOGROUP"):
            await stream.receive(1, 1.0)
        (message,) = await stream.receive(1, 1.0)
        assert message.body == b"b"
        await stream.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stream": ""}, "stream must be"),
        ({"group": 3}, "group must be"),
        ({"claim_after": 0}, "claim_after must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"cluster": True, "sentinel": "m"}, "give one of them"),
    ],
)
def test_wrong_arguments_are_named(settings, says):
    with pytest.raises(ValueError, match=says):
        RedisStream(**{"stream": "s", "group": "g", **settings})
