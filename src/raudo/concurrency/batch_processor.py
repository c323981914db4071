"""`BatchProcessor`: single items in, single results out, the work done in batches.

The processor belongs to no event loop; a `Collector` made when a loop first uses it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from contextvars import copy_context
from typing import Any, Literal, NamedTuple, Self, TypeVar

from raudo._core.futures import Wakeups
from raudo.concurrency._batch import join
from raudo.concurrency._batch_cost import BatchCost
from raudo.concurrency._checks import check_seconds
from raudo.concurrency._chunks import Chunks
from raudo.concurrency._collector import Collector, Counts
from raudo.concurrency._handler import Handler, HandlerThreads, call_handler, check_handler
from raudo.concurrency._loops import PerLoop
from raudo.concurrency._stats import shared_samples
from raudo.concurrency._workers.crew import positive_count
from raudo.errors import Closed
from raudo.types import Distribution, Sample

__all__ = ["BatchProcessor", "Drained"]

H = TypeVar("H", bound=Handler)


class Drained(NamedTuple):
    """What became of the submitted items while `drain` or `close` waited."""

    answered: int
    failed: int
    cancelled: int

    @classmethod
    def of(cls, counts: Counts) -> Drained:
        """Return the counts so far."""
        return cls(counts.answered, counts.failed, counts.cancelled)

    def since(self, before: Drained) -> Drained:
        """Return what came after `before`."""
        return Drained(*(late - early for early, late in zip(before, self, strict=True)))


class _OnLoop:
    """What a batch processor has on one event loop."""

    def __init__(self, collector: Collector, wakeups: Wakeups) -> None:
        self.loop, self.collector, self.wakeups = collector.loop, collector, wakeups


class BatchProcessor:
    """Gathers items that many callers submit and hands them to a handler as lists.

    Args:
        batch_size: Most items in a batch.
        max_wait_time: Longest time in seconds that an item waits for others while a batch runs and
            another may run. A bound, not a delay: when nothing runs an item goes out at once.
        handler: Function of a list that returns one result for each item, in order; a coroutine
            function runs on the loop, a plain one on a thread. An exception in an item's place is
            raised for that item alone, one that the handler raises for all of them.
        adaptive: Whether to learn what batches cost, and to aim for the smallest that has 90 % of
            the best throughput and takes no longer than `latency_goal`.
        max_queue: Most submitted items that wait.
        on_full: Whether `submit` waits for room (`"wait"`) or raises `QueueFull` (`"raise"`).
        max_concurrent: Most handler calls at once on a loop. Give 1 to a handler that must not
            overlap with itself; `max_wait_time` then bounds nothing.
        latency_goal: Seconds that a batch may take, for `adaptive`; `max_wait_time` when None.
        name: Label of its samples.

    Handlers run in a copy of the context in which the processor was made, not in a submitter's.
    """

    def __init__(
        self,
        batch_size: int = 100,
        max_wait_time: float = 2.0,
        handler: Handler | None = None,
        *,
        adaptive: bool = False,
        max_queue: int = 10_000,
        on_full: Literal["wait", "raise"] = "wait",
        max_concurrent: int = 4,
        latency_goal: float | None = None,
        name: str = "batch",
    ) -> None:
        self._batch_size = positive_count("batch_size", batch_size)
        self._max_wait_time = check_seconds("max_wait_time", max_wait_time)
        self._max_queue = positive_count("max_queue", max_queue)
        self._max_concurrent = positive_count("max_concurrent", max_concurrent)
        if on_full not in ("wait", "raise"):
            raise ValueError(f"on_full must be 'wait' or 'raise', not {on_full!r}")
        if latency_goal is not None and not adaptive:
            raise ValueError("latency_goal is for adaptive=True")
        self._waits = on_full == "wait"
        self._goal_s = (
            self._max_wait_time
            if latency_goal is None
            else check_seconds("latency_goal", latency_goal)
        )
        self._cost = BatchCost() if adaptive else None
        self._handler = None if handler is None else check_handler(handler)
        self._name = name
        self._context = copy_context()
        self._threads = HandlerThreads(self._max_concurrent)
        self._past = Counts()  # of loops that are closed
        self._loops = PerLoop(self._make, self._retire)
        self._is_closed = False

    def handler(self, fn: H) -> H:
        """Set the handler; a decorator."""
        self._handler = check_handler(fn)
        return fn

    def _make(self, loop: asyncio.AbstractEventLoop) -> _OnLoop:
        wakeups = Wakeups(loop)

        async def run_batch(items: list[Any]) -> list[Any]:
            return await self._call(part, self._required(None), items)

        part = _OnLoop(
            Collector(
                loop,
                run_batch,
                self._next_size,
                context=self._context,
                max_wait_time=self._max_wait_time,
                max_queue=self._max_queue,
                max_concurrent=self._max_concurrent,
            ),
            wakeups,
        )
        return part

    def _retire(self, part: _OnLoop) -> None:
        """Keep the counts of a closed loop; what still waited there counts as cancelled."""
        counts = part.collector.counts
        counts.cancelled = counts.submitted - counts.answered - counts.failed
        self._past.add(counts)

    def _here(self) -> _OnLoop:
        """Return the part that lives on the running loop."""
        if self._is_closed:
            raise Closed("the batch processor is closed")
        return self._loops.here()

    # --- batches ----------------------------------------------------------------------------

    def _required(self, handler: Handler | None) -> Handler:
        if handler is not None:
            return check_handler(handler)
        if self._handler is None:
            raise ValueError(
                "there is no handler: pass handler=..., or set it with the decorator @batch.handler"
            )
        return self._handler

    def _next_size(self) -> int:
        if self._cost is None:
            return self._batch_size
        return self._cost.next_size(self._batch_size, self._goal_s)

    async def _call(self, here: _OnLoop, handler: Handler, items: list[Any]) -> list[Any]:
        collector = here.collector
        counts, begun = collector.counts, collector.clock()
        counts.batches += 1
        counts.handled += len(items)
        n = len(items)  # the list is the handler's from here on
        try:
            results = await call_handler(handler, items, self._threads, here.wakeups)
        finally:
            seconds = collector.clock() - begun
            counts.handler_s += seconds
            counts.calls.record(seconds)
        if self._cost is not None:
            self._cost.observe(n, seconds)
        return results

    async def submit(self, item: Any) -> Any:
        """Have the item handled in some batch; return its result.

        Cancelling the call takes the item out of the queue; a batch that runs already goes on.

        Raises:
            QueueFull: The queue is full and `on_full` is `"raise"`.
            Closed: The processor is closed, or was while the item waited.
            ValueError: There is no handler, or it returned a wrong number of results.
            Exception: What the handler raised, or returned in the item's place.
        """
        if self._handler is None:
            self._required(None)
        collector = self._here().collector
        if not collector.room.take_nowait():
            await collector.make_room(self._waits)
        future, batch, since = collector.put(item)
        try:
            return await future
        except asyncio.CancelledError:
            collector.drop(future, batch, since)
            raise
        finally:
            del future  # an exception in it holds this frame

    async def process(
        self, items: Iterable[Any] | AsyncIterable[Any], handler: Handler | None = None
    ) -> list[Any]:
        """Cut any iterable into batches and return the results in order.

        The input is read as batches are done, at most `max_concurrent` ahead. The first error that
        a handler raises ends it all and is raised; exceptions that it returns stay in their places.
        """
        chosen = self._required(handler)
        if not isinstance(items, Iterable | AsyncIterable):
            raise TypeError(f"items must be an iterable, not {type(items).__name__}")
        here = self._here()
        source = Chunks(items, self._next_size)
        results: list[Any] = []
        is_ended = False
        failure: BaseException | None = None
        workers: list[asyncio.Task[None]] = []

        def end() -> None:
            nonlocal is_ended
            if is_ended:
                return
            is_ended = True
            current = asyncio.current_task()
            for worker in workers:
                if worker is not current:
                    worker.cancel()

        async def work() -> None:
            nonlocal failure
            slots = here.collector.slots
            try:
                while not is_ended:
                    await slots.take()
                    try:
                        chunk = await source.next()
                        if not chunk:
                            return
                        start = len(results)
                        results.extend([None] * len(chunk))
                        n = len(chunk)
                        results[start : start + n] = await self._call(here, chosen, chunk)
                    finally:
                        slots.give()
                    await asyncio.sleep(0)  # a handler that never suspends must not keep the loop
            except Exception as error:
                if failure is None:
                    failure = error
                end()

        n_workers = self._max_concurrent
        if isinstance(items, list | tuple):
            n_workers = min(n_workers, len(items))
        create_task = here.collector.loop.create_task
        workers += [create_task(work()) for _ in range(n_workers)]
        await join(workers, end)
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # its traceback holds this frame
        if any(worker.cancelled() for worker in workers):
            raise asyncio.CancelledError  # by the handler itself, or the loop is shutting down
        return results

    # --- the end ----------------------------------------------------------------------------

    async def drain(self) -> Drained:
        """Wait until no submitted item waits or is handled on this loop."""
        collector = self._here().collector
        before = Drained.of(collector.counts)
        await collector.wait_idle()
        return Drained.of(collector.counts).since(before)

    async def close(self, *, cancel: bool = False) -> Drained:
        """Accept no more items; finish those submitted, or with `cancel` fail them with `Closed`.

        Closing twice is harmless. A plain handler that still runs on a thread is not waited for.
        """
        if self._is_closed:
            return Drained(0, 0, 0)
        collector = self._here().collector
        self._is_closed = True
        closed = Closed("the batch processor was closed")
        collector.refuse(closed)
        before = Drained.of(collector.counts)
        try:
            if not cancel:
                await collector.wait_idle()
            await collector.cancel(closed)
        finally:
            collector.close()
            self._threads.close()
        return Drained.of(collector.counts).since(before)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.close(cancel=error is not None)

    # --- what it counts ---------------------------------------------------------------------

    def _total(self) -> tuple[Counts, int]:
        parts = self._loops.all()
        total = Counts()
        total.add(self._past)
        for part in parts:
            total.add(part.collector.counts)
        return total, sum(part.collector.n_waiting for part in parts)

    def get_stats(self) -> dict[str, Any]:
        """Return counts over the processor's life, and what there is now. Thread-safe.

        Item counts are of `submit`; batches, their sizes and times also of `process`. `cost` is the
        line that `adaptive` has learned, in seconds.
        """
        total, waiting = self._total()
        ended = total.answered + total.failed + total.cancelled
        line = self._cost.line if self._cost is not None else None
        return {
            "submitted_items": total.submitted,
            "processed_items": total.answered + total.failed,
            "failed_items": total.failed,
            "cancelled": total.cancelled,
            "queue_size": waiting,
            "running": max(0, total.submitted - ended - waiting),
            "batches": total.batches,
            "avg_batch_size": total.handled / total.batches if total.batches else 0.0,
            "avg_batch_time": total.handler_s / total.batches if total.batches else 0.0,
            "avg_wait_time": total.waited_s / total.submitted if total.submitted else 0.0,
            "target_batch_size": (
                self._batch_size
                if self._cost is None
                else self._cost.best(self._batch_size, self._goal_s)
            ),
            "cost": None if line is None else line._asdict(),
        }

    def samples(self) -> list[Sample]:
        """Return the same figures for a `Monitor`."""
        total, waiting = self._total()
        label = ("processor", self._name)
        counters = {
            "submitted_total": (total.submitted, "Items submitted"),
            "answered_total": (total.answered, "Items that got a result"),
            "failed_total": (total.failed, "Items that got an error"),
            "cancelled_total": (
                total.cancelled,
                "Items whose submitter gave up, or that were cancelled",
            ),
            "batches_total": (total.batches, "Calls of a handler"),
            "batch_items_total": (total.handled, "Items given to handlers"),
            "handler_seconds_total": (total.handler_s, "Seconds that handlers took"),
            "wait_seconds_total": (total.waited_s, "Seconds that items waited for their batch"),
        }
        n_processed = total.answered + total.failed
        total_s = total.waited_s + total.served_s
        found = shared_samples(n_processed, total.failed, total_s, label)
        found += [
            Sample(f"raudo_batch_{name}", "counter", value, (label,), text)
            for name, (value, text) in counters.items()
        ]
        found.append(Sample("raudo_batch_queue_size", "gauge", waiting, (label,), "Items waiting"))
        return found

    def histograms(self) -> list[Distribution]:
        """Return how long the calls of handlers took, for a `Monitor`."""
        calls = self._total()[0].calls
        return [
            Distribution(
                "raudo_batch_handler_duration_seconds",
                calls,
                (("processor", self._name),),
                "Time of a call of a handler",
            )
        ]
