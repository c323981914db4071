"""LRU: what was used longest ago leaves first."""

from __future__ import annotations

from collections.abc import Hashable


class LruModel:
    name = "lru"
    ordered = True

    def __init__(self) -> None:
        self.keys: list[Hashable] = []  # least recently used first

    def insert(self, key: Hashable) -> None:
        self.keys.append(key)

    def hit(self, key: Hashable) -> None:
        self.keys.remove(key)
        self.keys.append(key)

    def remove(self, key: Hashable) -> None:
        self.keys.remove(key)

    evict = remove

    def victim(self) -> Hashable:
        return self.keys[0]

    def order(self) -> list[Hashable]:
        return list(self.keys)

    def resize(self, maxsize: int | None) -> None: ...

    def clear(self) -> None:
        """Note that all entries were removed, one by one, by `clear`."""
