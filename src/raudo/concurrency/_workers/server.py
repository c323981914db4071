"""The fork server: a small single-threaded process that forks workers on request.

Forking from the program itself would copy whatever locks its threads hold at that moment; forking
from here is safe and takes milliseconds. A request is a length (4 bytes) and the pickle of a
`Request`; it carries the descriptors of the worker's socket, of a pipe, and of the streams that the
worker is to print to. Through the pipe the server reports the worker's pid (8 bytes) and, when it
has ended, its exit status (4 bytes, negative for a signal). The server ends when its socket closes.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from raudo.concurrency._workers import worker
from raudo.concurrency._workers.main_module import MainModule, import_main

__all__ = ["LENGTH", "PID", "STATUS", "Preload", "Request", "main"]

LENGTH = struct.Struct("<I")
PID = struct.Struct("<q")
STATUS = struct.Struct("<i")


_MAX_DESCRIPTORS = 4
_MALLOC_SETTINGS = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Preload(NamedTuple):
    """What workers would else import one by one: the program's script, and modules by name."""

    main: MainModule | None = None
    modules: tuple[str, ...] = ()


class Request(NamedTuple):
    """`streams` are the numbers that the descriptors after the first two are to have."""

    sys_path: list[str]
    preload: Preload
    streams: tuple[int, ...]


def main(control_fd: int) -> NoReturn:
    """Serve requests; ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    os.set_blocking(wake_r, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    control = socket.socket(fileno=control_fd)
    imported: set[str | MainModule] = set()
    die_with_server = _die_with_server()
    _keep_freed_memory()
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
            request, fds = _receive(control)
            _import(request, imported)
            sock_fd, report_fd, *streams = fds
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                die_with_server()
                control.close()
                for number, stream in zip(request.streams, streams, strict=True):
                    os.dup2(stream, number)
                for other in (wake_r, wake_w, report_fd, *streams, *reports.values()):
                    os.close(other)
                worker.main(socket.socket(fileno=sock_fd), inherited=False)
            for given in (sock_fd, *streams):
                os.close(given)
            reports[pid] = report_fd
            _report(report_fd, PID.pack(pid))


def _receive(control: socket.socket) -> tuple[Request, list[int]]:
    head, fds, _, _ = socket.recv_fds(control, LENGTH.size, _MAX_DESCRIPTORS)
    if not head:
        os._exit(0)
    (left,) = LENGTH.unpack(head)
    body = b""
    while len(body) < left:
        part = control.recv(left - len(body))
        if not part:
            os._exit(0)
        body += part
    return pickle.loads(body), fds


def _import(request: Request, imported: set[str | MainModule]) -> None:
    """Import what workers need; where that fails, a worker's own attempt will tell the caller."""
    wanted = [*request.preload.modules, request.preload.main]
    new = [each for each in wanted if each is not None and each not in imported]
    if not new:
        return
    sys.path[:] = request.sys_path
    for each in new:
        imported.add(each)
        with contextlib.suppress(BaseException):
            if isinstance(each, str):
                importlib.import_module(each)
            else:
                import_main(each)
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


def _keep_freed_memory() -> None:
    """Have the C library keep what tasks free, up to 64 MB, for those that come next.

    What a task allocates, the last one has freed; by default it goes back to the system in between
    and costs a page fault every 4 KB: 5,000 blobs of 10 KB were received in 70 ms, and in 31 so.
    """
    if _MALLOC_SETTINGS.intersection(os.environ):
        return
    with contextlib.suppress(ImportError, AttributeError, OSError):  # not glibc
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes


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
