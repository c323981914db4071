"""Leases to load a key by, on the server that holds the key.

A lease is a key of its own beside the entry, in the same slot of a cluster, that ends with its time
to live; it is outside the prefix that changes are told of. Who stores what was loaded must still
hold the lease, and the entry must begin as it did when that was given (a record's head has the
checksums of the rest, and the time it expires). That is a transaction and not a script, as a server
tells a client of what its own scripts change, NOLOOP or not (Redis 7.0).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from raudo.integrations._redis_nodes import pipeline
from raudo.types import Lease

__all__ = ["LeaseKeys", "release", "request", "store"]

_LAST_OF_HEAD = 47

_REQUEST = f"""
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local seen = redis.pcall('GETRANGE', KEYS[2], 0, {_LAST_OF_HEAD})
  return type(seen) == 'string' and seen or ''
end
return false
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class LeaseKeys:
    """Names of leases, for entries that begin with a prefix."""

    def __init__(self, entry_prefix: bytes) -> None:
        self._entry_prefix = entry_prefix

    @staticmethod
    def of(stored: bytes) -> bytes | None:
        """Return the lease's key; None where no name would be in the entry's slot."""
        # A slot goes by what is between the first brace and the next closing one, if anything is.
        _, brace, rest = stored.partition(b"{")
        tag, closing, _ = rest.partition(b"}")
        if brace and closing and tag:
            return b"~{" + tag + b"}" + stored
        return b"~{" + stored + b"}" if b"}" not in stored else None

    def is_one(self, key: bytes) -> bool:
        """Say whether a key is a lease of ours."""
        tag, _, stored = key.removeprefix(b"~{").partition(b"}")
        begins = (stored or tag).startswith(self._entry_prefix)
        return begins and key.startswith(b"~{")


def request(lease: bytes, stored: bytes, seconds: float) -> tuple[bytes, Sequence[Any]]:
    """Return a new token, and the command that asks for the lease: None is a refusal."""
    token = secrets.token_hex(16).encode()
    return token, ("EVAL", _REQUEST, 2, lease, stored, token, max(1, round(seconds * 1000)))


def store(
    connection: Any,
    lease: bytes,
    stored: bytes,
    held: Lease,
    command: Sequence[Any],
    deadline: float,
) -> bool:
    """Send the command that stores an entry if that may be; False where it may not."""
    look = [("WATCH", lease, stored), ("GET", lease), ("GETRANGE", stored, 0, _LAST_OF_HEAD)]
    watched, token, seen = pipeline(connection, look, deadline)
    if isinstance(watched, ResponseError):
        raise watched
    if isinstance(seen, ResponseError):  # a stranger's, of another type
        seen = b""
    if token != held.token or seen != held.seen:
        end = [("DEL", lease)] if token == held.token else []
        pipeline(connection, [("UNWATCH",), *end], deadline)
        return False
    *_, done = pipeline(connection, [("MULTI",), command, ("DEL", lease), ("EXEC",)], deadline)
    return isinstance(done, list) and done[0] == b"OK"


def release(lease: bytes, held: Lease) -> Sequence[Any]:
    return ("EVAL", _RELEASE, 1, lease, held.token)
