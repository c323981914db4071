"""One load per key, however many tasks and threads ask for it.

A flight is a load under way. Whoever asks second waits for the first one's outcome, on whatever
event loop or thread it is. A load by a coroutine runs in a task of its own: a caller that is
cancelled stops waiting and cancels nobody. A load that is itself cancelled, with its event loop,
leaves the waiters to load anew; one that raises `CancelledError` of its own hands it to them.

Nobody waits for itself: each load knows the loads that it waits for, whatever cache,
thread or task they belong to, and a wait that would close a circle of them is a load instead. A
load that is part of another one needs no permit of a limit: the outer one may hold the last.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from raudo.cache._forks import reset_after_fork
from raudo.cache.limit import LoadLimit

__all__ = ["MISSING", "Flights"]


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<missing>"


MISSING: Any = _Missing()

# How long a waiter goes without looking whether the loop that drives the load still lives.
_LOOK_S = 1.0


class _Place:
    """A flight's place among those that wait. Holds no value: contexts keep it for long."""

    __slots__ = ("needs",)

    def __init__(self) -> None:
        self.needs: list[_Place] = []  # what the loader waits for; several, where it gathers

    def reaches(self, other: _Place) -> bool:
        """Say whether this load can end only after the other one."""
        seen, ahead = {self}, [self]
        while ahead:
            place = ahead.pop()
            if place is other:
                return True
            fresh = [each for each in place.needs if each not in seen]
            seen.update(fresh)
            ahead += fresh
        return False


class _Waits:
    """Who waits for whom, over all caches. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    def begin(self, waiter: _Place | None, place: _Place) -> bool:
        """Note that `waiter` waits from now on; False, and no note, where it would for ever."""
        if waiter is None:
            return True
        with self._lock:
            if place.reaches(waiter):
                return False
            waiter.needs.append(place)
            return True

    def end(self, waiter: _Place | None, place: _Place) -> None:
        if waiter is not None:
            with self._lock:
                waiter.needs.remove(place)


_waits = _Waits()
# The innermost load that the running code is part of. Tasks and worker threads inherit it.
_current: ContextVar[_Place | None] = ContextVar("_current", default=None)


class _Flight:
    """A load under way: `value` or `error` once `is_done`; neither where it was abandoned."""

    __slots__ = (
        "error",
        "is_done",
        "is_queued",
        "is_superseded",
        "key",
        "lock",
        "loop",
        "place",
        "task",
        "value",
        "waiters",
    )

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.value: Any = MISSING
        self.error: BaseException | None = None
        self.is_done = False
        self.is_superseded = False
        self.is_queued = False  # has no permit yet
        self.place = _Place()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None
        self.lock = threading.RLock()
        self.waiters: list[Callable[[], object]] = []

    def end(self, value: Any = MISSING, error: BaseException | None = None) -> None:
        with self.lock:
            if self.is_done:
                return
            self.value, self.error, self.is_done = value, error, True
            waiters, self.waiters = self.waiters, []
        for wake in waiters:
            wake()

    def _call_when_done(self, wake: Callable[[], object]) -> bool:
        with self.lock:
            if not self.is_done:
                self.waiters.append(wake)
                return True
        return False

    def _is_lost(self) -> bool:
        return self.loop is not None and self.loop.is_closed()

    def wait(self) -> None:
        """Block this thread until the load has ended one way or another."""
        event = threading.Event()
        if self._call_when_done(event.set):
            while not event.wait(_LOOK_S):
                if self._is_lost():
                    self.end()

    async def wait_async(self) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # of a closed loop: nobody waits there any more
                loop.call_soon_threadsafe(_set_done, waiter)

        if self._call_when_done(wake):
            while not waiter.done():
                await asyncio.wait({waiter}, timeout=_LOOK_S)
                if not waiter.done() and self._is_lost():
                    self.end()

    def outcome(self) -> Any:
        """Return the value, raise the error, or return `MISSING` where the load was abandoned."""
        if self.error is not None:
            raise self.error
        return self.value


def _set_done(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _needs_this_loop(flight: _Flight) -> bool:
    """Say whether the load goes on only once the calling thread's event loop does."""
    try:
        return flight.loop is not None and flight.loop is asyncio.get_running_loop()
    except RuntimeError:
        return False


