"""Redis Streams as a source for `AsyncProcessor.consume`, and keys that consumers share.

    from raudo.integrations.redis_streams import RedisSeen, RedisStream

    orders = RedisStream("orders", group="billing", url="redis://127.0.0.1:6379/0")
    await processor.consume(orders, handle, seen=RedisSeen("redis://127.0.0.1:6379/0"))

Extra `redis`; Redis 6.2 or later, or Valkey: one server, a cluster or Sentinel. A message is a
stream's entry with the fields `body`, `key` and `id` (its idempotency key), the last two optional;
other fields are headers, so that entries of other producers can be read too.

One stream's entries go to the group's consumers as they ask. So order by key holds within one
consumer, not between two; where it must hold for the group too, give a key's messages a stream.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from raudo.errors import MissingExtra, SourceUnavailable
from raudo.types import Message

try:
    from redis.exceptions import ResponseError

    from raudo.integrations._redis_line import Line
    from raudo.integrations._redis_nodes import chunks
except ImportError as error:
    raise MissingExtra("Redis Streams", "redis") from error

__all__ = ["RedisSeen", "RedisStream"]

_LOOK_S = 1.0  # how often entries are looked for whose consumer fell silent
_NO_HEADERS: Mapping[str, bytes] = MappingProxyType({})
_NOBODY = b"-"  # the consumer that holds what was given back

# Keep what is this consumer's: the idle time of each id goes to 0. Returns those that are not.
_KEEP = """
local lost = {}
for i = 3, #ARGV do
    local id = ARGV[i]
    if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2]) > 0 then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
    else
        lost[#lost + 1] = id
    end
end
return lost
"""
# Give back what is this consumer's and among the ids, or all of it where there are none.
_RETURN = """
local group, consumer, nobody, idle = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function give(id)
    redis.call('XCLAIM', KEYS[1], group, nobody, 0, id, 'IDLE', idle, 'JUSTID')
end
if #ARGV > 4 then
    for i = 5, #ARGV do
        local id = ARGV[i]
        if #redis.call('XPENDING', KEYS[1], group, id, id, 1, consumer) > 0 then give(id) end
    end
    return
end
while true do
    local own = redis.call('XPENDING', KEYS[1], group, '-', '+', 1000, consumer)
    for _, entry in ipairs(own) do give(entry[1]) end
    if #own < 1000 then break end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, consumer)
"""


class RedisStream:
    """One consumer of a consumer group on a stream; a `MessageSource`. One event loop's.

    Stream and group are made when they are missing, the group from the stream's beginning.

    Args:
        stream: Its key.
        group: Its messages are shared by the consumers of a group, and are delivered to each group.
        url: As for `RedisTier`.
        consumer: Name of this one; must be unique in the group. Made of host and process when None.
        dead_letters: Stream that takes what failed too often; `stream + ":dead"` when None. Its
            entries have the message's fields, and `reason`, `source` and `deliveries`.
        claim_after: Seconds after which what a silent consumer holds is delivered to others. A
            consumer that lives says so three times as often, however long its handler takes.
        timeout: Seconds that one call may take, connecting included.
        options: Further settings of redis-py's connections.
    """

    def __init__(
        self,
        stream: str,
        group: str,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        consumer: str | None = None,
        dead_letters: str | None = None,
        claim_after: float = 30.0,
        cluster: bool = False,
        sentinel: str | None = None,
        timeout: float = 2.0,
        **options: Any,
    ) -> None:
        for name, value in (("stream", stream), ("group", group)):
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name} must be a non-empty string, got {value!r}")
        if not isinstance(claim_after, int | float) or not 0.1 <= claim_after < math.inf:
            raise ValueError(f"claim_after must be at least 0.1 seconds, got {claim_after!r}")
        self.name = stream
        self._stream = stream.encode()
        self._group = group.encode()
        made_up = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._consumer = (consumer or made_up).encode()
        dead = dead_letters or f"{stream}:dead"
        self._dead = dead.encode()
        self._claim_ms = round(claim_after * 1000)
        place: dict[str, Any] = {
            "cluster": cluster, "sentinel": sentinel, "timeout": timeout, "options": options
        }  # fmt: skip
        self._line = Line.to(url, self._stream, **place)
        self._dead_line = Line.to(url, self._dead, **place) if cluster else self._line
        self._held: dict[str, Message] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._is_open = False
        self._next_look = 0.0
        self._cursor = b"0-0"

    async def send(
        self,
        body: bytes | str,
        *,
        key: bytes | str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, bytes | str] | None = None,
        maxlen: int | None = None,
    ) -> str:
        """Append a message and return its id.

        Redis Streams grow until they are trimmed: `maxlen` keeps about that many entries, settled
        or not.
        """
        return (await self.send_many([(body, key, idempotency_key, headers)], maxlen=maxlen))[0]

    async def send_many(
        self, messages: Iterable[tuple[Any, ...]], *, maxlen: int | None = None
    ) -> list[str]:
        """Append messages `(body, key, idempotency_key, headers)`, the last three optional."""
        limit = () if maxlen is None else ("MAXLEN", "~", maxlen)
        head = ("XADD", self._stream, *limit, "*")
        commands = [(*head, *_fields(*message)) for message in messages]
        answers: list[str] = []
        for some in chunks(commands, 512):
            answers += [answer.decode() for answer in await self._line.call(*some)]
        return answers

    # --- as a source --------------------------------------------------------------------------

    async def receive(self, limit: int, timeout: float) -> Sequence[Message]:
        if not self._is_open:
            await self._open()
        until = time.monotonic() + timeout
        try:
            while True:
                if time.monotonic() >= self._next_look and (found := await self._claim(limit)):
                    return found
                now = time.monotonic()
                entries = await self._read(limit, min(until, self._next_look) - now)
                if entries or time.monotonic() >= until:
                    return [self._hold(entry, 1) for entry in entries]
        except ResponseError as error:
            self._is_open = False  # a server that lost its data knows no group
            raise SourceUnavailable(f"cannot read the stream: {error}") from error

    async def _read(self, limit: int, timeout: float) -> Sequence[Any]:
        """Return entries that nobody got yet, waiting for the first."""
        wait_ms = max(1, math.ceil(timeout * 1000))  # 0 would be for ever
        read = ("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", limit)
        more = ("BLOCK", wait_ms, "STREAMS", self._stream, ">")
        answer = await self._line.wait((*read, *more), wait_ms / 1000)
        return [entry for entry in answer[0][1] if entry[1] is not None] if answer else []

    async def _open(self) -> None:
        try:
            create = ("XGROUP", "CREATE", self._stream, self._group, "0", "MKSTREAM")
            await self._line.call(create)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise SourceUnavailable(f"cannot make the group: {error}") from error
        self._is_open = True
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _claim(self, limit: int) -> list[Message]:
        """Take over what is held by consumers that fell silent, or was given back."""
        claim = ("XAUTOCLAIM", self._stream, self._group, self._consumer, self._claim_ms)
        (answer,) = await self._line.call((*claim, self._cursor, "COUNT", limit))
        self._cursor, entries = answer[0], [entry for entry in answer[1] if entry and entry[1]]
        if self._cursor in (b"0-0", b"0"):
            self._next_look = time.monotonic() + min(_LOOK_S, self._claim_ms / 2000)
        entries = [entry for entry in entries if entry[0].decode() not in self._held]
        if not entries:
            return []
        pending = ("XPENDING", self._stream, self._group)
        (rows,) = await self._line.call(
            (*pending, entries[0][0], entries[-1][0], 10 * limit, self._consumer)
        )
        deliveries = {row[0]: int(row[3]) for row in rows}
        return [self._hold(entry, deliveries.get(entry[0], 1)) for entry in entries]

    def _hold(self, entry: Sequence[Any], deliveries: int) -> Message:
        name = entry[0].decode()
        fields = entry[1]
        headers: Mapping[str, bytes] = _NO_HEADERS
        given = None
        if len(fields) == 4 and fields[0] == b"body" and fields[2] == b"key":
            body, key = fields[1], fields[3]  # the commonest, as `send` writes it
        else:
            pairs = dict(zip(*[iter(fields)] * 2, strict=True))
            body, key, given = (
                pairs.pop(b"body", b""),
                pairs.pop(b"key", None),
                pairs.pop(b"id", None),
            )
            headers = {each.decode("utf-8", "replace"): value for each, value in pairs.items()}
        known_by = name if given is None else given.decode("utf-8", "replace")
        message = Message(body, key, name, known_by, deliveries, headers)
        self._held[name] = message
        return message

    async def ack(self, messages: Sequence[Message]) -> None:
        names = [message.id for message in messages]
        for some in chunks(names, 1000):
            await self._settling("XACK", self._stream, self._group, *some)
        held = self._held
        for name in names:
            held.pop(name, None)

    async def retry(self, messages: Sequence[Message], delay: float = 0.0) -> None:
        names = [message.id for message in messages if self.holds(message)]
        self._let_go(messages)
        idle_ms = self._claim_ms - round(delay * 1000)
        for some in chunks(names, 1000):
            await self._give_back(max(0, idle_ms), *some)

    async def _give_back(self, idle_ms: int, *names: str) -> None:
        common = (self._stream, self._group, self._consumer, _NOBODY, idle_ms)
        await self._settling("EVAL", _RETURN, 1, *common, *names)

    async def _settling(self, *command: Any) -> None:
        try:
            await self._line.call(command)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):  # it went with the server's data
                raise SourceUnavailable(f"cannot settle messages: {error}") from error

    async def dead_letter(self, message: Message, reason: str) -> None:
        fields = _fields(message.body, message.key, message.idempotency_key, message.headers)
        about = ("reason", reason, "source", message.id, "deliveries", message.deliveries)
        try:
            await self._dead_line.call(("XADD", self._dead, "*", *fields, *about))
        except ResponseError as error:
            raise SourceUnavailable(f"cannot write the dead letter: {error}") from error
        await self.ack([message])

    def holds(self, message: Message) -> bool:
        return self._held.get(message.id) is message

    def _let_go(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self.holds(message):
                del self._held[message.id]

    async def lag(self) -> int | None:
        """Return what the group has not settled; None where Redis cannot say (before 7.0)."""
        try:
            (groups,) = await self._line.call(("XINFO", "GROUPS", self._stream))
        except ResponseError as error:
            raise SourceUnavailable(f"cannot read the lag: {error}") from error
        for group in groups:
            facts = dict(zip(*[iter(group)] * 2, strict=True))
            if facts[b"name"] == self._group and facts.get(b"lag") is not None:
                return int(facts[b"lag"]) + int(facts[b"pending"])
        return None

    async def _keep(self) -> None:
        """Say that this consumer lives, and learn what was taken from it all the same."""
        while True:
            await asyncio.sleep(self._claim_ms / 3000)
            for some in chunks(list(self._held), 500):
                keep = ("EVAL", _KEEP, 1, self._stream, self._group, self._consumer, *some)
                with suppress(OSError, ResponseError):
                    (lost,) = await self._line.call(keep)
                    for name in lost:
                        self._held.pop(name.decode(), None)

    async def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        was_open, self._is_open = self._is_open, False
        self._held.clear()
        try:
            if was_open:
                await self._give_back(self._claim_ms)
        finally:
            await self._line.aclose()
            if self._dead_line is not self._line:
                await self._dead_line.aclose()


def _fields(
    body: bytes | str,
    key: bytes | str | None = None,
    idempotency_key: str | None = None,
    headers: Mapping[str, bytes | str] | None = None,
) -> list[bytes | str]:
    fields: list[bytes | str] = ["body", body]
    if key is not None:
        fields += "key", key
    if idempotency_key is not None:
        fields += "id", idempotency_key
    for name, value in (headers or {}).items():
        fields += name, value
    return fields


class RedisSeen:
    """Idempotency keys of handled messages, shared by all who use the same prefix.

    A message of a known key is not handled again, by any of them, for `window` seconds. One trip
    for a batch of messages, to look up and to remember.

    Args:
        url: As for `RedisTier`.
        prefix: Stands before every key; give each group its own.
        window: Seconds that a key is remembered.
        timeout: Seconds that one call may take.
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        prefix: str = "raudo:seen",
        window: float = 86_400.0,
        cluster: bool = False,
        sentinel: str | None = None,
        timeout: float = 2.0,
        **options: Any,
    ) -> None:
        if not isinstance(window, int | float) or not 0.001 <= window < math.inf:
            raise ValueError(f"window must be at least 0.001 seconds, got {window!r}")
        tag = f"{{{prefix}}}"  # all keys in one slot of a cluster
        self._prefix = f"{tag}:"
        self._window_ms = round(window * 1000)
        place: dict[str, Any] = {"cluster": cluster, "sentinel": sentinel, "timeout": timeout}
        self._line = Line.to(url, tag.encode(), **place, options=options)

    async def known(self, keys: Sequence[str]) -> Collection[str]:
        if not keys:
            return ()
        (values,) = await self._asked(("MGET", *(self._prefix + key for key in keys)))
        return {key for key, value in zip(keys, values, strict=True) if value is not None}

    async def remember(self, keys: Sequence[str]) -> None:
        for some in chunks(keys, 512):
            await self._asked(
                *(("SET", self._prefix + key, b"", "PX", self._window_ms) for key in some)
            )

    async def _asked(self, *commands: Sequence[Any]) -> list[Any]:
        try:
            return await self._line.call(*commands)
        except ResponseError as error:
            raise SourceUnavailable(f"cannot look keys up: {error}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._line.aclose()
