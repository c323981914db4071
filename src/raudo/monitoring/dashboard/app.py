"""The page as an ASGI app: what `serve` runs, and what a FastAPI or Starlette app can mount.

/            the page                       /events    a frame a check, server-sent
/metrics     for Prometheus                 /history   the lines of the plots, ?seconds=300
/snapshot    everything of now, as JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

from raudo.monitoring.dashboard.feed import Feed, as_json
from raudo.monitoring.dashboard.guard import Guard
from raudo.monitoring.dashboard.plots import make_history
from raudo.monitoring.exporters.prometheus import CONTENT_TYPE, exposition
from raudo.types import Sample

if TYPE_CHECKING:
    from raudo.monitoring.dashboard.server import _Message
    from raudo.monitoring.monitor import Monitor

__all__ = ["DashboardApp"]

_log = logging.getLogger("raudo.monitoring")

_MOST_READS = 8  # of the monitor at one time, each in a thread
_LONGEST_HISTORY_S = 3600.0

_STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/plot.js": ("plot.js", "text/javascript; charset=utf-8"),
    "/format.js": ("format.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_SAFETY = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
        b"'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"

_Send = Callable[["_Message"], Awaitable[None]]
_Receive = Callable[[], Awaitable["_Message"]]


class DashboardApp:
    """An ASGI app that shows a monitor; mount it where you like: its page names no absolute paths.

    Args:
        monitor: What is shown. It has to be started by whoever mounts the app.
        token: What a client has to know, 16 characters or more. None: whoever mounts the app guards
            it with what guards the rest.
        hosts: Names that the `Host` header may have; None allows any.
        title: Heads the page; the host's name and the process's number when None.
        trouble: Called with each frame for a line that the page warns with; "" for none.
        collect: What `/metrics` shows; `monitor.collect` when None, `SharedSamples.collect` where
            several processes serve together.
        most_viewers: Pages that get live frames at one time; more are told to come again.

    The monitor is read in threads, never on the event loop.
    """

    def __init__(
        self,
        monitor: Monitor,
        *,
        token: str | None,
        hosts: Iterable[str] | None = None,
        title: str | None = None,
        trouble: Callable[[], str] | None = None,
        collect: Callable[[], Iterable[Sample]] | None = None,
        most_viewers: int = 32,
    ) -> None:
        self._monitor = monitor
        self._guard = Guard(token, hosts)
        self._feed = Feed(monitor, title, trouble)
        self._collect = monitor.collect if collect is None else collect
        self._most_viewers = most_viewers
        self._n_viewers = 0
        self._n_reads = 0

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            try:
                await self._answer(scope, receive, send)
            except OSError:  # the client has gone
                return

    async def _answer(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        query = bytes(scope.get("query_string", b""))
        refusal = self._guard.refusal(headers, query)
        if refusal is not None:
            extra = [(b"www-authenticate", b"Bearer")] if refusal.status == 401 else []
            await _respond(send, refusal.status, _TEXT, refusal.text.encode(), extra)
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(send, 405, _TEXT, b"Only to be read.", [(b"allow", b"GET, HEAD")])
            return
        root = scope.get("root_path", "").rstrip("/")
        path = scope["path"]
        path = path[len(root) :] if root and path.startswith(root) else path
        if not path:  # a mount without its last slash: the page's relative links would miss it
            await _redirect(send, 307, quote(root.rpartition("/")[2]) + "/")
            return
        cookie = self._guard.cookie_for(query, quote(f"{root}/"), scope.get("scheme", "http"))
        if path == "/" and cookie is not None:
            await _redirect(send, 303, "./", [(b"set-cookie", cookie)])
        elif path in _STATIC:
            name, kind = _STATIC[path]
            await _respond(send, 200, kind, _file(name))
        elif path == "/events":
            await self._stream(receive, send, is_head=scope["method"] == "HEAD")
        elif path == "/history":
            await self._read(
                send, _JSON, lambda: as_json(make_history(self._monitor, _span(query)))
            )
        elif path == "/snapshot":
            await self._read(send, _JSON, lambda: as_json(self._monitor.snapshot()))
        elif path == "/metrics":
            await self._read(send, CONTENT_TYPE, self._exposed)
        else:
            await _respond(send, 404, _TEXT, b"Nothing is here.")

    def _exposed(self) -> bytes:
        return exposition(self._collect()).encode("utf-8", "replace")

    async def _read(self, send: _Send, kind: str, read: Callable[[], bytes]) -> None:
        """Answer with what a thread reads of the monitor."""
        if self._n_reads >= _MOST_READS:
            await _respond(send, 503, _TEXT, b"Too many at once.", [(b"retry-after", b"1")])
            return
        self._n_reads += 1
        try:
            body = await asyncio.to_thread(read)
        except Exception as error:
            _log.warning("the dashboard cannot read its monitor: %r", error)
            await _respond(send, 500, _TEXT, b"The monitor cannot be read; the log says why.")
        else:
            await _respond(send, 200, kind, body)
        finally:
            self._n_reads -= 1

    async def _stream(self, receive: _Receive, send: _Send, *, is_head: bool) -> None:
        if self._n_viewers >= self._most_viewers:
            await _respond(send, 503, _TEXT, b"Too many look.", [(b"retry-after", b"10")])
            return
        self._n_viewers += 1
        try:
            await self._send_stream(receive, send, is_head=is_head)
        finally:
            self._n_viewers -= 1

    async def _send_stream(self, receive: _Receive, send: _Send, *, is_head: bool) -> None:
        kind = (b"content-type", b"text/event-stream")
        # x-accel-buffering: nginx would keep the frames back
        headers = [kind, (b"x-accel-buffering", b"no"), *_SAFETY]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not is_head:
            sending = asyncio.create_task(self._send_events(send))
            leaving = asyncio.create_task(_gone(receive))
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, send: _Send) -> None:
        async with contextlib.aclosing(self._feed.events()) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})


async def _gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: _Receive, send: _Send) -> None:
    """Go along with a server that runs the app by itself."""
    while True:
        stage = (await receive())["type"]
        await send({"type": f"{stage}.complete"})
        if stage == "lifespan.shutdown":
            return


async def _redirect(
    send: _Send, status: int, where: str, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    await _respond(send, status, _TEXT, b"", [(b"location", where.encode("latin-1")), *extra])


async def _respond(
    send: _Send, status: int, kind: str, body: bytes, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        *_SAFETY,
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _file(name: str) -> bytes:
    return importlib.resources.files(__package__).joinpath("static", name).read_bytes()


def _span(query: bytes) -> float:
    """Return the seconds asked for, within what a monitor keeps; five minutes when told nothing."""
    try:
        asked = float(parse_qs(query.decode("latin-1"), max_num_fields=8)["seconds"][0])
    except (KeyError, ValueError):
        asked = 300.0
    return min(max(asked, 1.0), _LONGEST_HISTORY_S) if asked == asked else 300.0
