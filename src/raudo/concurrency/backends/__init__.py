"""The engines that a `ParallelExecutor` can run on.

An engine runs single tasks and says how many at once; cutting work into chunks, retrying, ordering
and counting is done above it, once for all. To add one: a class that follows `Backend`, made with
`Settings`, and its place in `_BACKENDS` or under the entry point group `raudo.backends`;
`raudo.testing.BackendContract` proves it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from raudo._core.jobs import JobQueue
from raudo._plugins import entry_points
from raudo.concurrency.routing import Kind, Router

__all__ = ["Backend", "Settings", "open_backend"]

_BACKENDS = {
    "local": "raudo.concurrency.backends.local:LocalBackend",
    "dask": "raudo.integrations.dask:DaskBackend",
}
# Libraries of which a client is as good as the engine's name: by their top-level package.
_DRIVEN_BY = {"distributed": "dask"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an engine is opened with.

    `max_processes` is for workers that the engine starts; one that is given a cluster leaves that
    as it is, and heeds `most_at_once`, the tasks that may run on it, if that is not None.
    """

    max_threads: int
    max_processes: int
    auto_scale: bool = False
    most_at_once: int | None = None
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

    def ahead(self, kind: Kind) -> int:
        """Return how many tasks of a kind to have handed over, so that no worker waits."""
        ...

    @property
    def chunk_s(self) -> float:
        """How long a task in another process should be, for handing it over to cost little."""
        ...

    def is_warm(self, kind: Kind) -> bool:
        """Say whether workers of a kind run already, so that using them costs no start."""
        ...

    def share(self, value: Any) -> Any:
        """Return what to give to `submit` in place of a large value that many tasks have, as their
        function or first argument, so that it travels once; the value itself if that is as well.
        """
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


def open_backend(backend: object, settings: Settings) -> Backend:
    """Open an engine: by its name, for a client of its library, or by a function of `Settings`.

    Raises:
        ValueError: There is none of that name; the message lists those there are.
        TypeError: It is none of the three.
        MissingExtra: The engine's library is not installed.
    """
    if isinstance(backend, str):
        return _named(backend)(settings)
    for kind in type(backend).__mro__:
        name = _DRIVEN_BY.get(kind.__module__.partition(".")[0])
        if name is not None:
            return _named(name)(settings, backend)
    if not callable(backend):
        raise TypeError(
            f"backend is {type(backend).__name__}, wanted a name, a Dask client or a function of "
            "the settings"
        )
    opened: Backend = backend(settings)
    return opened


def _named(name: str) -> Callable[..., Backend]:
    where = _BACKENDS.get(name)
    if where is not None:
        module, _, cls = where.partition(":")
        built_in: Callable[..., Backend] = getattr(importlib.import_module(module), cls)
        return built_in
    found = {each.name: each for each in entry_points(group="raudo.backends")}
    if name not in found:
        known = ", ".join(map(repr, sorted([*_BACKENDS, *found])))
        raise ValueError(f"backend must be one of {known}, not {name!r}")
    plug_in: Callable[..., Backend] = found[name].load()
    return plug_in
