"""S3-FIFO (Yang et al., SOSP 2023, algorithm 1): a small queue, a main queue, a ghost.

Newcomers go to the small queue, a tenth of the entries and one at the least; what a ghost is known
of goes to the main one. A counter of hits and updates goes up to 3. From the small queue the oldest
leaves if it was hit once at the most, or else moves to the main one with its counter at 0; from the
main one the oldest leaves if its counter is 0, or else goes to the back with one less. What leaves
the small queue becomes a ghost. The queue to evict from is chosen anew after each move, as in the
authors' simulator.

The ghost is as long as the main queue is meant to be when the first entry is evicted, and starts
over at twice that; a ghost that was seen keeps its place in the ring until it comes round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable


class S3FifoModel:
    name = "s3fifo"
    ordered = False  # iteration goes over the small queue, then the main one

    def __init__(self) -> None:
        self.small: list[Hashable] = []  # oldest first
        self.main: list[Hashable] = []
        self.counts: dict[Hashable, int] = {}
        self.ghost: deque[list[Hashable]] = deque(maxlen=0)  # [key], or [] once it was seen

    def __len__(self) -> int:
        return len(self.counts)

    def insert(self, key: Hashable) -> None:
        queue = self.main if self._was_ghost(key) else self.small
        queue.append(key)
        self.counts[key] = 0

    def _was_ghost(self, key: Hashable) -> bool:
        for ghost in self.ghost:
            if ghost == [key]:
                ghost.clear()
                return True
        return False

    def hit(self, key: Hashable) -> None:
        self.counts[key] = min(self.counts[key] + 1, 3)

    def remove(self, key: Hashable) -> None:
        (self.small if key in self.small else self.main).remove(key)
        del self.counts[key]

    def evict(self, key: Hashable) -> None:
        if key in self.small:
            assert self.ghost.maxlen is not None
            wanted = max(len(self) - len(self) // 10, 1)
            if self.ghost.maxlen == 0 or self.ghost.maxlen < wanted // 2:
                self.ghost = deque(maxlen=wanted)
            self._was_ghost(key)
            self.ghost.append([key])
        self.remove(key)

    def victim(self) -> Hashable:
        while True:
            if len(self.small) >= max(len(self) // 10, 1) or not self.main:
                key = self.small[0]
                if self.counts[key] <= 1:
                    return key
                self.main.append(self.small.pop(0))
                self.counts[key] = 0
            else:
                key = self.main[0]
                if self.counts[key] == 0:
                    return key
                self.counts[key] -= 1
                self.main.append(self.main.pop(0))

    def order(self) -> list[Hashable]:
        return self.small + self.main

    def resize(self, maxsize: int | None) -> None: ...

    def clear(self) -> None:
        """Forget the ghosts too: a cleared cache starts afresh."""
        self.ghost = deque(maxlen=0)
