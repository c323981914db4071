"""LFU: the lowest use count leaves first, ties to the least recently used.

A count begins at 1; a hit or an update adds 1.
"""

from __future__ import annotations

from collections.abc import Hashable

from reference.lru_model import LruModel


class LfuModel(LruModel):
    name = "lfu"

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[Hashable, int] = {}

    def insert(self, key: Hashable) -> None:
        super().insert(key)
        self.counts[key] = 1

    def hit(self, key: Hashable) -> None:
        super().hit(key)
        self.counts[key] += 1

    def remove(self, key: Hashable) -> None:
        super().remove(key)
        del self.counts[key]

    evict = remove

    def order(self) -> list[Hashable]:
        return sorted(self.keys, key=self.counts.__getitem__)  # stable: recency breaks ties

    def victim(self) -> Hashable:
        return self.order()[0]
