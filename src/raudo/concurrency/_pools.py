"""The threads and processes of a processor, and the choice between them.

Both pools start on first use and belong to no event loop. `use_threads` and `use_processes` say
which there may be: `auto` makes do with what is left, an explicit kind that is switched off is
refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from raudo.concurrency._calls import Kind
from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.processes import ProcessWorkers
from raudo.concurrency._workers.threads import ThreadWorkers
from raudo.concurrency.routing import Router
from raudo.concurrency.scaling import HillClimb

__all__ = ["IDLE_SECONDS", "Pooled", "Pools", "timed"]

Pooled = Literal["thread", "process"]

IDLE_SECONDS = 10.0  # with auto-scaling, workers without work leave after this long


def timed(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, float, float, float]:
    """Call a function; return its value, and wall, this thread's and all threads' CPU seconds."""
    wall, cpu, busy = time.perf_counter(), time.thread_time(), time.process_time()
    value = fn(*args, **kwargs)
    wall = time.perf_counter() - wall
    return value, wall, time.thread_time() - cpu, time.process_time() - busy


class Pools:
    """Lazily started thread and process workers. Thread-safe."""

    def __init__(
        self,
        max_workers: int,
        use_threads: bool,
        use_processes: bool,
        *,
        min_workers: int,
        auto_scale: bool,
    ) -> None:
        self.max_threads = max_workers
        self.max_processes = min(max_workers, usable_cpus())
        self.use_threads, self.use_processes = use_threads, use_processes
        self.router = Router()
        self._idle_timeout = IDLE_SECONDS if auto_scale else None
        # Begins with all workers, so that a few long tasks never wait for the search; what more
        # than useful cost shows with many tasks only, and then the search goes down.
        self._climbs: dict[Pooled, HillClimb] = {}
        if auto_scale:
            bounds: tuple[tuple[Pooled, int], ...] = (
                ("thread", self.max_threads),
                ("process", self.max_processes),
            )
            for kind, most in bounds:
                least = min(min_workers, most)
                if least < most:
                    self._climbs[kind] = HillClimb(least, most, start=most)
        self._lock = threading.Lock()
        self._threads: ThreadWorkers | None = None
        self._processes: ProcessWorkers | None = None

    def check_kind(self, kind: object) -> None:
        """Refuse an explicit kind that is switched off."""
        if kind == "thread" and not self.use_threads:
            raise ValueError("kind 'thread' was asked for, but use_threads is False")
        if kind == "process" and not self.use_processes:
            raise ValueError("kind 'process' was asked for, but use_processes is False")

    def choose(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Kind:
        """Return where a plain function should run: thread, process or inline.

        Without threads, what would have gone to one runs inline: a function that is not known to be
        free of side effects is not moved to another process for want of a thread.
        """
        if not (self.use_threads or self.use_processes):
            return "inline"
        kind = self.router.choose(fn, (*args, *kwargs.values()) if kwargs else args)
        if kind == "process" and not self.use_processes:
            kind = "thread"
        return "inline" if kind == "thread" and not self.use_threads else kind

    @property
    def threads(self) -> ThreadWorkers:
        """The thread workers, started if need be."""
        if self._threads is None:
            with self._lock:
                if self._threads is None:
                    self._threads = ThreadWorkers(
                        self.limit("thread"), name="raudo-async", idle_timeout=self._idle_timeout
                    )
        return self._threads

    @property
    def processes(self) -> ProcessWorkers:
        """The process workers, started if need be."""
        if self._processes is None:
            with self._lock:
                if self._processes is None:
                    self._processes = ProcessWorkers(
                        self.limit("process"), idle_timeout=self._idle_timeout
                    )
        return self._processes

    def limit(self, kind: Pooled) -> int:
        """Return how many workers of a kind may be busy now."""
        climb = self._climbs.get(kind)
        if climb is not None:
            return climb.limit
        return self.max_threads if kind == "thread" else self.max_processes

    def set_most(self, n: int) -> None:
        """Change how many threads there may be at most; the search goes on below."""
        with self._lock:
            self.max_threads = n
            climb = self._climbs.get("thread")
            if climb is not None:
                climb.maximum = max(n, climb.minimum)
            if self._threads is not None:
                self._threads.resize(self.limit("thread"))

    def scales(self, kind: Pooled) -> bool:
        """Say whether the number of these workers follows what throughput they bring."""
        return kind in self._climbs

    def record(self, kind: Pooled, elapsed_s: float | None) -> int:
        """Note that a worker finished a task, this long after the one before while others waited.

        None says that none waited, so that the throughput says nothing. Returns the new limit.
        """
        climb = self._climbs[kind]
        if elapsed_s is None:
            climb.reset_window()
            return climb.limit
        before = climb.limit
        limit = climb.record(1, elapsed_s)
        workers = self._threads if kind == "thread" else self._processes
        if limit != before and workers is not None:
            workers.resize(limit)
        return limit

    def counts(self) -> dict[str, int]:
        """Return how many workers there are now, and how many there may be."""
        threads, processes = self._threads, self._processes
        return {
            "threads": threads.n_workers if threads is not None else 0,
            "processes": processes.n_workers if processes is not None else 0,
            "thread_limit": self.limit("thread") if self.use_threads else 0,
            "process_limit": self.limit("process") if self.use_processes else 0,
            "max_threads": self.max_threads if self.use_threads else 0,
            "max_processes": self.max_processes if self.use_processes else 0,
        }

    def detach(self) -> tuple[ThreadWorkers | None, ProcessWorkers | None]:
        """Give up the workers, for the caller to close; the next use starts new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
            processes, self._processes = self._processes, None
        return threads, processes
