"""A small service under load, in trouble or well as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from raudo import AsyncProcessor, BatchProcessor, MemoryOptimizer, ParallelExecutor, SmartCache
from raudo._process import resident_bytes
from raudo.monitoring import Monitor

__all__ = ["Service", "service"]


class Service:
    """Components of every kind, watched by a monitor, and some 600 lookups and 150 tasks a second.

    While `in_trouble`, memory is short, most lookups miss, tasks fail and others are slow.
    """

    def __init__(self, **options) -> None:
        self.in_trouble = True
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._options = options
        self._tasks: set[asyncio.Future[object]] = set()
        self.error: BaseException | None = None

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.error = error
            self._ready.set()
            raise

    async def _main(self) -> None:
        used = resident_bytes()
        tight = MemoryOptimizer(False, memory_limit=round(used / 0.97))
        roomy = MemoryOptimizer(False, memory_limit=4 * used)
        tight.create_pool("lists", list)
        async with (
            SmartCache(100, name="users") as cache,
            AsyncProcessor(name="shaky") as shaky,
            AsyncProcessor(name="slow") as slow,
            BatchProcessor(name="batches", handler=list) as batches,
        ):
            with ParallelExecutor(2, 1) as executor:
                watched = (cache, shaky, slow, batches, executor)
                self.monitor = Monitor(asyncio.get_running_loop(), *watched, tight, **self._options)
                for n in range(10):
                    await cache.set(n, n)
                self._ready.set()
                was_in_trouble = True
                while not self._stop.is_set():
                    if was_in_trouble and not self.in_trouble:
                        self.monitor.unwatch(tight)
                        self.monitor.watch(roomy)
                    was_in_trouble = self.in_trouble
                    await self._turn(cache, shaky, slow, batches, executor)
                await asyncio.gather(*self._tasks)

    async def _turn(self, cache, shaky, slow, batches, executor) -> None:
        trouble = self.in_trouble
        for n in range(30):
            await cache.get(n if trouble else n % 10)
        pause = 0.6 if trouble else 0.001
        outcomes = await asyncio.gather(
            shaky.process_batch(
                [(_fails if trouble and n % 3 == 0 else _works, ()) for n in range(8)],
                return_exceptions=True,
            ),
            batches.submit(1),
            asyncio.sleep(0.05),
        )
        assert len(outcomes[0]) == 8
        executor.submit(abs, -1).result(5)
        for _ in range(2):
            self._tasks = {each for each in self._tasks if not each.done()}
            self._tasks.add(asyncio.ensure_future(slow.process(asyncio.sleep, pause)))

    def __enter__(self) -> Service:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert self.error is None


async def _works() -> int:
    return 1


async def _fails() -> int:
    raise ValueError("one of the errors that were ordered")


@contextlib.contextmanager
def service(**options) -> Iterator[Service]:
    with Service(**options) as running:
        yield running
