"""What an `AsyncProcessor` has on each event loop, how that ends, and what all of them count."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

from raudo.concurrency._engine import Engine, Limits
from raudo.concurrency._ledger import Ledger
from raudo.concurrency._loops import PerLoop
from raudo.concurrency._pools import Pools
from raudo.concurrency._queue import OnFull, SubmitQueue
from raudo.concurrency._stats import Figures
from raudo.concurrency.consume import Consumer

__all__ = ["Ended", "Part", "Parts"]


class Ended(NamedTuple):
    """What became of the tasks that were in flight when `drain` or `stop` was called.

    `abandoned` are functions that were left running on a thread when their task was cancelled.
    """

    succeeded: int
    failed: int
    cancelled: int
    abandoned: int

    @classmethod
    def of(cls, ledger: Ledger) -> Ended:
        """Return the counts so far."""
        return cls(ledger.succeeded, ledger.failed, ledger.cancelled, ledger.abandoned)

    def since(self, before: Ended) -> Ended:
        """Return what came after `before`."""
        return Ended(*(late - early for early, late in zip(before, self, strict=True)))


class Part:
    """What a processor has on one event loop; used by that loop's thread only."""

    def __init__(self, engine: Engine, queue: SubmitQueue) -> None:
        self.loop, self.engine, self.queue = engine.loop, engine, queue

    @property
    def n_uncounted(self) -> int:
        """Tasks taken that the ledger does not know of yet."""
        return sum(work.n_uncounted for work in list(self.engine.in_flight))

    async def drain(self) -> Ended:
        """Wait until nothing is queued or in flight; return what became of it."""
        before = Ended.of(self.engine.ledger)
        await self.engine.wait_idle()
        return Ended.of(self.engine.ledger).since(before)

    async def cancel(self, reason: BaseException) -> None:
        """Cancel all that is in flight, and wait until it has ended."""
        self._cancel_all(reason)
        await self.engine.wait_idle()

    async def end(self, reason: BaseException, *, cancel: bool, timeout: float | None) -> Ended:
        """Take no more, finish what there is in `timeout` seconds or cancel it, end the workers."""
        engine = self.engine
        self.queue.refuse_waiting(reason)
        for work in list(engine.in_flight):
            if isinstance(work, Consumer):
                work.stop()
        before = Ended.of(engine.ledger)
        try:
            if not cancel:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await engine.wait_idle()
            await self.cancel(reason)
        except BaseException:
            self._cancel_all(reason)
            raise
        finally:
            engine.close()
            await engine.end_workers()
        return Ended.of(engine.ledger).since(before)

    def _cancel_all(self, reason: BaseException) -> None:
        for work in list(self.engine.in_flight):
            work.stop(reason)


class Parts:
    """The parts of all loops that use a processor, and what was counted on those that are closed.

    Thread-safe, and so are its figures.
    """

    def __init__(
        self, pools: Pools, limits: Limits, *, queue_size: int, max_running: int, on_full: OnFull
    ) -> None:
        self._pools, self._limits = pools, limits
        self._queue_size, self._max_running, self._on_full = queue_size, max_running, on_full
        self._past = Ledger()
        self._loops = PerLoop(self._make, self._retire)
        self.here = self._loops.here

    def _make(self, loop: asyncio.AbstractEventLoop) -> Part:
        engine = Engine(loop, self._pools, self._limits, Ledger())
        queue = SubmitQueue(engine, self._queue_size, self._max_running, self._on_full)
        return Part(engine, queue)

    def _retire(self, part: Part) -> None:
        """Keep the counts of a closed loop; what still ran there counts as cancelled."""
        ledger = part.engine.ledger
        ledger.submitted += part.n_uncounted
        ledger.cancelled = ledger.submitted - ledger.finished - ledger.dropped
        self._past.add(ledger)

    def figures(self) -> Figures:
        """Return the counts of all loops together, and what there is now."""
        parts = self._loops.all()
        total, queued = Ledger(), 0
        total.add(self._past)
        for part in parts:
            total.add(part.engine.ledger)
            total.submitted += part.n_uncounted
            queued += part.queue.n_queued
        ended = total.finished + total.cancelled + total.dropped
        circuits = self._limits.circuits
        return Figures(
            total,
            queued,
            max(0, total.submitted - ended - queued),
            circuits.n_open() if circuits is not None else 0,
        )
