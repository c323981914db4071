"""The threads that keep a worker process each: start it, hand it tasks, see it end.

A keeper waits for its own worker alone. So a worker that dies fails the task it ran and no other, a
task that is over its time is ended by killing its worker, and there are no shared queues, locks or
semaphores that a dying process could leave in a bad state, or leave behind.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

from raudo import events
from raudo.concurrency._workers import launch, wire, worker
from raudo.concurrency._workers.chunks import run_chunk_remotely
from raudo.concurrency._workers.crew import Crew
from raudo.concurrency._workers.failures import decode_error
from raudo.concurrency._workers.interpreters import environment
from raudo.concurrency._workers.main_module import find_main, is_importing_main
from raudo.concurrency._workers.pickling import Encoded, Encoder, name_of
from raudo.concurrency._workers.preloading import preload_for
from raudo.errors import InitializerFailed, TaskTimeout, WorkerDied

__all__ = ["Keepers", "Observe", "ProcessTask", "Unpicklable"]

_MAX_DEATHS_AT_START = 3  # in a row; then the pool is of no use
_MAX_SENT = 3  # a task that three workers in a row do not live to read is not sent again
_LEAVE_SECONDS = 5.0  # a worker that was told to leave and has not by then is killed


Observe = Callable[[Any, float, float], object]


class Unpicklable(TypeError):
    """A task cannot go to another process; it has not begun."""


class ProcessTask:
    """A call for a worker process, and its future."""

    __slots__ = (
        "args",
        "fn",
        "future",
        "is_stopped",
        "kwargs",
        "n_sent",
        "observe",
        "timeout",
        "worker",
    )

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        timeout: float | None,
        future: Future[Any] | None,
        observe: Observe | None,
    ) -> None:
        self.future: Future[Any] = Future() if future is None else future
        self.fn, self.args, self.kwargs, self.timeout = fn, args, kwargs, timeout
        self.observe = observe
        self.worker: _Worker | None = None  # the one that runs it
        self.is_stopped = False
        self.n_sent = 0  # to workers that ended before they read it

    @property
    def called(self) -> Callable[..., Any]:
        """The user's function, not what runs it."""
        called: Callable[..., Any] = self.args[0] if self.fn is run_chunk_remotely else self.fn
        return called

    @property
    def name(self) -> str:
        """What the task is called in messages."""
        return name_of(self.called)

    def encode(self, encoder: Encoder) -> Encoded:
        try:
            return encoder.encode((self.fn, self.args, dict(self.kwargs)))
        except Exception as cause:  # whatever a user's __reduce__ raises
            raise Unpicklable(
                f"the task {self.name} or its arguments cannot be pickled, and so cannot go "
                f"to a worker process: {cause}"
            ) from cause


