"""A batch: N workers over one shared iterator, and no Task for each item.

A Task per item costs 16 us an item and 900 bytes; this costs about half a microsecond and the
result's place in a list. The price is that the items that one worker runs share its Task: context
variables that one sets are seen by the next, and one that cancels "the current task" cancels its
worker. The latter is caught here and stays the item's own failure; `isolate` avoids both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from raudo.concurrency._calls import Call, is_coroutine_function, unpack
from raudo.concurrency._deadlines import NOT_TIMED, Run
from raudo.concurrency._engine import Engine, Plan

__all__ = ["SLICE_SECONDS", "Batch", "join"]

# Items that never suspend would keep the loop for themselves; this often others get their turn.
SLICE_SECONDS = 0.01


async def join(workers: Sequence[asyncio.Task[None]], stop: Callable[[], None]) -> None:
    """Wait until all workers have ended, come what may.

    A cancellation of the caller is answered with `stop`, and passed on when they have.
    """
    cancelled: asyncio.CancelledError | None = None
    pending = [worker for worker in workers if not worker.done()]
    while pending:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            stop()
        pending = [worker for worker in pending if not worker.done()]
    fatal = [
        failure
        for worker in workers
        if not worker.cancelled() and (failure := worker.exception()) is not None
    ]
    try:
        if cancelled is not None:
            raise cancelled
        if fatal:
            raise fatal[0]  # KeyboardInterrupt and its like, nothing else comes out of a worker
    finally:
        cancelled = None
        fatal.clear()


class Batch:
    """One `process_batch` call."""

    def __init__(
        self,
        engine: Engine,
        tasks: Iterable[Any],
        plan: Plan,
        *,
        n_workers: int,
        n_tasks: int | None,
        return_exceptions: bool,
        on_progress: Callable[[int, int | None], object] | None,
    ) -> None:
        self._engine, self._plan = engine, plan
        self._source = iter(tasks)
        self._n_workers = n_workers
        self._return_exceptions = return_exceptions
        self._on_progress = on_progress
        self._total = n_tasks
        self._n_done = 0
        self._workers: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._error: BaseException | None = None
        self.results: list[Any] = []

    @property
    def n_uncounted(self) -> int:
        """Tasks taken that the ledger does not know of yet."""
        return len(self.results) if self in self._engine.in_flight else 0

    async def run(self) -> list[Any]:
        """Run all tasks; return their results in order, or raise the first error."""
        engine = self._engine
        engine.enter(self)
        try:
            for _ in range(self._n_workers):
                self._workers.append(engine.loop.create_task(self._work()))
            await join(self._workers, self._close)
        finally:
            engine.leave(self)
            engine.ledger.submitted += len(self.results)
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds this frame
        if any(worker.cancelled() for worker in self._workers):
            raise asyncio.CancelledError  # the loop is shutting down and cancels every task it has
        return self.results

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        """Say whether this Task is one of the workers."""
        return task in self._workers

    def stop(self, reason: BaseException) -> None:
        """End the batch with this error."""
        self._fail(reason)

    def _fail(self, error: BaseException) -> None:
        if self._error is None and not self._is_closing:
            self._error = error
        self._close()

    def _close(self) -> None:
        if self._is_closing:  # to cancel twice would break into the items' cleaning up
            return
        self._is_closing = True
        current = asyncio.current_task(self._engine.loop)
        for worker in self._workers:
            if worker is not current:
                worker.cancel()

    async def _work(self) -> None:
        if self._is_closing:  # an eager task factory runs us while the others are being made
            return
        task = asyncio.current_task()
        assert task is not None
        run = Run(task)
        sweep = self._engine.watch(run, self._plan.timeout)
        try:
            await self._take_turns(run)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # of the input itself, or of `on_progress`
            if isinstance(error, asyncio.CancelledError):
                raise
            self._fail(error)
        finally:
            if sweep is not None:
                sweep.unwatch(run)

    async def _take_turns(self, run: Run) -> None:
        """Run item after item. Written for the commonest: `(fn, args, kwargs)`, `fn` a coroutine
        function and not the first of its kind; each line here costs every item."""
        engine, plan, ledger, results = self._engine, self._plan, self._engine.ledger, self.results
        clock, cancelling = engine.clock, run.task.cancelling
        may_be_direct = (
            plan.kind in ("auto", "async") and not plan.isolate and not engine.limits.any
        )
        known: Any = None
        is_direct = False
        now = clock()
        turn_ends = now + SLICE_SECONDS
        for item in self._source:
            index = len(results)
            results.append(None)
            if (
                type(item) is tuple
                and len(item) == 3
                and type(item[1]) is tuple
                and type(item[2]) is dict
            ):
                fn, args, kwargs = item
            else:
                try:
                    fn, args, kwargs = unpack(item, index)
                except TypeError:
                    results.pop()
                    raise
            if fn is not known:
                if not callable(fn):
                    results.pop()
                    raise TypeError(f"task {index} must begin with a callable, not {fn!r:.200}")
                known, is_direct = fn, may_be_direct and is_coroutine_function(fn)
            try:
                if is_direct:
                    run.started = now
                    value = await fn(*args, **kwargs)
                else:
                    run.reset()
                    value = await engine.attempt(run, (fn, args, kwargs), plan)
            except BaseException as error:
                if is_direct:
                    run.reset()
                    run.attempts, run.kind, run.ran_s = 1, "async", clock() - now
                if not await self._recover(run, index, (fn, args, kwargs), error, is_direct):
                    return
                now = clock()
            else:
                begun, now = now, clock()
                results[index] = value
                ledger.succeeded += 1
                if is_direct:
                    ledger.busy_s += now - begun
                else:
                    ledger.busy_s += run.ran_s
                    ledger.count_kind(run.kind)
            if cancelling():
                run.started = NOT_TIMED
                await engine.shake_off(run)
            if self._is_closing:
                return
            if self._on_progress is not None:
                self._n_done += 1
                self._on_progress(self._n_done, self._total)
            if now >= turn_ends:
                run.started = NOT_TIMED
                await asyncio.sleep(0)
                now = clock()
                turn_ends = now + SLICE_SECONDS

    async def _recover(
        self, run: Run, index: int, call: Call, error: BaseException, is_direct: bool
    ) -> bool:
        """Deal with an attempt that raised; say whether the worker should go on."""
        engine, plan, ledger = self._engine, self._plan, self._engine.ledger
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            ledger.failed += 1
            raise error
        final: BaseException = engine.settled(run, error, plan) if is_direct else error
        try:
            if plan.rule.retries and not self._is_closing and isinstance(final, Exception):
                try:
                    self.results[index] = await engine.execute(run, call, plan, failed=final)
                except BaseException as raised:
                    final = raised
                else:
                    ledger.succeeded += 1
                    ledger.busy_s += run.ran_s
                    ledger.count_kind(run.kind)
                    return True
            ledger.busy_s += run.ran_s
            if isinstance(final, asyncio.CancelledError):
                ledger.cancelled += 1
                if self._is_closing:
                    return False
                while run.task.cancelling() > run.cancelling:  # it cancelled itself
                    run.task.uncancel()
            else:
                ledger.failed += 1
                if isinstance(final, KeyboardInterrupt | SystemExit | GeneratorExit):
                    raise final
            if self._return_exceptions:
                self.results[index] = final
                return True
            self._fail(final)
            return False
        finally:
            del final, error
