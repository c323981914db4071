"""Mattson's LRU stack: one list, and the depth of a key is the least size that would have hit."""

from __future__ import annotations


class LruStackModel:
    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.stack: list[int] = []  # most recent first
        self.hits = [0] * len(sizes)
        self.lookups = 0

    def look_up(self, key: int) -> None:
        self.lookups += 1
        if key in self.stack:
            depth = self.stack.index(key) + 1
            self.hits = [n + (depth <= size) for n, size in zip(self.hits, self.sizes, strict=True)]
        self.store(key)

    def store(self, key: int) -> None:
        self.forget(key)
        self.stack.insert(0, key)
        del self.stack[self.sizes[-1] :]

    def forget(self, key: int) -> None:
        if key in self.stack:
            self.stack.remove(key)

    def hit_rates(self) -> list[float]:
        return [n / self.lookups for n in self.hits]
