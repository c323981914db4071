"""Finds the moments in which a service is idle: between its requests, or in its event loop.

`IdleWSGI` and `IdleASGI` wrap an application, so that the collector works when no request is under
way. A request that begins meanwhile waits for as long as the budget at most.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, ExitStack
from time import perf_counter
from typing import Any, Protocol

__all__ = ["IDLE_BUDGET_S", "IdleASGI", "IdleWSGI", "Request", "Requests", "idle_moment"]

IDLE_BUDGET_S = 0.003
# A round of the event loop that finds nothing to run takes some ten microseconds.
_QUIET_ROUND_S = 100e-6
_LONGEST_WAIT_S = 5.0


class Requests:
    """Counts the requests under way, over threads and tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0

    def begin(self) -> None:
        with self._lock:
            self._under_way += 1

    def end(self) -> bool:
        """Return whether it was the last one."""
        with self._lock:
            # A forked child ends what its parent began.
            self._under_way = max(self._under_way - 1, 0)
            return self._under_way == 0

    def after_fork(self) -> None:
        """Forget the requests of the parent."""
        self._lock = threading.Lock()
        self._under_way = 0


class Request:
    """A request for the length of a `with` block. One block at a time."""

    __slots__ = ("_budget", "_has_work", "_idle", "_requests")

    def __init__(
        self,
        requests: Requests,
        has_work: Callable[[], bool],
        idle: Callable[[float | None], object],
        budget: float | None,
    ) -> None:
        self._requests = requests
        self._has_work = has_work
        self._idle = idle
        self._budget = budget

    def __enter__(self) -> None:
        self._requests.begin()

    def __exit__(self, *error: object) -> None:
        if self._requests.end() and self._has_work():
            self._idle(self._budget)


async def idle_moment(every: float, has_work: Callable[[], bool]) -> None:
    """Return when there is work and nothing else is ready to run in the event loop."""
    waited = 0.0
    while True:
        await asyncio.sleep(every)
        if not has_work():
            waited = 0.0
            continue
        waited += every
        began = perf_counter()
        await asyncio.sleep(0)  # everything that is ready runs once
        if perf_counter() - began < _QUIET_ROUND_S or waited >= _LONGEST_WAIT_S:
            return


class _Optimizer(Protocol):
    def request(self, budget: float | None = ..., /) -> AbstractContextManager[None]: ...


class IdleWSGI:
    """A WSGI application that tells the optimizer where its requests begin and end.

    Args:
        app: The application.
        optimizer: A `MemoryOptimizer`.
        budget: Seconds that its work between two requests may take; see `MemoryOptimizer.idle`.
    """

    def __init__(
        self,
        app: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]],
        optimizer: _Optimizer,
        budget: float | None = IDLE_BUDGET_S,
    ) -> None:
        self._app = app
        self._optimizer = optimizer
        self._budget = budget

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        with ExitStack() as request:
            request.enter_context(self._optimizer.request(self._budget))
            body = self._app(environ, start_response)
            return _Body(body, request.pop_all())


class _Body:
    """The body of a response: the request lasts until the server closes it."""

    def __init__(self, body: Iterable[bytes], request: ExitStack) -> None:
        self._body = body
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        with self._request:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()


class IdleASGI:
    """An ASGI application that tells the optimizer where its requests begin and end.

    HTTP requests count; a websocket or the lifespan would keep the service from ever being idle.

    Args:
        app: The application.
        optimizer: A `MemoryOptimizer`.
        budget: Seconds that its work between two requests may take; see `MemoryOptimizer.idle`.
    """

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        optimizer: _Optimizer,
        budget: float | None = IDLE_BUDGET_S,
    ) -> None:
        self._app = app
        self._optimizer = optimizer
        self._budget = budget

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._optimizer.request(self._budget):
            await self._app(scope, receive, send)
