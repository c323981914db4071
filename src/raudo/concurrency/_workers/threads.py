"""A pool of threads that can grow and shrink while it runs.

Differs from `concurrent.futures.ThreadPoolExecutor` in four ways: the submitter's context variables
come along, the number of threads can change, running and queued tasks are counted, and the threads
are daemons (`lifetime` finishes at exit what was submitted).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import Context, copy_context
from types import MappingProxyType
from typing import Any, NamedTuple

from raudo.concurrency._workers.crew import Crew
from raudo.errors import InitializerFailed

__all__ = ["ThreadWorkers"]

_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


class _Task(NamedTuple):
    future: Future[Any]
    context: Context
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def run(self) -> None:
        future = self.future
        if not future.set_running_or_notify_cancel():
            return
        try:
            value = self.context.run(self.fn, *self.args, **self.kwargs)
        except BaseException as error:
            future.set_exception(error)
            del future, self  # breaks the cycle error -> traceback -> frame -> future -> error
        else:
            future.set_result(value)


class ThreadWorkers:
    """Runs tasks on at most `max_workers` threads of this process. Thread-safe.

    Args:
        max_workers: Most threads at once; `resize` changes it.
        name: Prefix of the threads' names.
        initializer: Called as `initializer(*initargs)` in each new thread. When it raises, queued
            and later tasks fail with `InitializerFailed`.
        idle_timeout: Seconds after which a thread without work leaves; None for never.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        name: str = "raudo",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        idle_timeout: float | None = None,
    ) -> None:
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        initargs = tuple(initargs)

        def serve() -> None:
            if initializer is not None:
                try:
                    initializer(*initargs)
                except BaseException as cause:
                    error = InitializerFailed(f"a worker thread's initializer raised {cause!r}")
                    error.__cause__ = cause
                    crew.fail_all(error)
                    return
            while (task := crew.take()) is not None:
                task.run()
                del task  # an idle thread keeps nothing of its last task alive

        crew: Crew[_Task] = Crew(max_workers, name, serve, idle_timeout)
        self._crew = crew
        self._end = weakref.finalize(self, self._crew.end)
        self._end.atexit = False

    @property
    def max_workers(self) -> int:
        """Most threads at once."""
        return self._crew.max_workers

    @property
    def n_workers(self) -> int:
        """Threads alive now, idle ones included."""
        return len(self._crew.threads)

    @property
    def n_busy(self) -> int:
        """Threads that run a task now."""
        return self._crew.n_busy

    @property
    def queue_size(self) -> int:
        """Tasks that wait for a thread."""
        return len(self._crew.queue)

    def submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = _NO_KWARGS,
        *,
        future: Future[Any] | None = None,
    ) -> Future[Any]:
        """Run `fn(*args, **kwargs)` on a thread, in a copy of the caller's context.

        `future` is what to use, and return, instead of a new one.

        Raises:
            Closed: After `close`.
            InitializerFailed: A thread's initializer raised.
        """
        if future is None:
            future = Future()
        self._crew.add(_Task(future, copy_context(), fn, args, kwargs))
        return future

    def resize(self, max_workers: int) -> None:
        """Change the most threads; surplus ones leave as soon as they are idle."""
        self._crew.resize(max_workers)

    def cancel_queued(self) -> None:
        """Cancel the tasks that no thread has begun."""
        self._crew.cancel_queued()

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        """Accept no more tasks; finish the queued ones, or with `cancel` cancel them.

        A running task cannot be stopped: `wait` waits for it. May be called again, from any thread;
        a call from one of the workers does not wait for itself.
        """
        self._end.detach()
        self._crew.close(wait, cancel)

    def __enter__(self) -> ThreadWorkers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.close(wait=not interrupted, cancel=interrupted)
