"""What a consumer asks of a queue, and what it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Message(NamedTuple):
    """A message as a source delivered it.

    `key` is what order is kept by; None: no order. `idempotency_key` is what a duplicate is known
    by: what the producer gave, or else `id`, the place in the source, which is the same whenever
    the message is delivered again. `deliveries` counts this one. `receipt` is the source's own.
    """

    body: Any
    key: Any
    id: str
    idempotency_key: str
    deliveries: int = 1
    headers: Mapping[str, bytes] = {}
    receipt: Any = None


class MessageSource(Protocol):
    """One consumer's end of a queue, a member of its group; at least once.

    A source that cannot be reached raises an `OSError` (or a `RaudoError`), and is asked again. It
    opens itself when it is first used, also after `close`. One event loop's; several calls at once.
    """

    name: str

    async def receive(self, limit: int, timeout: float) -> Sequence[Message]:
        """Return up to `limit` messages, none where none came within `timeout` seconds.

        They are this consumer's until they are settled by one of the next three, or lost: to
        another consumer after this one was silent for long, or when partitions are given away.
        """
        ...

    async def ack(self, messages: Sequence[Message]) -> None:
        """Note that they are done with. Harmless for those that were lost, and twice."""
        ...

    async def retry(self, messages: Sequence[Message], delay: float = 0.0) -> None:
        """Give them back, to be delivered again after `delay` seconds, to whoever asks then."""
        ...

    async def dead_letter(self, message: Message, reason: str) -> None:
        """Put it where the hopeless are kept, with the reason, and settle it, in that order."""
        ...

    def holds(self, message: Message) -> bool:
        """Say whether the message is still this consumer's; does no I/O."""
        ...

    async def lag(self) -> int | None:
        """Return how many messages are not settled, as far as known to this consumer."""
        ...

    async def close(self) -> None:
        """Leave the group: what was not settled is delivered to the others."""
        ...


class SeenKeys(Protocol):
    """Remembers idempotency keys of messages that were handled, for a bounded window."""

    async def known(self, keys: Sequence[str]) -> Collection[str]:
        """Return those of the keys that are remembered."""
        ...

    async def remember(self, keys: Sequence[str]) -> None:
        """Remember the keys from now on."""
        ...
