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
from collections.abc import Iterator
from typing import Protocol

from raudo.concurrency._workers import server, worker

__all__ = ["START_METHODS", "Child", "default_start_method", "start"]

START_METHODS = ("forkserver", "spawn", "fork")

# Threads of a numerical library in each of several workers fight for the same cores.
_ONE_THREAD_EACH = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


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


def start(method: str, preload: worker.MainModule | None = None) -> Child:
    """Start a worker process; OSError when the system has none to give.

    `preload` is the program's script, if tasks are known to need it: a fork server that starts for
    this imports it once, for all its workers.
    """
    with _sockets.lock:
        ours, theirs = socket.socketpair()
        _sockets.ours.add(ours)
        _sockets.theirs = theirs
        try:
            if method == "forkserver":
                return Child(ours, _server.start(theirs, preload))
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
    with warnings.catch_warnings(), _sigint_blocked():
        # 3.12+ warns that this process has threads. It does; fork was asked for by name.
        warnings.simplefilter("ignore", DeprecationWarning)
        _sockets.theirs = None  # the child is to keep it
        pid = os.fork()
        if pid == 0:
            worker.main(theirs, inherited=True)
    return _Forked(pid)


# --- fresh interpreter ------------------------------------------------------------------------


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Keep Ctrl-C from a child that is not ready for it; it unblocks the signal when it is."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _popen(module: str, call: str, fd: int) -> subprocess.Popen[bytes]:
    """Run `module.call` in a fresh interpreter that inherits descriptor `fd`."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.argv[:] = {sys.argv!r}; "
        f"from {module} import main; {call}"
    )
    environment = {**dict.fromkeys(_ONE_THREAD_EACH, "1"), **os.environ}
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    with _sigint_blocked():
        return subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=[fd],
            env=environment,
        )


class _Spawned:
    def __init__(self, theirs: socket.socket) -> None:
        fd = theirs.fileno()
        self._process = _popen(
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


# --- fork server ------------------------------------------------------------------------------


class _Served:
    """A worker that the fork server forked; the server reports through `report_fd`."""

    def __init__(self, report_fd: int, pid: int, owner: _ForkServer) -> None:
        self.pid = pid
        self._report_fd = report_fd
        self._owner = owner

    def reap(self, timeout: float | None) -> int | None:
        if timeout is not None and not _readable(self._report_fd, timeout):
            raise TimeoutError(f"process {self.pid} still runs")
        try:
            (status,) = server.STATUS.unpack(_read_exactly(self._report_fd, server.STATUS.size))
        except EOFError:  # the server was killed, and its workers with it
            return None
        return int(status)

    def close(self) -> None:
        os.close(self._report_fd)
        self._owner.release()


def _read_exactly(fd: int, n_bytes: int) -> bytes:
    content = b""
    while len(content) < n_bytes:
        part = os.read(fd, n_bytes - len(content))
        if not part:
            raise EOFError("the fork server ended")
        content += part
    return content


class _ForkServer:
    """This process's fork server: started with the first worker, ended with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._n_workers = 0

    def start(self, theirs: socket.socket, preload: worker.MainModule | None) -> _Served:
        with self._lock:
            try:
                try:
                    served = self._request(theirs, preload)
                except (EOFError, BrokenPipeError, ConnectionResetError):
                    self._stop()  # it was killed since the last request: a new one does as well
                    served = self._request(theirs, preload)
            except BaseException:
                if self._n_workers == 0:
                    self._stop()
                raise
            self._n_workers += 1
            return served

    def _request(self, theirs: socket.socket, preload: worker.MainModule | None) -> _Served:
        control = self._ensure(preload)
        report_r, report_w = os.pipe()
        try:
            try:
                socket.send_fds(control, [b"w"], [theirs.fileno(), report_w])
            finally:
                os.close(report_w)
            (pid,) = server.PID.unpack(_read_exactly(report_r, server.PID.size))
        except BaseException:
            os.close(report_r)
            raise
        return _Served(report_r, pid, self)

    def _ensure(self, preload: worker.MainModule | None) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            try:
                fd = theirs.fileno()
                self._process = _popen(
                    "raudo.concurrency._workers.server", f"main({fd}, {tuple(preload or ())})", fd
                )
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._control = ours
        return self._control

    def release(self) -> None:
        with self._lock:
            self._n_workers -= 1
            if self._n_workers == 0:
                self._stop()

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """In a fork of this process: the server is the parent's."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # not ours to wait for
        self.__init__()  # type: ignore[misc]


_server = _ForkServer()


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


def _after_fork_in_child() -> None:
    _sockets.close_in_fork()
    _server.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
