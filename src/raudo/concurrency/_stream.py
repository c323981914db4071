"""A stream: outcomes as they come, from an input that may be endless.

Workers take tasks from the input as long as fewer than `window` of them have been taken and not yet
handed out; whoever reads the outcomes slowly therefore slows the input down. Nothing outlives the
generator: closing it cancels what is in flight and waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
)
from typing import Any

from raudo._core.drive import SLICE_SECONDS
from raudo.concurrency._batch import join
from raudo.concurrency._calls import Call, unpack
from raudo.concurrency._deadlines import Run
from raudo.concurrency._engine import Engine, Plan
from raudo.types import Outcome

__all__ = ["Stream"]


class Stream:
    """One `stream` call."""

    def __init__(
        self,
        engine: Engine,
        tasks: Iterable[Any] | AsyncIterable[Any],
        plan: Plan,
        *,
        n_workers: int,
        window: int,
        ordered: bool,
    ) -> None:
        self._engine, self._plan = engine, plan
        self._sync: Iterator[Any] | None = None
        self._async: AsyncIterator[Any] | None = None
        if isinstance(tasks, AsyncIterable):
            self._async = aiter(tasks)
        else:
            self._sync = iter(tasks)
        self._n_workers, self._window, self._is_ordered = n_workers, window, ordered
        self._n_taken = self._n_given = 0
        self._ready: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}  # ordered: done before one that was taken before them
        self._next_index = 0
        self._turn = asyncio.Lock()
        self._resting: deque[asyncio.Future[None]] = deque()  # workers that wait for room
        self._is_waking = False
        self._news: asyncio.Future[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._is_exhausted = self._is_closing = False
        self._error: BaseException | None = None  # the input's own, or the reason of a stop

    @property
    def n_uncounted(self) -> int:
        return 0

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Start the workers and hand out what they finish."""
        engine = self._engine
        engine.enter(self)
        try:
            for _ in range(self._n_workers):
                worker = engine.loop.create_task(self._work())
                worker.add_done_callback(self._tell)
                self._workers.append(worker)
            while True:
                while self._ready and not self._is_closing:
                    self._n_given += 1
                    self._wake_a_worker()
                    yield self._ready.popleft()
                if all(worker.done() for worker in self._workers):
                    break
                self._news = engine.loop.create_future()
                await self._news
            await join(self._workers, self._close)
            if self._error is not None:
                raise self._error
            if any(worker.cancelled() for worker in self._workers):
                raise asyncio.CancelledError  # the loop is shutting down
        finally:
            self._close()
            try:
                await join(self._workers, self._close)
            finally:
                engine.leave(self)
                self._error = None

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        """Say whether this Task is one of the workers."""
        return task in self._workers

    def stop(self, reason: BaseException) -> None:
        """End the stream with this error."""
        if not self._is_closing:
            self._error = reason
        self._close()

    def _close(self) -> None:
        if self._is_closing:  # to cancel twice would break into the items' cleaning up
            return
        self._is_closing = True
        if self._engine.loop.is_closed():  # it was closed under us, and the collector came round
            return
        for worker in self._workers:
            worker.cancel()

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _tell(self, _: object = None) -> None:
        self._wake(self._news)

    async def _wait_for_room(self) -> None:
        """Wait until the window has room or the input has ended."""
        while self._n_taken - self._n_given >= self._window and not self._is_exhausted:
            waiter: asyncio.Future[None] = self._engine.loop.create_future()
            self._resting.append(waiter)
            try:
                await waiter
            finally:
                self._is_waking = False

    def _wake_a_worker(self) -> None:
        """Wake one of those that wait for room, unless one is on its way already.

        One is enough: it takes tasks as long as there is room, and wakes the next when it has taken
        one. Waking one for each place would cost a switch of tasks for each item.
        """
        if not self._is_waking:
            while self._resting:
                waiter = self._resting.popleft()
                if not waiter.done():
                    self._is_waking = True
                    waiter.set_result(None)
                    return

    def _exhaust(self, error: Exception | None = None) -> None:
        """Note that the input has ended; what was taken from it is finished and handed out."""
        self._is_exhausted = True
        self._error = error
        for waiter in self._resting:
            self._wake(waiter)
        self._resting.clear()

    async def _take(self) -> tuple[int, Call] | None:
        """Wait for room in the window, then for the input; None at its end."""
        if self._sync is not None:
            await self._wait_for_room()
            return self._taken(next, self._sync)
        assert self._async is not None
        async with self._turn:
            await self._wait_for_room()
            if self._is_exhausted:
                return None
            try:
                item = await anext(self._async)
            except StopAsyncIteration:
                self._exhaust()
                return None
            except Exception as error:
                self._exhaust(error)
                return None
            return self._taken(lambda item: item, item)

    def _taken(self, get: Callable[[Any], Any], source: Any) -> tuple[int, Call] | None:
        if self._is_exhausted:
            return None
        try:
            call = unpack(get(source), self._n_taken)
        except StopIteration:
            self._exhaust()
            return None
        except Exception as error:
            self._exhaust(error)
            return None
        self._n_taken += 1
        self._engine.ledger.submitted += 1
        if self._n_taken - self._n_given < self._window:
            self._wake_a_worker()
        return self._n_taken - 1, call

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        engine, clock = self._engine, self._engine.clock
        run = Run(task)
        sweep = engine.watch(run, self._plan.timeout)
        turn_ends = clock() + SLICE_SECONDS
        try:
            while not self._is_closing and (taken := await self._take()) is not None:
                index, call = taken
                begun = clock()
                run.reset()
                value, error = None, None
                try:
                    value = await engine.execute(run, call, self._plan)
                except BaseException as raised:
                    error = raised
                if not self._count(run, error):
                    return
                if task.cancelling() > run.cancelling:
                    await engine.shake_off(run)
                now = clock()
                waited_s = max(0.0, now - begun - run.ran_s)
                self._hand_out(Outcome(index, value, error, run.attempts, waited_s, run.ran_s))
                value = error = None  # a waiting worker keeps nothing of its last task alive
                if now >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = clock() + SLICE_SECONDS
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._close()
            raise
        finally:
            if sweep is not None:
                sweep.unwatch(run)

    def _count(self, run: Run, error: BaseException | None) -> bool:
        """Enter how a task ended; say whether the worker goes on."""
        ledger = self._engine.ledger
        ledger.note_run(run.ran_s)
        if error is None:
            ledger.succeeded += 1
            ledger.count_kind(run.kind)
        elif isinstance(error, asyncio.CancelledError):
            ledger.cancelled += 1
            return not self._is_closing
        else:
            ledger.failed += 1
            if not isinstance(error, Exception):
                raise error
        return True

    def _hand_out(self, outcome: Outcome) -> None:
        if not self._is_ordered:
            self._ready.append(outcome)
        else:
            self._early[outcome.index] = outcome
            while (first := self._early.pop(self._next_index, None)) is not None:
                self._ready.append(first)
                self._next_index += 1
        if self._ready:
            self._tell()
