"""A one-level cache, as the optimizer sees it: something that can let entries go."""

from __future__ import annotations

from typing import Any

__all__ = ["CacheMemory"]


class CacheMemory:
    """Trims a `raudo.Cache` (or what has its `resize` and `maxsize`) by what its policy would
    evict."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def trim(self, keep: int = 0) -> int:
        """Evict entries until `keep` are left; return how many went. The cache may fill again."""
        before, maxsize = len(self._cache), self._cache.maxsize
        if keep >= before:
            return 0
        self._cache.resize(max(1, keep))
        self._cache.resize(maxsize)
        return before - len(self._cache)

    def shrink(self, keep: float) -> int:
        """Evict all but the share `keep` of the entries; return how many went."""
        return self.trim(int(len(self._cache) * keep))

    def stats(self) -> dict[str, Any]:
        """Return the count of entries as what is idle: that is what can be let go."""
        return {"idle": len(self._cache), "max_size": self._cache.maxsize}
