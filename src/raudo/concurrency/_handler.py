"""Calls a batch handler, sync or async, and makes sure that it answers for each item."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future
from typing import Any

from raudo._core.futures import Wakeups
from raudo.concurrency._calls import is_coroutine_function
from raudo.concurrency._workers.threads import ThreadWorkers

__all__ = ["Handler", "HandlerThreads", "call_handler", "check_handler"]

Handler = Callable[[list[Any]], Any]


def check_handler(handler: object) -> Handler:
    """Return the handler if it can be called."""
    if not callable(handler):
        raise TypeError(f"handler must be a function of a list, not {type(handler).__name__}")
    return handler


class HandlerThreads:
    """The threads that sync handlers run on, so that they do not hold up the loop. Thread-safe."""

    def __init__(self, max_workers: int) -> None:
        self._max_workers = max_workers
        self._lock = threading.Lock()
        self._n_stuck = 0  # calls that run on though nobody waits for them
        self._threads: ThreadWorkers | None = None

    def get(self) -> ThreadWorkers:
        """Return the threads, started if need be."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadWorkers(self._max_workers, name="raudo-batch")
            return self._threads

    def abandon(self, future: Future[Any]) -> None:
        """Note that nobody waits for this call any more."""
        if future.cancel():
            return

        def ended(_: object) -> None:
            with self._lock:
                self._n_stuck -= 1

        with self._lock:
            self._n_stuck += 1
        future.add_done_callback(ended)

    def close(self) -> None:
        """End the threads, without waiting for a handler that nobody waits for either."""
        with self._lock:
            threads, self._threads = self._threads, None
            n_stuck = self._n_stuck
        if threads is not None:
            threads.close(wait=n_stuck == 0, cancel=True)


async def call_handler(
    handler: Handler, items: list[Any], threads: HandlerThreads, wakeups: Wakeups
) -> list[Any]:
    """Return one result for each item.

    Raises:
        ValueError: The handler returned another number of results.
        TypeError: It returned something that is no sequence of results.
        Exception: Whatever the handler raised.
    """
    n = len(items)
    if is_coroutine_function(handler):
        results = await handler(items)
    else:
        future = threads.get().submit(handler, (items,))
        try:
            await wakeups.when_done(future)
        except asyncio.CancelledError:
            threads.abandon(future)
            raise
        results = future.result()
        if hasattr(type(results), "__await__"):
            results = await results
    if isinstance(results, str | bytes | Mapping | Set) or not hasattr(results, "__iter__"):
        raise TypeError(
            f"the handler must return a sequence with one result for each item, "
            f"not {type(results).__name__}"
        )
    answers = list(results)
    if len(answers) != n:
        raise ValueError(f"the handler returned {len(answers)} results for {n} items")
    return answers
