"""The bounded queue behind `submit`: tasks that wait for their turn, by priority and then by age.

Each submission runs in a Task and context of its own, copied where it was submitted: what a request
handler sets is there when its task runs, and nobody else's. No Task waits for work, so that an idle
queue leaves nothing behind on a loop that ends.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextvars import Context, copy_context
from typing import Any, Literal

from raudo.concurrency._calls import Call
from raudo.concurrency._deadlines import Run
from raudo.concurrency._engine import Engine, Plan
from raudo.concurrency._permits import Permits
from raudo.errors import QueueFull

__all__ = ["OnFull", "Submission", "SubmitQueue"]

OnFull = Literal["wait", "raise", "drop_oldest"]


class Submission:
    """One submitted task and the future that its submitter holds."""

    __slots__ = ("call", "context", "future", "is_queued", "plan", "priority", "task")

    def __init__(
        self, call: Call, plan: Plan, priority: int, future: asyncio.Future[Any], context: Context
    ) -> None:
        self.call, self.plan, self.priority = call, plan, priority
        self.future, self.context = future, context
        self.is_queued = True
        self.task: asyncio.Task[None] | None = None


class SubmitQueue:
    """Holds at most `size` waiting tasks and runs at most `max_running`. One loop's own."""

    def __init__(self, engine: Engine, size: int, max_running: int, on_full: OnFull) -> None:
        self._engine = engine
        self._size, self._max_running, self._on_full = size, max_running, on_full
        self._room = Permits(size)
        self._lanes: dict[int, OrderedDict[Submission, None]] = {}
        self._running: set[Submission] = set()
        self.n_queued = 0

    @property
    def n_running(self) -> int:
        return len(self._running)

    @property
    def n_waiting(self) -> int:
        """Submitters that wait for room."""
        return self._room.n_waiting

    @property
    def n_uncounted(self) -> int:
        return 0

    # --- in ---------------------------------------------------------------------------------

    async def put(self, call: Call, plan: Plan, priority: int) -> asyncio.Future[Any]:
        """Queue a task; if the queue is full, wait for room, refuse or drop, as it was set up."""
        if self._on_full == "wait":
            context = copy_context()
            await self._room.take()
            return self._add(call, plan, priority, context)
        return self.put_nowait(call, plan, priority)

    def put_nowait(self, call: Call, plan: Plan, priority: int) -> asyncio.Future[Any]:
        """Queue a task without waiting.

        Raises:
            QueueFull: There is no room, and nothing may be dropped.
        """
        if not self._room.take_nowait():
            if self._on_full != "drop_oldest":
                raise QueueFull(f"the queue is full: {self._size} tasks wait")
            self._drop_oldest()
            self._room.take_nowait()
        return self._add(call, plan, priority, copy_context())

    def _add(self, call: Call, plan: Plan, priority: int, context: Context) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._engine.loop.create_future()
        submission = Submission(call, plan, priority, future, context)
        self._engine.ledger.submitted += 1
        if not self.n_queued and not self._running:
            self._engine.enter(self)
        self._lanes.setdefault(priority, OrderedDict())[submission] = None
        self.n_queued += 1
        future.add_done_callback(lambda done: self._future_done(submission, done))
        self._pump()
        return future

    # --- out --------------------------------------------------------------------------------

    def _forget(self, submission: Submission) -> None:
        """Take a submission out of the queue."""
        lane = self._lanes[submission.priority]
        del lane[submission]
        if not lane:
            del self._lanes[submission.priority]
        submission.is_queued = False
        self.n_queued -= 1
        self._room.give()

    def _drop_oldest(self) -> None:
        """Make room: of the least urgent, the one that has waited longest goes."""
        submission = next(iter(self._lanes[min(self._lanes)]))
        self._forget(submission)
        self._engine.ledger.dropped += 1
        if not submission.future.done():
            submission.future.set_exception(
                QueueFull("dropped: the queue was full and newer tasks came")
            )

    def _future_done(self, submission: Submission, future: asyncio.Future[Any]) -> None:
        """The submitter cancelled, or it is ours that ended."""
        if not future.cancelled():
            return
        if submission.is_queued:
            self._forget(submission)
            self._engine.ledger.cancelled += 1
            self._leave_if_idle()
        elif submission.task is not None:
            submission.task.cancel()

    def _pump(self) -> None:
        """Start tasks as long as there are any and enough of them may run."""
        while self.n_queued and len(self._running) < self._max_running:
            submission = next(iter(self._lanes[max(self._lanes)]))
            if submission.future.cancelled():  # and its callback has not come round yet
                self._forget(submission)
                self._engine.ledger.cancelled += 1
                continue
            self._running.add(submission)
            self._forget(submission)
            task = self._engine.loop.create_task(self._run(submission), context=submission.context)
            submission.task = task
            task.add_done_callback(lambda done, each=submission: self._ended(each, done))  # type: ignore[misc]

    def _ended(self, submission: Submission, task: asyncio.Task[None]) -> None:
        self._running.discard(submission)
        future = submission.future
        if task.cancelled():
            self._engine.ledger.cancelled += 1
            future.cancel()
        elif (error := task.exception()) is not None and not future.done():
            future.set_exception(error)  # KeyboardInterrupt and its like; the loop saw it too
        self._pump()
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if not self.n_queued and not self._running:
            self._engine.leave(self)

    async def _run(self, submission: Submission) -> None:
        engine, ledger, future = self._engine, self._engine.ledger, submission.future
        task = asyncio.current_task()
        assert task is not None
        run = Run(task)
        sweep = engine.watch(run, submission.plan.timeout)
        try:
            value = await engine.execute(run, submission.call, submission.plan)
        except Exception as error:
            ledger.failed += 1
            if not future.done():
                future.set_exception(error)
        except asyncio.CancelledError:
            raise  # counted by `_ended`, which also sees a task that never began
        except BaseException:
            ledger.failed += 1
            raise
        else:
            ledger.succeeded += 1
            ledger.count_kind(run.kind)
            if not future.done():
                future.set_result(value)
        finally:
            ledger.note_run(run.ran_s)
            if sweep is not None:
                sweep.unwatch(run)
            del future, submission  # an error in the future holds this frame

    # --- the end ----------------------------------------------------------------------------

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        """Say whether this Task runs a submission."""
        return any(submission.task is task for submission in self._running)

    def stop(self, reason: BaseException) -> None:
        """Cancel the futures of what is queued or runs; those who wait for room get the error."""
        self._room.refuse(reason)
        for lane in list(self._lanes.values()):
            for submission in list(lane):
                self._forget(submission)
                self._engine.ledger.cancelled += 1
                submission.future.cancel()
        for submission in list(self._running):
            if submission.task is not None:
                submission.task.cancel()
        self._leave_if_idle()

    def refuse_waiting(self, reason: BaseException) -> None:
        """Raise this in those who wait for room."""
        self._room.refuse(reason)
