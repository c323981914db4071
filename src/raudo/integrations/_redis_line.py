"""Commands about one key, to whichever server of a deployment holds it now.

What fails for now (no connection, no answer in time, a key that has moved, a server that loads or
has no master) is one error, `SourceUnavailable`; the next call looks for the server again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from raudo.errors import SourceUnavailable
from raudo.integrations._redis_loop import LoopConnection
from raudo.integrations._redis_nodes import Deployment

__all__ = ["Line"]

_MOVED = ("MOVED ", "ASK ")
_FOR_NOW = ("READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN")


class Line:
    """Sends commands about one key to the server that holds it; errors become one kind."""

    def __init__(self, deployment: Deployment, key: bytes, timeout: float) -> None:
        self._deployment, self._key, self._timeout = deployment, key, timeout
        self._reader: LoopConnection | None = None

    @classmethod
    def to(
        cls,
        url: str,
        key: bytes,
        *,
        cluster: bool,
        sentinel: str | None,
        timeout: float,
        options: dict[str, Any],
    ) -> Line:
        """Check what users give, and make a line of it."""
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be seconds above 0, got {timeout!r}")
        if cluster and sentinel is not None:
            raise ValueError("cluster and sentinel: give one of them")
        deployment = Deployment.from_url(url, cluster=cluster, sentinel=sentinel, options=options)
        return cls(deployment, key, timeout)

    async def call(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands at once; return the answers, or raise the first that is an error."""
        try:
            node = await self._node()
            answers: list[Any] = await node.call_async(time.monotonic() + self._timeout, *commands)
            for answer in answers:
                if isinstance(answer, ResponseError):
                    self._note(answer)
                    raise answer
            return answers
        except ResponseError:
            raise
        except (OSError, RedisError) as error:
            raise self._unavailable(error) from error

    async def wait(self, command: Sequence[Any], timeout: float) -> Any:
        """Send a command that blocks, by a connection of its own."""
        try:
            async with asyncio.timeout(timeout + self._timeout):
                if self._reader is None or self._reader.is_closed:
                    node = await self._node()
                    self._reader = await node.open()
                (answer,) = await self._reader.call([command])
        except (OSError, RedisError) as error:
            self.close()
            raise self._unavailable(error) from error
        if isinstance(answer, ResponseError):
            self._note(answer)
            raise answer
        return answer

    async def _node(self) -> Any:
        deployment = self._deployment
        if deployment.is_stale or not deployment.primaries():
            await asyncio.to_thread(deployment.lookup, self._timeout)
        return deployment.node_of(self._key)

    def _note(self, error: ResponseError) -> None:
        if str(error).startswith(_MOVED) or type(error).__name__ in ("MovedError", "AskError"):
            self._deployment.is_stale = True
            self.close()
            raise SourceUnavailable(f"the stream has moved: {error}") from error
        if str(error).startswith(_FOR_NOW):
            self._deployment.is_stale = self._deployment.kind != "single"
            self.close()
            raise SourceUnavailable(str(error)) from error

    def _unavailable(self, error: BaseException) -> SourceUnavailable:
        self._deployment.is_stale = self._deployment.kind != "single"
        if isinstance(error, SourceUnavailable):
            return error
        if isinstance(error, TimeoutError):
            return SourceUnavailable("Redis did not answer in time")
        return SourceUnavailable(str(error))

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    async def aclose(self) -> None:
        self.close()
        await self._deployment.aclose()
