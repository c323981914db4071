"""FIFO: what was inserted first leaves first; hits and updates change nothing."""

from __future__ import annotations

from collections.abc import Hashable

from reference.lru_model import LruModel


class FifoModel(LruModel):
    name = "fifo"

    def hit(self, key: Hashable) -> None:
        assert key in self.keys
