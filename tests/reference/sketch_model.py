"""A count-min sketch of four rows in plain lists, with the places of csrc/table/sketch.h.

A count goes up to 15 and only the least of a key's four counters grow; of the lines of counters one
after the other is halved, one each 80 uses.
"""

from __future__ import annotations

from collections.abc import Hashable

MASK = 2**64 - 1


def fold(key: Hashable) -> int:
    """Return a key's hash as the table folds it."""
    wide = hash(key) & MASK
    return (wide + ((wide >> 32) * 0x9E3779B97F4A7C15 % 2**64 >> 32)) % 2**32


class SketchModel:
    def __init__(self, capacity: int) -> None:
        self.lines = [[[0] * 32 for _ in range(4)] for _ in range(capacity // 8 + 1)]
        self.n_uses = 0
        self.next = 0

    def _counters(self, hash_: int) -> list[tuple[list[int], int]]:
        spread = (hash_ ^ 0xD6E8FEB86659FD93) * 0x9E3779B97F4A7C15 & MASK
        line = self.lines[(spread >> 32) * len(self.lines) >> 32]
        return [(row, spread >> (12 + 5 * n) & 31) for n, row in enumerate(line)]

    def count(self, hash_: int) -> int:
        return min(row[at] for row, at in self._counters(hash_))

    def add(self, hash_: int) -> None:
        least = self.count(hash_)
        for row, at in self._counters(hash_):
            if row[at] == least < 15:
                row[at] += 1
        self.n_uses += 1
        if self.n_uses == 80:
            self.n_uses = 0
            self.lines[self.next] = [[n // 2 for n in row] for row in self.lines[self.next]]
            self.next = (self.next + 1) % len(self.lines)
