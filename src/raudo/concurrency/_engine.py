"""Runs one task on one event loop: where it runs, how long it may, and how often it is tried.

Everything that a processor offers (`process`, batches, streams, the queue) comes down to
`Engine.execute`; only a batch of plain coroutine functions takes a shorter way round it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Protocol

from raudo import _trace
from raudo._core.futures import Wakeups
from raudo.concurrency._calls import Call, Kind, is_coroutine_function
from raudo.concurrency._deadlines import NOT_TIMED, DeadlineSweep, Run, clock_of
from raudo.concurrency._ledger import Ledger
from raudo.concurrency._permits import Permits
from raudo.concurrency._pools import Pooled, Pools, timed
from raudo.concurrency._workers.threads import ThreadWorkers
from raudo.concurrency.limits import Circuits, RateLimit, RetryBudget
from raudo.concurrency.retrying import RetryRule
from raudo.concurrency.timeouts import SmartTimeouts
from raudo.errors import TaskTimeout

__all__ = ["Engine", "Limits", "Plan", "Stoppable"]

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]

_INLINE_CALLS = 32  # of a tiny function, before the router is asked and told again
_NOT_TINY_SECONDS = 0.001  # a call this long ends that at once


@dataclass(frozen=True, slots=True)
class Plan:
    """How the tasks of one call are to be run."""

    kind: Kind
    timeout: float | None
    rule: RetryRule
    isolate: bool = False


class Limits:
    """What every attempt has to pass; all of it is optional."""

    def __init__(
        self,
        rate: RateLimit | None = None,
        circuits: Circuits | None = None,
        budget: RetryBudget | None = None,
        timeouts: SmartTimeouts | None = None,
    ) -> None:
        self.rate, self.circuits, self.budget, self.timeouts = rate, circuits, budget, timeouts
        self.any = any(each is not None for each in (rate, circuits, budget, timeouts))


class Stoppable(Protocol):
    """Work in flight, as `stop` and the statistics see it."""

    @property
    def n_uncounted(self) -> int:
        """Tasks taken that the ledger does not know of yet."""
        ...

    def is_run_by(self, task: asyncio.Task[Any]) -> bool:
        """Say whether this Task is one of those that do the work."""
        ...

    def stop(self, reason: BaseException) -> None:
        """End it soon: what waits for it gets this error."""
        ...


class Engine:
    """The part of a processor that lives on one event loop. Not thread-safe."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pools: Pools, limits: Limits, ledger: Ledger
    ) -> None:
        self.loop, self.pools, self.limits, self.ledger = loop, pools, limits, ledger
        self.clock = clock_of(loop)
        self.in_flight: set[Stoppable] = set()
        self.n_abandoned = 0  # threads that run on now, their result unwanted
        self._wakeups = Wakeups(loop)
        self._threads = Permits(pools.limit("thread"))
        self._processes = Permits(pools.limit("process"))
        self._last_end: dict[Pooled, float | None] = {}  # while tasks wait for such workers
        self._sweeps: dict[float, DeadlineSweep] = {}
        self._sweeps_limit = 64  # then those that are idle are dropped
        self._idle: asyncio.Future[None] | None = None

    # --- what is in flight ------------------------------------------------------------------

    def enter(self, work: Stoppable) -> None:
        """Note that work begins."""
        self.in_flight.add(work)

    def leave(self, work: Stoppable) -> None:
        """Note that work has ended; wakes `wait_idle` with the last."""
        self.in_flight.discard(work)
        if not self.in_flight and self._idle is not None:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None

    def refuse_inside(self, what: str) -> None:
        """Refuse to wait for everything from inside a part of it."""
        task = asyncio.current_task()
        if task is not None and any(work.is_run_by(task) for work in self.in_flight):
            raise RuntimeError(f"{what} was called by a task of the processor: it would never end")

    async def wait_idle(self) -> None:
        """Wait until nothing is in flight."""
        while self.in_flight:
            if self._idle is None:
                self._idle = self.loop.create_future()
            await asyncio.shield(self._idle)

    def watch(self, run: Run, timeout: float | None) -> DeadlineSweep | None:
        """Put a run under the sweep of its timeout."""
        if timeout is None:
            return None
        sweep = self._sweeps.get(timeout)
        if sweep is None:
            if len(self._sweeps) >= self._sweeps_limit:
                self._drop_idle_sweeps()
            sweep = self._sweeps[timeout] = DeadlineSweep(self.loop, timeout)
        sweep.watch(run)
        return sweep

    def _drop_idle_sweeps(self) -> None:
        """Forget timeouts of which nothing runs: computed ones are seldom used twice."""
        for timeout, sweep in list(self._sweeps.items()):
            if sweep.is_idle:
                sweep.close()
                del self._sweeps[timeout]
        self._sweeps_limit = max(64, 2 * len(self._sweeps))

    def close(self) -> None:
        """Drop the timers."""
        for sweep in self._sweeps.values():
            sweep.close()
        self._sweeps.clear()

    # --- running a task ---------------------------------------------------------------------

    async def execute(
        self, run: Run, call: Call, plan: Plan, failed: BaseException | None = None
    ) -> Any:
        """Make attempts until one succeeds or the plan's rule gives up.

        Args:
            failed: The error of a first attempt that the caller made itself.

        Raises:
            BaseException: The last attempt's error, or the cancellation.
        """
        error = failed
        failures = 0
        rule, budget = plan.rule, self.limits.budget
        try:
            while True:
                if error is None:
                    try:
                        return await self.attempt(run, call, plan)
                    except Exception as raised:
                        error = raised
                failures += 1
                pause = rule.pause(error, failures)
                if pause is None:
                    raise error
                if budget is not None and not budget.withdraw():
                    error.add_note("not tried again: the retry budget is spent")
                    raise error
                error = None
                self.ledger.retried += 1
                await self._pause(run, pause, plan)
        finally:
            error = failed = None  # the error's traceback holds this frame

    async def _pause(self, run: Run, seconds: float, plan: Plan) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError as error:
            raise self.settled(run, error, plan) from None

    def attempt(self, run: Run, call: Call, plan: Plan) -> Coroutine[Any, Any, Any]:
        """Make one attempt: pass the limits, run the task where it belongs, within its time."""
        if _trace.begin is not None:
            return self._traced(run, call, plan)
        return self._untraced(run, call, plan)

    async def _traced(self, run: Run, call: Call, plan: Plan) -> Any:
        fn = call[0]
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        attributes = {"code.function.name": name, "raudo.attempt": run.attempts + 1}
        with _trace.span("raudo.task", attributes) as note:
            try:
                return await self._untraced(run, call, plan)
            finally:
                note("raudo.kind", run.kind)

    def _untraced(self, run: Run, call: Call, plan: Plan) -> Coroutine[Any, Any, Any]:
        if self.limits.any:
            return self._limited(run, call, plan)
        fn, args, kwargs = call
        return self._placed(run, fn, args, kwargs, plan)

    async def _limited(self, run: Run, call: Call, plan: Plan) -> Any:
        fn = call[0]
        limits = self.limits
        if limits.budget is not None and run.attempts == 0:
            limits.budget.deposit()
        if limits.rate is not None:
            wait = limits.rate.reserve(self.clock())
            if wait > 0:
                try:
                    await self._pause(run, wait, plan)
                except BaseException:
                    limits.rate.give_back()
                    raise
        circuits = limits.circuits
        if circuits is None:
            return await self._smartly_timed(run, call, plan)
        passed = circuits.enter(fn, self.clock())
        failure: BaseException | None = None
        try:
            return await self._smartly_timed(run, call, plan)
        except BaseException as error:
            failure = error
            raise
        finally:
            circuits.leave(passed, failure, self.clock())
            failure = None

    async def _smartly_timed(self, run: Run, call: Call, plan: Plan) -> Any:
        """Run the task under its function's own timeout, if there are such, and learn from it."""
        fn, args, kwargs = call
        timeouts = self.limits.timeouts
        if timeouts is None:
            return await self._placed(run, fn, args, kwargs, plan)
        limit = timeouts.limit(fn, plan.timeout)
        sweep = None
        if limit != plan.timeout:  # the sweep of the plan's own watches it already
            plan = replace(plan, timeout=limit)
            sweep = self.watch(run, limit)
        before_s = run.ran_s
        try:
            value = await self._placed(run, fn, args, kwargs, plan)
        except TaskTimeout:
            timeouts.record(fn, run.ran_s - before_s, was_ended=True)
            raise
        finally:
            if sweep is not None:
                sweep.unwatch(run)
        timeouts.record(fn, run.ran_s - before_s, was_ended=False)
        return value

    async def _placed(
        self, run: Run, fn: Callable[..., Any], args: Args, kwargs: Kwargs, plan: Plan
    ) -> Any:
        run.attempts += 1
        kind = plan.kind
        is_observed = False
        if kind == "auto":
            if fn is run.inline_fn and run.inline_left > 0:
                run.inline_left -= 1
                kind = "inline"
            elif is_coroutine_function(fn):
                kind = "async"
            else:
                kind, is_observed = self.pools.choose(fn, args, kwargs), True
        run.kind = kind
        begun = self.clock()
        try:
            if kind == "process":
                if is_coroutine_function(fn):
                    raise TypeError(
                        f"kind 'process' needs a plain function, not a coroutine function ({fn!r})"
                    )
                if not self._processes.take_nowait():
                    await self._processes.take()  # this waiting does not count as running
                begun = self.clock()
                value = await self._on_process(fn, args, kwargs, plan.timeout)
            else:
                if kind == "thread":
                    if not self._threads.take_nowait():
                        await self._threads.take()
                    begun = run.started = self.clock()
                    value = await self._on_thread(fn, args, kwargs, is_observed)
                else:
                    run.started = begun
                    value = self._here(run, fn, args, kwargs, plan, is_observed)
                if hasattr(type(value), "__await__"):
                    value = await (self._isolated(value) if plan.isolate else value)
                elif plan.kind == "async":
                    raise TypeError(
                        f"kind 'async' needs a coroutine function, but {fn!r} returned "
                        f"{type(value).__name__}"
                    )
            if run.timed_out or run.stopped is not None:
                run.settle_value()
        except BaseException as error:
            real = self.settled(run, error, plan)
            try:
                if real is error:
                    raise
                raise real from error
            finally:
                del real  # its traceback holds this frame
        finally:
            run.started = NOT_TIMED
            ran_s = self.clock() - begun
            run.ran_s += ran_s
            if ran_s > _NOT_TINY_SECONDS:
                run.inline_left = 0
        return value

    def settled(self, run: Run, error: BaseException, plan: Plan) -> BaseException:
        """Return what an attempt really failed of, and count it if that is its timeout."""
        real = run.settle(error, plan.timeout)
        if isinstance(real, TaskTimeout):
            self.ledger.timed_out += 1
        return real

    def _here(
        self,
        run: Run,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        plan: Plan,
        is_observed: bool,
    ) -> Any:
        """Call a function on the loop's own thread."""
        call = functools.partial(copy_context().run, fn) if plan.isolate else fn
        if not is_observed:
            return call(*args, **kwargs)
        value, wall_s, cpu_s, _ = timed(call, args, kwargs)
        self.pools.router.observe(fn, "inline", wall_s, cpu_s)
        run.inline_fn, run.inline_left = fn, _INLINE_CALLS
        return value

    def _isolated(self, awaitable: Any) -> Any:
        if asyncio.iscoroutine(awaitable):
            return self.loop.create_task(awaitable, context=copy_context())
        return awaitable

    async def shake_off(self, run: Run) -> None:
        """Take back cancellations that a task asked of its worker and did not wait to receive."""
        run.settle_value()
        while run.task.cancelling() > run.cancelling:
            run.task.uncancel()
        if sys.version_info < (3, 13):  # the later uncancel also takes back one not yet delivered
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    # --- off the loop -----------------------------------------------------------------------

    async def _on_thread(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, is_observed: bool
    ) -> Any:
        permits = self._threads
        threads = self.pools.threads
        begun = self.clock()
        try:
            if is_observed:
                future = threads.submit(timed, (fn, args, kwargs))
            else:
                future = threads.submit(fn, args, kwargs)
        except BaseException:
            permits.give()
            raise
        try:
            await self._wakeups.when_done(future)
        except BaseException:
            if future.cancel() or future.done():
                permits.give()
            else:
                self._abandon(future)
            raise
        n_running = permits.n_taken
        self._worker_ended("thread", permits)
        if not is_observed:
            return future.result()
        value, wall_s, cpu_s, busy_s = future.result()
        self.pools.router.observe(
            fn,
            "thread",
            wall_s,
            cpu_s,
            busy_s=busy_s,
            result=value,
            n_running=n_running,
            since_s=self.clock() - begun,
        )
        return value

    def _worker_ended(self, kind: Pooled, permits: Permits) -> None:
        """Return a worker's permit, and let the search for the best number of them learn of it."""
        if not self.pools.scales(kind):
            permits.give()
            if permits.size != (most := self.pools.limit(kind)):
                permits.resize(most)
            return
        now = self.clock() if permits.n_waiting else None
        last, self._last_end[kind] = self._last_end.get(kind), now
        limit = self.pools.record(
            kind, now - last if now is not None and last is not None else None
        )
        permits.give()
        if limit != permits.size:
            permits.resize(limit)

    async def end_workers(self) -> None:
        """End threads and processes. A thread that runs on for nobody is not waited for."""
        threads, processes = self.pools.detach()
        if processes is not None:  # joins processes: not on the loop
            helper = ThreadWorkers(1, name="raudo-close")
            try:
                await self._wakeups.when_done(helper.submit(processes.close))
            finally:
                helper.close(wait=False)
        if threads is not None:
            threads.close(wait=self.n_abandoned == 0)

    def _abandon(self, future: Future[Any]) -> None:
        """Let a thread finish for nobody; it keeps its permit until then."""
        self.ledger.abandoned += 1
        self.n_abandoned += 1

        def ended(_: asyncio.Future[None]) -> None:
            self.n_abandoned -= 1
            self._threads.give()

        self._wakeups.when_done(future).add_done_callback(ended)

    async def _on_process(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, timeout: float | None
    ) -> Any:
        permits = self._processes
        processes = self.pools.processes
        n_running, begun = permits.n_taken, self.clock()
        try:
            future = processes.submit(fn, args, kwargs, timeout=timeout)
            try:
                await self._wakeups.when_done(future)
            except BaseException:
                if not future.cancel():
                    processes.cancel_running(future)
                raise
        except BaseException:
            permits.give()
            raise
        self._worker_ended("process", permits)
        self.pools.router.note_end(fn, "process", self.clock() - begun, n_running)
        return future.result()
