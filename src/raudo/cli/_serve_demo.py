"""A load that shows what the page is for: real caches, processors and pools, invented requests.

It takes a few percent of one core. Traffic swells and ebbs within two minutes, and once in that
time the processor fails often enough for an alert, then recovers.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import math
import random
import threading
import time
from typing import Self

from raudo import AsyncProcessor, BatchProcessor, MemoryOptimizer, ObjectPool, SmartCache

__all__ = ["Demo"]

_PERIOD_S = 120.0
_N_PAGES = 6000
_STEP_S = 0.1


class Demo:
    """Works in a thread of its own between `with` and its end; `components` are to be watched."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self._pages = SmartCache(max_size=3000, name="pages")
        self._sessions = SmartCache(max_size=400, name="sessions", levels=(1.0, 0.0, 0.0))
        self._render = AsyncProcessor(max_workers=16, use_processes=False, name="render")
        self._embed = BatchProcessor(
            batch_size=16, max_wait_time=0.02, handler=_embed, name="embed"
        )
        self._optimizer = MemoryOptimizer(auto_optimize=False)
        self._rows: ObjectPool[list[int]] = self._optimizer.create_pool("rows", list, max_size=64)
        weights = itertools.accumulate(1 / rank**0.9 for rank in range(1, _N_PAGES + 1))
        self._popular = list(weights)
        self._is_over = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="raudo-demo", daemon=True)

    @property
    def components(self) -> tuple[object, ...]:
        """What a monitor watches of it."""
        processors = (self._render, self._embed)
        return (self._pages, self._sessions, *processors, self._optimizer, self._loop)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._pages, self._sessions, self._render:
            while not self._is_over.is_set():
                phase = (loop.time() - began) / _PERIOD_S % 1.0
                busy = 0.6 + 0.4 * math.sin(2 * math.pi * phase)
                requests = [self._request(phase) for _ in range(max(1, round(40 * busy)))]
                pause = asyncio.sleep(_STEP_S)
                await asyncio.gather(pause, *requests, return_exceptions=True)
            await self._embed.close()

    async def _request(self, phase: float) -> None:
        page = bisect.bisect(self._popular, self._random.random() * self._popular[-1])
        user = self._random.randrange(500)
        if await self._sessions.get(user) is None:
            await self._sessions.set(user, {"user": user}, ttl=30.0)
        for near in range(page, page + 5):
            if await self._pages.get(near) is None:
                if near == page:
                    await self._render.process(self._rendered, page, 0.35 < phase < 0.55)
                    await self._render.process(_stored, page, kind="thread")
                    await self._embed.submit(page)
                await self._pages.set(near, f"<h1>Page {near}</h1>" * 40)

    async def _rendered(self, page: int, is_bad_hour: bool) -> str:
        with self._rows.borrow() as row:
            row.extend(range(8))
            await asyncio.sleep(self._random.expovariate(1 / 0.03))
            if is_bad_hour and page % 3 == 0:
                raise ConnectionError("the demo's back end is away")
            return f"page {page}"


def _stored(page: int) -> None:
    time.sleep(0.002)


def _embed(pages: list[int]) -> list[float]:
    return [math.sqrt(page) for page in pages]
