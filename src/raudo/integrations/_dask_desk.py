"""Tasks that are on a Dask cluster, and the desk at which their replies come in."""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

from raudo.concurrency._workers.failures import decode_error
from raudo.errors import ClusterUnavailable, WorkerDied
from raudo.integrations._dask_worker import Parcel, Reply

__all__ = ["Desk", "Task"]

distributed: Any = importlib.import_module("distributed")


class Task:
    """A task on the cluster, and who waits for it."""

    __slots__ = (
        "_send",
        "call",
        "future",
        "is_apart",
        "name",
        "observe",
        "remote",
        "shared",
        "timeout",
    )

    def __init__(
        self,
        send: Callable[[Task, bool], Any],
        future: Future[Any],
        name: str,
        call: Parcel,
        shared: Any,
        timeout: float | None,
        observe: Callable[..., object] | None,
    ) -> None:
        self._send, self.future, self.name = send, future, name
        self.call, self.shared, self.timeout, self.observe = call, shared, timeout, observe
        self.is_apart = False
        self.remote = send(self, False)

    def send_apart(self) -> None:
        """Send it once more, to where its death is nobody else's."""
        self.is_apart = True
        self.remote = self._send(self, True)


class Desk:
    """Where replies come in and are handed out, by a thread that is there while any are awaited."""

    def __init__(self, client: Any, on_error: Callable[[BaseException], object]) -> None:
        self._client, self._on_error = client, on_error
        self._lock = threading.Lock()
        self._tasks: dict[Future[Any], Task] = {}
        self._thread: threading.Thread | None = None
        self._replies: queue.SimpleQueue[tuple[Task, Reply | None, BaseException | None]]
        self._replies = queue.SimpleQueue()
        self._cancelled: list[Any] = []
        self._when_done: list[Callable[[], object]] = []
        self.n_bytes = 0

    @property
    def n_tasks(self) -> int:
        return len(self._tasks)

    def add(self, task: Task) -> None:
        with self._lock:
            self._tasks[task.future] = task
            self.n_bytes += task.call.n_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="raudo-dask", daemon=True)
                self._thread.start()
        task.future.add_done_callback(self._ended)
        self._client.loop.add_callback(self._watch, task)

    def _ended(self, future: Future[Any]) -> None:
        """Tell the cluster of what was cancelled here; of many at once, together."""
        task = self._tasks.get(future) if future.cancelled() else None
        if task is None:
            return
        with self._lock:
            self._cancelled.append(task.remote)
            is_first = len(self._cancelled) == 1
        if is_first:
            self._client.loop.add_callback(self._cancel)

    async def _cancel(self) -> None:
        with self._lock:
            remotes, self._cancelled = self._cancelled, []
        await self._client.cancel(remotes, asynchronous=True)

    async def _watch(self, task: Task) -> None:
        reply: Reply | None = None
        error: BaseException | None = None
        try:
            (reply,) = await self._client.gather([task.remote], asynchronous=True)
        except BaseException as raised:  # told to whoever waits; the loop is Dask's
            error = raised
        self._replies.put((task, reply, error))

    def _serve(self) -> None:
        while True:
            task, reply, error = self._replies.get()
            if isinstance(error, distributed.KilledWorker) and self._goes_apart(task):
                continue
            try:
                self._settle(task, reply, error)
            finally:
                done = self._dropped(task)
            del task, reply, error
            if done is not None:
                for each in done:
                    each()
                return

    def _goes_apart(self, task: Task) -> bool:
        """Have a task that Dask gave up run once more: workers may have died of its neighbours."""
        if task.is_apart or task.future.cancelled():
            return False
        with suppress(ClusterUnavailable):
            task.send_apart()
            self._client.loop.add_callback(self._watch, task)
            return True
        return False

    def _dropped(self, task: Task) -> list[Callable[[], object]] | None:
        """Forget a task; return what is to be done after the last."""
        with self._lock:
            del self._tasks[task.future]
            self.n_bytes -= task.call.n_bytes
            if self._tasks:
                return None
            self._thread = None
            done, self._when_done = self._when_done, []
            return done

    def _settle(self, task: Task, reply: Reply | None, error: BaseException | None) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        failure: BaseException | None = None
        value: Any = None
        if error is not None or reply is None:
            failure = _translated(error, task.name)
        elif not reply[0]:
            failure = decode_error(reply[1].payload)
        else:
            try:
                value, wall_s, cpu_s = reply[1].load()
                if task.observe is not None:
                    task.observe(value, wall_s, cpu_s)
            except BaseException as raised:
                failure = raised
        if failure is None:
            task.future.set_result(value)
        else:
            self._on_error(failure)
            task.future.set_exception(failure)

    def cancel_all(self) -> None:
        with self._lock:
            tasks = list(self._tasks.values())
        for task in tasks:
            task.future.cancel()

    def when_done(self, call: Callable[[], object], wait: bool) -> None:
        """Have `call` made once no task is awaited; with `wait` before this returns."""
        with self._lock:
            thread = self._thread
            if thread is not None:
                self._when_done.append(call)
        if thread is None:
            call()
        elif wait and thread is not threading.current_thread():
            thread.join()


def _translated(error: BaseException | None, name: str) -> BaseException:
    """Return what to tell of a task of which the cluster sent no reply."""
    if isinstance(error, distributed.KilledWorker):
        told: BaseException = WorkerDied(
            f"each worker that ran {name} died, {error.allowed_failures + 1} in a row"
        )
    elif isinstance(error, Exception) and not isinstance(error, CancelledError | OSError):
        return error  # raised by Dask in the worker: a module that is missing there, say
    else:
        told = ClusterUnavailable(f"the cluster gave up {name}: {error}")
    told.__cause__ = error
    return told
