"""Sends a tier's commands to the server that holds their key now, and follows slots that moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from raudo.integrations._redis_nodes import Deployment, Node
from raudo.integrations._redis_tracking import Line

__all__ = ["Routes"]


class Routes:
    """Thread-safe.

    Args:
        line_to: Returns the pair of connections to a server, whose writes are not told to us.
        unheard: Called with keys that were written to a server without such a pair.
    """

    def __init__(
        self,
        deployment: Deployment,
        timeout: float,
        line_to: Callable[[Node], Line | None],
        unheard: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._deployment = deployment
        self._timeout = timeout
        self._line_to = line_to
        self._unheard = unheard

    def nodes(self) -> list[Node]:
        """Return the servers that take writes."""
        if not self._deployment.primaries():
            self._deployment.lookup(self._timeout)
        return self._deployment.primaries()

    def node_of(self, stored: bytes) -> Node:
        self.nodes()
        return self._deployment.node_of(stored)

    def by_node(
        self, items: Sequence[Any], stored_of: Callable[[Any], bytes]
    ) -> list[tuple[Node, list[Any]]]:
        parts: dict[Node, list[Any]] = {}
        for item in items:
            parts.setdefault(self.node_of(stored_of(item)), []).append(item)
        return list(parts.items())

    # --- reading, by connections that are anyone's --------------------------------------------

    def ask(self, stored: bytes, command: Sequence[Any]) -> tuple[Node, Any]:
        """Return who answered, and what."""
        deadline = time.monotonic() + self._timeout
        node = self.node_of(stored)
        (answer,) = node.call(deadline, command)
        moved_to = self._moved_to(answer, command)
        if moved_to is None:
            return node, _settled(answer, command)
        _, answer = moved_to.call(deadline, ("ASKING",), command)
        return moved_to, _settled(answer, command)

    async def ask_async(self, stored: bytes, command: Sequence[Any]) -> tuple[Node, Any]:
        deadline = time.monotonic() + self._timeout
        node = self.node_of(stored)
        (answer,) = await node.call_async(deadline, command)
        return await self.settled_async(node, answer, command, deadline)

    async def settled_async(
        self, node: Node, answer: Any, command: Sequence[Any], deadline: float
    ) -> tuple[Node, Any]:
        """Ask again where the slot has moved; return who answered, and what."""
        moved_to = self._moved_to(answer, command)
        if moved_to is None:
            return node, _settled(answer, command)
        _, answer = await moved_to.call_async(deadline, ("ASKING",), command)
        return moved_to, _settled(answer, command)

    def _moved_to(self, answer: Any, command: Sequence[Any]) -> Node | None:
        if not isinstance(answer, ResponseError) or _is_foreign(answer, command):
            return None
        return self._deployment.follow(answer)

    # --- writing ------------------------------------------------------------------------------

    def write_to(self, stored: bytes, deadline: float, *commands: Sequence[Any]) -> list[Any]:
        return self.write(self.node_of(stored), commands, deadline)

    def write(self, node: Node, commands: Sequence[Sequence[Any]], deadline: float) -> list[Any]:
        """Write by the connection whose changes are not told to us, if there is one already."""
        line = self._line_to(node)
        answers = (line or node).call(deadline, *commands)
        if line is None:
            self._unheard([command[1] for command in commands])
        return [
            self._write_again(answer, command, deadline)
            if isinstance(answer, ResponseError)
            else answer
            for answer, command in zip(answers, commands, strict=True)
        ]

    def _write_again(self, error: ResponseError, command: Sequence[Any], deadline: float) -> Any:
        """Write where a slot has moved to."""
        node = self._deployment.follow(error)
        if node is None:
            raise error
        _, answer = node.call(deadline, ("ASKING",), command)
        if isinstance(answer, ResponseError):
            raise answer
        self._unheard([command[1]])
        return answer

    def converse(self, stored: bytes, deadline: float, talk: Callable[[Any], bool]) -> None:
        """Have `talk` write by a connection of its own; where it says False nothing was written."""
        node = self.node_of(stored)
        line = self._line_to(node)
        try:
            with (line or node).borrowed(deadline) as connection:
                is_written = talk(connection)
        except ResponseError as error:
            moved_to = self._deployment.follow(error)
            if moved_to is None:
                raise
            line = None
            with moved_to.borrowed(deadline) as connection:
                is_written = talk(connection)
        if line is None or not is_written:
            self._unheard([stored])


def _is_foreign(error: ResponseError, command: Sequence[Any]) -> bool:
    """Say whether a stranger keeps something else under the key."""
    return command[0] == "GET" and str(error).startswith("WRONGTYPE")


def _settled(answer: Any, command: Sequence[Any]) -> Any:
    """Return an answer; what is no record for what is not ours, and raise any other error."""
    if not isinstance(answer, ResponseError):
        return answer
    if _is_foreign(answer, command):
        return b""
    raise answer
