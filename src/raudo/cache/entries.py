"""What L1 holds: the value itself, or the value with what has to be known of it.

A value without expiry, tags or a second role is held bare, so that a hit on it costs no attribute.
"""

from __future__ import annotations

import math
from typing import Any

from raudo.cache.tags import Stamps

__all__ = ["Timed", "Watched", "parts_of", "unwrap"]


class Timed:
    """A value and when it expires, in wall-clock nanoseconds. L1's own clock ends it."""

    __slots__ = ("expires_ns", "value")

    def __init__(self, value: Any, expires_ns: int) -> None:
        self.value = value
        self.expires_ns = expires_ns


class Watched(Timed):
    """A value that a lookup has to look at: tags, staleness, a load to be judged, a sample."""

    __slots__ = ("fresh_until", "is_followed", "is_only_followed", "load_s", "tags")

    def __init__(
        self,
        value: Any,
        expires_ns: int,
        tags: Stamps = (),
        fresh_until: float = math.inf,
        is_followed: bool = False,
        load_s: float = 0.0,
    ) -> None:
        super().__init__(value, expires_ns)
        self.tags = tags
        self.fresh_until = fresh_until  # monotonic seconds; L1 holds it longer
        self.is_followed = is_followed
        self.load_s = load_s  # what its load took, 0 where it is not known
        self.is_only_followed = is_followed and not tags and not load_s and fresh_until == math.inf


def unwrap(entry: Any) -> Any:
    """Return the value of what L1 holds."""
    kind = type(entry)
    return entry.value if kind is Timed or kind is Watched else entry


def parts_of(entry: Any) -> tuple[Any, int, Stamps]:
    """Return the value, the expiry and the stamps of what L1 holds."""
    if isinstance(entry, Watched):
        return entry.value, entry.expires_ns, entry.tags
    if isinstance(entry, Timed):
        return entry.value, entry.expires_ns, ()
    return entry, 0, ()
