"""The servers of a Redis deployment: connections to each, and which of them holds a key.

A call gets one deadline, and everything it does (connecting, sending, waiting, following a slot
that moved) is within it. Which servers there are is looked up by the thread that follows changes,
so that no call pays for it; a call that finds a slot elsewhere follows it once.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from redis.connection import Connection as _Connection
from redis.connection import parse_url as _parse_url
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from raudo.errors import ServerUnavailable, TierUnavailable
from raudo.integrations._redis_breaker import Breaker
from raudo.integrations._redis_loop import LoopConnection

__all__ = ["Address", "Deployment", "Node", "unavailable"]

Connection: Any = _Connection  # redis-py's connections are not typed
parse_url: Any = _parse_url
_MAX_IDLE = 32
_SLOTS = 16384


_Opening: TypeAlias = "asyncio.Task[LoopConnection]"


class Address(NamedTuple):
    """Where a server listens; a Unix socket's path is the host, with port 0."""

    host: str
    port: int


class Node:
    """One server: idle connections of threads, and of each event loop. Thread-safe."""

    def __init__(self, address: Address, settings: dict[str, Any]) -> None:
        self.address = address
        self.breaker = Breaker()
        self._settings = settings
        self._idle: list[Any] = []
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Opening] = (
            weakref.WeakKeyDictionary()
        )

    def connect(self, timeout: float, **changes: Any) -> Any:
        """Return a new connection."""
        made = self.unconnected(timeout, **changes)
        made.connect()
        return made

    def unconnected(self, timeout: float, **changes: Any) -> Any:
        """Return a connection that is not made yet; `TypeError` for settings it does not know."""
        settings = {**_settings_for(self.address, self._settings), **changes}
        kind = settings.pop("connection_class", None) or Connection
        return kind(
            **settings, socket_timeout=timeout, socket_connect_timeout=timeout, retry=_no_retry()
        )

    @contextmanager
    def borrowed(self, deadline: float) -> Iterator[Any]:
        """Have a connection to oneself, which is closed where something fails meanwhile."""
        remaining(deadline)
        with self.breaker.watched():
            connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self.connect(remaining(deadline))
            try:
                yield connection
            except BaseException:
                connection.disconnect()
                raise
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.disconnect()

    def call(self, deadline: float, *commands: Sequence[Any]) -> list[Any]:
        """Send commands as one pipeline and return the answers, errors among them."""
        with self.borrowed(deadline) as connection:
            return pipeline(connection, commands, deadline)

    async def call_async(self, deadline: float, *commands: Sequence[Any]) -> list[Any]:
        """Do the same on the running event loop."""
        left_s = remaining(deadline)
        with self.breaker.watched():
            return await self._call_async(left_s, commands)

    async def _call_async(self, seconds: float, commands: Sequence[Sequence[Any]]) -> list[Any]:
        async with asyncio.timeout(seconds):
            connection = await self._connection()
            return await connection.call(commands)

    async def open(self) -> LoopConnection:
        """Return a connection of the caller's own, for commands that block."""
        return await LoopConnection.open(_settings_for(self.address, self._settings))

    async def _connection(self) -> LoopConnection:
        """Return the running loop's connection; who finds none opens it, others wait for that."""
        loop = asyncio.get_running_loop()
        opening = self._by_loop.get(loop)
        if opening is None or (opening.done() and not _is_usable(opening)):
            settings = _settings_for(self.address, self._settings)
            opening = loop.create_task(LoopConnection.open(settings))
            opening.add_done_callback(_seen)
            self._by_loop[loop] = opening
        return await asyncio.shield(opening)

    def close(self) -> None:
        """Close the connections of threads, and let go of those of event loops."""
        while self._idle:
            self._idle.pop().disconnect()
        for loop, opening in list(self._by_loop.items()):
            if opening.done() and _is_usable(opening):
                opening.result().abandon(loop)
        self._by_loop.clear()

    async def aclose(self) -> None:
        opening = self._by_loop.pop(asyncio.get_running_loop(), None)
        if opening is not None:
            opening.cancel()
            if opening.done() and _is_usable(opening):
                opening.result().close()

    def after_fork(self) -> None:
        """Give the parent's connections up without a word on them."""
        self._idle.clear()
        self._by_loop = weakref.WeakKeyDictionary()


