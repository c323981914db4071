"""A source of messages that may fail: it is asked again, and each failure is counted and told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from raudo import events
from raudo.concurrency._consumed import Tally
from raudo.concurrency.retrying import Backoff
from raudo.errors import RaudoError
from raudo.types import MessageSource

__all__ = ["UNREACHABLE", "Link"]

_log = logging.getLogger("raudo.consume")
_LAG_S = 5.0
# What says that a source, and not the caller, is at fault for now.
UNREACHABLE = (OSError, RaudoError)


class Link:
    """Calls a source until it answers. After `give_up_at`, by the clock, it goes on no more."""

    def __init__(self, source: MessageSource, tally: Tally, clock: Callable[[], float]) -> None:
        self._source, self._tally, self._clock = source, tally, clock
        self._backoff = Backoff(0.1, maximum=5.0)
        self.give_up_at = float("inf")

    async def surely(self, operation: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call until it succeeds, with pauses that grow.

        Raises:
            CancelledError: It failed after `give_up_at`, as if the end had cancelled it.
        """
        failures = 0
        while True:
            try:
                return await call()
            except UNREACHABLE as error:
                failures += 1
                self.failed(operation, error)
            if self._clock() > self.give_up_at:
                raise asyncio.CancelledError
            await asyncio.sleep(self._backoff.delay(failures))

    def failed(self, operation: str, error: BaseException) -> None:
        """Count a failure, log it, and emit it."""
        self._tally.errors += 1
        _log.warning("%s: %s failed: %s", self._source.name, operation, error)
        events.emit(events.SourceFailed(self._source.name, operation, error))

    async def follow_lag(self) -> None:
        """Ask for the lag every few seconds, for ever."""
        while True:
            with suppress(*UNREACHABLE):  # whoever receives counts that
                self._tally.lag = await self._source.lag()
            await asyncio.sleep(_LAG_S)
