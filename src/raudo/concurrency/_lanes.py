"""The messages that a consumer has in hand, in the order in which they may be handled."""

from __future__ import annotations

from collections import deque
from typing import Any

from raudo.types import Message

__all__ = ["Lanes"]


class Lanes:
    """Messages of one key come one after another, those of one idempotency key once.

    `ready` are those that may be handled now. Of each key one is ready or in the handler, and the
    others are `behind` it. By idempotency key: `held` is the message in hand, `twins` are those
    that wait for its outcome. One loop's.
    """

    __slots__ = ("behind", "held", "ready", "twins")

    def __init__(self) -> None:
        self.ready: deque[Message] = deque()
        self.behind: dict[Any, deque[Message]] = {}
        self.held: dict[str, Message] = {}
        self.twins: dict[str, list[Message]] = {}

    def take(self, message: Message) -> None:
        """Take a message in, as ready or behind another."""
        name = message.idempotency_key
        if name in self.held:
            self.twins.setdefault(name, []).append(message)
            return
        self.held[name] = message
        key = message.key
        if key is None:
            self.ready.append(message)
        elif (lane := self.behind.get(key)) is not None:
            lane.append(message)
        else:
            self.behind[key] = deque()
            self.ready.append(message)

    def next_of(self, key: Any) -> None:
        """Make the next message of the key ready; behind others, so that no key has it all."""
        lane = self.behind[key]
        if lane:
            self.ready.append(lane.popleft())
        else:
            del self.behind[key]

    def take_waiting(self) -> list[Message]:
        """Take out what is ready or behind another."""
        waiting = list(self.ready)
        for lane in self.behind.values():
            waiting += lane
            lane.clear()
        self.ready.clear()
        return waiting