def _is_usable(opening: _Opening) -> bool:
    failed = opening.cancelled() or opening.exception() is not None
    return not failed and not opening.result().is_closed


def _seen(opening: _Opening) -> None:
    """Take note of an error that nobody may be waiting for any more."""
    if not opening.cancelled():
        opening.exception()


class Deployment:
    """Which server holds which key; `lookup` asks the servers themselves.

    Args:
        settings: Of every connection, as `redis.connection.parse_url` gives them.
        start: Where to begin: the server, servers of a cluster, or Sentinels.
        kind: "single", "cluster" or "sentinel".
        service: What Sentinel calls the master.
    """

    def __init__(
        self, settings: dict[str, Any], start: Sequence[Address], kind: str, service: str
    ) -> None:
        self.kind = kind
        self._settings = settings
        self._start = list(start)
        self._service = service
        self._lock = threading.Lock()
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Node | None] = []
        self._primaries: list[Node] = []
        self.is_stale = True
        if kind == "single":
            self._use([self._node(start[0])], [])

    @classmethod
    def from_url(
        cls, url: str, *, cluster: bool, sentinel: str | None, options: dict[str, Any]
    ) -> Deployment:
        """Make one of an URL, whose place for the host may hold several with commas."""
        if not isinstance(url, str):
            raise TypeError(f"url is {url!r}, wanted a str that begins with redis://")
        scheme, _, rest = url.partition("://")
        hosts, slash, tail = rest.partition("/")
        login, _, servers = hosts.rpartition("@")
        first, *others = servers.split(",") if scheme != "unix" else [servers]
        one = f"{scheme}://{login}{'@' if login else ''}{first}{slash}{tail}"
        settings = {**parse_url(one), **options}
        if scheme == "unix":
            start = [Address(settings.pop("path"), 0)]
        else:
            default = 26379 if sentinel else 6379
            start = [Address(settings.pop("host", "127.0.0.1"), settings.pop("port", default))]
            for each in others:
                host, _, port = each.rpartition(":")
                start.append(Address(host or each, int(port) if host else default))
        kind = "cluster" if cluster else "sentinel" if sentinel else "single"
        made = cls(settings, start, kind, sentinel or "")
        try:
            made._node(start[0]).unconnected(1.0)
        except TypeError as error:
            raise TypeError(f"options: redis-py takes no such setting: {error}") from error
        return made

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(address, self._settings)
        return node

    def _use(self, primaries: list[Node], slots: list[Node | None]) -> None:
        self._primaries, self._slots = primaries, slots
        self.is_stale = False
        for address in [a for a, node in self._nodes.items() if node not in primaries]:
            self._nodes.pop(address).close()

    def primaries(self) -> list[Node]:
        """Return the servers that take writes."""
        return self._primaries

    def node_of(self, key: bytes) -> Node:
        """Return the server that holds the key; `TierUnavailable` where none is known."""
        if not self._slots:
            if self._primaries:
                return self._primaries[0]
            raise TierUnavailable("no server of Redis was found yet")
        node = self._slots[key_slot(key)]
        if node is None:
            self.is_stale = True
            raise TierUnavailable("a slot of the Redis cluster is served by no one")
        return node

    @property
    def parts(self) -> range:
        """The slots; one where there is no cluster."""
        return range(_SLOTS if self.kind == "cluster" else 1)

    def part_of(self, stored: bytes) -> int:
        return int(key_slot(stored)) if self.kind == "cluster" else 0

    def parts_of(self, node: Node) -> set[int]:
        """Return the slots that a server holds."""
        if self.kind != "cluster":
            return {0}
        return {slot for slot, holder in enumerate(self._slots) if holder is node}

    def follow(self, error: ResponseError) -> Node | None:
        """Return the server that an answer sends us to, if it is one of those; the map is old."""
        self.is_stale = True
        # redis-py has classes for these, which keep what follows the first word: "slot host:port".
        words = str(error).removeprefix("MOVED ").removeprefix("ASK ").split()
        host, _, port = words[-1].rpartition(":") if len(words) == 2 else ("", "", "")
        if not port.isdigit() or not words[0].isdigit():
            return None
        with self._lock:
            return self._node(Address(host or self._start[0].host, int(port)))

    def lookup(self, timeout: float) -> None:
        """Ask which servers there are; `TierUnavailable` where none answers."""
        if self.kind == "single":
            self.is_stale = False
            return
        last: Exception | None = None
        known = [node.address for node in self._primaries] if self.kind == "cluster" else []
        for address in dict.fromkeys([*known, *self._start]):
            try:
                ask = self._ask_sentinel if self.kind == "sentinel" else self._ask_cluster
                ask(address, timeout)
                return
            except (RedisError, OSError) as error:
                last = error
        raise TierUnavailable(f"no server of Redis answers: {last}") from last

    def _ask_cluster(self, address: Address, timeout: float) -> None:
        asked = Node(address, self._settings)
        try:
            (answer,) = asked.call(time.monotonic() + timeout, ("CLUSTER", "SLOTS"))
        finally:
            asked.close()
        if isinstance(answer, Exception):
            raise answer
        with self._lock:
            slots: list[Node | None] = [None] * _SLOTS
            for first, last, primary, *_ in answer:
                host = primary[0].decode() if primary[0] else address.host
                node = self._node(Address(host, int(primary[1])))
                slots[int(first) : int(last) + 1] = [node] * (int(last) - int(first) + 1)
            self._use(list(dict.fromkeys(n for n in slots if n is not None)), slots)

    def _ask_sentinel(self, address: Address, timeout: float) -> None:
        asked = Node(address, {k: v for k, v in self._settings.items() if k != "db"})
        try:
            question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
            (answer,) = asked.call(time.monotonic() + timeout, question)
        finally:
            asked.close()
        if isinstance(answer, Exception):
            raise answer
        if not answer:
            raise TierUnavailable(f"Sentinel knows no master {self._service!r}")
        with self._lock:
            self._use([self._node(Address(answer[0].decode(), int(answer[1])))], [])

    def close(self) -> None:
        for node in list(self._nodes.values()):
            node.close()

    async def aclose(self) -> None:
        for node in list(self._nodes.values()):
            await node.aclose()
        self.close()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        for node in self._nodes.values():
            node.after_fork()