class _Worker:
    """A worker process and the channel to it."""

    def __init__(self, child: launch.Child) -> None:
        self.child = child
        self.channel = wire.Channel(child.sock)
        self.is_cancelled = False

    def exchange(self, kind: int, message: Encoded, timeout: float | None) -> wire.Message:
        """Send a message and wait for the reply."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self.channel.send(kind, message, deadline)
        return self.channel.receive(deadline)

    def end(self) -> int | None:
        """Tell the worker to leave by closing the socket, and wait for it; return its status."""
        self.channel.close()
        try:
            return self.child.wait(_LEAVE_SECONDS)
        except TimeoutError:
            self.child.kill()
            return self.child.wait()


class Keepers(Crew[ProcessTask]):
    """The queue, the keeper threads and their workers."""

    can_stop = True

    def __init__(
        self,
        max_workers: int,
        start_method: str,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        idle_timeout: float | None = None,
    ) -> None:
        super().__init__(max_workers, "raudo-process", self._keep, idle_timeout)
        self._start_method = start_method
        self._initializer = None if initializer is None else (initializer, initargs)
        self._workers: set[_Worker] = set()
        self._claimed: dict[Future[Any], ProcessTask] = {}  # tasks that a keeper has taken
        self._is_stopping = False
        self._n_deaths_at_start = 0

    def _keep(self) -> None:
        kept: _Worker | None = None
        encoder = Encoder()
        try:
            while (task := self.take()) is not None:
                with self.lock:
                    self._claimed[task.future] = task
                if task.future.set_running_or_notify_cancel():
                    kept = self._run(task, kept, encoder)
                else:
                    self._release(task)
                del task  # an idle keeper keeps nothing of its last task alive
        finally:
            if kept is not None:
                self._end(kept)

    def _run(self, task: ProcessTask, kept: _Worker | None, encoder: Encoder) -> _Worker | None:
        """Run one task; return the worker that may run the next."""
        try:
            message = task.encode(encoder)
        except Unpicklable as unpicklable:
            self._release(task)
            task.future.set_exception(unpicklable)
            return kept
        try:
            if kept is not None and kept.channel.is_hung_up():
                self._end(kept, "ended while idle")
                kept = None
            if kept is None:
                kept = self._start(task.called)
        except Exception as error:
            self._release(task)
            task.future.set_exception(error)
            return None
        with self.lock:
            task.worker = kept
            is_stopped = task.is_stopped
        if is_stopped:  # while its worker started
            self._release(task)
            task.future.set_exception(CancelledError("the task was cancelled"))
            return kept
        try:
            reply = kept.exchange(wire.TASK, message, task.timeout)
        except TimeoutError:
            self._release(task)
            kept.child.kill()
            self._end(kept, "a task's timeout")
            task.future.set_exception(
                TaskTimeout(
                    f"{task.name} ran longer than {task.timeout:g} s; its worker was killed"
                )
            )
            return None
        except wire.NeverRead:
            # The worker ended while idle, and the task was sent all the same: it has not begun.
            task.n_sent += 1
            if task.is_stopped or kept.is_cancelled or task.n_sent >= _MAX_SENT:
                self._release(task)
                task.future.set_exception(self._died(kept, f"getting {task.name}", task.is_stopped))
                return None
            with self.lock:
                task.worker = None
            kept.child.kill()
            self._end(kept, "ended while idle")
            return self._run(task, None, encoder)
        except wire.ChannelClosed:
            self._release(task)
            task.future.set_exception(self._died(kept, f"running {task.name}", task.is_stopped))
            return None
        self._release(task)
        if reply.lost is not None:
            task.future.set_exception(reply.lost)
            return kept
        if reply.kind == wire.ERROR:
            task.future.set_exception(decode_error(reply.payload))
            return kept
        try:
            value, wall_s, cpu_s = reply.load()
            if task.observe is not None:
                task.observe(value, wall_s, cpu_s)
        except BaseException as error:  # whatever a user's __setstate__ raises
            task.future.set_exception(error)
        else:
            task.future.set_result(value)
        return kept

    def _release(self, task: ProcessTask) -> None:
        """Let go of a task before its worker may do anything else: it can be stopped no more."""
        with self.lock:
            task.worker = None
            del self._claimed[task.future]

    # --- starting and ending workers --------------------------------------------------------

    def _start(self, fn: Callable[..., Any]) -> _Worker:
        """Start a worker that is to run `fn` first."""
        if is_importing_main():
            raise RuntimeError(
                "worker processes cannot start while a worker imports the program's script: put "
                'the part of it that does the work under `if __name__ == "__main__":`'
            )
        initializer = None
        if self._initializer is not None:
            initializer = bytes(Encoder().encode(self._initializer).payload)
        start_up = worker.StartUp(
            environment=environment(),
            sys_path=sys.path,
            argv=sys.argv,
            folder=_current_folder(),
            main=find_main(),
            initializer=initializer,
        )
        # Workers know the script's classes by this name; so must whoever loads their results.
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
        started = _Worker(launch.start(self._start_method, preload_for(fn)))
        with self.lock:
            self._workers.add(started)
            is_stopping = self._is_stopping
        if is_stopping:
            self._stop(started)
        try:
            hello = Encoded(pickle.dumps(start_up, protocol=5), [])
            reply = started.exchange(wire.START, hello, None)
        except wire.ChannelClosed:
            died = self._died(started, "starting")
            self._n_deaths_at_start += 1
            if self._n_deaths_at_start >= _MAX_DEATHS_AT_START and isinstance(died, WorkerDied):
                self.fail_all(died)
            raise died from None
        self._n_deaths_at_start = 0
        if reply.kind == wire.ERROR:
            cause = decode_error(reply.payload)
            self._end(started)
            failed = InitializerFailed(f"a worker process's initializer raised {cause!r}")
            failed.__cause__ = cause
            self.fail_all(failed)
            raise failed
        return started

    def _died(
        self, dead: _Worker, doing: str, is_stopped: bool = False
    ) -> WorkerDied | CancelledError:
        """Bury a worker whose socket closed under a task; return what to tell the task."""
        dead.child.kill()  # the socket may have been closed by the task, the worker may live on
        status = self._end(dead, "died")
        if is_stopped or dead.is_cancelled:
            return CancelledError("the task was cancelled while it ran; its worker was killed")
        return WorkerDied(f"worker process {dead.child.pid} {_describe(status)} while {doing}")

    def _end(self, kept: _Worker, reason: str = "") -> int | None:
        status = kept.end()
        with self.lock:
            self._workers.discard(kept)
        if reason:
            events.emit(events.WorkerReplaced(kept.child.pid, f"{reason}: {_describe(status)}"))
        return status

    def stop_running(self) -> None:
        """Kill every worker: the tasks they run end as cancelled."""
        with self.lock:
            self._is_stopping = True
            workers = list(self._workers)
        for each in workers:
            self._stop(each)

    def _stop(self, doomed: _Worker) -> None:
        doomed.is_cancelled = True
        doomed.child.kill()

    def stop_task(self, future: Future[Any]) -> bool:
        """Kill the worker that runs this future's task; False if none does."""
        with self.lock:  # held while killing: the worker must not have gone on to another task
            task = self._claimed.get(future)
            if task is None:
                return False
            task.is_stopped = True
            if task.worker is not None:
                task.worker.child.kill()
            return True

    def pids(self) -> list[int]:
        """Return the process ids of the workers alive now."""
        with self.lock:
            return [each.child.pid for each in self._workers]


def _describe(status: int | None) -> str:
    if status is None:
        return "ended (its exit status is not known)"
    if status >= 0:
        return f"exited with code {status}"
    try:
        return f"was ended by signal {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.sep