class Flights:
    """The loads under way of one cache. Thread-safe, bound to no event loop."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}
        # Re-entrant: a key's __hash__ and __eq__ run within, and may come back here.
        self._lock = threading.RLock()
        reset_after_fork(self)

    def _after_fork(self) -> None:
        # The loads of the parent's threads do not come to an end here.
        self._flights = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._flights

    def supersede(self, key: Hashable) -> None:
        """Note that the key was set or deleted: a load that began before must not be stored."""
        if self._flights:
            with self._lock:
                flight = self._flights.get(key)
                if flight is not None:
                    flight.is_superseded = True

    def is_superseded(self, key: Hashable) -> bool:
        """Say whether what a load under way returns will not be stored."""
        with self._lock:
            flight = self._flights.get(key)
            return flight is not None and flight.is_superseded

    def supersede_all(self) -> None:
        with self._lock:
            for flight in self._flights.values():
                flight.is_superseded = True

    def run(
        self,
        key: Hashable,
        load: Callable[[], Any],
        store: Callable[[Any], object],
        look: Callable[[], Any],
        limit: LoadLimit | None = None,
    ) -> Any:
        """Return what `load()` returns, or what another thread's or task's load does.

        `look` is asked again once the load is ours, as another one may have just ended: it returns
        the value or `MISSING`. `store` gets the value before anyone else can start a load. Of
        `limit` a permit is held meanwhile; an event loop's thread does not wait for one.
        """
        waiter = _current.get()
        while True:
            flight, is_ours = self._enter(key, limit, waiter)
            if is_ours:
                break
            if _needs_this_loop(flight) or not self._may_join(flight, waiter):
                return load()
            try:
                flight.wait()
            finally:
                _waits.end(waiter, flight.place)
            value = flight.outcome()
            if value is not MISSING:
                return value
            self._leave(flight)
        # Here, not in a function of its own: each frame is one that a recursive load cannot have.
        _waits.begin(waiter, flight.place)
        token = _current.set(flight.place)
        has_permit = False
        try:
            if flight.is_queued and limit is not None:
                has_permit = limit.try_acquire()
                if not has_permit and not _loop_runs_here():
                    limit.acquire()
                    has_permit = True
                flight.is_queued = False
            value = look()
            if value is MISSING:
                value = load()
                if not flight.is_superseded:
                    store(value)
        except Exception as error:
            flight.error = error
            raise
        else:
            flight.value = value
            return value
        finally:
            if has_permit and limit is not None:
                limit.release()
            try:
                self._settle(flight)  # still as part of the load: the key's own code may ask for it
            finally:
                _current.reset(token)
                _waits.end(waiter, flight.place)

    async def run_async(
        self,
        key: Hashable,
        load: Callable[[], Awaitable[Any]],
        store: Callable[[Any], object],
        look: Callable[[], Any],
        limit: LoadLimit | None = None,
        ask: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Do the same for a coroutine's load; `ask` is a look that may wait, made after it."""
        waiter = _current.get()
        while True:
            flight, is_ours = self._enter(key, limit, waiter)
            if is_ours:
                flight.loop = asyncio.get_running_loop()
                drive = self._drive_async(flight, load, store, look, limit, ask)
                flight.task = flight.loop.create_task(drive)
                # Cancelled before its first step, a task never runs its coroutine at all.
                flight.task.add_done_callback(partial(self._leave_with, flight))
            if not self._may_join(flight, waiter, is_ours):
                return await load()
            try:
                await flight.wait_async()
            finally:
                _waits.end(waiter, flight.place)
            value = flight.outcome()
            if value is not MISSING:
                return value
            self._leave(flight)

    def _enter(
        self, key: Hashable, limit: LoadLimit | None, waiter: _Place | None
    ) -> tuple[_Flight, bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and not flight.is_done:
                return flight, False
            flight = self._flights[key] = _Flight(key)
            flight.is_queued = limit is not None and waiter is None
            return flight, True

    @staticmethod
    def _may_join(flight: _Flight, waiter: _Place | None, is_ours: bool = False) -> bool:
        """Note that `waiter` waits for the load from now on; False where it might for ever."""
        if waiter is not None and flight.is_queued and not is_ours:
            return False  # the permit that it waits for may be held for the waiter
        return _waits.begin(waiter, flight.place)

    def _leave(self, flight: _Flight) -> None:
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        flight.end()

    def _leave_with(self, flight: _Flight, _: asyncio.Task[None]) -> None:
        self._leave(flight)

    async def _drive_async(
        self,
        flight: _Flight,
        load: Callable[[], Awaitable[Any]],
        store: Callable[[Any], object],
        look: Callable[[], Any],
        limit: LoadLimit | None,
        ask: Callable[[], Awaitable[Any]] | None,
    ) -> None:
        _current.set(flight.place)
        has_permit = False
        try:
            if flight.is_queued and limit is not None:
                await limit.acquire_async()
                has_permit = True
                flight.is_queued = False
            value = look()
            if value is MISSING and ask is not None:
                value = await ask()
            if value is MISSING:
                value = await load()
                if not flight.is_superseded:
                    store(value)
            flight.value = value
        except Exception as error:
            flight.error = error  # raised by each waiter
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the load was cancelled, not what it did: whoever waits loads anew
            flight.error = error
        finally:
            if has_permit and limit is not None:
                limit.release()
            self._settle(flight)

    def _settle(self, flight: _Flight) -> None:
        try:
            with self._lock:
                if self._flights.get(flight.key) is flight:
                    del self._flights[flight.key]
        finally:  # whatever the key's __hash__ and __eq__ did
            flight.end(flight.value, flight.error)
            flight.task = None