def pipeline(connection: Any, commands: Sequence[Sequence[Any]], deadline: float) -> list[Any]:
    """Send commands at once and return the answers, errors among them."""
    packed = b"".join(b"".join(connection.pack_command(*each)) for each in commands)
    connection.send_packed_command([packed], check_health=False)
    return [_read(connection, deadline) for _ in commands]


def _read(connection: Any, deadline: float) -> Any:
    try:
        return connection.read_response(timeout=remaining(deadline))
    except ResponseError as error:
        return error


def remaining(deadline: float) -> float:
    """Return the seconds left; `ServerUnavailable` where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise ServerUnavailable("Redis did not answer in time")
    return left


class unavailable:  # noqa: N801  # reads as a statement: with unavailable("get")
    """Turns what redis-py raises, and timeouts, into `TierUnavailable`.

    Where a server did not answer it is `ServerUnavailable`, and `note` is called.
    """

    def __init__(self, operation: str, note: Callable[[], None]) -> None:
        self._operation = operation
        self._note = note

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, TierUnavailable):
            return
        if isinstance(error, RedisTimeoutError | TimeoutError):
            self._note()
            raise ServerUnavailable(f"{self._operation}: Redis did not answer in time") from error
        if isinstance(error, RedisConnectionError | OSError):
            self._note()
            raise ServerUnavailable(f"{self._operation}: {error}") from error
        if isinstance(error, RedisError):
            raise TierUnavailable(f"{self._operation}: {error}") from error


def _settings_for(address: Address, settings: dict[str, Any]) -> dict[str, Any]:
    if not address.port:
        return {**settings, "path": address.host}
    return {**settings, "host": address.host, "port": address.port}


def _no_retry() -> Any:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), 0)


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
