"""Timeouts without a timer per task: one sweep looks at all that run under the same timeout.

A task that runs is a `Run`. It notes when its attempt started; the sweep, one timer however many
tasks there are, wakes when the oldest of them could be due, cancels what is late and goes back to
sleep. Starting an item therefore costs one attribute store, where `asyncio.wait_for` costs 23 us.

Cancelling follows `asyncio.timeout`: the task is cancelled once, and the CancelledError is turned
into `TaskTimeout` unless somebody else cancelled it too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from raudo._core.drive import Timed
from raudo.errors import TaskTimeout

__all__ = ["MAX_TIMEOUT", "MIN_TIMEOUT", "DeadlineSweep", "Run", "check_timeout", "clock_of"]

MIN_TIMEOUT = 0.001
MAX_TIMEOUT = 60.0
NOT_TIMED = float("inf")


def check_timeout(name: str, value: float | None) -> float | None:
    """Return the timeout if it is None or within [1 ms, 60 s]."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be seconds or None, not {type(value).__name__}")
    if not MIN_TIMEOUT <= value <= MAX_TIMEOUT:
        raise ValueError(f"{name} must be from 0.001 to 60 seconds, not {value!r}")
    return float(value)


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the loop's clock, without its method call where it is the machine's."""
    if getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time:
        return time.monotonic
    return loop.time


def compiled_clock(clock: Callable[[], float]) -> Callable[[], float] | None:
    """Return None for a clock that compiled code reads itself, any other as it is."""
    return None if clock is time.monotonic and sys.platform == "linux" else clock


class Run(Timed):
    """A task that is running, as the sweep and the statistics see it. Reused from task to task."""

    __slots__ = (
        "attempts",
        "cancelling",
        "inline_fn",
        "inline_left",
        "kind",
        "ran_s",
        "stopped",
        "task",
        "timed_out",
        "was_stopped",
    )

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.cancelling = task.cancelling()
        self.timed_out = False
        self.stopped: BaseException | None = None
        self.was_stopped = False
        self.attempts = 0
        self.ran_s = 0.0
        self.kind = "async"
        # A batch of one tiny function asks the router only now and then.
        self.inline_fn: object = None
        self.inline_left = 0

    @property
    def n_uncounted(self) -> int:
        return 0

    def reset(self) -> None:
        """Begin another task."""
        self.started = NOT_TIMED
        self.attempts = 0
        self.ran_s = 0.0

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        return self.task is task

    def stop(self, reason: BaseException) -> None:
        """End the task with this error, unless it is being ended already."""
        if self.stopped is None:
            self.stopped = reason
            self.was_stopped = True
            self.task.cancel()

    def settle(self, error: BaseException, timeout: float | None) -> BaseException:
        """End an attempt that raised; return what it really failed of.

        Takes back our own cancellation, and puts a `TaskTimeout` (or what `stop` was given) in the
        place of its CancelledError.
        """
        self.started = NOT_TIMED
        real = error
        if self.timed_out:
            self.timed_out = False
            if self._taken_back(error):
                real = TaskTimeout(f"the task ran longer than {timeout:g} s")
        if self.stopped is not None:
            stopped, self.stopped = self.stopped, None
            if self._taken_back(error):
                real = stopped
        if real is not error:
            real.__cause__ = error
        return real

    def _taken_back(self, error: BaseException) -> bool:
        """Uncancel once; say whether nobody else wants the task cancelled."""
        left = self.task.uncancel()
        return left <= self.cancelling and isinstance(error, asyncio.CancelledError)

    def settle_value(self) -> None:
        """End an attempt that returned, perhaps although the sweep had cancelled it."""
        self.started = NOT_TIMED
        if self.timed_out:
            self.timed_out = False
            self.task.uncancel()
        if self.stopped is not None:
            self.stopped = None
            self.task.uncancel()


class DeadlineSweep:
    """Cancels the runs of one loop that exceed one timeout. Not thread-safe: the loop's own.

    A run is late by at most `timeout / 128` plus what the loop itself is late.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._loop, self._timeout = loop, timeout
        self._clock = clock_of(loop)
        self._runs: set[Run] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, run: Run) -> None:
        """Look at `run` from now on."""
        self._runs.add(run)
        if self._timer is None:
            self._timer = self._loop.call_at(self._clock() + self._timeout, self._tick)

    def unwatch(self, run: Run) -> None:
        """Stop looking; the timer stays until its next tick, so that the next `watch` is cheap."""
        self._runs.discard(run)

    @property
    def is_idle(self) -> bool:
        """Whether it watches nothing; its timer may still be set."""
        return not self._runs

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        if not self._runs:
            return
        now = oldest = self._clock()
        due = now - self._timeout + 1e-6  # loops may wake by their clock's resolution too early
        for run in self._runs:
            if run.started <= due:
                run.started = NOT_TIMED
                run.timed_out = True
                run.task.cancel()
            elif run.started < oldest:
                oldest = run.started
        # Tasks that started one after another would each want a tick of their own.
        when = max(oldest + self._timeout, now + self._timeout / 128)
        self._timer = self._loop.call_at(when, self._tick)
