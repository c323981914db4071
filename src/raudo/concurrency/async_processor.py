"""`AsyncProcessor`: coroutines, threads and processes behind one `await`.

The processor itself belongs to no event loop. What does (timers, permits, the queue) is a `Part`
made when a loop first uses it, so that one processor serves several loops, one after another or in
different threads. Its threads and processes are shared by them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from dataclasses import replace
from typing import Any, Self, get_args

from raudo.concurrency._batch import Batch
from raudo.concurrency._calls import KINDS, Kind, TaskLike, n_tasks_of
from raudo.concurrency._checks import not_a_function
from raudo.concurrency._consumed import Tallies
from raudo.concurrency._deadlines import Run, check_timeout
from raudo.concurrency._engine import Limits, Plan
from raudo.concurrency._parts import Ended, Part, Parts
from raudo.concurrency._pools import Pools
from raudo.concurrency._queue import OnFull
from raudo.concurrency._stats import as_dict, as_samples, ran_of
from raudo.concurrency._stream import Stream
from raudo.concurrency._workers.crew import positive_count
from raudo.concurrency.consume import Consumer
from raudo.concurrency.limits import CircuitBreaker, Circuits, RateLimit, RetryBudget
from raudo.concurrency.retrying import Backoff, RetryOn, RetryRule
from raudo.concurrency.seen import RecentKeys
from raudo.concurrency.timeouts import SmartTimeout, SmartTimeouts
from raudo.errors import Closed
from raudo.types import Distribution, Message, MessageSource, Outcome, Sample, SeenKeys

__all__ = ["AsyncProcessor", "Ended"]


class AsyncProcessor:
    """Runs coroutine functions on the loop, I/O functions on threads, CPU functions in processes.

    Args:
        max_workers: Most threads, and most submitted tasks that run at once. Processes are at most
            this many and at most one per CPU.
        use_threads: Whether plain functions may run on threads.
        use_processes: Whether plain functions may run in other processes.
        min_workers: Fewest threads, and processes, that auto-scaling goes down to under load.
        queue_size: Most tasks of `submit` that wait.
        on_full: What `submit` does when as many wait: `"wait"`, `"raise"` (`QueueFull`) or
            `"drop_oldest"` (whose future gets `QueueFull`).
        timeout: Seconds that one attempt may run, from 0.001 to 60; None for no limit. A coroutine
            is cancelled, a process task's worker is killed. A thread cannot be stopped: its task
            fails in time, but the function runs on, its result dropped.
        retries: Attempts after the first.
        retry_on: Exception classes that are tried again. Cancellation never is.
        backoff: Seconds before the second attempt (then doubling), or a `Backoff`.
        auto_scale: Whether the numbers of threads and of processes, each for itself, follow what
            throughput they bring, and workers leave that had nothing to do for ten seconds.
        isolate: Whether each item of a batch or stream gets a Task and a context of its own.
        rate: Attempts a second, or a `RateLimit`, over all functions.
        breaker: When to stop calling a function that keeps failing; one circuit per function.
        retry_budget: Bound on retries as a share of first attempts.
        smart_timeout: Whether each function gets a timeout of its own, a few times the running 99th
            percentile of what it takes; `timeout` stays the most. A `SmartTimeout` says how.
        name: Label of its samples.

    Nothing needs to be started. One event loop's tasks stay on that loop; different loops may use
    one processor, also at the same time from different threads.
    """

    def __init__(
        self,
        max_workers: int = 32,
        use_threads: bool = True,
        use_processes: bool = True,
        *,
        min_workers: int = 1,
        queue_size: int = 1000,
        on_full: OnFull = "wait",
        timeout: float | None = 60.0,
        retries: int = 0,
        retry_on: RetryOn = (Exception,),
        backoff: float | Backoff = 0.1,
        auto_scale: bool = True,
        isolate: bool = False,
        rate: float | RateLimit | None = None,
        breaker: CircuitBreaker | None = None,
        retry_budget: RetryBudget | None = None,
        smart_timeout: bool | SmartTimeout = False,
        name: str = "processor",
    ) -> None:
        max_workers = positive_count("max_workers", max_workers)
        min_workers = positive_count("min_workers", min_workers)
        if min_workers > max_workers:
            raise ValueError(f"min_workers is {min_workers}, more than max_workers {max_workers}")
        queue_size = positive_count("queue_size", queue_size)
        if on_full not in get_args(OnFull):
            raise ValueError(f"on_full must be one of {get_args(OnFull)}, not {on_full!r}")
        if breaker is not None and not isinstance(breaker, CircuitBreaker):
            raise TypeError(f"breaker must be a CircuitBreaker, not {type(breaker).__name__}")
        if retry_budget is not None and not isinstance(retry_budget, RetryBudget):
            raise TypeError(
                f"retry_budget must be a RetryBudget, not {type(retry_budget).__name__}"
            )
        if smart_timeout is True:
            smart_timeout = SmartTimeout()
        elif smart_timeout and not isinstance(smart_timeout, SmartTimeout):
            raise TypeError(
                "smart_timeout must be a bool or a SmartTimeout, "
                f"not {type(smart_timeout).__name__}"
            )
        self._timeout = check_timeout("timeout", timeout)
        self._rule = RetryRule.of(retries, retry_on, backoff)
        self._plan = Plan("auto", self._timeout, self._rule, bool(isolate))
        if isinstance(rate, int | float):
            rate = RateLimit(rate)
        elif rate is not None and not isinstance(rate, RateLimit):
            raise TypeError(f"rate must be a number or a RateLimit, not {type(rate).__name__}")
        self._limits = Limits(
            rate,
            Circuits(breaker) if breaker is not None else None,
            retry_budget,
            SmartTimeouts(smart_timeout) if smart_timeout else None,
        )
        self._pools = Pools(
            max_workers,
            bool(use_threads),
            bool(use_processes),
            min_workers=min_workers,
            auto_scale=bool(auto_scale),
        )
        self._name = name
        self._tallies = Tallies()  # of what consumers count
        self._parts = Parts(
            self._pools,
            self._limits,
            queue_size=queue_size,
            max_running=max_workers,
            on_full=on_full,
        )
        self._is_stopped = False

    def _here(self) -> Part:
        """Return the part that lives on the running loop."""
        if self._is_stopped:
            raise Closed("the processor is stopped; start() makes it usable again")
        return self._parts.here()

    # --- calls ------------------------------------------------------------------------------

    def _plan_for(self, timeout: float | None, retries: int | None, kind: Kind) -> Plan:
        base = self._plan
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        self._pools.check_kind(kind)
        if timeout is None and retries is None and kind == "auto":
            return base
        rule = self._rule
        if retries is not None:
            rule = RetryRule.of(retries, rule.retry_on, rule.backoff)
        limit = base.timeout if timeout is None else check_timeout("timeout", timeout)
        return Plan(kind, limit, rule, base.isolate)

    async def process(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        timeout: float | None = None,
        retries: int | None = None,
        kind: Kind = "auto",
        **kwargs: Any,
    ) -> Any:
        """Run one task, in the caller's own Task and context, and return its result.

        Args:
            fn: A coroutine function, or a plain one; an awaitable that a plain one returns is
                awaited too, so that `lambda: fetch(url)` works.
            timeout: Seconds an attempt may run; the processor's when None.
            retries: Attempts after the first; the processor's when None.
            kind: Where to run it; `"auto"` learns that for each function.

        Raises:
            TaskTimeout: The last attempt took too long.
            Closed: The processor is stopped, or was while this ran.
            Exception: Whatever the last attempt raised.
        """
        if not callable(fn):
            raise not_a_function("process", fn)
        plan = self._plan_for(timeout, retries, kind)
        engine = self._here().engine
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("process must be awaited from a Task")
        ledger = engine.ledger
        run = Run(task)
        sweep = engine.watch(run, plan.timeout)
        engine.enter(run)
        ledger.submitted += 1
        try:
            value = await engine.execute(run, (fn, args, kwargs), plan)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) or run.was_stopped:
                ledger.cancelled += 1
            else:
                ledger.failed += 1
            raise
        else:
            ledger.succeeded += 1
            ledger.count_kind(run.kind)
            return value
        finally:
            ledger.note_run(run.ran_s)
            if sweep is not None:
                sweep.unwatch(run)
            engine.leave(run)

    async def process_batch(
        self,
        tasks: Iterable[TaskLike],
        max_concurrent: int = 16,
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
        retries: int | None = None,
        kind: Kind = "auto",
        on_progress: Callable[[int, int | None], object] | None = None,
    ) -> list[Any]:
        """Run many tasks, `max_concurrent` at a time, and return their results in order.

        The first error cancels the others and is raised when they have ended; so does a
        cancellation of the caller. Errors of the input itself, and tasks that are no tasks, end the
        batch even with `return_exceptions`.

        Args:
            tasks: Each `(fn, args, kwargs)`, `(fn, args)`, a `raudo.types.Task` or a callable. Read
                as the batch goes; only the results are held.
            max_concurrent: Most tasks in flight. More threads than `max_workers` do not run.
            return_exceptions: Whether errors take their place among the results instead.
            timeout: Seconds each attempt may run; the processor's when None.
            retries: Attempts after the first; the processor's when None.
            kind: Where to run them all.
            on_progress: Called as `on_progress(n_done, n_total)` after each task; the total is None
                for an input of unknown length. What it raises ends the batch.

        Unless the processor isolates, items share the Tasks of `max_concurrent` workers: a context
        variable that one sets may be seen by others.
        """
        n_workers = positive_count("max_concurrent", max_concurrent)
        if on_progress is not None and not callable(on_progress):
            raise TypeError(f"on_progress must be callable, not {type(on_progress).__name__}")
        plan = self._plan_for(timeout, retries, kind)
        engine = self._here().engine
        n_tasks = n_tasks_of(tasks)
        if n_tasks is not None:
            n_workers = min(n_workers, n_tasks)
        if n_workers == 0:
            return []
        batch = Batch(
            engine,
            tasks,
            plan,
            n_workers=n_workers,
            n_tasks=n_tasks,
            return_exceptions=return_exceptions,
            on_progress=on_progress,
        )
        return await batch.run()

    def stream(
        self,
        tasks: Iterable[TaskLike] | AsyncIterable[TaskLike],
        max_concurrent: int = 16,
        ordered: bool = False,
        *,
        window: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        kind: Kind = "auto",
    ) -> AsyncGenerator[Outcome, None]:
        """Run tasks of any sync or async iterable, endless ones included; yield their outcomes.

        A task's error is in its `Outcome`, never raised; an error of the input is raised after the
        outcomes of what was taken before it. Close the generator (`contextlib.aclosing`) to end
        early: what is in flight is then cancelled and waited for.

        Args:
            tasks: As for `process_batch`, or an async iterable of the same.
            max_concurrent: Most tasks in flight.
            ordered: Whether outcomes come in the order of the tasks, or as they are done.
            window: Most tasks taken and not yet yielded; twice `max_concurrent` when None.
        """
        n_workers = positive_count("max_concurrent", max_concurrent)
        n_held = 2 * n_workers if window is None else positive_count("window", window)
        plan = self._plan_for(timeout, retries, kind)
        if not isinstance(tasks, Iterable | AsyncIterable):
            raise TypeError(
                f"tasks must be an iterable or async iterable, not {type(tasks).__name__}"
            )
        return self._stream(tasks, plan, min(n_workers, n_held), n_held, ordered)

    async def _stream(
        self,
        tasks: Iterable[TaskLike] | AsyncIterable[TaskLike],
        plan: Plan,
        n_workers: int,
        window: int,
        ordered: bool,
    ) -> AsyncGenerator[Outcome, None]:
        stream = Stream(
            self._here().engine, tasks, plan, n_workers=n_workers, window=window, ordered=ordered
        )
        outcomes = stream.outcomes()
        try:
            async for outcome in outcomes:
                yield outcome
        finally:
            await outcomes.aclose()

    async def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        priority: int = 0,
        timeout: float | None = None,
        retries: int | None = None,
        kind: Kind = "auto",
        **kwargs: Any,
    ) -> asyncio.Future[Any]:
        """Queue a task and return its future: `result = await (await processor.submit(fn))`.

        This returns as soon as the queue has taken the task, so that awaiting it holds a producer
        back when the queue is full (or as `on_full` says). Higher priorities run first, equal ones
        in order. Each task has a Task of its own and the submitter's context. Cancelling the future
        takes the task out of the queue, or cancels it.

        Raises:
            QueueFull: The queue is full and `on_full` is `"raise"`.
            Closed: The processor is stopped.
        """
        plan = self._plan_for(timeout, retries, kind)
        queue = self._here().queue
        return await queue.put(self._call("submit", fn, args, kwargs, priority), plan, priority)

    def submit_nowait(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        priority: int = 0,
        timeout: float | None = None,
        retries: int | None = None,
        kind: Kind = "auto",
        **kwargs: Any,
    ) -> asyncio.Future[Any]:
        """Queue a task without waiting for room; call it from the loop's thread.

        Raises:
            QueueFull: The queue is full and `on_full` is not `"drop_oldest"`.
            Closed: The processor is stopped.
        """
        plan = self._plan_for(timeout, retries, kind)
        queue = self._here().queue
        return queue.put_nowait(
            self._call("submit_nowait", fn, args, kwargs, priority), plan, priority
        )

    @staticmethod
    def _call(
        what: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        priority: object,
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        if not callable(fn):
            raise not_a_function(what, fn)
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority must be an int, not {type(priority).__name__}")
        return fn, args, kwargs

    def consume(
        self,
        source: MessageSource,
        handler: Callable[[Message], Any],
        max_concurrent: int = 16,
        *,
        window: int | None = None,
        retries: int = 4,
        backoff: float | Backoff | None = None,
        timeout: float | None = None,
        kind: Kind = "auto",
        seen: SeenKeys | None = None,
        max_deliveries: int = 10,
    ) -> Consumer:
        """Call `handler(message)` for each message of a queue: at least once, in order by key.

        `await processor.consume(source, handler)` goes on until `stop`, of the consumer or of the
        processor: then what the handler is at ends and is acknowledged, the rest is given back, and
        the consumer leaves its group. `raudo.concurrency.consume` says what is promised.

        Args:
            source: A `LocalQueue`, `RedisStream`, `KafkaTopic`, or other `MessageSource`.
            handler: A coroutine function, or a plain one, which runs where `kind` says.
            max_concurrent: Most messages in the handler at once. Those of one key never are.
            window: Most messages held, waiting for the handler or for their next attempt
                included; eight times `max_concurrent` when None.
            retries: Attempts after the first; then the message goes to the dead letters. Errors
                that are not the processor's `retry_on` go there at once. An open circuit is waited
                for, and is no attempt.
            backoff: Seconds before the second attempt (then doubling), or a `Backoff`; the
                processor's when None. The message's key waits, others go on.
            timeout: Seconds an attempt may run; the processor's when None.
            seen: Where the idempotency keys of handled messages are remembered;
                `RecentKeys(10_000)`, in this process, when None.
            max_deliveries: Deliveries after which a message goes to the dead letters unhandled:
                its consumers may have died of it. Where the source counts them (not Kafka).
        """
        if not callable(handler):
            raise TypeError(f"handler must be a function, not {type(handler).__name__}")
        if not callable(getattr(source, "receive", None)):
            raise TypeError(f"source must be a MessageSource, not {type(source).__name__}")
        n_workers = positive_count("max_concurrent", max_concurrent)
        n_held = 8 * n_workers if window is None else positive_count("window", window)
        plan = self._plan_for(timeout, None, kind)
        rule = RetryRule.of(
            retries, self._rule.retry_on, self._rule.backoff if backoff is None else backoff
        )
        positive_count("max_deliveries", max_deliveries)
        engine = self._here().engine
        tally, ended = self._tallies.open(source.name)
        return Consumer(
            engine,
            source,
            handler,
            replace(plan, rule=rule),
            max_concurrent=n_workers,
            window=n_held,
            max_deliveries=max_deliveries,
            seen=RecentKeys() if seen is None else seen,
            tally=tally,
            on_end=ended,
        )

    # --- beginning and end ------------------------------------------------------------------

    async def start(self) -> Self:
        """Make the processor usable again after `stop`; otherwise there is nothing to start."""
        self._is_stopped = False
        self._here()
        return self

    async def drain(self) -> Ended:
        """Wait until nothing is queued or in flight on this loop; say how it ended.

        A consumer is in flight until it is stopped.

        Raises:
            RuntimeError: A task of the processor called it, and would wait for itself.
        """
        here = self._here()
        here.engine.refuse_inside("drain")
        return await here.drain()

    async def stop(self, *, cancel: bool = False, timeout: float | None = None) -> Ended:
        """Accept no more tasks, finish what is queued and in flight, and end the workers.

        Args:
            cancel: Cancel them instead. The futures of `submit` are cancelled; `process`,
                `process_batch` and `stream` raise `Closed` where they are awaited.
            timeout: Seconds to let them finish before they are cancelled; None for ever.

        Returns:
            How many of them succeeded, failed and were cancelled. A thread that is still busy with
            a cancelled task is not waited for. Stopping twice is harmless; `stop(cancel=True)`
            while another call waits for the tasks cancels them, and that call counts them.

        Raises:
            RuntimeError: A task of the processor called it, and would wait for itself.
        """
        if self._is_stopped and not cancel:
            return Ended(0, 0, 0, 0)
        here = self._parts.here()
        here.engine.refuse_inside("stop")
        closed = Closed("the processor was stopped")
        if self._is_stopped:
            await here.cancel(closed)
            return Ended(0, 0, 0, 0)
        self._is_stopped = True
        return await here.end(closed, cancel=cancel, timeout=timeout)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.stop(cancel=error is not None)

    # --- what it counts ---------------------------------------------------------------------

    def get_stats(self) -> dict[str, Any]:
        """Return counts over the processor's life, and what there is now. Thread-safe.

        `processed_tasks` are those that ran to an end; `failed_tasks` of them failed. Always:
        `submitted_tasks = processed_tasks + cancelled + dropped + running + queue_size`.
        `avg_processing_time` is seconds a processed task ran, all attempts, without waiting.
        `routes` says for each plain function where `kind="auto"` runs it, and why;
        `smart_timeouts` the seconds that each function has got.
        """
        stats = as_dict(self._parts.figures(), self._pools)
        timeouts = self._limits.timeouts
        stats["smart_timeouts"] = timeouts.explain() if timeouts is not None else {}
        return stats

    @property
    def max_workers(self) -> int:
        """Most threads; to be set while it works, too.

        Fewer leave as they become idle; more are used from the next task that ends on. The numbers
        of processes and of submitted tasks that run at once stay.
        """
        return self._pools.max_threads

    @max_workers.setter
    def max_workers(self, n: int) -> None:
        self._pools.set_most(positive_count("max_workers", n))

    def samples(self) -> list[Sample]:
        """Return the same figures for a `Monitor`. Thread-safe."""
        return [
            *as_samples(self._parts.figures(), self._pools, self._name),
            *self._tallies.samples(self._name),
        ]

    def histograms(self) -> list[Distribution]:
        """Return how long tasks ran, for a `Monitor`. Thread-safe."""
        ran = self._parts.figures().ledger.ran
        return [ran_of(ran, ("processor", self._name))]
