"""The fork server: a small single-threaded process that forks workers on request.

Forking from the program itself would copy whatever locks its threads hold at that moment; forking
from here is safe and takes milliseconds. A request is one byte that carries two descriptors: the
worker's socket, and a pipe in which the server reports the worker's pid (8 bytes) and, when it has
ended, its exit status (4 bytes, negative for a signal). The server ends when its socket closes.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import NoReturn

from raudo.concurrency._workers import worker

__all__ = ["PID", "STATUS", "main"]

PID = struct.Struct("<q")
STATUS = struct.Struct("<i")


def main(control_fd: int, preload: tuple[str | None, ...] = ()) -> NoReturn:
    """Serve requests; ends the process.

    `preload` holds the fields of a `MainModule` that the workers are to have, or nothing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    os.set_blocking(wake_r, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    control = socket.socket(fileno=control_fd)
    if preload:
        _import_main(worker.MainModule(*preload))
    die_with_server = _die_with_server()
    reports: dict[int, int] = {}
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake_r, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wake_r:
                os.read(wake_r, 4096)
                _report_ended(reports)
                continue
            request, fds, _, _ = socket.recv_fds(control, 1, 2)
            if not request:
                os._exit(0)
            sock_fd, report_fd = fds
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                die_with_server()
                control.close()
                for other in (wake_r, wake_w, report_fd, *reports.values()):
                    os.close(other)
                worker.main(socket.socket(fileno=sock_fd), inherited=False)
            os.close(sock_fd)
            reports[pid] = report_fd
            _report(report_fd, PID.pack(pid))


def _import_main(main: worker.MainModule) -> None:
    """Import the program's script; if that fails, a worker's own attempt will tell the caller."""
    with contextlib.suppress(BaseException):
        worker.import_main(main)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()  # or each worker would print again what the import printed
    gc.collect()
    gc.freeze()  # workers share these pages as long as nothing writes to them


def _report(fd: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for this worker any more
        os.write(fd, content)


def _report_ended(reports: dict[int, int]) -> None:
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        fd = reports.pop(pid)
        _report(fd, STATUS.pack(os.waitstatus_to_exitcode(status)))
        os.close(fd)


def _die_with_server() -> Callable[[], object]:
    """Return a function that has the kernel kill the calling worker when this server ends.

    A worker notices the end of the program by itself unless a task keeps the GIL.
    """
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, AttributeError, OSError):
        return lambda: None
    return lambda: prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
