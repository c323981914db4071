"""A part of a cache with keys of its own, which is cleared at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raudo.cache.smart_cache import SmartCache

__all__ = ["Namespace"]


class Namespace:
    """What `SmartCache.namespace(name)` returns: the cache's methods, for keys of one name.

    Keys carry the generation of their namespace, so that `clear` costs the same however many there
    are, holds in every level and after a restart, and a hit costs no look at a tag. What was
    cleared is never found again, but takes its place until it is evicted.
    """

    def __init__(self, cache: SmartCache, name: str) -> None:
        self.name = name
        self._cache = cache
        self._tag = f"namespace {name}"
        self._stamp = cache._levels.tags.stamp

    def _key(self, key: Hashable) -> Hashable:
        ((_, generation),) = self._stamp((self._tag,))
        return (self.name, generation, key)

    def get(self, key: Hashable, default: Any = None) -> Awaitable[Any]:
        """Do as `SmartCache.get`."""
        return self._cache.get(self._key(key), default)

    def set(
        self, key: Hashable, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> Awaitable[None]:
        """Do as `SmartCache.set`."""
        return self._cache.set(self._key(key), value, ttl, tags=tags)

    def delete(self, key: Hashable) -> Awaitable[bool]:
        """Do as `SmartCache.delete`."""
        return self._cache.delete(self._key(key))

    def contains(self, key: Hashable) -> Awaitable[bool]:
        """Do as `SmartCache.contains`."""
        return self._cache.contains(self._key(key))

    def get_or_load(
        self,
        key: Hashable,
        loader: Callable[[Any], Any],
        ttl: float | None = None,
        **options: Any,
    ) -> Awaitable[Any]:
        """Do as `SmartCache.get_or_load`, with the same options; the loader gets the bare key."""

        async def load(_: Hashable) -> Any:
            return await self._cache._loads.call(loader, key)

        return self._cache.get_or_load(self._key(key), load, ttl, **options)

    def get_nowait(self, key: Hashable, default: Any = None) -> Any:
        """Do as `SmartCache.get_nowait`."""
        return self._cache.get_nowait(self._key(key), default)

    def set_nowait(
        self, key: Hashable, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """Do as `SmartCache.set_nowait`."""
        self._cache.set_nowait(self._key(key), value, ttl, tags=tags)

    def delete_nowait(self, key: Hashable) -> bool:
        """Do as `SmartCache.delete_nowait`."""
        return self._cache.delete_nowait(self._key(key))

    async def clear(self) -> None:
        """Forget all of the namespace, in every level; O(1)."""
        await self._cache.invalidate_tag(self._tag)

    def clear_nowait(self) -> None:
        """Do the same without an event loop."""
        self._cache.invalidate_tag_nowait(self._tag)

    def __repr__(self) -> str:
        return f"<Namespace {self.name!r} of {self._cache!r}>"
