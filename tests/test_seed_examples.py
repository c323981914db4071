"""The examples that raudo was designed from run exactly as they were written.

Each block is executed as the body of an async function, with the names that it takes for granted
defined; what it makes is closed afterwards. Below them: every documented key of the statistics is
there, and says the truth after known work.
"""

from __future__ import annotations

import gc
import inspect
import textwrap
from typing import Any

import pytest

import raudo
from raudo import (
    AsyncProcessor,
    BatchProcessor,
    MemoryOptimizer,
    SmartCache,
    parallel_map,
)

SMART_CACHE = """
cache = SmartCache(max_size=1000, strategy=CacheStrategy.ADAPTIVE, default_ttl=3600, compression=True)
result = await cache.get("analysis_key")
await cache.set("analysis_key", analysis_result, ttl=1800)
"""  # noqa: E501

ASYNC_PROCESSING = """
processor = AsyncProcessor(max_workers=32, use_threads=True, use_processes=True)
results = await processor.process_batch(tasks, max_concurrent=16)
"""

PARALLEL_EXECUTION = """
executor = ParallelExecutor(max_threads=32, max_processes=8, auto_scale=True)
results = parallel_map(process_item, items, max_workers=16)
"""

MEMORY = """
optimizer = MemoryOptimizer(auto_optimize=True)
string_pool = optimizer.create_pool("strings", lambda: "", max_size=1000)
list_pool = optimizer.create_pool("lists", lambda: [], max_size=500)
"""

METRICS = """
stats = cache.get_stats()      # {"hits": 1250, "misses": 150, "hit_rate": 0.89, "l1_size": 200, "l2_size": 300, "l3_size": 500}
stats = processor.get_stats()  # {"processed_tasks": 5000, "failed_tasks": 25, "success_rate": 0.995, "avg_processing_time": 0.15, "queue_size": 10}
report = optimizer.get_optimization_report()
# {"current_memory": {"used_mb": 512, "percent": 45.2}, "python_objects": 2500, "gc_collections": 15}
"""  # noqa: E501

CONFIGURATIONS = """
analysis_processor = AsyncProcessor(max_workers=16, use_threads=True, use_processes=True)
analysis_cache = SmartCache(max_size=2000, strategy=CacheStrategy.ADAPTIVE, default_ttl=7200)
batch_processor = BatchProcessor(batch_size=100, max_wait_time=2.0)
parallel_executor = ParallelExecutor(max_threads=24, max_processes=4, auto_scale=True)
"""

CACHE_PATTERN = """
cached_result = await cache.get(analysis_key)
if cached_result:
    return cached_result
result = await process_analysis(data)
await cache.set(analysis_key, result, ttl=3600)
return result
"""

BATCH_PATTERN = """
tasks = [(analyze_document, (doc,), {}) for doc in documents]
results = await processor.process_batch(tasks)
"""

POOL_PATTERN = """
string_pool = optimizer.get_pool("strings")
text = string_pool.acquire()
try:
    processed = process_text(text)
finally:
    string_pool.release(text)
"""


def process_item(item: int) -> int:
    return item * item


def analyze_document(doc: str) -> int:
    return len(doc.split())


def process_text(text: str) -> str:
    return text.upper()


def fail(message: str) -> None:
    raise ValueError(message)


async def process_analysis(data: str) -> dict[str, Any]:
    return {"words": len(data.split())}


async def run(block: str, **names: Any) -> dict[str, Any]:
    """Run a block as the body of an async function; return its names, `return` for what it gave."""
    keeps = "" if "return" in block else "return locals()\n"
    source = "async def example():\n" + textwrap.indent(block + keeps, "    ")
    public = {name: getattr(raudo, name) for name in raudo.__all__}
    namespace = {**public, **names}
    exec(compile(source, "<example>", "exec"), namespace)
    made = await namespace["example"]()
    return {"return": made} if "return" in block else made


async def close(*things: Any) -> None:
    for thing in things:
        for name in ("close", "stop", "shutdown"):
            if hasattr(thing, name):
                done = getattr(thing, name)()
                if inspect.isawaitable(done):
                    await done
                break


# --- the blocks -----------------------------------------------------------------------------------


async def test_smart_cache() -> None:
    names = await run(SMART_CACHE, analysis_result={"score": 0.5})
    assert names["result"] is None
    assert await names["cache"].get("analysis_key") == {"score": 0.5}
    await close(names["cache"])


async def test_async_processing() -> None:
    tasks = [(process_item, (i,), {}) for i in range(20)] + [(process_analysis, ("a b",))]
    names = await run(ASYNC_PROCESSING, tasks=tasks)
    assert names["results"] == [i * i for i in range(20)] + [{"words": 2}]
    await close(names["processor"])


