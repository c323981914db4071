"""Hears what other processes change on the servers, by Redis's client tracking.

To each server that takes writes there is a pair of connections. One writes, and is registered for
the tier's prefix with NOLOOP: the server tells of the changes of all others, but not of its own. It
tells the second connection of the pair, which does nothing but listen. Where a key is changed by
both at once the server goes by who was last, so that a copy of our own is kept only if it is what
the server has (Redis, `CLIENT TRACKING ... BCAST NOLOOP REDIRECT`).

One thread listens to all servers, sees that both ends are alive, and looks up which servers there
are. Whenever it may have missed something it says so: all copies go. Of what is read from a server
that it has no pair to, no copies are kept in the first place.
"""

from __future__ import annotations

import random
import selectors
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from raudo.errors import ServerUnavailable
from raudo.integrations._redis_nodes import Deployment, Node, pipeline, remaining

if TYPE_CHECKING:
    from raudo.integrations.redis import RedisTier

__all__ = ["Line", "Tracker"]

_POLL_S = 0.05
_PING_EVERY_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 2.0


class Line:
    """The pair of connections to one server."""

    def __init__(self, node: Node, prefix: bytes, timeout: float) -> None:
        self.node = node
        self.lock = threading.Lock()
        self.is_broken = False
        deadline = time.monotonic() + timeout
        self.listener = node.connect(timeout, protocol=3)
        # Without a handler redis-py swallows what the server tells.
        self.listener._parser.set_invalidation_push_handler(lambda message: message)
        try:
            self.writer = node.connect(remaining(deadline), protocol=3)
            try:
                (number,) = _checked(pipeline(self.listener, [("CLIENT", "ID")], deadline))
                command = ("CLIENT", "TRACKING", "ON", "REDIRECT", number)
                options = ("BCAST", "PREFIX", prefix, "NOLOOP")
                _checked(pipeline(self.writer, [(*command, *options)], deadline))
            except BaseException:
                self.writer.disconnect()
                raise
        except BaseException:
            self.listener.disconnect()
            raise
        self._pinged_at = time.monotonic()
        self._is_answered = True

    @contextmanager
    def borrowed(self, deadline: float) -> Iterator[Any]:
        """Have the connection that writes to oneself; what fails meanwhile ends the pair."""
        if not self.lock.acquire(timeout=remaining(deadline)):
            raise ServerUnavailable("Redis did not answer in time")
        try:
            with self.node.breaker.watched():
                yield self.writer
        except ServerUnavailable as error:
            self.is_broken = self.is_broken or error.was_asked
            raise
        except BaseException:
            self.is_broken = True
            raise
        finally:
            self.lock.release()

    def call(self, deadline: float, *commands: Sequence[Any]) -> list[Any]:
        """Send commands as one pipeline and return the answers, errors among them."""
        with self.borrowed(deadline) as writer:
            return pipeline(writer, commands, deadline)

    def read(self) -> list[bytes | None]:
        """Return the keys that were told of, without waiting; None for the whole database."""
        keys: list[bytes | None] = []
        while self.listener.can_read(0):
            message = self.listener.read_response(push_request=True, timeout=0.1)
            if isinstance(message, list) and message and message[0] == b"invalidate":
                keys += [None] if message[1] is None else message[1]
            elif isinstance(message, list) and message and b"redir-broken" in message[0]:
                raise RedisError("the server has given the redirection up")
            else:
                self._is_answered = True
        return keys

    def check(self, timeout: float) -> None:
        """Raise where one of the ends does not answer any more."""
        now = time.monotonic()
        if self.is_broken:
            raise RedisError("a write failed")
        if not self._is_answered and now - self._pinged_at > max(timeout, _PING_EVERY_S):
            raise RedisError("the server does not answer")
        if now - self._pinged_at < _PING_EVERY_S:
            return
        self._pinged_at = now
        self._is_answered = False
        self.listener.send_command("PING", check_health=False)
        if self.lock.acquire(blocking=False):  # one who writes will see for himself
            try:
                _checked(pipeline(self.writer, [("PING",)], now + timeout))
            finally:
                self.lock.release()

    def fileno(self) -> int:
        return int(self.listener._sock.fileno())

    def close(self) -> None:
        self.is_broken = True
        for connection in (self.listener, self.writer):
            with suppress(Exception):
                connection.disconnect()


