"""Dask as the engine of executors and maps: the same calls on many machines.

    client = Client("tcp://10.0.0.1:8786")
    parallel_map(fn, items, backend=client)
    ParallelExecutor(backend=client)

Extra `dask` (dask[distributed]); the workers need raudo too, and what the functions import. "auto"
and "process" run on the cluster, "thread" and "inline" here; what "auto" finds not to pickle runs
on a thread here.

`backend="dask"` takes the cluster that this is a task of, else the client that is current, else the
scheduler that Dask's configuration names (`DASK_SCHEDULER_ADDRESS`), else it starts a cluster of
processes on this machine for as long as it is open: `max_processes` of them, with `auto_scale` one
to that many, by what there is to do.

A task whose worker dies is run again, by Dask, on another one: at least once. When Dask gives it
up, after the fourth, it is run once more in a process below its worker: only if that dies it was
the task, and it fails with `WorkerDied`. A task with a timeout runs in such a process from the
beginning, and is killed; any other cannot be stopped once it runs, and when it is cancelled goes on
unheeded. Tasks that are not done when the interpreter exits are lost: close the executor before.
"""

from __future__ import annotations

import importlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from raudo._core.jobs import JobQueue
from raudo.concurrency._workers.chunks import run_chunk_remotely
from raudo.concurrency._workers.keepers import Unpicklable
from raudo.concurrency._workers.pickling import Encoder, name_of
from raudo.concurrency._workers.travel import arguments_pickle
from raudo.concurrency.backends import Settings
from raudo.concurrency.backends.local import LocalBackend
from raudo.concurrency.routing import Kind, Router
from raudo.errors import Closed, ClusterUnavailable, InitializerFailed, MissingExtra
from raudo.integrations._dask_worker import SHARED, Parcel, keep, run_task

try:
    from raudo.integrations._dask_desk import Desk, Task, distributed
except ImportError as error:
    raise MissingExtra("Dask", "dask") from error

__all__ = ["DaskBackend"]

config: Any = importlib.import_module("dask").config

_CHUNK_SECONDS = 0.1  # a task costs the scheduler about a millisecond, and 10 ms to and fro
_SHARED_BYTES = 64 * 1024  # what is smaller goes with each task
# Dask asks for workers by the seconds of work that wait, five for each by default.
_AHEAD = 50
_AHEAD_BYTES = 256 << 20
_SIZE_SECONDS = 1.0  # how old the number of workers may be


