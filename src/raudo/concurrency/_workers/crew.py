"""A task queue and the threads that serve it: what thread workers and process workers share.

Threads start when a task finds no idle one, and leave when there are more than `max_workers`. They
hold the crew, not the pool that owns it: a pool dropped without `close` ends after its last task.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from raudo.concurrency._workers import lifetime
from raudo.errors import Closed, WorkerDied

__all__ = ["Crew", "HasFuture", "positive_count"]


class HasFuture(Protocol):
    """A queued task."""

    @property
    def future(self) -> Future[Any]: ...


T = TypeVar("T", bound=HasFuture)


def positive_count(name: str, value: object) -> int:
    """Return `value` if it is an int of at least 1, or say what is wrong with argument `name`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


class Crew(Generic[T]):
    """A queue and its threads. Thread-safe; `lock` guards every attribute.

    Args:
        serve: What each thread runs: it calls `take` until that returns None.
        idle_timeout: Seconds after which a thread without work leaves; None for never.
    """

    can_stop: ClassVar[bool] = False

    def __init__(
        self,
        max_workers: int,
        name: str,
        serve: Callable[[], None],
        idle_timeout: float | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self._work = threading.Condition(self.lock)
        self.queue: deque[T] = deque()
        self.threads: set[threading.Thread] = set()  # those that take tasks
        self._started: set[threading.Thread] = set()  # and those that are leaving
        self.max_workers = positive_count("max_workers", max_workers)
        self.n_idle = 0
        self._n_started = 0
        self._name = name
        self._serve = serve
        self._idle_timeout = idle_timeout
        self.closed = False
        self.broken: WorkerDied | None = None
        lifetime.register(self)

    @property
    def n_busy(self) -> int:
        with self.lock:
            return len(self.threads) - self.n_idle

    def add(self, task: T) -> None:
        """Queue a task; a thread is woken or started for it."""
        with self.lock:
            if self.broken is not None:
                raise type(self.broken)(str(self.broken)) from self.broken.__cause__
            if self.closed:
                raise Closed("cannot submit: the workers are closed")
            self.queue.append(task)
            if self.n_idle < len(self.queue) and len(self.threads) < self.max_workers:
                self._start_thread()
            elif self.n_idle:
                self._work.notify()

    def give_back(self, task: T) -> None:
        """Put a task that was taken, and not begun, at the head of the queue."""
        with self.lock:
            self.queue.appendleft(task)
            self._work.notify()

    def _start_thread(self) -> None:
        self._n_started += 1
        thread = threading.Thread(
            target=self._thread_main, name=f"{self._name}-{self._n_started}", daemon=True
        )
        self.threads.add(thread)
        self._started.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self.threads.discard(thread)
            self._started.discard(thread)
            if not self.threads:
                self.queue.pop()
                raise  # no thread at all can be had: the task would wait for ever

    def _thread_main(self) -> None:
        try:
            self._serve()
        finally:
            with self.lock:
                self.threads.discard(threading.current_thread())
                self._started.discard(threading.current_thread())

    def take(self) -> T | None:
        """Wait for a task; None when the calling thread is to leave."""
        with self.lock:
            in_time = True
            while True:
                surplus = len(self.threads) > self.max_workers
                if self.queue and not surplus:
                    return self.queue.popleft()
                if surplus or self.closed or not in_time:
                    # Not counted from here on, so that the next surplus thread counts right.
                    self.threads.discard(threading.current_thread())
                    return None
                self.n_idle += 1
                try:
                    in_time = self._work.wait(self._idle_timeout)
                finally:
                    self.n_idle -= 1

    def resize(self, max_workers: int) -> None:
        """Change the most threads; surplus ones leave as soon as they are idle."""
        with self.lock:
            self.max_workers = positive_count("max_workers", max_workers)
            missing = min(self.max_workers - len(self.threads), len(self.queue) - self.n_idle)
            for _ in range(missing):
                self._start_thread()
            self._work.notify_all()

    def end(self) -> None:
        """Let the threads finish what is queued and leave."""
        with self.lock:
            self.closed = True
            self._work.notify_all()

    def cancel_queued(self) -> None:
        """Cancel what no thread has taken yet."""
        with self.lock:
            dropped, self.queue = self.queue, deque()
        for task in dropped:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()

    def fail_all(self, error: WorkerDied) -> None:
        """Fail what is queued now and refuse what comes later."""
        with self.lock:
            self.broken = error
            failed, self.queue = self.queue, deque()
        for task in failed:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(error)

    def stop_running(self) -> None:
        """End the tasks that run, where that is possible. Threads cannot be stopped."""

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        """Take no more tasks; finish the queued ones, or cancel them and stop the running ones."""
        self.end()
        if cancel:
            self.cancel_queued()
            self.stop_running()
        if wait:
            me = threading.current_thread()
            with self.lock:
                threads = [each for each in self._started if each is not me]
            for thread in threads:
                thread.join()
        if wait or cancel:
            lifetime.unregister(self)

    def abandon(self) -> None:
        """In a fork of the process: the threads, and whoever held the lock, are not here."""
        self.lock = threading.Lock()
        self._work = threading.Condition(self.lock)
        self.threads, self._started, self.queue = set(), set(), deque()
        self.n_idle, self.closed = 0, True
