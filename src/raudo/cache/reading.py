"""Reading a value from below memory, with and without an event loop.

A read is made without the cache's lock; where its key changed meanwhile, it is made again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from typing import Any

from raudo.cache.fetched import Fetched
from raudo.cache.levels import Levels
from raudo.cache.loading import MISSING
from raudo.cache.promote import RETRY
from raudo.cache.tiers.blobs import is_heavy

__all__ = ["Reader"]


class Reader:
    """Brings values up from the levels below memory."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels

    def look(self, key: Hashable) -> Any:
        """Return the value if it is in memory, counting nothing."""
        entry = self._levels.l1.peek(key, MISSING)
        return self._levels.up.find(key, entry, counts=False)

    def read_ready(self, key: Hashable, data: bytes) -> Any:
        """Return the value if it can be read without waiting; `RETRY` where it cannot."""
        cold = self._levels.cold
        if cold is None:
            return MISSING
        started_ns = time.perf_counter_ns()
        token = self._levels.up.begin_read(data)
        try:
            fetched = cold.fetch_ready(data)
            if fetched is not None and _is_heavy(fetched):
                return RETRY
            return self._levels.up.finish_read(key, data, token, fetched, started_ns, counts=True)
        except BlockingIOError:
            return RETRY
        finally:
            self._levels.up.end_read(data, token)

    async def lift(self, key: Hashable, data: bytes) -> Any:
        """Return a large value that L2 holds, or whatever has become of it meanwhile."""
        value = await asyncio.to_thread(self._levels.up.lift, key, data)
        if value is not RETRY:
            return value
        value = self.look(key)
        self._levels.up.note_late(value, True)
        if value is MISSING and self._levels.up.may_be_below(key) is not None:
            return await self.read(key, data)
        return value

    async def read(self, key: Hashable, data: bytes, *, counts: bool = True) -> Any:
        """Return the value, waiting for the disk on a thread."""
        cold = self._levels.cold
        while cold is not None:
            started_ns = time.perf_counter_ns()
            token = self._levels.up.begin_read(data)
            try:
                fetched = await cold.fetch_async(data)
                finish = self._levels.up.finish_read
                if fetched is not None and _is_heavy(fetched):
                    value = await asyncio.to_thread(
                        finish, key, data, token, fetched, started_ns, counts=counts, pauses=True
                    )
                else:
                    value = finish(key, data, token, fetched, started_ns, counts=counts)
            finally:
                self._levels.up.end_read(data, token)
            if value is RETRY:  # the key changed while it was read
                value = self.look(key)
                if value is MISSING and self._levels.up.may_be_below(key) is not None:
                    continue
                self._levels.up.note_late(value, counts)
            return value
        return MISSING

    def read_now(self, key: Hashable, data: bytes, *, counts: bool = True) -> Any:
        """Return the value, waiting for the disk right here."""
        cold = self._levels.cold
        while cold is not None:
            started_ns = time.perf_counter_ns()
            token = self._levels.up.begin_read(data)
            try:
                fetched = cold.fetch(data)
                value = self._levels.up.finish_read(
                    key, data, token, fetched, started_ns, counts=counts
                )
            finally:
                self._levels.up.end_read(data, token)
            if value is RETRY:
                value = self.look(key)
                if value is MISSING and self._levels.up.may_be_below(key) is not None:
                    continue
                self._levels.up.note_late(value, counts)
            return value
        return MISSING


def _is_heavy(fetched: Fetched) -> bool:
    return is_heavy(fetched.blob.codec, fetched.blob.raw_bytes)
