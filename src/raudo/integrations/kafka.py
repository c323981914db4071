"""Kafka as a source for `AsyncProcessor.consume`.

    from raudo.integrations.kafka import KafkaTopic

    orders = KafkaTopic("orders", group="billing", bootstrap_servers="127.0.0.1:9092")
    await processor.consume(orders, handle)

Extra `kafka` (aiokafka). A partition belongs to one consumer of the group at a time, so that order
by key holds for the whole group. When partitions are given away, what the handler is at is waited
for and committed, the rest of theirs is let go, and its new owner goes on from there.

Offsets are committed up to the first message that is not settled. What was handled out of order
behind it is delivered again if the process dies then; the idempotency keys know it, in this process
or, with `RedisSeen`, in all.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from raudo.errors import MissingExtra, SourceUnavailable
from raudo.types import Message

try:
    from aiokafka import (
        AIOKafkaConsumer,
        AIOKafkaProducer,
        ConsumerRebalanceListener,
    )
    from aiokafka.errors import (
        CommitFailedError,
        ConsumerStoppedError,
        IllegalGenerationError,
        IllegalStateError,
        KafkaError,
        RebalanceInProgressError,
        UnknownMemberIdError,
    )
except ImportError as error:
    raise MissingExtra("Kafka", "kafka") from error

__all__ = ["KafkaTopic"]

_NO_HEADERS: Mapping[str, bytes] = MappingProxyType({})
_ID_HEADER = "idempotency-key"
# The group went on without us: what we commit is of no use, and is delivered to others.
_MOVED_ON = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


class _Partition:
    """What was delivered of a partition while it is ours, and how far it is settled."""

    __slots__ = ("committed", "held", "is_lost", "next", "number", "open", "settled")

    def __init__(self, number: int) -> None:
        self.number = number
        self.open: deque[int] = deque()  # offsets in order, from the first that is not settled
        self.settled: set[int] = set()  # those behind it that are
        self.held: set[int] = set()  # those that the consumer has, neither settled nor given back
        self.next = 0
        self.committed = -1
        self.is_lost = False

    def deliver(self, offsets: Sequence[int]) -> None:
        self.open += offsets
        self.next = offsets[-1] + 1
        self.held.update(offsets)

    def settle(self, offset: int) -> None:
        if offset not in self.held:
            return  # settled or given back before
        self.held.remove(offset)
        waiting, settled = self.open, self.settled
        if offset != waiting[0]:
            settled.add(offset)
            return
        waiting.popleft()
        while waiting and waiting[0] in settled:
            settled.remove(waiting.popleft())

    @property
    def position(self) -> int:
        """The offset to go on from."""
        return self.open[0] if self.open else self.next


class KafkaTopic:
    """One consumer of a group on a topic; a `MessageSource`. One event loop's.

    A record's header `idempotency-key` is its idempotency key. Kafka does not count deliveries: a
    message that ends its process every time is delivered for ever.

    Args:
        topic: Its name.
        group: The partitions are shared by the consumers of a group.
        bootstrap_servers: `"host:port"`, several with commas.
        dead_letters: Topic that takes what failed too often; `topic + ".dead"` when None. Its
            records have the headers `reason`, `source` and `deliveries`.
        settle_within: Seconds that a rebalance waits for what the handler is at.
        timeout: Seconds that one request may take.
        options: Further settings of `AIOKafkaConsumer` (`session_timeout_ms`, ...); those for
            security go to the producer of dead letters too.
    """

    def __init__(
        self,
        topic: str,
        group: str,
        bootstrap_servers: str = "127.0.0.1:9092",
        *,
        dead_letters: str | None = None,
        settle_within: float = 10.0,
        timeout: float = 10.0,
        **options: Any,
    ) -> None:
        for name, value in (("topic", topic), ("group", group)):
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} must be a non-empty string, got {value!r}")
        for name, seconds in (("settle_within", settle_within), ("timeout", timeout)):
            if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be seconds above 0, got {seconds!r}")
        self.name = topic
        self._group, self._servers = group, bootstrap_servers
        self._dead = dead_letters or f"{topic}.dead"
        self._settle_within, self._timeout = settle_within, timeout
        self._options = options
        self._consumer: Any = None
        self._producer: Any = None
        self._opening = asyncio.Lock()
        self._parts: dict[Any, _Partition] = {}
        self._later: list[tuple[float, int, Message]] = []
        self._numbers = itertools.count()
        self._settled = asyncio.Event()

    async def send(
        self,
        body: bytes | str,
        *,
        key: bytes | str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, bytes | str] | None = None,
    ) -> str:
        """Append a message, wait until the broker has it, and return its id."""
        return (await self.send_many([(body, key, idempotency_key, headers)]))[0]

    async def send_many(self, messages: Iterable[tuple[Any, ...]]) -> list[str]:
        """Append messages `(body, key, idempotency_key, headers)`, the last three optional."""
        return await self._send(self.name, messages)

    async def _send(self, topic: str, messages: Iterable[tuple[Any, ...]]) -> list[str]:
        try:
            producer = await self._open_producer()
            sent = [await producer.send(topic, **_record(*message)) for message in messages]
            return [f"{meta.partition}:{meta.offset}" for meta in await asyncio.gather(*sent)]
        except (KafkaError, OSError) as error:
            raise SourceUnavailable(f"Kafka does not take the message: {error!r}") from error

    async def _open_producer(self) -> Any:
        async with self._opening:
            if self._producer is None:
                shared = ("security_protocol", "ssl_context", "sasl_", "client_id")
                options = {k: v for k, v in self._options.items() if k.startswith(shared)}
                made = AIOKafkaProducer(
                    bootstrap_servers=self._servers,
                    request_timeout_ms=round(self._timeout * 1000),
                    **options,
                )
                await _started(made)
                self._producer = made
            return self._producer

    # --- as a source --------------------------------------------------------------------------

    async def receive(self, limit: int, timeout: float) -> Sequence[Message]:
        until = time.monotonic() + timeout
        try:
            consumer = self._consumer or await self._open()
            while True:
                found = self._due(limit)
                if found:
                    return found
                now = time.monotonic()
                wait_s = max(0.0, min([until, *(due for due, _, _ in self._later[:1])]) - now)
                batches = await consumer.getmany(
                    timeout_ms=math.ceil(wait_s * 1000), max_records=limit
                )
                found = self._delivered(consumer, batches)
                if found or time.monotonic() >= until:
                    return found
        except (KafkaError, ConsumerStoppedError, OSError) as error:
            raise SourceUnavailable(f"cannot read the topic: {error!r}") from error

    def _delivered(self, consumer: Any, batches: Mapping[Any, Sequence[Any]]) -> list[Message]:
        messages: list[Message] = []
        for where, records in batches.items():
            part = self._parts.get(where)
            if part is None:
                if where not in consumer.assignment():
                    continue  # it was given away meanwhile, and its new owner reads them
                part = self._parts[where] = _Partition(where.partition)
            part.deliver([record.offset for record in records])
            messages += [_message(record, part) for record in records]
        return messages

    async def _open(self) -> Any:
        async with self._opening:
            if self._consumer is None:
                settings: dict[str, Any] = {
                    "auto_offset_reset": "earliest",
                    # The fetcher rests while the handler has enough: that is no sign of death.
                    "max_poll_interval_ms": 3_600_000,
                    # For how long the group waits for those who have messages to settle.
                    "rebalance_timeout_ms": round(1000 * (self._settle_within + 5)),
                    "request_timeout_ms": round(1000 * self._timeout),
                    **self._options,
                }
                made = AIOKafkaConsumer(
                    bootstrap_servers=self._servers,
                    group_id=self._group,
                    enable_auto_commit=False,
                    **settings,
                )
                made.subscribe([self.name], listener=_Listener(self))
                await _started(made)
                self._consumer = made
            return self._consumer

    def _due(self, limit: int) -> list[Message]:
        """Return what was given back and is due again."""
        found: list[Message] = []
        now = time.monotonic()
        while self._later and len(found) < limit and self._later[0][0] <= now:
            message = heapq.heappop(self._later)[2]
            part, offset = message.receipt
            if not part.is_lost:
                part.held.add(offset)
                found.append(message)
        return found

    async def ack(self, messages: Sequence[Message]) -> None:
        for message in messages:
            part, offset = message.receipt
            part.settle(offset)
        self._settled.set()
        await self._commit()

    async def _commit(self) -> None:
        """Commit what has been settled of the partitions that are ours."""
        parts = [each for each in self._parts.items() if each[1].position > each[1].committed]
        offsets = {where: part.position for where, part in parts if part.next}
        if not offsets or self._consumer is None:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._consumer.commit(offsets)
        except _MOVED_ON:
            return
        except (KafkaError, OSError) as error:
            raise SourceUnavailable(f"cannot commit: {error!r}") from error
        for where, part in parts:
            part.committed = max(part.committed, offsets.get(where, -1))

    async def retry(self, messages: Sequence[Message], delay: float = 0.0) -> None:
        due = time.monotonic() + delay
        for message in messages:
            part, offset = message.receipt
            is_held = offset in part.held
            part.held.discard(offset)
            if is_held and not part.is_lost:
                again = message._replace(deliveries=message.deliveries + 1)
                heapq.heappush(self._later, (due, next(self._numbers), again))
        self._settled.set()

    async def dead_letter(self, message: Message, reason: str) -> None:
        about = {
            **message.headers,
            "reason": reason,
            "source": message.id,
            "deliveries": str(message.deliveries),
        }
        letter = message.body, message.key, message.idempotency_key, about
        await self._send(self._dead, [letter])
        await self.ack([message])

    def holds(self, message: Message) -> bool:
        part, offset = message.receipt
        return not part.is_lost and offset in part.held

    async def lag(self) -> int | None:
        """Return what is not committed of the partitions that are this consumer's."""
        consumer = self._consumer
        if consumer is None:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                mine = consumer.assignment()
                ends = await consumer.end_offsets(mine) if mine else {}
                lag = 0
                for where, end in ends.items():
                    part = self._parts.get(where)
                    if part is not None and part.committed >= 0:
                        begin = part.committed
                    else:
                        begin = await consumer.committed(where)
                        if begin is None:
                            begin = (await consumer.beginning_offsets([where]))[where]
                    lag += max(0, end - begin)
                return lag
        except (KafkaError, OSError) as error:
            raise SourceUnavailable(f"cannot read the lag: {error!r}") from error

    async def _give_away(self, revoked: Iterable[Any]) -> None:
        """Wait for what is in hand of these partitions, and commit it while they are ours."""
        lost = [self._parts[where] for where in revoked if where in self._parts]
        for part in lost:
            part.is_lost = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settle_within):
                while any(part.held for part in lost):
                    self._settled.clear()
                    await self._settled.wait()
        with suppress(SourceUnavailable):  # then they are delivered again
            await self._commit()
        for where in revoked:
            self._parts.pop(where, None)

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        producer, self._producer = self._producer, None
        for part in self._parts.values():  # nobody is to be waited for any more
            part.is_lost = True
            part.held.clear()
        self._parts.clear()
        self._later.clear()
        try:
            if consumer is not None:
                await consumer.stop()
            if producer is not None:
                await producer.stop()
        except (KafkaError, OSError) as error:
            raise SourceUnavailable(f"cannot leave the group: {error!r}") from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hears of partitions that come and go."""

    def __init__(self, source: KafkaTopic) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        await self._source._give_away(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Do nothing: a partition is noted when its first message comes."""


def _message(record: Any, part: _Partition) -> Message:
    offset = record.offset
    name = f"{part.number}:{offset}"
    if not record.headers:
        return Message(record.value, record.key, name, name, 1, _NO_HEADERS, (part, offset))
    headers = dict(record.headers)
    given = headers.pop(_ID_HEADER, None)
    key = given.decode("utf-8", "replace") if given is not None else name
    return Message(record.value, record.key, name, key, 1, headers, (part, offset))


def _record(
    body: bytes | str,
    key: bytes | str | None = None,
    idempotency_key: str | None = None,
    headers: Mapping[str, bytes | str] | None = None,
) -> dict[str, Any]:
    pairs = [(name, _bytes(value)) for name, value in (headers or {}).items()]
    if idempotency_key is not None:
        pairs.append((_ID_HEADER, _bytes(idempotency_key)))
    return {
        "value": _bytes(body),
        "key": None if key is None else _bytes(key),
        "headers": pairs,
    }


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


async def _started(client: Any) -> None:
    """Start a client; one that cannot is ended, so that it leaves nothing behind."""
    try:
        await client.start()
    except BaseException:
        with suppress(KafkaError, OSError):
            await client.stop()
        raise
