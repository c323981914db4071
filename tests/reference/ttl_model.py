"""TTL: what expires first leaves first, what never does last; ties in the order of setting."""

from __future__ import annotations

from collections.abc import Hashable

from reference.fifo_model import FifoModel


class TtlModel(FifoModel):
    name = "ttl"
    ordered = False  # iteration follows insertion

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[Hashable, tuple[float, int]] = {}  # when, and which setting it was
        self.n_settings = 0

    def expires(self, key: Hashable, at: float | None) -> None:
        """Note a new time of expiry."""
        self.ends.pop(key, None)
        if at is not None:
            self.n_settings += 1
            self.ends[key] = (at, self.n_settings)

    def remove(self, key: Hashable) -> None:
        super().remove(key)
        self.ends.pop(key, None)

    evict = remove

    def victim(self) -> Hashable:
        return min(self.ends, key=self.ends.__getitem__) if self.ends else self.keys[0]
