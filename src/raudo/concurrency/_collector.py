"""Collects single items into batches on one event loop.

When nothing runs, what has come in one turn of the loop goes out at once: a lone item never waits.
While a batch runs, items collect; the next batch goes when that one is done, when a batch is full,
or when the oldest item has waited for the bound, whichever comes first, as far as the limit of
batches at once allows. So batches grow by themselves with the load, and without it stay small.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from raudo._core.histogram import Histogram
from raudo.concurrency._deadlines import clock_of
from raudo.concurrency._permits import Permits
from raudo.errors import QueueFull

__all__ = ["Batch", "Collector", "Counts"]


class Counts:
    """What a batch processor counts.

    Of items: submitted = answered + failed + cancelled + waiting + running.
    """

    __slots__ = (
        "answered",
        "batches",
        "calls",
        "cancelled",
        "failed",
        "handled",
        "handler_s",
        "served_s",
        "submitted",
        "waited_s",
    )

    def __init__(self) -> None:
        self.submitted = self.answered = self.failed = self.cancelled = 0
        self.batches = 0
        self.handled = 0  # items given to handlers
        self.handler_s = 0.0
        self.calls = Histogram()  # of handlers
        self.waited_s = 0.0  # of submitted items, until their batch began
        self.served_s = 0.0  # of submitted items, from there to their result

    def add(self, other: Counts) -> None:
        """Add the counts of another to these."""
        for name in self.__slots__:
            if name != "calls":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.calls.merge(other.calls)


class Batch:
    """Items that will go to the handler together; empty once it has them."""

    __slots__ = ("items", "oldest", "since_sum", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: dict[asyncio.Future[Any], Any] = {}
        self.oldest = 0.0  # when the first of the items came
        self.since_sum = 0.0  # of the times at which they came

    def take(self) -> dict[asyncio.Future[Any], Any]:
        """Return the items; their submitters cannot take them back from here on."""
        items, self.items = self.items, {}
        return items


class Collector:
    """The items that wait on one loop, and the batches that run there. Not thread-safe.

    What it does for each item is little: an item is put into the batch that is open, and only the
    first and the last of a batch make it look for what is due. A batch that is full stands in line.

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
        self._create_future = loop.create_future
        self.slots = Permits(max_concurrent)
        self.tasks: set[asyncio.Task[None]] = set()
        self._run_batch, self._next_size = run_batch, next_size
        self._context = context.copy()  # a Context may be entered by one thread at a time
        self._max_wait_time, self._max_queue = max_wait_time, max_queue
        self.room = Permits(max_queue)  # in the queue; whoever calls `put` has taken one
        self._open: Batch | None = None
        self._full: deque[Batch] = deque()
        self._n_gone = 0  # items that were submitted and no longer wait
        self._n_running = 0
        self._is_flush_near = self._is_in_line = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._reason: BaseException | None = None  # why running batches are cancelled

    @property
    def n_waiting(self) -> int:
        return self.counts.submitted - self._n_gone

    # --- in ---------------------------------------------------------------------------------

    async def make_room(self, waits: bool) -> None:
        """Take a place in the queue where `room` had none at once."""
        if not waits:
            raise QueueFull(f"the queue is full: {self._max_queue} items wait")
        await self.room.take()

    def put(self, item: Any) -> tuple[asyncio.Future[Any], Batch, float]:
        """Queue an item for which there is room.

        Returns the future of its result, and what `drop` takes if the submitter gives up.
        """
        batch = self._open
        if batch is None:
            batch = self._open = Batch(self._next_size())
        items, future, since = batch.items, self._create_future(), self.clock()
        items[future] = item
        batch.since_sum += since
        self.counts.submitted += 1
        n = len(items)
        if n == 1 or n >= batch.size:
            self._added(batch, since)
        return future, batch, since

    def _added(self, batch: Batch, now: float) -> None:
        """Note the first or the last item of the batch that is open."""
        if len(batch.items) == 1:
            batch.oldest = now
        if len(batch.items) >= batch.size:
            self._full.append(batch)
            self._open = None
        self._consider()

    def drop(self, future: asyncio.Future[Any], batch: Batch, since: float) -> None:
        """Take an item back whose submitter gave up, unless a handler has it already."""
        if future not in batch.items:
            return
        del batch.items[future]
        batch.since_sum -= since
        if not batch.items and batch is not self._open:
            self._full.remove(batch)
        self._leave(1)
        self.counts.cancelled += 1
        self._tell_if_idle()

    def _leave(self, n: int) -> None:
        """Note that so many items wait no longer."""
        self._n_gone += n
        self.room.give(n)

    # --- out --------------------------------------------------------------------------------

    def _consider(self) -> None:
        """Start batches that are due; otherwise see to it that the turn of the open one comes."""
        while self._full:
            if not self._start():
                return
        batch = self._open
        if batch is None or not batch.items:
            return
        if self._n_running == 0:
            if not self._is_flush_near:
                self._is_flush_near = True
                self.loop.call_soon(self._flush, context=self._context)
            return
        due = batch.oldest + self._max_wait_time
        if self.clock() >= due:
            self._start()
        elif self._timer is None:
            self._timer = self.loop.call_at(due, self._bound_reached, context=self._context)

    def _flush(self) -> None:
        self._is_flush_near = False
        if self._n_running == 0 and self._open is not None and self._open.items:
            self._start()
        self._consider()

    def _bound_reached(self) -> None:
        self._timer = None
        self._consider()

    def _start(self) -> bool:
        """Start a batch; if as many run as may, get in line and return False."""
        if self.slots.take_nowait():
            self._spawn(self._next_batch())
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
        self._spawn(self._next_batch())
        self._consider()

    def _next_batch(self) -> dict[asyncio.Future[Any], Any]:
        """Take the oldest items out of the queue: a batch, and what fits of those that follow."""
        batches = self._full
        if not batches:
            batch, self._open = self._open, None
            return {} if batch is None else self._taken(batch)
        size = batches[0].size
        items = self._taken(batches.popleft())
        while batches and len(items) + len(batches[0].items) <= size:  # submitters have given up
            items |= self._taken(batches.popleft())
        return items

    def _taken(self, batch: Batch) -> dict[asyncio.Future[Any], Any]:
        items = batch.take()
        n = len(items)
        self._leave(n)
        self.counts.waited_s += n * self.clock() - batch.since_sum
        for future in [each for each in items if each.cancelled()]:
            del items[future]  # its submitter has not come round to say so
            self.counts.cancelled += 1
        return items

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
        counts, n_failed, begun = self.counts, 0, self.clock()
        try:
            results = await self._run_batch(list(batch.values()))
        except Exception as error:
            for future in batch:
                self._fail(future, error)
            counts.failed += len(batch)
            return
        finally:
            counts.served_s += len(batch) * (self.clock() - begun)
        for future, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                n_failed += 1
                self._fail(future, result)
            elif not future.done():
                future.set_result(result)
        counts.failed += n_failed
        counts.answered += len(batch) - n_failed

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
        if self._idle is not None and not self.n_waiting and not self._n_running:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None

    async def wait_idle(self) -> None:
        """Wait until nothing waits and no batch runs."""
        while self.n_waiting or self._n_running:
            if self._idle is None:
                self._idle = self.loop.create_future()
            await asyncio.shield(self._idle)

    def refuse(self, reason: BaseException) -> None:
        """Raise this in those who wait for room."""
        self.room.refuse(reason)

    async def cancel(self, reason: BaseException) -> None:
        """Fail what waits and what runs with this error, and wait until no batch is left."""
        batches = [*self._full] if self._open is None else [*self._full, self._open]
        self._full.clear()
        self._open = None
        for batch in batches:
            items = batch.take()
            self._leave(len(items))
            self.counts.cancelled += len(items)
            for future in items:
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
