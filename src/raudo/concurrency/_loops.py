"""One part for each event loop that uses an object, so that the object itself belongs to none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

__all__ = ["HasLoop", "PerLoop"]


class HasLoop(Protocol):
    """What belongs to one event loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...


P = TypeVar("P", bound=HasLoop)


class PerLoop(Generic[P]):
    """Makes a part when a loop first asks for it, and lets go of those whose loop is closed.

    Thread-safe; a part is used by its own loop's thread only.

    Args:
        make: Called with the loop.
        retire: Called with a part whose loop is closed, once, under the lock.
    """

    def __init__(
        self, make: Callable[[asyncio.AbstractEventLoop], P], retire: Callable[[P], object]
    ) -> None:
        self._make, self._retire = make, retire
        self._lock = threading.Lock()
        self._parts: tuple[P, ...] = ()

    def here(self) -> P:
        """Return the running loop's part."""
        loop = asyncio.get_running_loop()
        for part in self._parts:
            if part.loop is loop:
                return part
        with self._lock:
            part = self._make(loop)
            self._parts = (*self._open_parts(), part)
        return part

    def all(self) -> tuple[P, ...]:
        """Return the parts of all loops that are open."""
        with self._lock:
            self._parts = self._open_parts()
            return self._parts

    def _open_parts(self) -> tuple[P, ...]:
        still_open = []
        for part in self._parts:
            if part.loop.is_closed():
                self._retire(part)
            else:
                still_open.append(part)
        return tuple(still_open)
