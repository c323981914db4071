"""Tags by generation, the same for all processes: a hash on the server, and copies of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from raudo.cache.tags import checked_tags

__all__ = ["RedisTags"]

# Beyond so many invalidated tags all tagged entries are invalid, and counting starts anew.
MAX_TAGS = 100_000
# The field that holds the base: the generation of tags that were never invalidated.
BASE = b""


class RedisTags:
    """This process's copy; `learn` and `replace` keep it true. Thread-safe.

    Until the hash was read once, no tagged entry is believed.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._generations: dict[str, int] = {}
        self._base = 0
        self._is_known = False
        self._last = 0
        self._to_publish: dict[str, int] = {}

    def stamp(self, tags: Iterable[str]) -> tuple[tuple[str, int], ...]:
        return tuple((tag, self._generations.get(tag, self._base)) for tag in checked_tags(tags))

    def is_current(self, stamps: tuple[tuple[str, int], ...]) -> bool:
        generations, base = self._generations, self._base
        return self._is_known and all(generations.get(tag, base) == each for tag, each in stamps)

    def invalidate(self, tag: str) -> None:
        if not isinstance(tag, str):
            raise TypeError(f"tag must be a string, got {tag!r}")
        with self._lock:
            # By the clock, so that no generation comes a second time, whichever process takes it.
            self._last = max(self._last + 1, time.time_ns())
            self._generations[tag] = self._to_publish[tag] = self._last

    # --- what the server holds ----------------------------------------------------------------

    def take_changes(self) -> dict[str, int]:
        """Return what the server does not know yet, and take it for published."""
        with self._lock:
            changes, self._to_publish = self._to_publish, {}
            return changes

    def put_back(self, changes: Mapping[str, int]) -> None:
        """Note that changes were not published after all."""
        with self._lock:
            self._to_publish = {**changes, **self._to_publish}

    def learn(self, tag: str, generation: int) -> None:
        """Note what another process invalidated."""
        with self._lock:
            if tag not in self._to_publish:
                self._generations[tag] = generation

    def replace(self, stored: Mapping[bytes, bytes]) -> None:
        """Take the server's whole hash over; what it does not know yet stays."""
        found = {_text(name): int(value) for name, value in stored.items() if name != BASE}
        with self._lock:
            self._base = int(stored.get(BASE, b"0"))
            self._generations = {**found, **self._to_publish}
            self._is_known = True

    def is_overfull(self) -> bool:
        return len(self._generations) > MAX_TAGS

    def after_fork(self) -> None:
        self._lock = threading.RLock()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
