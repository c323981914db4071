"""Hands each check of a monitor to those who look, as text that is made once for all of them.

Nothing is made while nobody looks. A viewer gets the newest frame when it asks for the next one:
who is slow misses frames, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from raudo.monitoring.dashboard.frame import make_frame

if TYPE_CHECKING:
    from raudo.monitoring.monitor import Monitor

__all__ = ["Feed", "as_json"]

_log = logging.getLogger("raudo.monitoring")

_HEARTBEAT_S = 15.0  # shorter than proxies wait before they close a silent stream


class Feed:
    """Server-sent events of one monitor, for any number of event loops. Thread-safe."""

    def __init__(
        self, monitor: Monitor, title: str | None, trouble: Callable[[], str] | None
    ) -> None:
        self._monitor = monitor
        self._title = title
        self._trouble = trouble
        self._unsubscribe: Callable[[], object] | None = None
        self._version = 0
        self._event = b""
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._n_viewers = 0

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the state of now, then each check's, and a comment now and then in between."""
        self._enter()
        try:
            seen = self._version
            yield b"retry: 1000\n\n" + await asyncio.to_thread(self._made, None)
            while True:
                seen, event = await self._after(seen)
                yield event or b": nothing new\n\n"
        finally:
            self._leave()

    def _enter(self) -> None:
        if self._pid != os.getpid():  # those who looked are the parent's, and so may be the lock
            self._begin()
        with self._lock:
            self._n_viewers += 1
            if self._unsubscribe is None:
                self._unsubscribe = self._monitor.subscribe(self._on_check)

    def _leave(self) -> None:
        with self._lock:
            self._n_viewers -= 1
            if not self._n_viewers and self._unsubscribe is not None:
                self._unsubscribe()
                self._unsubscribe = None

    async def _after(self, version: int) -> tuple[int, bytes]:
        """Return the newest event if it is newer, when there is one; an empty one after a while."""
        is_new = asyncio.Event()
        entry = (asyncio.get_running_loop(), is_new)
        with self._lock:
            if self._version != version:
                return self._version, self._event
            self._waiting.append(entry)
        try:
            async with asyncio.timeout(_HEARTBEAT_S):
                await is_new.wait()
        except TimeoutError:
            return version, b""
        finally:
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)
        return self._version, self._event

    def _on_check(self, snapshot: Mapping[str, Any]) -> None:
        event = self._made(snapshot)
        with self._lock:
            self._version += 1
            self._event = event
            waiting, self._waiting = self._waiting, []
        for loop, is_new in waiting:
            try:
                loop.call_soon_threadsafe(is_new.set)
            except RuntimeError:  # that loop is closed, and the viewer with it
                continue

    def _made(self, snapshot: Mapping[str, Any] | None) -> bytes:
        """Return an event of the snapshot, or of one taken now."""
        try:
            frame = make_frame(self._monitor, snapshot, title=self._title)
            if self._trouble is not None:
                frame["trouble"] = self._trouble()
            return b"event: frame\ndata: " + as_json(frame) + b"\n\n"
        except Exception as error:  # the page says so, and goes on with the next
            _log.warning("the dashboard cannot read its monitor: %r", error)
            return b"event: trouble\ndata: " + as_json({"error": repr(error)}) + b"\n\n"


def as_json(value: object) -> bytes:
    """Return one line of ASCII; a number that JSON has not (NaN, infinity) becomes null."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
