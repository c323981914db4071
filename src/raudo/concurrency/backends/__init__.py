"""The engines that a `ParallelExecutor` can run on, by name.

An engine runs single tasks and says how many at once; cutting work into chunks, retrying, ordering
and counting is done above it, once for all. To add one: a module here with a class that follows
`Backend`, and a line in `_BACKENDS`; `tests/concurrency/test_backends.py` has the contract.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from raudo._core.jobs import JobQueue
from raudo.concurrency.routing import Kind, Router

__all__ = ["Backend", "Settings", "open_backend"]

_BACKENDS = {"local": "raudo.concurrency.backends.local:LocalBackend"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is opened with."""

    max_threads: int
    max_processes: int
    auto_scale: bool = False
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    start_method: str | None = None


class Backend(Protocol):
    """Runs tasks. Thread-safe."""

    @property
    def router(self) -> Router:
        """What chooses the kind of worker for `auto`."""
        ...

    def slots(self, kind: Kind) -> int:
        """Return how many tasks of a kind run at once."""
        ...

    def is_warm(self, kind: Kind) -> bool:
        """Say whether workers of a kind run already, so that using them costs no start."""
        ...

    def submit(
        self,
        kind: Kind,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        timeout: float | None = None,
        future: Future[Any] | None = None,
        observe: Callable[..., object] | None = None,
    ) -> Future[Any]:
        """Run a task on a worker of a kind, "thread" or "process".

        `timeout` (seconds) holds for processes: the task is stopped and gets `TaskTimeout`.
        `observe(value, wall_s, cpu_s[, busy_s])` is called before the result is set; what the whole
        process spent is not told of other processes.
        """
        ...

    def thread_queue(self) -> JobQueue | None:
        """Return where calls on threads may be put without asking `submit`; None: nowhere."""
        ...

    def stop(self, future: Future[Any]) -> bool:
        """Cancel a task, stopping it if it runs; False where that is not possible."""
        ...

    def replace_stuck_thread(self) -> None:
        """Allow one thread more: one is taken up by a task whose time is over."""
        ...

    def cancel_queued(self) -> None:
        """Cancel what has not begun."""
        ...

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        """Take no more tasks. With `cancel` drop what is queued and stop what runs in processes,
        and wait for those; `wait` waits for threads too."""
        ...

    def stats(self) -> dict[str, Any]:
        """Return workers, busy workers, limits and queue sizes by kind."""
        ...


def open_backend(name: object, settings: Settings) -> Backend:
    """Open an engine by its name.

    Raises:
        ValueError: There is none of that name; the message lists those there are.
    """
    where = _BACKENDS.get(name) if isinstance(name, str) else None
    if where is None:
        known = ", ".join(map(repr, _BACKENDS))
        raise ValueError(f"backend must be one of {known}, not {name!r}")
    module, _, cls = where.partition(":")
    opened: Backend = getattr(importlib.import_module(module), cls)(settings)
    return opened
