"""An executor that finds out where each function should run, and how many workers pay.

`ParallelExecutor` is a `concurrent.futures.Executor`: what takes one takes this. With `kind="auto"`
a function runs in the caller, on a thread or in another process by what it measures (`routing`);
moving it to another process changes what its side effects reach, so that is done only for functions
that are importable by name, with arguments that pickle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, Literal, get_args

from raudo._core.jobs import Submitter
from raudo.concurrency._checks import check_number, refuse_coroutine_function
from raudo.concurrency._counted import CountedFuture, Tally
from raudo.concurrency._drives import Drives
from raudo.concurrency._mapper import Mapper, Plan
from raudo.concurrency._results import Results
from raudo.concurrency._stats import shared_samples
from raudo.concurrency._workers.crew import positive_count
from raudo.concurrency.backends import Settings, open_backend
from raudo.errors import Closed
from raudo.types import Sample

__all__ = ["ParallelExecutor", "executor_on"]

AnyKind = Literal["auto", "inline", "thread", "process"]


def check_kind(kind: object) -> None:
    """Refuse what is not a kind of worker."""
    if kind not in get_args(AnyKind):
        known = ", ".join(map(repr, get_args(AnyKind)))
        raise ValueError(f"kind must be one of {known}, not {kind!r}")


def check_chunksize(chunksize: object) -> int | None:
    """Return the fixed number of items per chunk, None for "auto"."""
    return None if chunksize == "auto" else positive_count("chunksize", chunksize)


class ParallelExecutor(Submitter, Executor):
    """Runs functions on threads and in processes of this machine. Thread-safe.

    Args:
        max_threads: Most threads.
        max_processes: Most worker processes.
        auto_scale: Search the number of workers that reaches the most throughput, within these
            bounds, and let idle workers go.
        kind: What `submit` uses: "thread" and "process" make this a stand-in for the standard
            pools, "inline" runs in the caller, "auto" learns per function.
        backend: The engine: "local" is this machine, "dask" or a Dask `Client` a cluster
            (`raudo.integrations.dask`), on which "auto" and "process" run; or a function that
            makes one of `raudo.concurrency.backends.Settings`. A cluster that is given is used as
            large as it is.
        initializer: Called as `initializer(*initargs)` in each new worker.

    Workers start when they are needed. A worker process that dies fails the task it ran with
    `WorkerDied`, and no other.
    """

    def __init__(
        self,
        max_threads: int = 32,
        max_processes: int = 8,
        auto_scale: bool = True,
        *,
        kind: AnyKind = "auto",
        backend: object = "local",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        check_kind(kind)
        if not isinstance(initargs, Iterable):
            raise TypeError(f"initargs must be a tuple, not {type(initargs).__name__}")
        settings = Settings(
            max_threads=positive_count("max_threads", max_threads),
            max_processes=positive_count("max_processes", max_processes),
            auto_scale=bool(auto_scale),
            initializer=initializer,
            initargs=tuple(initargs),
        )
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        self._kind: AnyKind = kind
        self._backend = open_backend(backend, settings)
        self._tally = Tally()
        super().__init__(CountedFuture, self._tally)
        self._drives = Drives()
        self._is_shut_down = False

    def _submit(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[Any]:
        """Submit what `Submitter` does not hand to the threads by itself."""
        if self._is_shut_down:
            raise Closed("cannot submit: the executor was shut down")
        refuse_coroutine_function(fn)
        if self._kind == "auto":
            return self._submit_routed(fn, args, kwargs)
        future = CountedFuture(self._tally)
        if self._kind == "inline":
            _run_here(future, fn, args, kwargs)
            return future
        try:
            self._backend.submit(self._kind, fn, args, kwargs, future=future)
        except BaseException:
            future.cancel()
            raise
        if self._kind == "thread":
            self._go_straight_from_now()
        return future

    def _go_straight_from_now(self) -> None:
        """Have `Submitter` hand calls to the threads by itself."""
        self._queue = self._backend.thread_queue()
        if self._is_shut_down:  # by another thread, just now
            self._queue = None

    def _submit_routed(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Future[Any]:
        router = self._backend.router
        kind = router.choose(fn, (*args, *kwargs.values()) if kwargs else args)
        future = CountedFuture(self._tally)
        if kind == "inline":
            wall, cpu = time.perf_counter(), time.thread_time()
            _run_here(future, fn, args, kwargs)
            router.observe(fn, kind, time.perf_counter() - wall, time.thread_time() - cpu)
            return future

        def observe(value: Any, wall_s: float, cpu_s: float, busy_s: float | None = None) -> None:
            n_running = self._backend.stats()["threads"]["busy"] if kind == "thread" else 1
            router.observe(
                fn, kind, wall_s, cpu_s, busy_s=busy_s, result=value, n_running=n_running
            )

        try:
            self._backend.submit(kind, fn, args, kwargs, future=future, observe=observe)
        except BaseException:
            future.cancel()
            raise
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | Literal["auto"] = "auto",
        kind: AnyKind = "auto",
        ordered: bool = True,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Yield `fn` of each item, or of each tuple of items of several iterables.

        Items that have a length are worked on from this call on, whether results are taken or not,
        as in the standard executors; calls that "auto" knows to be tiny may run before this
        returns. Of other iterables, and with `buffersize`, input is read as results are taken, so
        endless ones are fine. With `ordered=False` results come as they are ready.

        Args:
            timeout: Seconds, from this call, by which each result must be there; "inline" does not
                heed it.
            chunksize: Items per task; "auto" finds it by time and bytes.
            kind: As for the executor; the executor's own unless it is "auto".
            buffersize: Most items read ahead of the results taken.

        Raises:
            TaskTimeout: From the iterator, after `timeout`.
        """
        if self._is_shut_down:
            raise Closed("cannot map: the executor was shut down")
        if not iterables:
            raise TypeError("map() needs at least one iterable")
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {type(fn).__name__}")
        refuse_coroutine_function(fn)
        check_kind(kind)
        seconds = math.inf if timeout is None else check_number("timeout", timeout)
        if math.isnan(seconds):
            raise ValueError("timeout must be seconds or None, not nan")
        is_eager = buffersize is None and all(isinstance(each, Sized) for each in iterables)
        plan = Plan(
            kind=self._kind if kind == "auto" else kind,
            chunksize=check_chunksize(chunksize),
            ordered=ordered,
            read_ahead=None if is_eager else _read_ahead(buffersize, self._backend.slots("thread")),
            n_items=min(map(len, iterables)) if is_eager else None,  # type: ignore[arg-type]
            deadline=None if seconds == math.inf else time.monotonic() + seconds,
            is_spread=len(iterables) > 1,
        )
        items = zip(*iterables, strict=False) if plan.is_spread else iter(iterables[0])
        mapper = Mapper(self._backend, fn, items, plan)
        mapper.on_taken = self._tally.submitted
        mapper.on_done = self._tally.ended
        results = self._results(mapper)
        if is_eager and plan.kind != "inline":
            results = self._drives.start(mapper, results)
        return Results.of(results)

    def _results(self, mapper: Mapper) -> Iterator[list[Any]]:
        try:
            yield from mapper.results()
        finally:
            self._tally.ended(cancelled=mapper.n_unfinished)

    def share(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return what to give to `map` and `submit` in place of `fn`, for what it is bound to.

        On a cluster what a function is bound to (`functools.partial`) then travels once and stays
        with the workers for as long as this is kept; `map` does that by itself for each call. The
        function as it is now: what is changed later is not seen. On this machine it is `fn` itself.
        """
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {type(fn).__name__}")
        shared: Callable[..., Any] = self._backend.share(fn)
        return shared

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks and let the workers go after the last.

        With `cancel_futures` what has not begun is cancelled. With `wait` no worker is left when
        this returns.
        """
        self._refuse_more()
        if cancel_futures:
            self._drives.stop()
            self._backend.cancel_queued()
        self._drives.when_done(self._backend.close, wait)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            # Ctrl-C ends promptly: processes are killed, threads are left to themselves.
            self._refuse_more()
            self._drives.stop()
            self._backend.close(wait=False, cancel=True)
        else:
            self.shutdown()

    def _refuse_more(self) -> None:
        """Have each `submit` and `map` from now on refused."""
        self._is_shut_down, self._queue = True, None

    def get_stats(self) -> dict[str, Any]:
        """Return what there is to know of the tasks and the workers.

        Counts of tasks (`submitted` = `done` + `failed` + `cancelled` + `pending`), the `workers`,
        busy ones, limits and queue sizes by kind, and under `routes` where each function runs and
        why.
        """
        workers = self._backend.stats()
        return {
            **self._tally.read(),
            "queue_size": sum(each["queue_size"] for each in workers.values()),
            "workers": workers,
            "routes": self._backend.router.explain(),
        }

    def samples(self) -> Iterable[Sample]:
        """Return the counts and gauges that a `Monitor` shows."""
        counts = self._tally.read()
        n_processed = counts["done"] + counts["failed"]
        yield from shared_samples(n_processed, counts["failed"], None, ("processor", "executor"))
        for state in ("submitted", "done", "failed", "cancelled"):
            yield Sample(
                f"raudo_executor_tasks_{state}_total",
                "counter",
                float(counts[state]),
                help=f"Tasks {state} since the executor was made.",
            )
        for name, workers in self._backend.stats().items():
            labels = (("kind", name),)
            for what, text in _GAUGES.items():
                yield Sample(f"raudo_executor_{what}", "gauge", float(workers[what]), labels, text)


@contextmanager
def executor_on(backend: object) -> Iterator[ParallelExecutor]:
    """Yield the executor that `backend` is, or one on that engine, shut down at the end."""
    if isinstance(backend, ParallelExecutor):
        yield backend
    else:
        with ParallelExecutor(backend=backend) as executor:
            yield executor


_GAUGES = {
    "workers": "Workers alive.",
    "busy": "Workers that run a task.",
    "limit": "Most workers there may be for now.",
    "queue_size": "Tasks that wait for a worker.",
}


def _read_ahead(buffersize: int | None, n_workers: int) -> int:
    if buffersize is not None:
        return positive_count("buffersize", buffersize)
    return max(4096, 64 * n_workers)


def _run_here(
    future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    future.set_running_or_notify_cancel()
    try:
        value = fn(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
        del future  # breaks the cycle error -> traceback -> frame -> future -> error
    else:
        future.set_result(value)
