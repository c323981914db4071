"""What the tests of `BatchProcessor` share."""

from __future__ import annotations

import asyncio
from typing import Any

from concurrency.virtual_time import now
from raudo.concurrency import BatchProcessor


class Recorder:
    """A handler that takes `seconds` and remembers its batches and when they began."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[Any]] = []
        self.begun: list[float] = []
        self.running = self.most = 0

    async def __call__(self, items: list[Any]) -> list[Any]:
        self.batches.append(list(items))
        self.begun.append(now())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        return [2 * item for item in items]


def check_accounts(batch: BatchProcessor) -> dict[str, Any]:
    stats = batch.get_stats()
    assert stats["submitted_items"] == stats["processed_items"] + stats["cancelled"], stats
    assert stats["queue_size"] == stats["running"] == 0
    return stats
