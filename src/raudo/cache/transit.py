"""What has left L1 and is not bytes yet: entries on their way to the level below.

A large value takes longer to serialise than an event loop may be held up, and one heavy newcomer
can push out hundreds. They wait here as they are, where they can still be found, until a thread or
a quiet moment makes bytes of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

from raudo.cache.tags import Stamps

__all__ = ["Parcel", "Transit"]


class Parcel(NamedTuple):
    """A live entry under way; `n_bytes` is what it is estimated to take."""

    key: Any
    value: Any
    expires_ns: int
    tags: Stamps
    n_bytes: int


class Transit:
    """Entries under way, oldest first. The caller holds a lock."""

    def __init__(self) -> None:
        self._parcels: OrderedDict[bytes, Parcel] = OrderedDict()
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._parcels)

    def get(self, data: bytes) -> Parcel | None:
        return self._parcels.get(data)

    def put(self, data: bytes, parcel: Parcel) -> None:
        self.take(data)
        self._parcels[data] = parcel
        self.n_bytes += parcel.n_bytes

    def take(self, data: bytes) -> Parcel | None:
        """Remove the entry and return it."""
        parcel = self._parcels.pop(data, None)
        if parcel is not None:
            self.n_bytes -= parcel.n_bytes
        return parcel

    def oldest(self) -> tuple[bytes, Parcel] | None:
        """Return the entry that has waited longest, and leave it there."""
        return next(iter(self._parcels.items()), None)

    def clear(self) -> int:
        """Forget everything; return how many entries that were."""
        n = len(self._parcels)
        self._parcels.clear()
        self.n_bytes = 0
        return n
