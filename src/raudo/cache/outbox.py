"""What is on its way below memory: blobs, and drops, in the order in which they are to be done.

One of them is carried at a time, without the lock; what happens to its key meanwhile is done next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from raudo.types import Blob

__all__ = ["Outbox"]


class Outbox:
    """The last word on each key that waits: a blob, or None for a drop. The caller holds a lock."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, Blob | None] = OrderedDict()
        self._carried: bytes | None = None
        self.n_blobs = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, key: bytes) -> bool:
        return key in self._waiting

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._waiting))

    @property
    def is_carrying(self) -> bool:
        return self._carried is not None

    @property
    def payload_bytes(self) -> int:
        return sum(len(blob.payload) for blob in self._waiting.values() if blob is not None)

    def get(self, key: bytes) -> Blob | None:
        """Return the blob that waits under the key."""
        return self._waiting.get(key)

    def put(self, key: bytes, blob: Blob | None) -> None:
        """Let a blob wait, or a drop, as the last in the line and in place of what waited."""
        old = self._waiting.pop(key, None)
        self.n_blobs += (blob is not None) - (old is not None)
        self._waiting[key] = blob

    def take(self, key: bytes) -> Blob | None:
        """Take the blob out; what is being carried down right now is dropped there afterwards."""
        blob = self._waiting.get(key)
        self.put(key, None)
        if key != self._carried:
            del self._waiting[key]
        return blob

    def give_up_oldest(self) -> tuple[bytes, Blob]:
        """Put a drop in the place of the blob that has waited longest, and return it."""
        key, blob = next((key, blob) for key, blob in self._waiting.items() if blob is not None)
        self.put(key, None)
        return key, blob

    def pick(self) -> tuple[bytes, Blob | None] | None:
        """Choose the next to carry; None where there is none or someone carries already."""
        if self._carried is not None or not self._waiting:
            return None
        self._carried, blob = next(iter(self._waiting.items()))
        return self._carried, blob

    def put_back(self) -> None:
        """Give up carrying: what was picked waits as before."""
        self._carried = None

    def settle(self, key: bytes, blob: Blob | None) -> bool:
        """Cross off what was carried; False where its key changed meanwhile, and is next."""
        self._carried = None
        if key not in self._waiting or self._waiting[key] is not blob:
            return False
        del self._waiting[key]
        self.n_blobs -= blob is not None
        return True
