"""Operations of the rooms above the compiled ones: what `leak_each_kind.py` repeats.

Where one call does many operations, as a batch does, `many` says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from kinds import DOCUMENTS, KEYS, ROWS, VALUE, Kind

from raudo import AsyncProcessor, BatchProcessor, Cache, ParallelExecutor, SmartCache, cached, retry
from raudo.analysis import DocumentAnalyzer
from raudo.cache.tiers import CompressedTier, DiskTier, LmdbTier
from raudo.export import export
from raudo.monitoring import AlertRule, Monitor
from raudo.monitoring.exporters.prometheus import exposition
from raudo.testing import FakeClock
from raudo.types import Blob, Sample

BLOB = Blob(b"payload" * 10, "bytes", 70)


@contextlib.contextmanager
def running() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


async def echo(x: Any) -> Any:
    return x


async def fail(x: Any) -> Any:
    raise ValueError(x)


async def hang(x: Any) -> None:
    await asyncio.Event().wait()


def smart_caches() -> Iterator[Kind]:
    cache: SmartCache[Any, Any] = SmartCache(max_size=24, levels=(0.5, 0.5, 0.0))

    def use(i: int) -> None:
        cache.set_nowait(KEYS[i % 64], VALUE)
        cache.get_nowait(KEYS[i % 7])

    async def use_awaiting(i: int) -> None:
        await cache.set(KEYS[i % 64], VALUE)
        await cache.get(KEYS[i % 7])

    yield Kind("without a loop", use)
    with running() as run:
        load = cache.get_or_load

        async def many() -> None:
            await cache.set_many(dict.fromkeys(KEYS[:50], VALUE))
            await cache.get_many(KEYS[14:])

        async def tagged(i: int) -> None:
            await cache.set(KEYS[i % 64], VALUE, tags=("a", str(i % 5)))
            await cache.invalidate_tag(str(i % 5))

        yield Kind("set and get", lambda i: run(use_awaiting(i)))
        yield Kind("loads", lambda i: run(load(i % 40, lambda key: VALUE)))
        yield Kind("many", lambda i: run(many()), many=100)
        yield Kind("tags", lambda i: run(tagged(i)))
        run(cache.close())


def levels() -> Iterator[Kind]:
    compressed = CompressedTier(40)
    yield Kind("compressed", lambda i: _put_get(compressed, i))
    with tempfile.TemporaryDirectory() as folder:
        disk = DiskTier(Path(folder, "disk"), max_bytes=1 << 17)
        yield Kind("disk", lambda i: _put_get(disk, i), spare_blocks=3000)
        disk.close()
        lmdb = LmdbTier(Path(folder, "lmdb"), max_bytes=1 << 20)
        yield Kind("lmdb", lambda i: _put_get(lmdb, i))
        lmdb.close()
        cache: SmartCache[Any, Any] = SmartCache(max_size=24, path=Path(folder, "cache"))

        def use(i: int) -> None:
            cache.set_nowait(KEYS[i % 64], VALUE)
            cache.get_nowait(KEYS[i % 7])

        yield Kind("all three", use, spare_blocks=3000)
        cache.close_nowait()


def _put_get(tier: Any, i: int) -> None:
    key = b"%d" % (i % 64)
    tier.put_nowait(key, BLOB)
    tier.get_nowait(key)
    if not i % 3:
        tier.drop_nowait(key)


def awaited() -> Iterator[Kind]:
    @cached(maxsize=40)
    async def of_one(x: Any) -> Any:
        return VALUE

    with running() as run:
        yield Kind("cached", lambda i: run(of_one(i % 64)))
        yield Kind("retry", lambda i: run(retry(echo, i, retries=2)))


def processors() -> Iterator[Kind]:
    processor = AsyncProcessor(use_processes=False)
    batch: BatchProcessor[Any, Any] = BatchProcessor(batch_size=100, max_wait_time=9.0)
    good = [(echo, (VALUE,))] * 100
    bad = [(fail, (VALUE,))] * 100
    slow = [(hang, (VALUE,))] * 100

    @batch.handler
    def handle(items: list[Any]) -> list[Any]:
        return items

    async def stream() -> None:
        async for _ in processor.stream(good):
            pass

    async def submit() -> None:
        await asyncio.gather(*[await processor.submit(echo, each) for each in KEYS])

    async def submit_batch() -> None:
        await asyncio.gather(*[batch.submit(each) for each in range(100)])

    def processed(tasks: list[Any], timeout: float = 5.0) -> Callable[[int], object]:
        options = {"max_concurrent": 100, "return_exceptions": True, "timeout": timeout}
        return lambda i: run(processor.process_batch(tasks, **options))

    with running() as run:
        yield Kind("process", lambda i: run(processor.process(echo, VALUE)))
        yield Kind("process_batch", processed(good), many=100)
        yield Kind("errors", processed(bad), many=100)
        yield Kind("timeouts", processed(slow, 0.001), many=100)
        yield Kind("stream", lambda i: run(stream()), many=100)
        yield Kind("submit", lambda i: run(submit()), many=64)
        yield Kind("threads", lambda i: run(processor.process(len, VALUE, kind="thread")))
        yield Kind("BatchProcessor, submit", lambda i: run(submit_batch()), many=100)
        yield Kind("BatchProcessor, process", lambda i: run(batch.process(KEYS, handle)), many=64)
        run(batch.close())
        run(processor.stop())


def executors() -> Iterator[Kind]:
    numbers = range(1000)
    with ParallelExecutor(max_threads=2, max_processes=1) as executor:
        for kind in ("thread", "process"):
            yield Kind(
                f"map, {kind}",
                lambda i, k=kind: list(executor.map(abs, numbers, kind=k)),
                many=1000,
            )
        yield Kind("submit", lambda i: [executor.submit(abs, 1).result() for _ in KEYS], many=64)


def exports() -> Iterator[Kind]:
    rows = [{"id": i, "text": f"document {i}", "score": i / 10} for i in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("jsonl", "csv", "jsonl.gz", "csv.lz4", "jsonl.zst", "parquet", "arrow"):
            path = str(Path(folder, f"rows.{suffix}"))
            yield Kind(f"rows as {suffix}", lambda i, p=path: export(rows, p), many=1000)
        arrays = str(Path(folder, "rows.npy"))
        yield Kind("rows as npy", lambda i: export(ROWS, arrays), many=len(ROWS))


def documents() -> Iterator[Kind]:
    texts = {i: f"{DOCUMENTS[i % 3]} of number {i // 2} in {i % 50}" for i in range(1000)}
    yield Kind("analyze", lambda i: DocumentAnalyzer().analyze(texts, k=3), many=1000)
    analyzer = DocumentAnalyzer()
    analyzer.analyze(texts, k=1)
    yield Kind("similar", lambda i: analyzer.similar(DOCUMENTS[i % 3], k=2))


def monitoring() -> Iterator[Kind]:
    cache: Cache[Any, Any] = Cache(10)
    clock = FakeClock()
    watched = Monitor(cache, process=False, clock=clock)

    class Swings:
        value = 0

        def samples(self) -> Iterator[Sample]:
            self.value = not self.value
            yield Sample("swings", "gauge", self.value)

    swings = Swings()
    rule = AlertRule("high", "swings", above=0.5)
    alerting = Monitor(swings, process=False, rules=[rule], on_alert=id, clock=clock)

    def check(monitor: Monitor) -> None:
        clock.advance(1.0)
        monitor.check()

    yield Kind("check", lambda i: check(watched))
    yield Kind("alerts", lambda i: check(alerting))
    yield Kind("snapshot", lambda i: watched.snapshot())
    yield Kind("exposition", lambda i: exposition(watched.collect()))
    watched.close()
    alerting.close()
