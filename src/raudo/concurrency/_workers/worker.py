"""What runs inside a worker process: take a task from the socket, run it, send what came of it.

Imported by every worker, so it imports little. `__main__` of the program is imported only when a
task names something in it; a worker that runs library functions never runs the user's script.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
from typing import Any, NamedTuple, NoReturn

from raudo.concurrency._workers import wire
from raudo.concurrency._workers.chunks import ChunkResult
from raudo.concurrency._workers.failures import encode_error

__all__ = ["MainModule", "StartUp", "is_worker", "main"]

_in_worker = False
_importing_main = False
_busy = False
_main_module: MainModule | None = None
_imported_main: MainModule | None = None


class MainModule(NamedTuple):
    """How to import the program's `__main__` under another name: by module name or by path."""

    name: str | None = None
    path: str | None = None


class StartUp(NamedTuple):
    """What a new worker is told first: the parent's surroundings as they are now (those of a fork
    server are older), and the initializer as a pickle."""

    environment: dict[str, str]
    sys_path: list[str]
    argv: list[str]
    folder: str
    main: MainModule | None
    initializer: bytes | None
    initializer_needs_main: bool


def is_worker() -> bool:
    """Say whether this process is one of raudo's workers."""
    return _in_worker


def is_importing_main() -> bool:
    """Say whether this process is a worker that just runs the program's script to import it."""
    return _importing_main


def main_module() -> MainModule | None:
    """Return how this worker would import the program's `__main__`."""
    return _main_module


def main(sock: socket.socket, inherited: bool) -> NoReturn:
    """Serve tasks from `sock` until the other side closes it; ends the process.

    `inherited` says that this process is a fork of the program itself, and has its modules.
    """
    global _in_worker
    _in_worker = True
    # The parent decides what Ctrl-C means. A handler that does nothing, rather than SIG_IGN, which
    # programs started by a task would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    status = 1
    try:
        threading.Thread(target=_end_with_parent, args=(sock.fileno(),), daemon=True).start()
        _Worker(wire.Channel(sock), inherited).serve()
        status = 0
    except wire.ChannelClosed:
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _leave(status)


def _leave(status: int) -> NoReturn:
    lifetime = sys.modules.get("raudo.concurrency._workers.lifetime")
    try:
        if lifetime is not None:
            lifetime.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # whatever it is, there is nobody left to tell
        status = status or 1
    os._exit(status)


def _end_with_parent(fd: int) -> None:
    """End this process in the middle of a task when the other side has closed the socket."""
    poll = select.poll()
    poll.register(fd, 0)  # hang-up is reported always
    poll.poll()
    if _busy:  # an idle worker reads the end of file and leaves in order
        os._exit(1)


class _Worker:
    def __init__(self, channel: wire.Channel, inherited: bool) -> None:
        self._channel = channel
        self._main: MainModule | None = None
        self._inherited = inherited

    def serve(self) -> None:
        if not self._start():
            return
        global _busy
        while True:
            message = self._channel.receive()
            _busy = True
            reply_kind, reply = self._run(message)
            _busy = False
            # Views of the request's buffers die here, so that its slot is free for the next.
            del message
            self._channel.send(reply_kind, reply)
            del reply

    def _start(self) -> bool:
        global _main_module
        start_up: StartUp = self._channel.receive().load()
        if start_up.environment != os.environ:
            os.environ.clear()
            os.environ.update(start_up.environment)
        if not self._inherited:
            sys.path[:] = start_up.sys_path
            sys.argv[:] = start_up.argv
            self._main = _main_module = start_up.main
            with contextlib.suppress(OSError):  # it is gone; the parent works without it too
                os.chdir(start_up.folder)
        try:
            if start_up.initializer is not None:
                if start_up.initializer_needs_main:
                    self._import_main()
                initializer, initargs = pickle.loads(start_up.initializer)
                initializer(*initargs)
        except BaseException as error:
            self._channel.send(wire.ERROR, wire.Encoded(encode_error(error), []))
            return False
        self._channel.send(wire.READY, wire.Encoded(b"", []))
        return True

    def _run(self, message: wire.Message) -> tuple[int, wire.Encoded]:
        try:
            if message.flags & wire.NEEDS_MAIN:
                self._import_main()
            fn, args, kwargs = message.load()
            wall, cpu = time.perf_counter(), time.thread_time()
            value = fn(*args, **kwargs)
            spent = time.perf_counter() - wall, time.thread_time() - cpu
            del fn, args, kwargs
        except BaseException as error:
            return wire.ERROR, wire.Encoded(encode_error(error), [])
        try:
            return wire.RESULT, wire.encode((value, *spent))
        except BaseException as cause:
            if isinstance(value, ChunkResult):
                return wire.RESULT, wire.encode((value.salvaged(unpicklable), *spent))
            return wire.ERROR, wire.Encoded(encode_error(unpicklable(value, cause)), [])

    def _import_main(self) -> None:
        if self._main is not None:
            import_main(self._main)
            self._main = None


def import_main(main: MainModule) -> None:
    """Run the program's script as `__mp_main__`, as multiprocessing does, once."""
    global _importing_main, _imported_main
    if main == _imported_main:
        return
    from multiprocessing import spawn

    key = "init_main_from_name" if main.name is not None else "init_main_from_path"
    _importing_main = True
    try:
        spawn.prepare({key: main.name if main.name is not None else main.path})
    finally:
        _importing_main = False
    _imported_main = main


def unpicklable(value: Any, cause: BaseException) -> BaseException:
    error = TypeError(
        f"the task's result, a {type(value).__qualname__}, cannot be pickled and so cannot leave "
        f"its worker process: {cause}"
    )
    error.__cause__ = cause
    return error
