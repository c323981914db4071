"""Work that a call starts and does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from raudo.cache.flush import settle
from raudo.cache.levels import Levels

__all__ = ["Background"]


class Background:
    """Tasks of any event loop, held until they are done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._settling: asyncio.Task[Any] | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
        """Run in the background; None where no loop runs here, and nothing happens.

        What it raises is told to nobody: a load counts its own failures.
        """
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:
            work.close()
            return None
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def settle(self, levels: Levels) -> bool:
        """Carry down in the background what is due; False where nothing will come of that.

        One task of a loop does it at a time. It gets no turn where hits never suspend: the caller
        helps as soon as too much waits.
        """
        task = self._settling
        if task is None or task.done() or task.get_loop() is not _running_loop():
            self._settling = self.spawn(settle(levels))
            return self._settling is not None
        return not levels.down.transit.is_overdue()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def cancel(self) -> None:
        """Cancel those of the running loop, and wait until they have ended."""
        loop = asyncio.get_running_loop()
        own = [task for task in list(self._tasks) if task.get_loop() is loop]
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
