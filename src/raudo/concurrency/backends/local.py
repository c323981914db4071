"""The engine of this machine: threads and worker processes, started on first use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from raudo._core.jobs import JobQueue
from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.processes import ProcessWorkers
from raudo.concurrency._workers.threads import ThreadWorkers
from raudo.concurrency.backends import Settings
from raudo.concurrency.routing import Kind, Router
from raudo.concurrency.scaling import HillClimb
from raudo.errors import Closed

__all__ = ["LocalBackend"]

_CHUNK_SECONDS = 0.020
_IDLE_SECONDS = 10.0  # with auto_scale, workers without work leave after this long


class LocalBackend:
    """Threads and processes of this machine. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._is_closed = False
        self._pools: dict[Kind, ThreadWorkers | ProcessWorkers] = {}
        # Threads begin at the most: a few long tasks must not wait for a search. Processes beyond
        # the CPUs cost memory and seldom help: the search has to find that they do.
        n_processes = settings.max_processes
        if settings.auto_scale:
            n_processes = min(n_processes, usable_cpus())
        self._scales: dict[Kind, _AutoScale] = {
            "thread": _AutoScale(settings.max_threads, settings.max_threads),
            "process": _AutoScale(settings.max_processes, n_processes),
        }
        self.router = Router(process_s=20e-6)  # what is sent in chunks costs less

    def slots(self, kind: Kind) -> int:
        if kind == "inline":
            return 1
        return self._scales[kind].limit

    def ahead(self, kind: Kind) -> int:
        return 2 * self.slots(kind)

    @property
    def chunk_s(self) -> float:
        return _CHUNK_SECONDS

    def share(self, value: Any) -> Any:
        return value

    def is_warm(self, kind: Kind) -> bool:
        pool = self._pools.get(kind)
        return pool is not None and pool.n_workers > 0

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
        pool = self._pools.get(kind) or self._pool(kind)
        if kind == "thread" and observe is None:
            return pool.submit(fn, args, kwargs, future=future)
        if isinstance(pool, ProcessWorkers):
            submitted = pool.submit(
                fn, args, kwargs, timeout=timeout, future=future, observe=observe
            )
            if self._settings.auto_scale:
                scale = self._scales[kind]
                submitted.add_done_callback(lambda _: scale.task_ended(pool))
            return submitted
        return pool.submit(_observed, (observe, fn, args, kwargs), future=future)

    def _pool(self, kind: Kind) -> ThreadWorkers | ProcessWorkers:
        pool = self._pools.get(kind)
        if pool is not None:
            return pool
        settings = self._settings
        idle_timeout = _IDLE_SECONDS if settings.auto_scale else None
        with self._lock:
            if self._is_closed:
                raise Closed("cannot submit: the executor was shut down")
            if kind not in self._pools:
                if kind == "thread":
                    self._pools[kind] = ThreadWorkers(
                        self._scales[kind].limit,
                        initializer=settings.initializer,
                        initargs=settings.initargs,
                        idle_timeout=idle_timeout,
                        on_window=self._scales["thread"].record if settings.auto_scale else None,
                    )
                else:
                    self._pools[kind] = ProcessWorkers(
                        self._scales[kind].limit,
                        start_method=settings.start_method,
                        initializer=settings.initializer,
                        initargs=settings.initargs,
                        idle_timeout=idle_timeout,
                    )
            return self._pools[kind]

    def thread_queue(self) -> JobQueue | None:
        pool = self._pools.get("thread")
        return pool.queue if isinstance(pool, ThreadWorkers) else None

    def stop(self, future: Future[Any]) -> bool:
        if future.cancel():
            return True
        pool = self._pools.get("process")
        return isinstance(pool, ProcessWorkers) and pool.cancel_running(future)

    def replace_stuck_thread(self) -> None:
        pool = self._pools["thread"]
        pool.resize(pool.max_workers + 1)

    def cancel_queued(self) -> None:
        for pool in list(self._pools.values()):
            pool.cancel_queued()

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        with self._lock:
            self._is_closed = True
            pools = list(self._pools.values())
        for pool in pools:
            pool.close(wait=False, cancel=cancel)
        for pool in pools:
            # Killed processes are gone at once; a thread may never be.
            if wait or (cancel and isinstance(pool, ProcessWorkers)):
                pool.close(wait=True, cancel=cancel)

    def stats(self) -> dict[str, Any]:
        report: dict[str, Any] = {}
        kinds: tuple[tuple[Kind, str], ...] = (("thread", "threads"), ("process", "processes"))
        for kind, name in kinds:
            pool = self._pools.get(kind)
            most = self._settings.max_threads if kind == "thread" else self._settings.max_processes
            report[name] = {
                "workers": pool.n_workers if pool else 0,
                "busy": pool.n_busy if pool else 0,
                "queue_size": pool.queue_size if pool else 0,
                "limit": self._scales[kind].limit,
                "max": most,
            }
        return report


def _observed(
    observe: Callable[[Any, float, float, float], object],
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    wall, cpu, busy = time.perf_counter(), time.thread_time(), time.process_time()
    value = fn(*args, **kwargs)
    wall = time.perf_counter() - wall
    observe(value, wall, time.thread_time() - cpu, time.process_time() - busy)
    return value


class _AutoScale:
    """Feeds a `HillClimb` with what ends while tasks wait, and resizes the pool to its limit."""

    def __init__(
        self, maximum: int, start: int, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._now = now
        self._climb = HillClimb(1, maximum, start=start)
        self._lock = threading.Lock()
        self._since: float | None = None

    @property
    def limit(self) -> int:
        return self._climb.limit

    def record(self, n_tasks: int, seconds: float) -> int:
        """Note a window in which tasks always waited; return the new limit."""
        return self._climb.record(n_tasks, seconds)

    def task_ended(self, pool: ProcessWorkers) -> None:
        now = self._now()
        with self._lock:
            if pool.queue_size == 0:  # workers are or become idle: it says nothing of the limit
                self._since = None
                self._climb.reset_window()
                return
            since, self._since = self._since, now
            if since is None:
                return
            limit = self._climb.record(1, now - since)
            if limit != pool.max_workers:
                pool.resize(limit)
