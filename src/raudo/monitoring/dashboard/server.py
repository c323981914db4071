"""The smallest server that is sound for a page on the loopback: one thread, one answer each time.

It reads a GET or HEAD, hands it to an ASGI app and closes. What it bounds: bytes and seconds of a
request, connections, and seconds that a client takes to accept what is sent. Everything else (who
may look, what is shown) is the app's. TLS is a proxy's.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import ipaddress
import logging
import os
import re
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Self

from raudo.monitoring._ports import check_port

__all__ = ["App", "Server", "is_loopback"]

_Message = MutableMapping[str, Any]
App = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]

_log = logging.getLogger("raudo.monitoring")

_MOST_HEAD_BYTES = 16_384
_MOST_HEADERS = 64
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_REASONS = {
    200: "OK",
    303: "See Other",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the address; a name counts if it is `localhost`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server:
    """Serves an ASGI app from a daemon thread until it is closed.

    Args:
        app: Gets one `http` scope a connection.
        host: Address or name to bind; the first that it resolves to.
        port: 0 takes a free one; `port` says which.
        on_close: Called once, by `close`.
        most_connections: What is over it gets a 503 at once.
        patience: Seconds for a client to send its request, and to accept a piece of the answer.

    A forked child does not serve: its copies of the sockets are closed. `close` may be called again
    and from any thread but the server's own; it also runs when the interpreter ends.

    Raises:
        OSError: The address cannot be bound.
    """

    def __init__(
        self,
        app: App,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        on_close: Callable[[], object] | None = None,
        most_connections: int = 64,
        patience: float = 10.0,
    ) -> None:
        self._app = app
        self._on_close = on_close
        self._most_connections = most_connections
        self._patience = patience
        self._listener = _bound(host, port)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._clients: dict[asyncio.Task[None], socket.socket] = {}
        self._close_lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._is_over = asyncio.Event()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="raudo-dashboard", daemon=True
        )
        self._thread.start()
        _servers.add(self)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def is_running(self) -> bool:
        """Whether it serves; False once closed, and in a forked child."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """End every connection and the thread, and give the port back."""
        with self._close_lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._loop.call_soon_threadsafe(self._is_over.set)
        # Not for ever: somebody's component may hang in a thread that the loop waits for.
        thread.join(self._patience)
        _servers.discard(self)
        if self._on_close is not None:
            self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server of {self.url}{'' if self.is_running else ', closed'}>"

    # --- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop.add_reader(self._listener, self._accept)
        await self._is_over.wait()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        tasks = list(self._clients)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self) -> None:
        """Take a client on at once: one on its way to a task that is cancelled would stay open."""
        try:
            client, address = self._listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:  # it stays readable: not asked again at once
                self._loop.remove_reader(self._listener)
                self._loop.call_later(0.05, self._accept_again)
            return  # or the client has gone again
        client.setblocking(False)
        if len(self._clients) >= self._most_connections:
            with contextlib.suppress(OSError), client:
                client.send(_head(503, [(b"retry-after", b"5")]))
            return
        task = self._loop.create_task(self._answer(client, address))
        self._clients[task] = client
        task.add_done_callback(self._forget)

    def _accept_again(self) -> None:
        if not self._is_over.is_set():
            self._loop.add_reader(self._listener, self._accept)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task).close()

    async def _answer(self, client: socket.socket, address: Any) -> None:
        connection = _Connection(client, self._patience)
        with contextlib.suppress(OSError, TimeoutError):  # it has gone, or is too slow
            request = await connection.read_head()
            if isinstance(request, int):
                await connection.refuse(request)
                return
            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "scheme": "http",
                "root_path": "",
                "client": tuple(address[:2]),
                "server": (self.host, self.port),
                **request,
            }
            try:
                await self._app(scope, connection.receive, connection.send)
            except (OSError, TimeoutError):
                raise
            except Exception:
                _log.exception("the app of %s failed", self.url)
                if not connection.has_begun:
                    await connection.send_all(_head(500, []))

    # --- in a forked child --------------------------------------------------------------------

    def _abandon(self) -> None:
        """Close the copies of the sockets; the loop's own poll is shared with the parent."""
        for each in (self._listener, *self._clients.values()):
            descriptor = each.detach()
            if descriptor >= 0:
                os.close(descriptor)
        self._close_lock = threading.Lock()
        self._thread = None


