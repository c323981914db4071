"""Apply a function to many items on all cores: `parallel_map` for a list, `parallel_imap` lazily.

`kind="auto"` looks at what the function does: tiny calls stay in the caller's thread, calls that
wait run on threads, calls that compute run in other processes if they may (importable by name,
arguments and results that pickle, a result other than None) and the rest on threads. So any
function works, lambdas and closures included; moving one to another process changes what its side
effects reach, and is done only where it may. What a call starts it ends: none of its threads and
workers is left when it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Literal, TypeVar

from raudo._progress import open_progress
from raudo.concurrency._checks import check_positive, refuse_coroutine_function
from raudo.concurrency._mapper import Mapper, OnError, Plan
from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.crew import positive_count
from raudo.concurrency._workers.pickling import name_of
from raudo.concurrency.backends import Settings, open_backend
from raudo.concurrency.parallel_executor import AnyKind, check_chunksize, check_kind

__all__ = ["parallel_imap", "parallel_map"]

R = TypeVar("R")

_MOST_THREADS = 32


def parallel_map(
    fn: Callable[[Any], R],
    items: Iterable[Any],
    max_workers: int | None = None,
    *,
    kind: AnyKind = "auto",
    chunksize: int | Literal["auto"] = "auto",
    timeout: float | None = None,
    retries: int = 0,
    on_error: OnError = "raise",
    progress: bool = False,
    ordered: bool = True,
    buffersize: int | None = None,
    backend: object = "local",
) -> list[R]:
    """Return `[fn(item) for item in items]`, computed in parallel.

    Args:
        max_workers: Most threads or processes; by default 32 threads or as many processes as there
            are CPUs. "auto" uses no more processes than CPUs, whatever is asked for.
        kind: "auto", "thread", "process" or "inline".
        chunksize: Items sent to a worker at once; "auto" finds it by time and bytes.
        timeout: Seconds that one item may take, its retries included. In a process it is then
            stopped; a thread cannot be, and runs on unheeded. "inline" has nobody to look at the
            clock and does not heed it.
        retries: Attempts after the first, with growing pauses, for an item that raises an
            `Exception`, whose process dies or whose time is over.
        on_error: "raise" the first error as soon as it is known and stop the rest; "return" the
            exceptions in their items' places; "skip" failed items.
        progress: Show a progress line on standard error.
        ordered: False gives the results as they come.
        buffersize: Most items read ahead of the results; by default there is no bound here.
        backend: "local", or a cluster: "dask" or a Dask `Client`, on which "auto" and "process" run
            (`raudo.integrations.dask`); `max_workers` is then the most tasks at once, by default as
            many as it has threads. What `fn` is bound to (`functools.partial`) travels once.

    An item whose worker process dies fails with `WorkerDied`; items that were in its chunk are run
    again, one by one. An error that was raised in a process carries its traceback as `__cause__`.

    Raises:
        ValueError, TypeError: Bad arguments.
        TaskTimeout, WorkerDied, RemoteError: See above.
    """
    return list(
        _imap(
            fn, items, max_workers, kind, chunksize, timeout, retries, on_error, progress, ordered,
            None if buffersize is None else positive_count("buffersize", buffersize), True, backend,
        )
    )  # fmt: skip


def parallel_imap(
    fn: Callable[[Any], R],
    items: Iterable[Any],
    max_workers: int | None = None,
    *,
    kind: AnyKind = "auto",
    chunksize: int | Literal["auto"] = "auto",
    timeout: float | None = None,
    retries: int = 0,
    on_error: OnError = "raise",
    progress: bool = False,
    ordered: bool = True,
    buffersize: int | None = None,
    backend: object = "local",
) -> Iterator[R]:
    """Yield the results of `parallel_map` one by one, reading `items` only as they are taken.

    Endless items are fine: at most `buffersize` (by default 4,096, or 64 per worker if that is
    more) are read ahead of the results taken. An error is raised when its item's turn comes.
    Closing the iterator, or dropping it, ends the workers.
    """
    n_workers = _workers(max_workers)
    read_ahead = (
        max(4096, 64 * max(n_workers))
        if buffersize is None
        else positive_count("buffersize", buffersize)
    )
    return _imap(
        fn, items, max_workers, kind, chunksize, timeout, retries, on_error, progress, ordered,
        read_ahead, False, backend,
    )  # fmt: skip


def _workers(max_workers: int | None) -> tuple[int, int]:
    """Return the most threads and the most processes."""
    if max_workers is None:
        return _MOST_THREADS, usable_cpus()
    return positive_count("max_workers", max_workers), max_workers


def _imap(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    max_workers: int | None,
    kind: AnyKind,
    chunksize: int | Literal["auto"],
    timeout: float | None,
    retries: int,
    on_error: OnError,
    progress: bool,
    ordered: bool,
    read_ahead: int | None,
    fails_fast: bool,
    backend: object,
) -> Iterator[Any]:
    """Check the arguments now, and return the generator that does the work."""
    if not callable(fn):
        raise TypeError(f"fn must be callable, not {type(fn).__name__}")
    refuse_coroutine_function(fn)
    check_kind(kind)
    if on_error not in ("raise", "return", "skip"):
        raise ValueError(f"on_error must be 'raise', 'return' or 'skip', not {on_error!r}")
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(f"retries must be an int, not {type(retries).__name__}")
    if retries < 0:
        raise ValueError(f"retries must be at least 0, not {retries}")
    if timeout is not None:
        check_positive("timeout", timeout)
    if not isinstance(items, Iterable):
        raise TypeError(f"items must be an iterable, not {type(items).__name__}")
    n_threads, n_processes = _workers(max_workers)
    if kind == "auto":
        n_processes = min(n_processes, usable_cpus())
    n_items = len(items) if isinstance(items, Sized) else None
    if n_items is not None:
        n_threads = max(1, min(n_threads, n_items))
        n_processes = max(1, min(n_processes, n_items))
    plan = Plan(
        kind=kind,
        chunksize=check_chunksize(chunksize),
        timeout=timeout,
        retries=retries,
        on_error=on_error,
        ordered=ordered,
        read_ahead=read_ahead,
        n_items=n_items,
        fails_fast=fails_fast,
    )
    settings = Settings(n_threads, n_processes, most_at_once=max_workers)
    return _results(fn, iter(items), plan, settings, progress, backend)


def _results(
    fn: Callable[[Any], Any],
    items: Iterator[Any],
    plan: Plan,
    settings: Settings,
    progress: bool,
    backend: object,
) -> Iterator[Any]:
    engine = open_backend(backend, settings)
    mapper = Mapper(engine, fn, items, plan)
    is_complete = False
    try:
        with open_progress(name_of(fn), plan.n_items, enabled=progress) as shown:
            mapper.on_done = lambda n_done, n_failed: shown.update(n_done + n_failed)
            for values in mapper.results():
                yield from values
        is_complete = True
    finally:
        # A thread that is over its time, or still busy with what nobody waits for, is left alone.
        wait = is_complete and not mapper.n_stuck_threads
        engine.close(wait=wait, cancel=not wait)
