"""A pool of threads that can grow and shrink while it runs.

Differs from `concurrent.futures.ThreadPoolExecutor` in five ways: the submitter's context variables
come along, a burst of tasks wakes one thread at a time (`_core/jobs.pyx`), the number of threads
can change, running and queued tasks are counted, and the threads are daemons (`lifetime` finishes
at exit what was submitted).
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

from raudo._core.futures import FutureState
from raudo._core.jobs import JobQueue, Sleeper
from raudo.concurrency._workers import lifetime
from raudo.concurrency._workers.crew import positive_count
from raudo.errors import Closed, InitializerFailed

__all__ = ["ThreadFuture", "ThreadWorkers"]

_NO_KWARGS: Mapping[str, Any] = MappingProxyType({})


class ThreadFuture(FutureState, Future[Any]):
    """A standard future that makes its lock when somebody waits for it."""


class _Crew:
    """The threads of one pool. They hold this, not the pool: one that nobody closed ends too."""

    can_stop: ClassVar[bool] = False

    def __init__(
        self,
        max_workers: int,
        name: str,
        initialize: Callable[[], object] | None,
        idle_timeout: float | None,
        on_window: Callable[[int, float], int] | None,
    ) -> None:
        self.queue = JobQueue(max_workers, self._start, idle_timeout, on_window)
        self.broken: InitializerFailed | RuntimeError | None = None
        self._name, self._initialize = name, initialize
        self._n_started = 0
        self._threads: set[threading.Thread] = set()
        self._starting = threading.RLock()  # a signal's handler may close what is being started
        lifetime.register(self)

    def _start(self, sleeper: Sleeper) -> None:
        self._n_started += 1
        thread = threading.Thread(
            target=self._main, args=(sleeper,), name=f"{self._name}-{self._n_started}", daemon=True
        )
        with self._starting:
            try:
                thread.start()
            finally:
                if thread.is_alive():
                    self._threads.add(thread)

    def _main(self, sleeper: Sleeper) -> None:
        queue = self.queue
        try:
            if self._is_ready(sleeper):
                while (job := queue.take(sleeper)) is not None:
                    job.run()
                    del job  # an idle thread keeps nothing of its last task alive
        except RuntimeError as error:  # it was the last one, and there can be no other
            self._fail_all(error)
        finally:
            with self._starting:
                self._threads.discard(threading.current_thread())

    def _is_ready(self, sleeper: Sleeper) -> bool:
        if self._initialize is None:
            return True
        try:
            self._initialize()
        except BaseException as cause:
            error = InitializerFailed(f"a worker thread's initializer raised {cause!r}")
            error.__cause__ = cause
            self._fail_all(error)
            self.queue.gone(sleeper)
            return False
        return True

    def _fail_all(self, error: InitializerFailed | RuntimeError) -> None:
        self.broken = error
        self.queue.close()
        for job in self.queue.drain():
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)

    def refuse(self) -> NoReturn:
        """Say why there are no more tasks taken."""
        if self.broken is not None:
            raise type(self.broken)(str(self.broken)) from self.broken.__cause__
        raise Closed("cannot submit: the workers are closed")

    def cancel_queued(self) -> None:
        for job in self.queue.drain():
            job.future.cancel()
            job.future.set_running_or_notify_cancel()

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        self.queue.close()
        if cancel:
            self.cancel_queued()
        if wait:
            while others := self._others():  # those may have started more, for what was queued
                for thread in others:
                    thread.join()
        if wait or cancel:
            lifetime.unregister(self)

    def _others(self) -> set[threading.Thread]:
        with self._starting:  # one that is starting cannot be joined yet
            return self._threads - {threading.current_thread()}

    def abandon(self) -> None:
        """In a fork of the process, where the threads are not."""
        self._threads, self._starting = set(), threading.RLock()
        self.queue.close()  # others may know it
        self.queue = JobQueue(1, self._start, None, None)
        self.queue.close()


class ThreadWorkers:
    """Runs tasks on at most `max_workers` threads of this process. Thread-safe.

    Args:
        max_workers: Most threads at once; `resize` changes it.
        name: Prefix of the threads' names.
        initializer: Called as `initializer(*initargs)` in each new thread. When it raises, queued
            and later tasks fail with `InitializerFailed`.
        idle_timeout: Seconds after which a thread without work leaves; None for never.
        on_window: Called as `on_window(n_tasks, seconds)` when four tasks a thread have ended, in
            at least ten milliseconds, and more were waiting all the while; returns the most threads
            from then on.
    """

    def __init__(
        self,
        max_workers: int,
        *,
        name: str = "raudo",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        idle_timeout: float | None = None,
        on_window: Callable[[int, float], int] | None = None,
    ) -> None:
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        initialize = None
        if initializer is not None:
            initialize = functools.partial(initializer, *initargs)
        most = positive_count("max_workers", max_workers)
        crew = _Crew(most, name, initialize, idle_timeout, on_window)
        self._crew = crew
        self._end = weakref.finalize(self, crew.queue.close)
        self._end.atexit = False

    @property
    def max_workers(self) -> int:
        """Most threads at once."""
        return self._crew.queue.max_threads

    @property
    def queue(self) -> JobQueue:
        """Where the threads take their tasks from; closed with the pool, and in forks."""
        return self._crew.queue

    @property
    def n_workers(self) -> int:
        """Threads alive now, idle ones included."""
        return self._crew.queue.n_threads

    @property
    def n_busy(self) -> int:
        """Threads that run a task now."""
        return self._crew.queue.n_busy

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
            future = ThreadFuture()
        if not self._crew.queue.submit(future, fn, args, kwargs):
            self._crew.refuse()
        return future

    def resize(self, max_workers: int) -> None:
        """Change the most threads; surplus ones leave as soon as they are idle."""
        self._crew.queue.resize(positive_count("max_workers", max_workers))

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
