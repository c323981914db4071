"""W-TinyLFU (Einziger, Eytan, Friedman, Manes, Middleware 2018): a window, then admission by count.

Newcomers enter a window in order of use; who leaves it enters the main cache if a sketch says that
it was used more often than who would leave that, or by a rare chance. The main cache is a segmented
LRU: a use in probation makes protected, up to four fifths. Once in ten uses for each entry the
window's share goes a step on if the hit ratio grew, or else back. Counting starts when the cache is
half full.
"""

from __future__ import annotations

from collections.abc import Hashable

from reference.sketch_model import SketchModel, fold


class TinyLfuModel:
    name = "tinylfu"
    ordered = True

    def __init__(self) -> None:
        self.expected = 0
        self.clear()

    def clear(self) -> None:
        self.window: list[Hashable] = []  # in order of use, as the others
        self.probation: list[Hashable] = []
        self.protected: list[Hashable] = []
        self.sketch: SketchModel | None = None
        self.fitted = 0
        self.share, self.step, self.last_ratio = 0.01, 0.0625, -1.0
        self.n_hits = self.n_requests = 0
        self.random = 0x2545F491

    def order(self) -> list[Hashable]:
        return self.window + self.probation + self.protected

    def __len__(self) -> int:
        return len(self.order())

    def resize(self, maxsize: int | None) -> None:
        self.expected = maxsize or 0

    @property
    def capacity(self) -> int:
        return self.expected or len(self)

    @property
    def window_size(self) -> int:
        return max(int(self.capacity * self.share), 1)

    def fit(self, capacity: int) -> None:
        if self.fitted == 0 or capacity // 2 > self.fitted or self.fitted // 2 > capacity:
            self.fitted = capacity
            self.sketch = SketchModel(capacity)
            self.n_hits = self.n_requests = 0

    def count(self, key: Hashable) -> None:
        if self.sketch is None:
            return
        self.sketch.add(fold(key))
        self.n_requests += 1
        if self.n_requests >= 10 * self.capacity:
            self.climb()

    def climb(self) -> None:
        ratio = self.n_hits / self.n_requests
        if self.last_ratio >= 0:
            change = ratio - self.last_ratio
            onwards = 1 if (self.step > 0) == (change >= 0) else -1
            size = 0.0625 if abs(change) >= 0.05 else abs(self.step) * 0.98
            self.step = onwards * size
        self.share = min(max(self.share + self.step, 0.01), 0.8)
        self.last_ratio = ratio
        self.n_hits = self.n_requests = 0

    def insert(self, key: Hashable) -> None:
        self.window.append(key)
        if self.expected and len(self) > self.expected // 2:
            self.fit(self.expected)
        self.count(key)
        if len(self.window) > self.window_size:
            self.probation.append(self.window.pop(0))

    def hit(self, key: Hashable) -> None:
        self.n_hits += 1
        self.count(key)
        if key in self.probation:
            self.probation.remove(key)
            self.protected.append(key)
            main = len(self.probation) + len(self.protected)
            if len(self.protected) > main - main // 5:
                self.probation.append(self.protected.pop(0))
            return
        queue = self.window if key in self.window else self.protected
        queue.remove(key)
        queue.append(key)

    def remove(self, key: Hashable) -> None:
        for queue in (self.window, self.probation, self.protected):
            if key in queue:
                queue.remove(key)

    evict = remove

    def victim(self) -> Hashable:
        self.fit(self.capacity)
        for _ in range(2):
            if len(self.window) > self.window_size:
                self.probation.append(self.window.pop(0))
        main = self.probation + self.protected
        if main and (len(self.window) < self.window_size or not self.window):
            return main[0]
        candidate = self.window[0]
        if not main or not self.admits(candidate, main[0]):
            return candidate
        self.probation.append(self.window.pop(0))
        return main[0]

    def admits(self, key: Hashable, other: Hashable) -> bool:
        assert self.sketch is not None
        count = self.sketch.count(fold(key))
        if count > self.sketch.count(fold(other)):
            return True
        if count <= 5:
            return False
        self.random = (self.random * 1664525 + 1013904223) % 2**32
        return self.random >> 25 == 0
