"""This process's fork server, seen from this side: start it, ask it for workers, end it.

There is one for all pools of the process. It starts with the first worker, which takes the time of
a fresh interpreter, and stays, so that every later worker is a fork of a few milliseconds; it ends
with the process, however that ends, because its socket then closes. See `server` for the other
side.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
from typing import ClassVar

from raudo.concurrency._workers import lifetime, server
from raudo.concurrency._workers.interpreters import popen

__all__ = ["ForkServer", "Served"]

_STREAMS = (1, 2)  # a worker prints to where the program prints now, not when the server started
_LEAVE_SECONDS = 2.0  # a server that was told to leave and has not by then is killed


class Served:
    """A worker that the fork server forked; the server reports through `report_fd`."""

    def __init__(self, report_fd: int, pid: int) -> None:
        self.pid = pid
        self._report_fd = report_fd

    def reap(self, timeout: float | None) -> int | None:
        """Wait for the exit status; TimeoutError; None when it is not to be known."""
        poll = select.poll()
        poll.register(self._report_fd, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError(f"process {self.pid} still runs")
        try:
            (status,) = server.STATUS.unpack(_read_exactly(self._report_fd, server.STATUS.size))
        except EOFError:  # the server was killed, and its workers with it
            return None
        return int(status)

    def close(self) -> None:
        os.close(self._report_fd)


def _read_exactly(fd: int, n_bytes: int) -> bytes:
    content = b""
    while len(content) < n_bytes:
        part = os.read(fd, n_bytes - len(content))
        if not part:
            raise EOFError("the fork server ended")
        content += part
    return content


class ForkServer:
    """The server process and the socket to it. Thread-safe."""

    can_stop: ClassVar[bool] = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id; None before the first worker."""
        process = self._process
        return None if process is None else process.pid

    @property
    def control_fd(self) -> int | None:
        """The descriptor of the socket to the server."""
        control = self._control
        return None if control is None else control.fileno()

    def start(self, theirs: socket.socket, preload: server.Preload) -> Served:
        """Have a worker forked that serves the socket `theirs`."""
        with self._lock:
            try:
                return self._request(theirs, preload)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self._stop()  # it was killed since the last request: a new one does as well
                return self._request(theirs, preload)

    def _request(self, theirs: socket.socket, preload: server.Preload) -> Served:
        control = self._ensure()
        streams = tuple(filter(_is_open, _STREAMS))
        body = pickle.dumps(server.Request(sys.path, preload, streams), protocol=5)
        report_r, report_w = os.pipe()
        try:
            try:
                message = server.LENGTH.pack(len(body)) + body
                n_sent = socket.send_fds(control, [message], [theirs.fileno(), report_w, *streams])
                control.sendall(message[n_sent:])
            finally:
                os.close(report_w)
            (pid,) = server.PID.unpack(_read_exactly(report_r, server.PID.size))
        except BaseException:
            os.close(report_r)
            raise
        return Served(report_r, pid)

    def _ensure(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            try:
                fd = theirs.fileno()
                self._process = popen("raudo.concurrency._workers.server", f"main({fd})", fd)
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._control = ours
            lifetime.register(self, lifetime.STARTS_WORKERS)
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_LEAVE_SECONDS)
            except subprocess.TimeoutExpired:  # busy with the import of the program's script
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        """End the server; the next worker starts another."""
        with self._lock:
            self._stop()

    def abandon(self) -> None:
        """In a fork of this process: the server is the parent's."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # not ours to wait for
        self.__init__()  # type: ignore[misc]


def _is_open(fd: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(fd)
        return True
    return False
