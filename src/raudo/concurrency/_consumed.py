"""What consumers count, for people and for monitors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from raudo.types import Sample

__all__ = ["Consumed", "Tallies", "Tally"]


class Consumed(NamedTuple):
    """What became of the messages of a consumer that ended.

    `handled` went through the handler; `duplicates` were known by their key and were not;
    `dead` went to the dead letters; `given_back` are delivered again, to whoever consumes then.
    """

    handled: int
    duplicates: int
    dead: int
    given_back: int


_HELP = {
    "handled": "Messages that the handler succeeded on",
    "duplicates": "Messages known by their idempotency key, and not handled again",
    "dead": "Messages that went to the dead letters",
    "given_back": "Messages given back to be delivered again",
    "errors": "Times that the source failed",
}


class Tally:
    """Counts of one consumer. Written by its loop's thread only."""

    __slots__ = ("dead", "duplicates", "errors", "given_back", "handled", "held", "lag")

    def __init__(self) -> None:
        self.handled = self.duplicates = self.dead = self.given_back = self.errors = 0
        self.held = 0
        self.lag: int | None = None

    def consumed(self) -> Consumed:
        """Return the counts so far."""
        return Consumed(self.handled, self.duplicates, self.dead, self.given_back)

    def add(self, other: Tally) -> None:
        """Add the counts of another to these."""
        for name in self.__slots__:
            if name != "lag":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lag = other.lag if other.lag is not None else self.lag

    def samples(self, processor: str, source: str) -> list[Sample]:
        """Return the counts for a `Monitor`."""
        labels = (("processor", processor), ("source", source))
        found = [
            Sample(f"raudo_queue_{name}_total", "counter", getattr(self, name), labels, text)
            for name, text in _HELP.items()
        ]
        found.append(
            Sample("raudo_queue_held", "gauge", self.held, labels, "Messages received, not settled")
        )
        if self.lag is not None:
            text = "Messages of the source that are not settled"
            found.append(Sample("raudo_queue_lag", "gauge", self.lag, labels, text))
        return found


class Tallies:
    """The counts of a processor's consumers, by the name of their source. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: dict[str, Tally] = {}
        self._open: list[tuple[str, Tally]] = []

    def open(self, source: str) -> tuple[Tally, Callable[[], None]]:
        """Return the counts of a new consumer, and what it calls when it has ended."""
        tally = Tally()
        entry = source, tally

        def ended() -> None:
            with self._lock:
                self._open.remove(entry)
                self._past.setdefault(source, Tally()).add(tally)

        with self._lock:
            self._open.append(entry)
        return tally, ended

    def samples(self, processor: str) -> list[Sample]:
        """Return the counts of each source, for a `Monitor`."""
        with self._lock:
            sums: dict[str, Tally] = {}
            for source, tally in [*self._past.items(), *self._open]:
                sums.setdefault(source, Tally()).add(tally)
        return [each for source, tally in sums.items() for each in tally.samples(processor, source)]
