"""Runs several items of a map as one task, and reports on each.

Sent as a task to whatever worker there is. On a thread exceptions stay as they are; a worker
process encodes them one by one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from raudo.concurrency._workers.failures import decode_error, encode_error

__all__ = ["ChunkResult", "Started", "run_chunk", "run_chunk_remotely"]


class ChunkResult:
    """Values by position, and the errors of the items that have none.

    Fewer values than items: the run stopped at its first error. Times are seconds of the whole;
    `busy_s` is the CPU time of all threads of the process meanwhile.
    """

    __slots__ = ("busy_s", "cpu_s", "errors", "values", "wall_s")

    def __init__(
        self,
        values: list[Any],
        errors: dict[int, Any],
        wall_s: float,
        cpu_s: float,
        busy_s: float,
    ) -> None:
        self.values, self.errors = values, errors
        self.wall_s, self.cpu_s, self.busy_s = wall_s, cpu_s, busy_s

    def salvaged(
        self,
        encode: Callable[[Any], object],
        unpicklable: Callable[[Any, BaseException], BaseException],
    ) -> ChunkResult:
        """Return a copy whose values `encode` takes; the others have become errors."""
        values, errors = list(self.values), dict(self.errors)
        for at, value in enumerate(values):
            try:
                encode(value)
            except BaseException as cause:
                values[at] = None
                errors[at] = encode_error(unpicklable(value, cause))
        return ChunkResult(values, errors, self.wall_s, self.cpu_s, self.busy_s)

    def decode_errors(self) -> None:
        """Make exceptions again of what a worker process encoded."""
        self.errors = {
            at: decode_error(error) if isinstance(error, bytes) else error
            for at, error in self.errors.items()
        }


class Started:
    """Tells who waits for a chunk when, and on which thread, it began."""

    __slots__ = ("_cpu_s", "_thread", "at")

    def __init__(self) -> None:
        self.at: float | None = None
        self._thread, self._cpu_s = 0, 0.0

    def note(self) -> None:
        """Note that the calling thread begins now."""
        self._thread, self._cpu_s = threading.get_ident(), time.thread_time()
        self.at = time.monotonic()

    def cpu_share(self, at_least_s: float) -> float | None:
        """Return the share of the time so far that the thread was on the CPU, in [0, 1].

        None before it has run for `at_least_s`, and where the system does not tell. To be called
        only while the thread is alive.
        """
        if self.at is None or not hasattr(time, "pthread_getcpuclockid"):
            return None
        wall_s = time.monotonic() - self.at
        if wall_s < at_least_s:
            return None
        cpu_s = time.clock_gettime(time.pthread_getcpuclockid(self._thread)) - self._cpu_s
        return min(1.0, cpu_s / wall_s)


def run_chunk(
    fn: Callable[..., Any],
    items: Sequence[Any],
    is_spread: bool,
    retries: int,
    stops_at_error: bool,
    started: Started | None = None,
    catches: type[BaseException] = BaseException,
) -> ChunkResult:
    """Call `fn(item)` for each item, trying again after an `Exception` up to `retries` times.

    With `is_spread` each item is a tuple of arguments: `fn(*item)`.
    What is not of the class `catches` passes through: a Ctrl-C is not the item's error where items
    run in the caller's own thread.
    """
    if started is not None:
        started.note()
    wall, cpu, busy = time.perf_counter(), time.thread_time(), time.process_time()
    values: list[Any] = []
    errors: dict[int, Any] = {}
    for item in items:
        try:
            values.append(fn(*item) if is_spread else fn(item))
        except catches as error:
            failed: BaseException | None = error
            if retries and isinstance(error, Exception):
                args = item if is_spread else (item,)
                value, failed = _try_again(fn, args, retries, error)
                if failed is None:
                    values.append(value)
                    continue
            errors[len(values)] = failed
            values.append(None)
            if stops_at_error:
                break
    wall = time.perf_counter() - wall
    return ChunkResult(values, errors, wall, time.thread_time() - cpu, time.process_time() - busy)


def _try_again(
    fn: Callable[..., Any], args: tuple[Any, ...], retries: int, error: Exception
) -> tuple[Any, BaseException | None]:
    from raudo.concurrency.retrying import Backoff, RetryRule

    rule = RetryRule.of(retries, (Exception,), Backoff())
    n_failures = 1
    while (pause := rule.pause(error, n_failures)) is not None:
        time.sleep(pause)
        try:
            return fn(*args), None
        except Exception as another:
            error = another
        except BaseException as final:
            return None, final
        n_failures += 1
    return None, error


def run_chunk_remotely(
    fn: Callable[..., Any],
    items: Sequence[Any],
    is_spread: bool,
    retries: int,
    stops_at_error: bool,
) -> ChunkResult:
    """Run a chunk in a worker process: its errors come out encoded."""
    result = run_chunk(fn, items, is_spread, retries, stops_at_error)
    result.errors = {at: encode_error(error) for at, error in result.errors.items()}
    return result
