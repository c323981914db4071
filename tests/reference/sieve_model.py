"""SIEVE (Zhang et al., NSDI 2024, algorithm 1): a queue, a visited bit and a moving hand.

The hand goes from the oldest to the newest and begins again; it clears the bits that it passes and
takes the first entry without one. A hit or an update sets the bit. When the entry under the hand
is removed by someone else, the hand goes to the next newer one.
"""

from __future__ import annotations

from collections.abc import Hashable

from reference.lru_model import LruModel


class SieveModel(LruModel):
    name = "sieve"

    def __init__(self) -> None:
        super().__init__()  # oldest first
        self.visited: set[Hashable] = set()
        self.hand = 0  # an index into `keys`; its length: begin again

    def hit(self, key: Hashable) -> None:
        self.visited.add(key)

    def insert(self, key: Hashable) -> None:
        at_end = self.hand == len(self.keys)
        super().insert(key)
        if at_end:  # the hand had run out: it begins with the oldest, not with this one
            self.hand = 0

    def remove(self, key: Hashable) -> None:
        place = self.keys.index(key)
        del self.keys[place]
        self.visited.discard(key)
        if place < self.hand:
            self.hand -= 1

    evict = remove

    def victim(self) -> Hashable:
        while True:
            if self.hand >= len(self.keys):
                self.hand = 0
            key = self.keys[self.hand]
            if key not in self.visited:
                return key
            self.visited.remove(key)
            self.hand += 1