async def test_parallel_execution() -> None:
    names = await run(PARALLEL_EXECUTION, process_item=process_item, items=list(range(50)))
    assert names["results"] == [i * i for i in range(50)]
    assert names["executor"].submit(process_item, 3).result(30) == 9
    await close(names["executor"])


async def test_memory() -> None:
    names = await run(MEMORY)
    assert names["string_pool"].acquire() == ""
    assert names["list_pool"].acquire() == []
    await close(names["optimizer"])


async def test_metrics() -> None:
    cache, processor, optimizer = SmartCache(), AsyncProcessor(), MemoryOptimizer()
    names = await run(METRICS, cache=cache, processor=processor, optimizer=optimizer)
    assert {"processed_tasks", "failed_tasks"} <= names["stats"].keys()
    assert {"current_memory", "python_objects", "gc_collections"} <= names["report"].keys()
    await close(cache, processor, optimizer)


async def test_configurations() -> None:
    names = await run(CONFIGURATIONS)
    assert isinstance(names["batch_processor"], BatchProcessor)
    assert await names["batch_processor"].process(range(250), lambda batch: list(batch)) == list(
        range(250)
    )
    for name in ("processor", "cache"):
        await close(names[f"analysis_{name}"])
    await close(names["batch_processor"], names["parallel_executor"])


async def test_cache_pattern() -> None:
    calls = 0

    async def counted(data: str) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return await process_analysis(data)

    async with SmartCache() as cache:
        given = {"cache": cache, "analysis_key": "k", "data": "a b", "process_analysis": counted}
        assert await run(CACHE_PATTERN, **given) == {"return": {"words": 2}}
        assert await run(CACHE_PATTERN, **given) == {"return": {"words": 2}}
    assert calls == 1


async def test_batch_pattern() -> None:
    async with AsyncProcessor() as processor:
        names = await run(
            BATCH_PATTERN,
            processor=processor,
            analyze_document=analyze_document,
            documents=["one", "one two", ""],
        )
    assert names["results"] == [1, 2, 0]


async def test_pool_pattern() -> None:
    optimizer = MemoryOptimizer()
    optimizer.create_pool("strings", lambda: "text", max_size=10)
    names = await run(POOL_PATTERN, optimizer=optimizer, process_text=process_text)
    assert names["processed"] == "TEXT"
    await close(optimizer)


# --- the statistics -------------------------------------------------------------------------------


async def test_cache_statistics_are_true() -> None:
    async with SmartCache(max_size=100, levels=(0.2, 0.3, 0.5)) as cache:
        for i in range(60):
            await cache.set(i, {"value": i})
        for i in range(80):  # 60 known keys, wherever they are by now, and 20 unknown
            found = await cache.get(i)
            assert found == ({"value": i} if i < 60 else None)
        stats = cache.get_stats()
    assert (stats["hits"], stats["misses"]) == (60, 20)
    assert stats["hit_rate"] == pytest.approx(0.75)
    sizes = [stats["l1_size"], stats["l2_size"], stats["l3_size"]]
    assert sum(sizes) == 60
    assert sizes[0] <= 20
    assert sizes[1] <= 30
    assert sizes[2] <= 50


async def test_processor_statistics_are_true() -> None:
    async with AsyncProcessor(max_workers=4) as processor:
        tasks: list[Any] = [(process_item, (i,)) for i in range(30)]
        tasks += [(fail, ("no",))] * 10
        results = await processor.process_batch(tasks, return_exceptions=True)
        stats = processor.get_stats()
    assert sum(isinstance(each, ValueError) for each in results) == 10
    assert stats["processed_tasks"] + stats["failed_tasks"] == 40 or stats["processed_tasks"] == 40
    assert stats["failed_tasks"] == 10
    assert stats["success_rate"] == pytest.approx(0.75)
    assert 0 <= stats["avg_processing_time"] < 10
    assert stats["queue_size"] == 0


def test_memory_report_is_true() -> None:
    import psutil

    optimizer = MemoryOptimizer(auto_optimize=False)
    report = optimizer.get_optimization_report()
    memory = psutil.Process().memory_info().rss / 2**20
    used = report["current_memory"]["used_mb"]
    assert used == pytest.approx(memory, rel=0.5) or used == pytest.approx(
        memory * 1.048576, rel=0.5
    )
    assert 0 < report["current_memory"]["percent"] <= 100
    assert report["python_objects"] > 0
    before = report["gc_collections"]
    gc.collect()
    after = optimizer.get_optimization_report()["gc_collections"]
    assert after >= before


def test_parallel_map_stands_alone() -> None:
    assert parallel_map(process_item, range(10)) == [i * i for i in range(10)]
