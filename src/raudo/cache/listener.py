"""Tells the user's `on_evict` what the cache let go of: later, with no lock held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from raudo._core.policy import tell_unraisable
from raudo.cache.codecs import BlobCodec
from raudo.cache.keys import decode_key
from raudo.errors import CorruptEntry, ForbiddenType
from raudo.types import Blob

__all__ = ["Listener", "OnEvict"]

OnEvict = Callable[[Any, Any, str], object]


class Listener:
    """Collects with the cache's lock held, calls without it; costs nothing without `on_evict`."""

    def __init__(self, on_evict: OnEvict | None, codec: BlobCodec) -> None:
        self._on_evict = on_evict
        self._codec = codec
        self._told: deque[tuple[Any, Any, str]] = deque()

    @property
    def is_there(self) -> bool:
        return self._on_evict is not None

    def __bool__(self) -> bool:
        """True where there is something to deliver."""
        return bool(self._told)

    def tell(self, key: Any, value: Any, reason: str) -> None:
        if self._on_evict is not None:
            self._told.append((key, value, reason))

    def tell_blob(self, data: bytes, blob: Blob | None, reason: str, *, trusted: bool) -> None:
        """Make key and value again and tell; the value is None where it can no longer be read."""
        if self._on_evict is None:
            return
        value = None
        try:
            if blob is not None:
                value = self._codec.decode(blob, trusted=trusted)
        except (CorruptEntry, ForbiddenType):
            pass
        try:
            self._told.append((decode_key(data), value, reason))
        except ValueError:  # an enumeration that is not loaded in this process
            self._told.append((data, value, reason))

    def deliver(self) -> None:
        """Call the listener for all that was told since the last time.

        What it raises is no matter of whoever happens to call: it goes to `sys.unraisablehook`.
        """
        while self._told and self._on_evict is not None:
            try:
                key, value, reason = self._told.popleft()
            except IndexError:  # another thread delivers too
                return
            try:
                self._on_evict(key, value, reason)
            except Exception as error:
                tell_unraisable(error, self._on_evict)
