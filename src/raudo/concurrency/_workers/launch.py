"""Starts worker processes: by a fork server (default), by a fresh interpreter, or by a plain fork.

Whatever the way, a `Child` is a connected socket and the means to kill the process and to learn how
it ended. What this module holds is closed in forks that others make of this process, so that no
stray copy of a socket keeps a worker from noticing that its parent is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
import weakref
from typing import Protocol

from raudo.concurrency._workers import worker
from raudo.concurrency._workers.fork_server import ForkServer
from raudo.concurrency._workers.interpreters import popen, sigint_blocked
from raudo.concurrency._workers.server import Preload

__all__ = ["START_METHODS", "Child", "default_start_method", "fork_server", "start"]

START_METHODS = ("forkserver", "spawn", "fork")

_NOTHING = Preload()


class _Ending(Protocol):
    """How one start method learns of a process's end."""

    pid: int

    def reap(self, timeout: float | None) -> int | None:
        """Wait for the exit status; TimeoutError; None when somebody else took it."""
        ...

    def close(self) -> None: ...


class Child:
    """A worker process and this side's end of its socket."""

    def __init__(self, sock: socket.socket, ending: _Ending) -> None:
        self.sock = sock
        self.pid = ending.pid
        self._ending = ending
        self._lock = threading.Lock()
        self._reaped = False
        self._pidfd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(self.pid)

    def kill(self) -> None:
        """End the process at once; harmless when it has ended. Thread-safe."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._reaped:
                return
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until the process has ended; return its exit code, negative for a signal, None if
        somebody else took the status. Called by one thread, and once it returned not again.

        Raises:
            TimeoutError: It still runs.
        """
        if self._pidfd >= 0 and not _readable(self._pidfd, timeout):
            raise TimeoutError(f"process {self.pid} still runs")
        status = self._ending.reap(timeout)
        with self._lock:
            self._reaped = True
            self._ending.close()
            if self._pidfd >= 0:
                os.close(self._pidfd)
        return status


def _readable(fd: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def default_start_method() -> str:
    """Return "forkserver" where descriptors can be passed between processes, else "spawn"."""
    return "forkserver" if hasattr(os, "fork") and hasattr(socket, "send_fds") else "spawn"


def start(method: str, preload: Preload = _NOTHING) -> Child:
    """Start a worker process; OSError when the system has none to give.

    `preload` is what tasks are known to need: a fork server imports it once, for all its workers.
    """
    with _sockets.lock:
        ours, theirs = socket.socketpair()
        _sockets.ours.add(ours)
        _sockets.theirs = theirs
        try:
            if method == "forkserver":
                return Child(ours, fork_server.start(theirs, preload))
            return Child(ours, _Spawned(theirs) if method == "spawn" else _fork(theirs))
        except BaseException:
            ours.close()
            raise
        finally:
            _sockets.theirs = None
            theirs.close()


# --- plain fork -------------------------------------------------------------------------------


class _Forked:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def reap(self, timeout: float | None) -> int | None:
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                pid, status = os.waitpid(self.pid, 0 if until is None else os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(status)
                if until is not None and time.monotonic() >= until:
                    raise TimeoutError(f"process {self.pid} still runs")
                time.sleep(0.005)
        except ChildProcessError:  # somebody else waits for any child
            return None

    def close(self) -> None: ...


def _fork(theirs: socket.socket) -> _Forked:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()  # or the child would print what is buffered a second time
    with warnings.catch_warnings(), sigint_blocked():
        # 3.12+ warns that this process has threads. It does; fork was asked for by name.
        warnings.simplefilter("ignore", DeprecationWarning)
        _sockets.theirs = None  # the child is to keep it
        pid = os.fork()
        if pid == 0:
            worker.main(theirs, inherited=True)
    return _Forked(pid)


# --- fresh interpreter ------------------------------------------------------------------------


class _Spawned:
    def __init__(self, theirs: socket.socket) -> None:
        fd = theirs.fileno()
        self._process = popen(
            "raudo.concurrency._workers.worker",
            f"import socket; main(socket.socket(fileno={fd}), False)",
            fd,
        )
        self.pid = self._process.pid

    def reap(self, timeout: float | None) -> int | None:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs") from None

    def close(self) -> None: ...


# --- forks of this process --------------------------------------------------------------------


class _Sockets:
    """The sockets that a fork of this process must not keep open: end of file means the end."""

    def __init__(self) -> None:
        # Held while a worker starts: between two plain forks, so that neither child gets a copy of
        # the other's end.
        self.lock = threading.Lock()
        self.ours: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.theirs: socket.socket | None = None

    def close_in_fork(self) -> None:
        for sock in (*self.ours, self.theirs):
            if sock is not None:
                sock.close()
        self.__init__()  # type: ignore[misc]


_sockets = _Sockets()
fork_server = ForkServer()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sockets.close_in_fork)
