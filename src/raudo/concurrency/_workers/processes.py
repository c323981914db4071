"""A pool of worker processes in which one task's misfortune is nobody else's.

See `keepers` for how workers are watched, `launch` for how they start, `wire` for how tasks and
results travel, `failures` for how exceptions come back, and `worker` for the other side.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

from raudo.concurrency._workers import launch
from raudo.concurrency._workers.keepers import Keepers, Observe, ProcessTask

__all__ = ["ProcessWorkers"]

_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


class ProcessWorkers:
    """Runs tasks in at most `max_workers` processes. Thread-safe.

    Args:
        max_workers: Most processes at once; `resize` changes it.
        start_method: "forkserver" (default: workers are forked by a small process of their own, in
            milliseconds and safely), "spawn" (a fresh interpreter each; the default where there is
            no forkserver) or "fork" (a copy of this process: fast, sees every object, and unsafe
            while other threads hold locks).
        initializer: Called as `initializer(*initargs)` in each new worker. When it raises, queued
            and later tasks fail with `InitializerFailed`.
        idle_timeout: Seconds after which a worker without work leaves; None for never.

    Functions, arguments and results are pickled (large arrays go through shared memory); lambdas
    and closures need cloudpickle to be installed. Workers start when tasks find no idle one.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        start_method: str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        idle_timeout: float | None = None,
    ) -> None:
        if start_method is None:
            start_method = launch.default_start_method()
        if start_method not in launch.START_METHODS:
            known = ", ".join(map(repr, launch.START_METHODS))
            raise ValueError(f"start_method must be one of {known} or None, not {start_method!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        self._keepers = Keepers(
            max_workers, start_method, initializer, tuple(initargs), idle_timeout
        )
        self._end = weakref.finalize(self, self._keepers.end)
        self._end.atexit = False

    @property
    def max_workers(self) -> int:
        """Most processes at once."""
        return self._keepers.max_workers

    @property
    def n_workers(self) -> int:
        """Workers there are now, idle and starting ones included."""
        return len(self._keepers.threads)

    @property
    def n_busy(self) -> int:
        """Workers that run a task now."""
        return self._keepers.n_busy

    @property
    def queue_size(self) -> int:
        """Tasks that wait for a worker."""
        return len(self._keepers.queue)

    def pids(self) -> list[int]:
        """Return the process ids of the workers alive now."""
        return self._keepers.pids()

    def submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = _NO_KWARGS,
        *,
        timeout: float | None = None,
        future: Future[Any] | None = None,
        observe: Observe | None = None,
    ) -> Future[Any]:
        """Run `fn(*args, **kwargs)` in a worker process.

        `future` is what to use, and return, instead of a new one. `observe(value, wall_s, cpu_s)`
        is called before the result is set, with what the call took in the worker.

        What the future may raise besides the task's own exception, which carries the worker's
        traceback as `__cause__`: `TaskTimeout` when the task ran longer than `timeout` seconds,
        `WorkerDied` when its process ended under it, `RemoteError` for an exception that cannot
        travel as itself, a `TypeError` for arguments (`Unpicklable`: the task has not begun) or a
        result that cannot be pickled, and `CancelledError` after `cancel_running`.

        Raises:
            Closed: After `close`.
            InitializerFailed: A worker's initializer raised.
        """
        task = ProcessTask(fn, args, kwargs, timeout, future, observe)
        self._keepers.add(task)
        return task.future

    def cancel_running(self, future: Future[Any]) -> bool:
        """Cancel a queued task, or kill the worker that runs it; False when it has ended."""
        return future.cancel() or self._keepers.stop_task(future)

    def resize(self, max_workers: int) -> None:
        """Change the most processes; surplus workers leave as soon as they are idle."""
        self._keepers.resize(max_workers)

    def cancel_queued(self) -> None:
        """Cancel the tasks that no worker has begun."""
        self._keepers.cancel_queued()

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        """Accept no more tasks; finish the queued ones, or with `cancel` cancel and kill them all.

        With `wait`, no process of this pool is left when it returns. May be called again, from any
        thread.
        """
        self._end.detach()
        self._keepers.close(wait, cancel)

    def __enter__(self) -> ProcessWorkers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close(cancel=kind is not None and issubclass(kind, KeyboardInterrupt))