class Tracker:
    """The thread, and the lines it keeps. One for each tier and process."""

    def __init__(
        self,
        tier: RedisTier,
        deployment: Deployment,
        prefix: bytes,
        timeout: float,
        told: Callable[[Sequence[bytes | None]], None],
    ) -> None:
        self._deployment = deployment
        self._prefix = prefix
        self._timeout = timeout
        self._lines: dict[Node, Line] = {}
        self._told: Any = weakref.WeakMethod(told)
        self._stop = threading.Event()
        self.has_tried = threading.Event()
        self.is_ready = threading.Event()
        # Kept, as a reference that is let go tells nobody that the tier went.
        self._owner = weakref.ref(tier, lambda _: self._stop.set())
        self._thread = threading.Thread(target=self._run, name="raudo-redis", daemon=True)
        self._thread.start()

    def line_to(self, node: Node) -> Line | None:
        line = self._lines.get(node)
        return line if line is not None and not line.is_broken else None

    def close(self) -> None:
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * self._timeout + 1)

    def abandon(self) -> None:
        """Forget the parent's thread and connections, in the child of a fork."""
        self._stop.set()
        self._lines = {}

    def _run(self) -> None:
        retry_at, wait_s = 0.0, _FIRST_WAIT_S
        while not self._stop.is_set():
            if self._is_incomplete() and time.monotonic() >= retry_at:
                try:
                    self._connect()
                    wait_s = _FIRST_WAIT_S
                except (RedisError, OSError):
                    # The others are listened to meanwhile; not all processes ask again in step.
                    retry_at = time.monotonic() + wait_s * random.uniform(0.5, 1.0)
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                finally:
                    self.has_tried.set()
            self._listen()
        lines, self._lines = self._lines, {}
        for line in lines.values():
            line.close()

    def _tell(self, keys: Sequence[bytes | None]) -> None:
        told = self._told()
        if told is not None and keys and not self._stop.is_set():
            told(keys)

    def _is_incomplete(self) -> bool:
        primaries = self._deployment.primaries()
        return (
            self._deployment.is_stale
            or not primaries
            or any(node not in self._lines for node in primaries)
        )

    def _connect(self) -> None:
        """See that there is a line to each server that takes writes."""
        if self._deployment.is_stale or not self._deployment.primaries():
            self._deployment.lookup(self._timeout)
        primaries = self._deployment.primaries()
        for node in [node for node in self._lines if node not in primaries]:
            self._lose(node)
        failure: Exception | None = None
        for node in [node for node in primaries if node not in self._lines]:
            try:
                self._lines[node] = Line(node, self._prefix, self._timeout)
                node.breaker.reset()
            except (RedisError, OSError) as error:
                failure = error
            else:
                self._tell([None])  # whatever happened while nobody listened
        if failure is not None:
            self._deployment.is_stale = True
            raise failure
        self.is_ready.set()

    def _lose(self, node: Node) -> None:
        self._lines.pop(node).close()
        self._tell([None])

    def _listen(self) -> None:
        """Hand on what is told, for a moment; give up the lines that do not answer."""
        if not self._lines:
            self._stop.wait(_POLL_S)
            return
        with selectors.DefaultSelector() as selector:
            for line in self._lines.values():
                selector.register(line, selectors.EVENT_READ, line)
            until = time.monotonic() + _PING_EVERY_S
            while time.monotonic() < until and not self._stop.is_set():
                for key, _ in selector.select(_POLL_S):
                    if not self._hear(key.data):
                        return
                if self._is_incomplete() or any(line.is_broken for line in self._lines.values()):
                    break
        for line in list(self._lines.values()):
            self._look_after(line)

    def _hear(self, line: Line) -> bool:
        try:
            self._tell(line.read())
        except (RedisError, OSError):
            self._deployment.is_stale = True
            self._lose(line.node)
            return False
        return True

    def _look_after(self, line: Line) -> None:
        try:
            line.check(self._timeout)
        except (RedisError, OSError):
            self._deployment.is_stale = True
            self._lose(line.node)


def _checked(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
