"""One connection from an event loop to one server, that all calls of the loop share.

Calls are sent as they come and answered in that order, so that many at once make few trips. A call
that is not answered in time ends the connection: whoever waits on it hears so at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

__all__ = ["LoopConnection"]

_MORE: Any = object()


class _Call:
    """Commands that were sent together, and their answers so far."""

    __slots__ = ("answers", "done", "n")

    def __init__(self, n: int, done: asyncio.Future[list[Any]]) -> None:
        self.n = n
        self.answers: list[Any] = []
        self.done = done


class LoopConnection(asyncio.Protocol):
    """Bound to the loop it was opened on."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_MORE, replyError=ResponseError)
        self._calls: deque[_Call] = deque()
        self._transport: Any = None
        self.is_closed = False

    @classmethod
    async def open(cls, settings: dict[str, Any]) -> LoopConnection:
        """Connect and log in; `settings` are those of redis-py's connections."""
        loop = asyncio.get_running_loop()
        if "path" in settings:
            _, made = await loop.create_unix_connection(cls, settings["path"])
        else:
            is_secure = "SSL" in getattr(settings.get("connection_class"), "__name__", "")
            context = _ssl_context(settings) if is_secure else None
            host, port = settings["host"], settings["port"]
            _, made = await loop.create_connection(cls, host, port, ssl=context)
        try:
            await made._log_in(settings)
        except BaseException:
            made.close()
            raise
        return made

    async def _log_in(self, settings: dict[str, Any]) -> None:
        commands: list[Sequence[Any]] = []
        if settings.get("password"):
            user = [settings["username"]] if settings.get("username") else []
            commands.append(("AUTH", *user, settings["password"]))
        if settings.get("db"):
            commands.append(("SELECT", settings["db"]))
        if commands:
            for answer in await self.call(commands):
                if isinstance(answer, Exception):
                    raise RedisConnectionError(f"cannot log in: {answer}")

    async def call(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands together and return the answers, errors among them."""
        if self.is_closed:
            raise RedisConnectionError("the connection is closed")
        call = _Call(len(commands), asyncio.get_running_loop().create_future())
        self._calls.append(call)
        self._transport.write(b"".join(hiredis.pack_command(tuple(each)) for each in commands))
        try:
            return await call.done
        except asyncio.CancelledError:
            self.close()
            raise

    # --- what the loop calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _MORE:
                call = self._calls[0]
                call.answers.append(answer)
                if len(call.answers) == call.n:
                    self._calls.popleft()
                    if not call.done.done():
                        call.done.set_result(call.answers)
        except (hiredis.HiredisError, IndexError):  # no Redis, or one that talks unasked
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        calls, self._calls = self._calls, deque()
        for call in calls:
            if not call.done.done():
                call.done.set_exception(RedisConnectionError(f"the connection was lost: {error}"))

    def close(self) -> None:
        """Close on the connection's own loop."""
        self.is_closed = True
        self._transport.abort()

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close from outside the loop, which may have been closed before."""
        self.is_closed = True
        if not loop.is_closed():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._transport.abort)
            return
        sock = getattr(self._transport, "_sock", None)  # a closed loop would never close it
        if sock is not None:
            self._transport._sock = None
            sock.close()


def _ssl_context(settings: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=settings.get("ssl_ca_certs"),
        capath=settings.get("ssl_ca_path"),
        cadata=settings.get("ssl_ca_data"),
    )
    if settings.get("ssl_cert_reqs", "required") in ("none", None, ssl.CERT_NONE):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not settings.get("ssl_check_hostname", True):
        context.check_hostname = False
    if settings.get("ssl_certfile"):
        context.load_cert_chain(
            settings["ssl_certfile"], settings.get("ssl_keyfile"), settings.get("ssl_password")
        )
    return context
