"""What runs in Dask's workers, and how calls and results travel: as pickles of our own.

They are made and read as for local worker processes, so that exceptions, results that do not
pickle, functions of a notebook and arrays behave alike. What is read-only and has been sent once
for many tasks is not copied for each.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from raudo.concurrency._workers.calls import run_call
from raudo.concurrency._workers.cpus import usable_cpus
from raudo.concurrency._workers.failures import encode_error
from raudo.concurrency._workers.pickling import Encoded, Encoder
from raudo.concurrency._workers.processes import ProcessWorkers
from raudo.errors import InitializerFailed, TaskTimeout, WorkerDied

__all__ = ["SHARED", "Parcel", "Reply", "keep", "run_task"]

_IDLE_SECONDS = 10.0  # a process below this one leaves after this long without a task


class _Shared:
    """Stands in a call for the value that was sent beforehand."""


SHARED = _Shared


class Parcel:
    """A pickle and its buffers. Immutable: a worker may hold one for many tasks."""

    __slots__ = ("buffers", "n_bytes", "payload")

    def __init__(self, payload: Any, buffers: list[Any]) -> None:
        self.payload = payload
        self.buffers: list[tuple[Any, bool]] = buffers
        self.n_bytes = len(payload) + sum(memoryview(data).nbytes for data, _ in buffers)

    @classmethod
    def of(cls, encoded: Encoded) -> Parcel:
        """Take over what an encoder made, which is free for its next pickle."""
        return cls(bytes(encoded.payload), [(view, view.readonly) for view in encoded.buffers])

    def load(self) -> Any:
        """Unpickle; what was writable is a copy of the caller's own."""
        buffers = [
            memoryview(data).toreadonly() if is_read_only else bytearray(data)
            for data, is_read_only in self.buffers
        ]
        return pickle.loads(self.payload, buffers=buffers)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol < 5:
            return Parcel, (self.payload, [(bytes(data), flag) for data, flag in self.buffers])
        as_buffer = pickle.PickleBuffer
        return Parcel, (
            as_buffer(self.payload),
            [(as_buffer(data), is_read_only) for data, is_read_only in self.buffers],
        )


Reply = tuple[bool, Parcel]
"""Whether the call succeeded, and `(value, wall_s, cpu_s)` or an encoded error."""


def keep(parcel: Parcel) -> Parcel:
    """Return it: a task whose result others depend on. Dask makes it anew if its worker is lost."""
    return parcel


def run_task(
    call: Parcel,
    shared: Parcel | None,
    setup: Parcel | None,
    token: str,
    name: str,
    timeout: float | None,
    is_apart: bool,
) -> Reply:
    """Make the call of a parcel, `(fn, args, kwargs)`; nothing is raised.

    `setup` is `(initializer, initargs)`, run once in each process for each `token`. With a timeout
    (seconds, from the beginning), or where it is to be `apart`, the call is made in a process below
    this one, which may be killed.
    """
    if timeout is None and not is_apart:
        return _run(call, shared, setup, token)
    workers = _apart_workers()
    future = workers.submit(_run, (call, shared, setup, token), timeout=timeout)
    try:
        reply: Reply = future.result()
    except TaskTimeout:
        over = TaskTimeout(f"{name} ran longer than {timeout:g} s; its process was killed")
        return False, _failure(over)
    except WorkerDied as died:
        return False, _failure(WorkerDied(f"{name} ended its process: {died}"))
    except BaseException as error:
        return False, _failure(error)
    return reply


def _run(call: Parcel, shared: Parcel | None, setup: Parcel | None, token: str) -> Reply:
    if setup is not None and (failure := _prepare(setup, token)) is not None:
        return False, failure
    succeeded, encoded = run_call(partial(_load, call, shared), Encoder(shares_main=False))
    return succeeded, Parcel.of(encoded)


def _load(call: Parcel, shared: Parcel | None) -> tuple[Any, ...]:
    fn, args, kwargs = call.load()
    if shared is not None:
        value = shared.load()
        fn, args = (value, args) if fn is SHARED else (fn, (value, *args[1:]))
    return fn, args, kwargs


def _failure(error: BaseException) -> Parcel:
    return Parcel(encode_error(error), [])


# --- per process ------------------------------------------------------------------------------

_lock = threading.Lock()
_prepared: dict[str, Parcel | None] = {}  # by token: what the initializer raised
_apart: ProcessWorkers | None = None


def _prepare(setup: Parcel, token: str) -> Parcel | None:
    with _lock:  # the others wait for the one that runs it
        if token not in _prepared:
            _prepared[token] = _initialize(setup)
        return _prepared[token]


def _initialize(setup: Parcel) -> Parcel | None:
    try:
        initializer: Callable[..., object]
        initializer, initargs = setup.load()
        initializer(*initargs)
    except BaseException as cause:
        error = InitializerFailed(f"a worker process's initializer raised {cause!r}")
        error.__cause__ = cause
        return _failure(error)
    return None


def _apart_workers() -> ProcessWorkers:
    """Return the processes below this one; more than there are threads to ask are never started."""
    global _apart
    with _lock:
        if _apart is None:
            _apart = ProcessWorkers(max(64, usable_cpus()), idle_timeout=_IDLE_SECONDS)
        return _apart