class DaskBackend:
    """Tasks on a Dask cluster. Thread-safe.

    Args:
        settings: As for every engine.
        client: A synchronous client. It is left open, and its cluster as it is: `cluster.adapt` is
            for whoever made it.
    """

    def __init__(self, settings: Settings, client: Any = None) -> None:
        self._settings = settings
        self._cluster: Any = None
        self._seceded: int | None = None
        self._owns_client = client is None
        self._client: Any = self._opened() if client is None else client
        if not isinstance(self._client, distributed.Client) or self._client.asynchronous:
            raise TypeError(f"backend is {self._client!r}, a synchronous dask Client is wanted")
        self._local = LocalBackend(settings)
        self.router = _ClusterRouter()
        self._size = _Size(self._client)
        self._token = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._setup: Any = None
        if settings.initializer is not None:
            self._setup = self._kept(_parcel((settings.initializer, tuple(settings.initargs))))
        self._lock = threading.RLock()
        self._is_closed = False
        self._broken: InitializerFailed | None = None
        self._desk = Desk(self._client, self._note_failure)

    def _opened(self) -> Any:
        with suppress(ValueError):  # this is not one of Dask's tasks
            distributed.get_worker()
            self._owns_client = False
            client = distributed.get_client()
            # Its thread is free for those that are waited for, until it is done with them.
            distributed.secede()
            self._seceded = threading.get_ident()
            return client
        with suppress(ValueError):  # there is none
            client = distributed.default_client()
            self._owns_client = False
            return client
        if config.get("scheduler-address", None):
            return distributed.Client(set_as_default=False)
        settings = self._settings
        most = settings.max_processes
        self._cluster = distributed.LocalCluster(
            n_workers=1 if settings.auto_scale else most,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
        )
        if settings.auto_scale:
            self._cluster.adapt(minimum=1, maximum=most, interval="500ms", target_duration="2s")
        return distributed.Client(self._cluster, set_as_default=False)

    # --- how much -------------------------------------------------------------------------------

    def slots(self, kind: Kind) -> int:
        if kind != "process":
            return self._local.slots(kind)
        n_threads = self._size.most_threads()
        most = self._settings.most_at_once
        return n_threads if most is None else min(most, n_threads)

    def ahead(self, kind: Kind) -> int:
        if kind != "process":
            return self._local.ahead(kind)
        n_slots = self.slots(kind)
        if self._settings.most_at_once is not None:
            return n_slots  # the cluster may have room for more: what waits would run
        return n_slots * (2 if self._desk.n_bytes > _AHEAD_BYTES else _AHEAD)

    @property
    def chunk_s(self) -> float:
        return _CHUNK_SECONDS

    def is_warm(self, kind: Kind) -> bool:
        return kind == "process" or self._local.is_warm(kind)

    # --- tasks ----------------------------------------------------------------------------------

    def share(self, value: Any) -> Any:
        if isinstance(value, _Sent):
            return value
        try:
            parcel = _parcel(value)
        except Exception:  # as in each task: told there
            return value
        return value if parcel.n_bytes < _SHARED_BYTES else _Sent(value, self._kept(parcel))

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
        if kind != "process":
            return self._local.submit(
                kind, fn, args, kwargs, timeout=timeout, future=future, observe=observe
            )
        if future is None:
            future = Future()
        self._refuse_if_over()
        shared: Any = None
        name = name_of(args[0] if fn is run_chunk_remotely else fn)
        if isinstance(fn, _Sent):
            shared, fn = fn.remote, SHARED
        elif args and isinstance(args[0], _Sent):
            shared, args = args[0].remote, (SHARED, *args[1:])
        try:
            call = _parcel((fn, args, dict(kwargs)))
        except Exception as cause:  # whatever a user's __reduce__ raises
            error = Unpicklable(
                f"the task {name} or its arguments cannot be pickled, and so cannot go to a worker "
                f"process: {cause}"
            )
            error.__cause__ = cause
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return future
        with self._lock:  # so that close() knows of it
            self._refuse_if_over()
            self._desk.add(Task(self._send, future, name, call, shared, timeout, observe))
        return future

    def _send(self, task: Task, is_apart: bool) -> Any:
        call, name = task.call, task.name
        args = call, task.shared, self._setup, self._token, name, task.timeout, is_apart
        return self._remote(name, call.n_bytes, run_task, *args)

    def _refuse_if_over(self) -> None:
        if self._is_closed:
            raise Closed("cannot submit: the executor was shut down")
        if self._broken is not None:
            raise InitializerFailed(str(self._broken)) from self._broken.__cause__

    def _kept(self, parcel: Parcel) -> Any:
        """Send a parcel for many tasks. As a task's result, and not scattered, so that it is not
        lost with the worker that holds it."""
        return self._remote("shared", parcel.n_bytes, keep, parcel)

    def _remote(self, name: str, n_bytes: int, fn: Callable[..., Any], *args: Any) -> Any:
        # Tasks of one group, as their keys say, are spread by what workers have to do.
        key = (f"raudo-{name}-{self._token}", next(self._numbers))
        try:
            if n_bytes < 1 << 20:
                return self._client.submit(fn, *args, key=key, pure=False)
            # Dask warns of large tasks; it cannot know that these are sent once.
            with config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
                return self._client.submit(fn, *args, key=key, pure=False)
        except Exception as error:  # a client that is closed says so in many ways
            raise ClusterUnavailable(f"the cluster takes no task: {error}") from error

    def _note_failure(self, error: BaseException) -> None:
        if isinstance(error, InitializerFailed):
            self._broken = error

    def stop(self, future: Future[Any]) -> bool:
        return future.cancel() or self._local.stop(future)

    def thread_queue(self) -> JobQueue | None:
        return self._local.thread_queue()

    def replace_stuck_thread(self) -> None:
        self._local.replace_stuck_thread()

    def cancel_queued(self) -> None:
        self._local.cancel_queued()
        self._desk.cancel_all()

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        with self._lock:
            self._is_closed = True
        self._local.close(wait, cancel)
        if cancel:
            self._desk.cancel_all()
        self._desk.when_done(self._let_go, wait or cancel)
        if self._seceded == threading.get_ident():
            self._seceded = None
            distributed.rejoin()

    def _let_go(self) -> None:
        with self._lock:
            self._setup = None
            owns_client, self._owns_client = self._owns_client, False
            cluster, self._cluster = self._cluster, None
        if owns_client:
            self._client.close()
        if cluster is not None:
            cluster.close()

    def stats(self) -> dict[str, Any]:
        limit = self.slots("process")
        n_tasks = self._desk.n_tasks
        cluster = {
            "workers": self._size.n_workers,
            "busy": min(n_tasks, limit),
            "queue_size": max(0, n_tasks - limit),
            "limit": limit,
            "max": self._size.most_threads(),
        }
        return {"threads": self._local.stats()["threads"], "processes": cluster}


