"""Collects single items into batches on one event loop.

When nothing runs, what has come in one turn of the loop goes out at once: a lone item never waits.
While a batch runs, items collect; the next batch goes when that one is done, when a batch is full,
or when the oldest item has waited for the bound, whichever comes first, as far as the limit of
batches at once allows. So batches grow by themselves with the load, and without it stay small.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context
from typing import Any

from raudo.concurrency._deadlines import clock_of
from raudo.concurrency._permits import Permits
from raudo.errors import QueueFull

__all__ = ["Collector", "Counts"]


class Counts:
    """What a batch processor counts.

    Of items: submitted = answered + failed + cancelled + waiting + running.
    """

    __slots__ = (
        "answered",
        "batches",
        "cancelled",
        "failed",
        "handled",
        "handler_s",
        "submitted",
        "waited_s",
    )

    def __init__(self) -> None:
        self.submitted = self.answered = self.failed = self.cancelled = 0
        self.batches = 0
        self.handled = 0  # items given to handlers
        self.handler_s = 0.0
        self.waited_s = 0.0  # of submitted items, until their batch began

    def add(self, other: Counts) -> None:
        """Add the counts of another to these."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Collector:
    """The items that wait on one loop, and the batches that run there. Not thread-safe.

    Args:
        run_batch: Called as `await run_batch(items)`; returns one result for each item.
        next_size: Returns how many items the next batch may have.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run_batch: Callable[[list[Any]], Any],
        next_size: Callable[[], int],
        *,
        context: Context,
        max_wait_time: float,
        max_queue: int,
        max_concurrent: int,
    ) -> None:
        self.loop, self.clock, self.counts = loop, clock_of(loop), Counts()
        self.slots = Permits(max_concurrent)
        self.tasks: set[asyncio.Task[None]] = set()
        self._run_batch, self._next_size = run_batch, next_size
        self._context = context.copy()  # a Context may be entered by one thread at a time
        self._max_wait_time, self._max_queue = max_wait_time, max_queue
        self._room = Permits(max_queue)
        self._waiting: OrderedDict[asyncio.Future[Any], tuple[Any, float]] = OrderedDict()
        self._n_running = 0
        self._is_flush_near = self._is_in_line = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._reason: BaseException | None = None  # why running batches are cancelled

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    # --- in ---------------------------------------------------------------------------------

    async def submit(self, item: Any, *, waits: bool) -> Any:
        """Queue an item and return its result."""
        if not self._room.take_nowait():
            if not waits:
                raise QueueFull(f"the queue is full: {self._max_queue} items wait")
            await self._room.take()
        future: asyncio.Future[Any] = self.loop.create_future()
        self._waiting[future] = item, self.clock()
        self.counts.submitted += 1
        self._consider()
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(future, None) is not None:
                self._room.give()
                self.counts.cancelled += 1
                self._tell_if_idle()
            raise
        finally:
            del future  # an exception in it holds this frame

    # --- out --------------------------------------------------------------------------------

    def _consider(self) -> None:
        """Start batches that are due; otherwise see to it that the oldest item's turn comes."""
        while self._waiting:
            size = self._next_size()
            n = len(self._waiting)
            if n < size:
                if self._n_running == 0:
                    if not self._is_flush_near:
                        self._is_flush_near = True
                        self.loop.call_soon(self._flush, context=self._context)
                    return
                oldest = next(iter(self._waiting.values()))[1]
                if self.clock() < oldest + self._max_wait_time:
                    if self._timer is None:
                        self._timer = self.loop.call_at(
                            oldest + self._max_wait_time, self._bound_reached, context=self._context
                        )
                    return
            if not self._start(size):
                return

    def _flush(self) -> None:
        self._is_flush_near = False
        if self._waiting and self._n_running == 0:
            self._start(self._next_size())
        self._consider()

    def _bound_reached(self) -> None:
        self._timer = None
        self._consider()

    def _start(self, size: int) -> bool:
        """Start a batch; if as many run as may, get in line and return False."""
        if self.slots.take_nowait():
            self._spawn(self._take(size))
            return True
        if not self._is_in_line:
            self._is_in_line = True
            self._keep(self._wait_in_line())
        return False

    async def _wait_in_line(self) -> None:
        try:
            await self.slots.take()
        finally:
            self._is_in_line = False
        if self._waiting:
            self._spawn(self._take(self._next_size()))
        else:
            self.slots.give()
        self._consider()

    def _take(self, size: int) -> dict[asyncio.Future[Any], Any]:
        """Take the oldest items out of the queue."""
        now = self.clock()
        batch: dict[asyncio.Future[Any], Any] = {}
        while self._waiting and len(batch) < size:
            future, (item, since) = self._waiting.popitem(last=False)
            self._room.give()
            if future.cancelled():  # and its submitter has not come round to say so
                self.counts.cancelled += 1
                continue
            self.counts.waited_s += now - since
            batch[future] = item
        return batch

    def _spawn(self, batch: dict[asyncio.Future[Any], Any]) -> None:
        if not batch:
            self.slots.give()
            self._tell_if_idle()
            return
        self._n_running += 1
        task = self._keep(self._serve(batch))
        task.add_done_callback(lambda done: self._served(batch, done))

    def _keep(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(work, context=self._context.copy())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _serve(self, batch: dict[asyncio.Future[Any], Any]) -> None:
        counts = self.counts
        try:
            results = await self._run_batch(list(batch.values()))
        except Exception as error:
            for future in batch:
                counts.failed += 1
                self._fail(future, error)
            return
        for future, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                counts.failed += 1
                self._fail(future, result)
            else:
                counts.answered += 1
                if not future.done():
                    future.set_result(result)

    @staticmethod
    def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
        if future.done():
            return
        if isinstance(error, StopIteration):  # a Future refuses it
            wrapped = RuntimeError("the handler failed with StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        future.set_exception(error)

    def _served(self, batch: dict[asyncio.Future[Any], Any], task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:  # cancelled, or KeyboardInterrupt and its like
            for future in batch:
                if error is not None:
                    self.counts.failed += 1
                    self._fail(future, error)
                    continue
                self.counts.cancelled += 1
                if self._reason is None:
                    future.cancel()
                else:
                    self._fail(future, self._reason)
        self._n_running -= 1
        self.slots.give()
        self._consider()
        self._tell_if_idle()

    # --- the end ----------------------------------------------------------------------------

    def _tell_if_idle(self) -> None:
        if self._idle is not None and not self._waiting and not self._n_running:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None

    async def wait_idle(self) -> None:
        """Wait until nothing waits and no batch runs."""
        while self._waiting or self._n_running:
            if self._idle is None:
                self._idle = self.loop.create_future()
            await asyncio.shield(self._idle)

    def refuse(self, reason: BaseException) -> None:
        """Raise this in those who wait for room."""
        self._room.refuse(reason)

    async def cancel(self, reason: BaseException) -> None:
        """Fail what waits and what runs with this error, and wait until no batch is left."""
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            self._room.give()
            self.counts.cancelled += 1
            self._fail(future, reason)
        self._reason = reason
        for task in self.tasks:
            task.cancel()
        await self.wait_idle()
        self._reason = None

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
