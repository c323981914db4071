"""A batch: N workers over one shared iterator, and no Task for each item.

A Task per item costs 6 to 16 us and 900 bytes; this, driven by compiled code (`_core/drive.pyx`),
costs a fifth of a microsecond and the result's place in a list. The price is that the items that
one worker runs share its Task: context variables that one sets are seen by the next, and one that
cancels "the current task" cancels its worker. The latter is caught here and stays the item's own
failure; `isolate` avoids both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from raudo import _trace
from raudo._core.drive import Drive, Items
from raudo.concurrency._calls import Call, is_coroutine_function, unpack
from raudo.concurrency._deadlines import Run, compiled_clock
from raudo.concurrency._engine import Engine, Plan

__all__ = ["Batch", "join"]


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
        self._items = Items(iter(tasks), on_progress, n_tasks)
        self._n_workers = n_workers
        self._return_exceptions = return_exceptions
        self._workers: list[asyncio.Task[None]] = []
        self._error: BaseException | None = None

    @property
    def n_uncounted(self) -> int:
        """Tasks taken that the ledger does not know of yet."""
        return len(self._items.results) if self in self._engine.in_flight else 0

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
            engine.ledger.submitted += len(self._items.results)
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds this frame
        if any(worker.cancelled() for worker in self._workers):
            raise asyncio.CancelledError  # the loop is shutting down and cancels every task it has
        return self._items.take_results()

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        """Say whether this Task is one of the workers."""
        return task in self._workers

    def stop(self, reason: BaseException) -> None:
        """End the batch with this error."""
        self._fail(reason)

    def _fail(self, error: BaseException) -> None:
        if self._error is None and not self._items.is_closing:
            self._error = error
        self._close()

    def _close(self) -> None:
        if self._items.is_closing:  # to cancel twice would break into the items' cleaning up
            return
        self._items.is_closing = True
        if self._engine.loop.is_closed():  # it was closed under us, and the collector came round
            return
        current = asyncio.current_task(self._engine.loop)
        for worker in self._workers:
            if worker is not current:
                worker.cancel()

    async def _work(self) -> None:
        if self._items.is_closing:  # an eager task factory runs us while the others are being made
            return
        engine, plan, items = self._engine, self._plan, self._items
        task = asyncio.current_task()
        assert task is not None
        run = Run(task)
        sweep = engine.watch(run, plan.timeout)
        drive = Drive(
            items,
            run,
            engine.ledger,
            task.cancelling,
            compiled_clock(engine.clock),
            is_coroutine_function,
            plan.kind in ("auto", "async")
            and not plan.isolate
            and not engine.limits.any
            and _trace.begin is None,
        )
        try:
            while True:
                await drive
                if drive.is_done:
                    return
                if not await self._decide(drive, run):
                    return
        except asyncio.CancelledError:
            raise
        except Exception as error:  # of the input itself, or of `on_progress`
            self._fail(error)
        except BaseException:
            self._close()
            raise
        finally:
            if sweep is not None:
                sweep.unwatch(run)

    async def _decide(self, drive: Drive, run: Run) -> bool:
        """Do what the drive cannot: recover from an error, call elsewhere. False: the end."""
        engine, ledger, index = self._engine, self._engine.ledger, drive.index
        goes_on = True
        error = drive.error
        try:
            if error is not None:
                run.reset()
                run.attempts, run.kind, run.ran_s = 1, "async", engine.clock() - drive.begun
                call = drive.fn, drive.args, drive.kwargs
                goes_on = await self._recover(run, index, call, error, True)
            elif drive.is_call:
                call = self._call_of(drive)
                run.reset()
                try:
                    value = await engine.attempt(run, call, self._plan)
                except BaseException as raised:
                    goes_on = await self._recover(run, index, call, raised, False)
                else:
                    self._items.results[index] = value
                    ledger.succeeded += 1
                    ledger.note_run(run.ran_s)
                    ledger.count_kind(run.kind)
        finally:
            error = None  # its traceback holds this frame
            drive.forget()
        if goes_on:
            if run.task.cancelling():
                await engine.shake_off(run)
            if not self._items.is_closing:
                self._items.note_done()
        return goes_on

    def _call_of(self, drive: Drive) -> Call:
        if drive.args is not None:
            return drive.fn, drive.args, drive.kwargs
        try:
            return unpack(drive.fn, drive.index)
        except TypeError:
            self._items.drop_last()
            raise

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
            if plan.rule.retries and not self._items.is_closing and isinstance(final, Exception):
                try:
                    self._items.results[index] = await engine.execute(run, call, plan, failed=final)
                except BaseException as raised:
                    final = raised
                else:
                    ledger.succeeded += 1
                    ledger.note_run(run.ran_s)
                    ledger.count_kind(run.kind)
                    return True
            ledger.note_run(run.ran_s)
            if isinstance(final, asyncio.CancelledError):
                ledger.cancelled += 1
                if self._items.is_closing:
                    return False
                while run.task.cancelling() > run.cancelling:  # it cancelled itself
                    run.task.uncancel()
            else:
                ledger.failed += 1
                if isinstance(final, KeyboardInterrupt | SystemExit | GeneratorExit):
                    raise final
            if self._return_exceptions:
                self._items.results[index] = final
                return True
            self._fail(final)
            return False
        finally:
            del final, error