def _parcel(value: Any) -> Parcel:
    return Parcel.of(Encoder(shares_main=False).encode(value))


class _Sent:
    """A value that is on the cluster; here it does what it did before."""

    def __init__(self, value: Any, remote: Any) -> None:
        self.value, self.remote = value, remote
        self.__qualname__ = name_of(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value(*args, **kwargs)


class _Size:
    """How many workers and threads the cluster has; asked in the background, when it is read."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._asked = time.monotonic()
        try:
            self._set(client.nthreads())
        except Exception as error:  # a client that is closed says so in many ways
            raise ClusterUnavailable(f"{client!r} does not answer: {error}") from error

    def _set(self, threads: Mapping[str, int]) -> None:
        self.n_workers, self._n_threads = len(threads), sum(threads.values())

    def most_threads(self) -> int:
        """Return how many tasks run at once, or will once a cluster that adapts has grown."""
        now = time.monotonic()
        if now - self._asked > _SIZE_SECONDS:
            self._asked = now
            self._client.loop.add_callback(self._ask)
        n_threads = max(1, self._n_threads)
        adaptive = getattr(self._client.cluster, "_adaptive", None)
        if adaptive is None:
            return n_threads
        each = n_threads / max(1, self.n_workers)
        return max(n_threads, int(min(adaptive.maximum * each, 2 * n_threads)))

    async def _ask(self) -> None:
        with suppress(OSError, ValueError):  # the client is closed, or the scheduler gone
            self._set(await self._client.nthreads())


class _ClusterRouter(Router):
    """Sends every function to the cluster but what does not pickle."""

    def choose(self, fn: Callable[..., Any], args: tuple[Any, ...] = ()) -> Kind:
        with self._lock:
            stays = self._record(fn).stays
        return "process" if stays is None and all(map(_travels, args)) else "thread"

    def is_known(self, fn: Callable[..., Any]) -> bool:
        return True

    def observe(
        self, fn: Callable[..., Any], kind: str, wall_s: float, cpu_s: float, **more: Any
    ) -> None:
        more.pop("result", None)  # whether results pickle need not be asked: they came
        super().observe(fn, kind, wall_s, cpu_s, **more)

    def _why_it_stays(self, fn: Callable[..., Any]) -> str | None:
        return None if _travels(fn) else "it does not pickle"

    def _decide(self, record: Any) -> tuple[Kind, str]:
        if record.stays is not None:
            return "thread", record.stays
        return "process", "the cluster runs what pickles"


def _travels(value: object) -> bool:
    if arguments_pickle(value):
        return True
    try:
        Encoder(shares_main=False).encode(value)
    except Exception:  # whatever a user's __reduce__ raises
        return False
    return True
