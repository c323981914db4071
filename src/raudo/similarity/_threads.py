"""Threads over parts of one computation that releases the GIL: made for it, gone after it.

No pool outlives a call, so that there is nothing to break on fork and no second run-time to get in
the way of the caller's own threads. Starting one costs about 0.1 ms, which is why small work stays
on the caller's thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import index
from threading import Lock
from typing import SupportsIndex

__all__ = ["jobs_for", "run"]

# Multiply-adds below which one core is done before a second one has started: about 2 ms.
SMALL_WORK = 100_000_000


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def jobs_for(n_jobs: SupportsIndex | None, work: int) -> int:
    """Return how many threads; None: all cores for big work, one for small; -1: all cores."""
    if n_jobs is None:
        return 1 if work < SMALL_WORK else available_cores()
    try:
        wanted = index(n_jobs)
    except TypeError:
        raise TypeError(f"n_jobs is {n_jobs!r}, None, -1 or a whole number is wanted") from None
    if wanted == -1:
        return available_cores()
    if wanted < 1:
        raise ValueError(f"n_jobs is {wanted}, None, -1 or a number from 1 is wanted")
    return wanted


def run(tasks: Sequence[Callable[[], object]], n_jobs: int) -> None:
    """Call every task, on this thread and up to n_jobs - 1 others; raise the first error."""
    remaining = iter(tasks)
    lock = Lock()

    def work() -> None:
        while True:
            with lock:
                task = next(remaining, None)
            if task is None:
                return
            task()

    helpers = min(n_jobs, len(tasks)) - 1
    if helpers < 1:
        work()
        return
    with ThreadPoolExecutor(helpers, thread_name_prefix="raudo-similarity") as pool:
        others = [pool.submit(work) for _ in range(helpers)]
        try:
            work()
        except BaseException:  # an interrupt too: let the helpers stop after their current task
            with lock:
                remaining = iter(())
            raise
        for other in others:
            other.result()
