"""One load per key over all processes that share a level: who holds the key's lease loads it.

The others wait until the level tells of the key, and ask now and then in case it does not: for the
value, and for the lease, which is free again where the holder failed. Nobody waits for longer than
two leases hold, that of a process that died and that of who followed it; then, and where the level
hands none out now, each process loads for itself. What is loaded under a lease that has ended is
not stored (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1).
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Generator, Hashable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, TypeAlias

from raudo.cache._forks import reset_after_fork
from raudo.cache.levels import Levels
from raudo.cache.loading import MISSING
from raudo.cache.reading import Reader
from raudo.cache.shared import SharedLevel
from raudo.types import Lease

__all__ = ["Leases"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25


class _Do(Enum):
    LEASE = auto()
    READ = auto()
    RELEASE = auto()
    WAIT = auto()


_Step: TypeAlias = tuple[_Do, Any]
_Course: TypeAlias = Generator[_Step, Any, tuple[Any, Lease | None]]


class Leases:
    """Of one cache and its shared level. Thread-safe, bound to no event loop."""

    def __init__(self, levels: Levels, reader: Reader, shared: SharedLevel) -> None:
        self._levels = levels
        self._reader = reader
        self._shared = shared
        tier: Any = shared.tier
        self._lease_s: float = tier.lease_s
        self._held: set[bytes] = set()
        self._waiting: dict[bytes, set[Future[None]]] = {}
        self._lock = threading.Lock()
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._held, self._waiting = set(), {}

    def wake(self, data: bytes | None) -> None:
        """Let those look again who wait for a key that another process changed; None: for any."""
        with self._lock:
            keys = list(self._waiting) if data is None else [data]
            woken = [told for key in keys for told in self._waiting.pop(key, ())]
        for told in woken:
            told.set_result(None)

    # --- before a load, and after one that stores nothing -------------------------------------

    def begin(self, key: Hashable, *, is_refresh: bool = False) -> tuple[Any, Lease | None]:
        """Return the value that another process has loaded, or `MISSING` and the lease to load by.

        No lease with `MISSING`: load without one. `end` must follow the load.
        """
        course, answer = self._course(key, is_refresh), None
        while True:
            try:
                step, what = course.send(answer)
            except StopIteration as end:
                return self._begun(key, end.value)
            if step is _Do.LEASE:
                answer = self._shared.lease(what)
            elif step is _Do.READ:
                answer = self._reader.read_now(key, what, counts=False)
            elif step is _Do.RELEASE:
                self._shared.release(*what)
                answer = None
            else:
                wait_for([what[0]], what[1])
                answer = None

    async def begin_async(
        self, key: Hashable, *, is_refresh: bool = False
    ) -> tuple[Any, Lease | None]:
        """Do the same on an event loop."""
        course, answer = self._course(key, is_refresh), None
        while True:
            try:
                step, what = course.send(answer)
            except StopIteration as end:
                return self._begun(key, end.value)
            if step is _Do.LEASE:
                answer = await self._shared.lease_async(what)
            elif step is _Do.READ:
                answer = await self._reader.read(key, what, counts=False)
            elif step is _Do.RELEASE:
                await self._shared.release_async(*what)
                answer = None
            else:
                await asyncio.wait([asyncio.wrap_future(what[0])], timeout=what[1])
                answer = None

    def _begun(self, key: Hashable, found: tuple[Any, Lease | None]) -> tuple[Any, Lease | None]:
        data = self._levels.encode(key)
        if found[1] is not None and data is not None:
            self._held.add(data)
        return found

    def end(self, key: Hashable, lease: Lease, *, is_stored: bool) -> None:
        """Note the end of a load; the lease is given back unless its value is yet to be put."""
        data = self._end(key)
        if data is not None and not is_stored:
            self._shared.release(data, lease)

    async def end_async(self, key: Hashable, lease: Lease, *, is_stored: bool) -> None:
        """Do the same on an event loop."""
        data = self._end(key)
        if data is not None and not is_stored:
            await self._shared.release_async(data, lease)

    def _end(self, key: Hashable) -> bytes | None:
        data = self._levels.encode(key)
        if data is not None:
            self._held.discard(data)
        return data

    # --- the course of it, whoever drives it --------------------------------------------------

    def _course(self, key: Hashable, is_refresh: bool) -> _Course:
        data = self._levels.encode(key)
        if data is None or data in self._held:  # a load of ours that needs itself
            return MISSING, None
        until = time.monotonic() + 2 * self._lease_s
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._told_of(data) as told:
                lease = yield _Do.LEASE, data
                if lease is None and is_refresh:
                    value = self._reader.look(key)  # which is good, while another loads it anew
                elif lease is None or (lease.seen and not is_refresh):
                    value = yield _Do.READ, data
                else:
                    return MISSING, lease if lease.token else None
                if value is not MISSING:
                    if lease is not None:
                        yield _Do.RELEASE, (data, lease)
                    return value, None
                if lease is not None:  # what is there is no value of ours: it is replaced
                    return MISSING, lease
                left_s = until - time.monotonic()
                if left_s <= 0:
                    return MISSING, None
                yield _Do.WAIT, (told, min(left_s, pause_s * random.uniform(0.5, 1.5)))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    @contextmanager
    def _told_of(self, data: bytes) -> Iterator[Future[None]]:
        """Have a future woken from now on, so that no change is missed between look and wait."""
        told: Future[None] = Future()
        told.set_running_or_notify_cancel()  # who stops waiting for it must not cancel it
        with self._lock:
            self._waiting.setdefault(data, set()).add(told)
        try:
            yield told
        finally:
            with self._lock:
                others = self._waiting.get(data)
                if others is not None:
                    others.discard(told)
                    if not others:
                        del self._waiting[data]
