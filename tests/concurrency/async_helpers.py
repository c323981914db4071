"""What the tests of the async half share."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from raudo.concurrency import AsyncProcessor


async def double(x: int) -> int:
    return 2 * x


async def hop(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


async def fail(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def plain_double(x: int) -> int:
    return 2 * x


def spin(seconds: float) -> None:
    """Compute without end in sight; for a process that is to be killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def pid_and(x: int) -> tuple[int, int]:
    import os

    return os.getpid(), x


def check_accounts(processor: AsyncProcessor) -> dict[str, Any]:
    """Assert that every task is accounted for, with nothing left in flight; return the stats."""
    stats = processor.get_stats()
    assert stats["submitted_tasks"] == (
        stats["processed_tasks"] + stats["cancelled"] + stats["dropped"]
    ), stats
    assert stats["processed_tasks"] == stats["succeeded_tasks"] + stats["failed_tasks"]
    assert stats["running"] == stats["queue_size"] == 0
    assert sum(stats["by_kind"].values()) == stats["succeeded_tasks"]
    return stats


def other_tasks() -> set[asyncio.Task[Any]]:
    """Return the loop's tasks but for the current one."""
    return asyncio.all_tasks() - {asyncio.current_task()}
