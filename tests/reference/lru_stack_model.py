"""Mattson's LRU stack: one list, and the depth of a key is the least size that would have hit."""

from __future__ import annotations


class LruStackModel:
    """Sizes are sums of weights; each key weighs 1 unless it was stored with another weight."""

    def __init__(self, sizes: list[int], *, weighted: bool = False) -> None:
        self.sizes = sizes
        self.is_weighted = weighted
        self.stack: list[tuple[int, int]] = []  # key and weight, most recent first
        self.hits = [0] * len(sizes)
        self.lookups = 0

    def look_up(self, key: int) -> None:
        self.lookups += 1
        depth = 0
        for each, weight in self.stack:
            depth += weight
            if each == key:
                self.hits = [
                    n + (depth <= size) for n, size in zip(self.hits, self.sizes, strict=True)
                ]
                self.store(key, weight)
                return
        if not self.is_weighted:
            self.store(key)

    def store(self, key: int, weight: int = 1) -> None:
        self.forget(key)
        if weight > self.sizes[-1]:
            return
        self.stack.insert(0, (key, weight))
        while sum(weight for _, weight in self.stack) > self.sizes[-1]:
            self.stack.pop()

    def forget(self, key: int) -> None:
        self.stack = [each for each in self.stack if each[0] != key]

    def hit_rates(self) -> list[float]:
        return [n / self.lookups for n in self.hits]