class _Connection:
    """One client: what it asks, and the two channels of an ASGI app."""

    def __init__(self, client: socket.socket, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._is_head = False
        self._is_told = False  # that there is no body
        self.has_begun = False

    async def read_head(self) -> dict[str, Any] | int:
        """Return method, path and headers for a scope, or the status that says what is wrong."""
        data = b""
        try:
            async with asyncio.timeout(self._patience):
                while b"\r\n\r\n" not in data:
                    if len(data) > _MOST_HEAD_BYTES:
                        return 431
                    more = await self._loop.sock_recv(self._client, 4096)
                    if not more:
                        raise ConnectionError("gone before it asked")
                    data += more
        except TimeoutError:
            return 408
        head = data.split(b"\r\n\r\n", 1)[0]
        return 431 if len(head) > _MOST_HEAD_BYTES else self._parsed(head)

    def _parsed(self, head: bytes) -> dict[str, Any] | int:
        first, *lines = head.split(b"\r\n")
        if len(lines) > _MOST_HEADERS:
            return 431
        request = _REQUEST_LINE.fullmatch(first)
        fields = [_HEADER.fullmatch(line) for line in lines]
        if request is None or None in fields:
            return 400
        headers = [(field[1].lower(), field[2]) for field in fields if field is not None]
        if sum(name == b"host" for name, _ in headers) != 1:
            return 400
        if request[1] not in (b"GET", b"HEAD"):
            return 405
        self._is_head = request[1] == b"HEAD"
        path, _, query = request[2].partition(b"?")
        return {
            "method": request[1].decode(),
            # Never decoded: no path of the app's has a letter that would need it.
            "path": path.decode("ascii"),
            "raw_path": path,
            "query_string": query,
            "headers": headers,
        }

    async def receive(self) -> _Message:
        """Give the empty body, then wait until the client has gone."""
        if not self._is_told:
            self._is_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        with contextlib.suppress(OSError):
            for _ in range(16):  # who goes on talking is not listening
                if not await self._loop.sock_recv(self._client, 4096):
                    break
        return {"type": "http.disconnect"}

    async def send(self, message: _Message) -> None:
        """Send at once what the app gives; TimeoutError for a client that does not take it."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            await self.send_all(_head(message["status"], message["headers"]))
        elif message.get("body") and not self._is_head:
            await self.send_all(message["body"])

    async def refuse(self, status: int) -> None:
        """Send a status, and read on for a moment: closing with bytes unread would take it back."""
        await self.send_all(_head(status, []))
        self._client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(1.0):
            for _ in range(256):
                if not await self._loop.sock_recv(self._client, 65_536):
                    return

    async def send_all(self, data: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await self._loop.sock_sendall(self._client, data)


def _bound(host: str, port: int) -> socket.socket:
    if not isinstance(host, str):
        raise TypeError(f"host is {host!r}, wanted a str")
    check_port(port, lowest=0)
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    try:
        listener = socket.create_server(address[:2], family=family, backlog=64)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen at {host}:{port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Other')}".encode(), b"Connection: close"]
    if status >= 400 and not headers:
        lines.append(b"Content-Length: 0")
    return b"\r\n".join([*lines, *(b": ".join(pair) for pair in headers), b"", b""])


def _abandon_all() -> None:
    for server in list(_servers):
        server._abandon()
    _servers.clear()


def _close_all() -> None:
    for server in list(_servers):
        server.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
atexit.register(_close_all)
