"""Messages a second through a handler: `AsyncProcessor.consume` beside loops over the bare clients.

All start at the head of the same messages with a group of their own, receive up to 500 at once, and
acknowledge what they handled, so that nothing is lost; keys, retries, duplicates and dead letters
are raudo's alone. Clocks run from the first message in the handler to the last, so that joining a
group is not in the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from typing import Any

from raudo.cli._bench_rows import Row, is_installed, race
from raudo.cli._bench_servers import kafka_broker, redis_server
from raudo.concurrency import AsyncProcessor, LocalQueue
from raudo.types import MessageSource, SeenKeys

__all__ = ["rows"]

_BATCH = 500
# Far more in all than the clients fetch ahead, so that fetching is in the figures.
_BODY_BYTES = 1000
_FACTOR = 0.7  # of the bare client's rate, at least
_TABLE = "queues: messages through a handler"
_groups = itertools.count()


class _Sink:
    """A handler that counts, and knows when it began and when it is done."""

    def __init__(self, n: int, stop: Callable[[], object]) -> None:
        self._n, self._stop = n, stop
        self._count = 0
        self._begun = 0.0
        self.per_second = 0.0

    async def handle(self, message: object) -> None:
        if self._count == 0:
            self._begun = time.perf_counter()
        self._count += 1
        if self._count == self._n:
            self.per_second = self._n / (time.perf_counter() - self._begun)
            self._stop()


async def _consumed(source: MessageSource, n: int, seen: SeenKeys | None = None) -> float:
    async with AsyncProcessor() as processor:
        sink = _Sink(n, lambda: consumer.stop())
        consumer = processor.consume(source, sink.handle, 16, window=2 * _BATCH, seen=seen)
        await consumer
    return sink.per_second


def _runs(work: Callable[[], Coroutine[Any, Any, float]]) -> Callable[[], float]:
    return lambda: asyncio.run(work())


# --- Redis Streams ------------------------------------------------------------------------------


def _redis_row(url: str, n: int, rounds: int) -> Row:
    import redis.asyncio

    from raudo.integrations.redis_streams import RedisSeen, RedisStream

    async def fill() -> float:
        stream = RedisStream("bench", "none", url)
        await stream.send_many(
            (b"%d" % i + bytes(_BODY_BYTES), b"%d" % (i % 100)) for i in range(n)
        )
        await stream.close()
        return 0.0

    async def ours() -> float:
        return await _consumed(RedisStream("bench", f"group-{next(_groups)}", url), n)

    async def ours_shared() -> float:
        group = f"group-{next(_groups)}"
        seen = RedisSeen(url, prefix=group)
        try:
            return await _consumed(RedisStream("bench", group, url), n, seen)
        finally:
            await seen.aclose()

    async def bare() -> float:
        group, is_done = f"group-{next(_groups)}", asyncio.Event()
        sink = _Sink(n, is_done.set)
        client = redis.asyncio.Redis.from_url(url)
        await client.xgroup_create("bench", group, "0")
        while not is_done.is_set():
            found: Any = await client.xreadgroup(group, "c", {"bench": ">"}, _BATCH, 1000)
            for _, entries in found:
                for entry in entries:
                    await sink.handle(entry)
                await client.xack("bench", group, *[name for name, _ in entries])
        await client.aclose()
        return sink.per_second

    _runs(fill)()
    subjects = {
        "raudo": _runs(ours),
        "raudo, RedisSeen": _runs(ours_shared),
        "redis.asyncio": _runs(bare),
    }
    return _row("Redis Streams", race(subjects, rounds))


# --- Kafka --------------------------------------------------------------------------------------


def _kafka_row(address: str, n: int, rounds: int) -> Row:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    from raudo.integrations.kafka import KafkaTopic

    # The broker lets the first of a group wait for half of this.
    fast: dict[str, Any] = {"session_timeout_ms": 1000, "heartbeat_interval_ms": 200}

    async def fill() -> float:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        await admin.create_topics([NewTopic("bench", 4, 1)])
        await admin.close()
        topic = KafkaTopic("bench", "none", address)
        for start in range(0, n, 5000):
            numbers = range(start, min(n, start + 5000))
            await topic.send_many(
                (b"%d" % i + bytes(_BODY_BYTES), b"%d" % (i % 100)) for i in numbers
            )
        await topic.close()
        return 0.0

    async def ours() -> float:
        return await _consumed(KafkaTopic("bench", f"group-{next(_groups)}", address, **fast), n)

    async def bare() -> float:
        is_done = asyncio.Event()
        sink = _Sink(n, is_done.set)
        consumer = AIOKafkaConsumer(
            "bench",
            bootstrap_servers=address,
            group_id=f"group-{next(_groups)}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            **fast,
        )
        await consumer.start()
        while not is_done.is_set():
            found = await consumer.getmany(timeout_ms=1000, max_records=_BATCH)
            for records in found.values():
                for record in records:
                    await sink.handle(record)
            if found:
                await consumer.commit()
        await consumer.stop()
        return sink.per_second

    _runs(fill)()
    return _row("Kafka", race({"raudo": _runs(ours), "aiokafka": _runs(bare)}, rounds))


# --- in the process -----------------------------------------------------------------------------


def _local_row(n: int, rounds: int) -> Row:
    async def ours() -> float:
        queue = LocalQueue(n)
        for i in range(n):
            queue.send_nowait(i, key=i % 100)
        return await _consumed(queue, n)

    async def bare() -> float:
        queue: asyncio.Queue[int] = asyncio.Queue()
        for i in range(n):
            queue.put_nowait(i)
        is_done = asyncio.Event()
        sink = _Sink(n, is_done.set)
        while not is_done.is_set():
            await sink.handle(await queue.get())
            queue.task_done()
        return sink.per_second

    figures = race({"raudo": _runs(ours), "asyncio.Queue": _runs(bare)}, rounds)
    note = "one asyncio.Queue and one loop over it, without acknowledgement: no bar"
    return Row(_TABLE, "in the process", "messages/s", figures, is_less_better=False, note=note)


def _row(case: str, figures: dict[str, float]) -> Row:
    return Row(_TABLE, case, "messages/s", figures, times_better=_FACTOR, is_less_better=False)


def rows(quick: bool) -> list[Row]:
    """Measure messages a second; cases whose server or client is not installed are left out."""
    n, rounds = (2_000, 1) if quick else (40_000, 3)
    made = [_local_row(n, rounds)]
    if is_installed("redis"):
        with redis_server() as url:
            if url is not None:
                made.append(_redis_row(url, n, rounds))
    if is_installed("aiokafka"):
        with kafka_broker() as address:
            if address is not None:
                made.append(_kafka_row(address, n, rounds))
    return made
