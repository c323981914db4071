"""A SmartCache as a Django cache backend.

    CACHES = {
        "default": {
            "BACKEND": "raudo.integrations.django.SmartCacheBackend",
            "LOCATION": "/var/cache/mysite",  # or any name: then it lives as long as the process
            "OPTIONS": {"MAX_ENTRIES": 10_000, "strategy": "adaptive"},
        }
    }

One cache per LOCATION and process, shared by all threads and event loops. What comes back is a new
object each time, as Django promises, so values are kept pickled. A LOCATION that is an absolute
path is a folder, and one process owns it: give each worker its own, or use a name. What is kept in
a folder or in `tiers` of OPTIONS is signed with `SECRET_KEY`, so that nobody can plant a pickle.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from raudo.cache import SmartCache

__all__ = ["SmartCacheBackend"]


class _Shared:
    """The cache of one location, and the lock of what has to read before it writes."""

    def __init__(self, cache: SmartCache) -> None:
        self.cache = cache
        self.lock = threading.RLock()


_shared: dict[str, _Shared] = {}
_shared_lock = threading.Lock()
_MISSING: Any = object()


def _open(location: str, max_entries: int, options: dict[str, Any]) -> _Shared:
    with _shared_lock:
        found = _shared.get(location)
        if found is None:
            if os.path.isabs(location):
                options = {"path": location, **options}
            if options.keys() & {"path", "tiers"}:  # others could write there
                from django.conf import settings

                options = {"secret": settings.SECRET_KEY, **options}
            cache = SmartCache(max_entries, name=f"django {location}", **options)
            found = _shared[location] = _Shared(cache)
        return found


class SmartCacheBackend(BaseCache):  # type: ignore[misc]  # Django has no types
    """Django's cache API over a SmartCache.

    OPTIONS are `MAX_ENTRIES` and the keyword arguments of `SmartCache`, but for `max_size`,
    `default_ttl` and `loader`; Django's TIMEOUT, KEY_PREFIX and VERSION work as everywhere.
    CULL_FREQUENCY means nothing here: the strategy chooses who leaves, one at a time.
    """

    pickle_protocol = pickle.HIGHEST_PROTOCOL

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = dict(params.get("OPTIONS", {}))
        for name in ("MAX_ENTRIES", "CULL_FREQUENCY"):
            options.pop(name, None)
        self._state = _open(location or "default", self._max_entries, options)

    @property
    def smart(self) -> SmartCache:
        """The cache itself: its statistics, tags and everything that Django has no word for."""
        return self._state.cache

    # An entry is (when it ends in seconds since 1970 or None, a number or a pickle).

    def _entry(self, value: Any, timeout: Any) -> tuple[float | None, Any]:
        ends_at = self.get_backend_timeout(timeout)
        return ends_at, value if type(value) is int else pickle.dumps(value, self.pickle_protocol)

    def _store(self, key: str, entry: tuple[float | None, Any]) -> None:
        ttl = None if entry[0] is None else entry[0] - time.time()
        if ttl is not None and ttl <= 0:
            self.smart.delete_nowait(key)
        else:
            self.smart.set_nowait(key, entry, ttl)

    @staticmethod
    def _value(entry: tuple[float | None, Any]) -> Any:
        payload = entry[1]
        return pickle.loads(payload) if type(payload) is bytes else payload

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        made = self.make_and_validate_key(key, version=version)
        entry = self.smart.get_nowait(made, _MISSING)
        return default if entry is _MISSING else self._value(entry)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        made = self.make_and_validate_key(key, version=version)
        entry = await self.smart.get(made, _MISSING)
        return default if entry is _MISSING else self._value(entry)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        made = self.make_and_validate_key(key, version=version)
        entry = self._entry(value, timeout)
        with self._state.lock:
            self._store(made, entry)

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        made = self.make_and_validate_key(key, version=version)
        entry = self._entry(value, timeout)
        with self._state.lock:
            if self.smart.get_nowait(made, _MISSING) is not _MISSING:
                return False
            self._store(made, entry)
            return True

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version=version)
        with self._state.lock:
            entry = self.smart.get_nowait(made, _MISSING)
            if entry is _MISSING:
                return False
            self._store(made, (self.get_backend_timeout(timeout), entry[1]))
            return True

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        made = self.make_and_validate_key(key, version=version)
        with self._state.lock:
            entry = self.smart.get_nowait(made, _MISSING)
            if entry is _MISSING:
                raise ValueError(f"Key {key!r} not found")
            value = self._value(entry) + delta
            kept = value if type(value) is int else pickle.dumps(value, self.pickle_protocol)
            self._store(made, (entry[0], kept))
            return value

    def has_key(self, key: Any, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version=version)
        return self.smart.get_nowait(made, _MISSING) is not _MISSING

    def delete(self, key: Any, version: int | None = None) -> bool:
        made = self.make_and_validate_key(key, version=version)
        with self._state.lock:
            return self.smart.delete_nowait(made)

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return bool(await self.smart.delete(self.make_and_validate_key(key, version=version)))

    def clear(self) -> None:
        with self._state.lock:
            self.smart.clear_nowait()
