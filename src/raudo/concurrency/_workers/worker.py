"""What runs inside a worker process: take a task from the socket, run it, send what came of it.

Imported by every worker, so it imports little.
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
from typing import NamedTuple, NoReturn

from raudo.concurrency._workers import wire
from raudo.concurrency._workers.calls import run_call
from raudo.concurrency._workers.failures import encode_error
from raudo.concurrency._workers.main_module import MainModule, stand_in_for
from raudo.concurrency._workers.pickling import Encoded, Encoder

__all__ = ["StartUp", "is_worker", "main"]

_in_worker = False
_busy = False


class StartUp(NamedTuple):
    """What a new worker is told first: the parent's surroundings as they are now (those of a fork
    server are older), and the initializer as a pickle."""

    environment: dict[str, str]
    sys_path: list[str]
    argv: list[str]
    folder: str
    main: MainModule | None
    initializer: bytes | None


def is_worker() -> bool:
    """Say whether this process is one of raudo's workers."""
    return _in_worker


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
        self._encoder = Encoder()
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
        start_up: StartUp = self._channel.receive().load()
        if start_up.environment != os.environ:
            os.environ.clear()
            os.environ.update(start_up.environment)
        if not self._inherited:
            sys.path[:] = start_up.sys_path
            sys.argv[:] = start_up.argv
            if start_up.main is not None:
                stand_in_for(start_up.main)
            with contextlib.suppress(OSError):  # it is gone; the parent works without it too
                os.chdir(start_up.folder)
        try:
            if start_up.initializer is not None:
                initializer, initargs = pickle.loads(start_up.initializer)
                initializer(*initargs)
        except BaseException as error:
            self._channel.send(wire.ERROR, Encoded(encode_error(error), []))
            return False
        self._channel.send(wire.READY, Encoded(b"", []))
        return True

    def _run(self, message: wire.Message) -> tuple[int, Encoded]:
        succeeded, reply = run_call(message.load, self._encoder)
        return (wire.RESULT if succeeded else wire.ERROR), reply
