"""A queue within the process, as a source for `AsyncProcessor.consume`.

It is what Redis Streams and Kafka are to several processes, so that a service can start with it,
and be tested with it, and change the one line that makes its source. Nothing outlives the process.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raudo.concurrency._checks import check_seconds
from raudo.concurrency._workers.crew import positive_count
from raudo.errors import QueueFull
from raudo.types import Message

__all__ = ["DeadLetter", "LocalQueue"]


class DeadLetter(NamedTuple):
    """A message that was given up, and why."""

    message: Message
    reason: str


class LocalQueue:
    """A bounded queue of one event loop; any number of consumers share it. Not thread-safe.

    Args:
        maxsize: Most messages that are not settled; `send` waits while there are as many.
        max_dead: Most dead letters that are kept; the oldest go.
        name: Label of its samples.
    """

    def __init__(self, maxsize: int = 1000, *, max_dead: int = 1000, name: str = "local") -> None:
        self.name = name
        self.dead: deque[DeadLetter] = deque(maxlen=positive_count("max_dead", max_dead))
        self._maxsize = positive_count("maxsize", maxsize)
        self._numbers = itertools.count()
        self._waiting: deque[Message] = deque()
        self._later: list[tuple[float, int, Message]] = []
        self._held: dict[str, Message] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._putters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Return how many messages are not settled."""
        return len(self._waiting) + len(self._later) + len(self._held)

    async def send(
        self,
        body: Any,
        *,
        key: Any = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> str:
        """Append a message, waiting for room; return its id."""
        while len(self) >= self._maxsize:
            await _turn(self._putters)
        return self.send_nowait(body, key=key, idempotency_key=idempotency_key, headers=headers)

    def send_nowait(
        self,
        body: Any,
        *,
        key: Any = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> str:
        """Append a message and return its id; `QueueFull` where there is no room."""
        try:
            hash(key)
        except TypeError:  # consumers keep the order by key
            raise TypeError(f"key must be hashable, got {key!r}") from None
        if len(self) >= self._maxsize:
            raise QueueFull(f"the queue {self.name!r} holds {self._maxsize} messages")
        name = str(next(self._numbers))
        self._waiting.append(Message(body, key, name, idempotency_key or name, 1, headers or {}))
        _wake(self._getters)
        return name

    # --- as a source --------------------------------------------------------------------------

    async def receive(self, limit: int, timeout: float) -> Sequence[Message]:
        until = _now() + timeout
        while not self._ripen():
            left = until - _now()
            if left <= 0:
                return []
            if self._later:
                left = min(left, max(0.0, self._later[0][0] - _now()))
            try:
                async with asyncio.timeout(left):
                    await _turn(self._getters)
            except TimeoutError:
                continue
        waiting = self._waiting
        taken = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        for message in taken:
            self._held[message.id] = message
        if waiting:
            _wake(self._getters)
        return taken

    def _ripen(self) -> bool:
        """Move what is due to the front; say whether there is anything."""
        now = _now()
        while self._later and self._later[0][0] <= now:
            self._waiting.appendleft(heapq.heappop(self._later)[2])
        return bool(self._waiting)

    async def ack(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._take_back(message)
        _wake(self._putters, len(messages))

    async def retry(self, messages: Sequence[Message], delay: float = 0.0) -> None:
        check_seconds("delay", delay)
        due = _now() + delay
        for message in reversed(messages):
            if not self._take_back(message):
                continue
            again = message._replace(deliveries=message.deliveries + 1)
            if delay:
                heapq.heappush(self._later, (due, -next(self._numbers), again))
            else:
                self._waiting.appendleft(again)
        _wake(self._getters)

    async def dead_letter(self, message: Message, reason: str) -> None:
        if self._take_back(message):
            self.dead.append(DeadLetter(message, reason))
            _wake(self._putters)

    def holds(self, message: Message) -> bool:
        return self._held.get(message.id) is message

    def _take_back(self, message: Message) -> bool:
        """Settle the message; False where this delivery of it was settled before."""
        is_held = self.holds(message)
        if is_held:
            del self._held[message.id]
        return is_held

    async def lag(self) -> int:
        return len(self)

    async def close(self) -> None:
        """Do nothing: whoever consumes gives back what it holds, and others may go on."""


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _turn(line: deque[asyncio.Future[None]]) -> None:
    """Wait in the line until woken."""
    waiter = asyncio.get_running_loop().create_future()
    line.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            _wake(line)  # it was woken while the cancellation was on its way
        raise


def _wake(line: deque[asyncio.Future[None]], n: int = 1) -> None:
    while line and n > 0:
        waiter = line.popleft()
        if not waiter.done():
            waiter.set_result(None)
            n -= 1
