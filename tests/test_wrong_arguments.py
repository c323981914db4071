"""What a caller gives wrongly is named: the argument, what was given, and what is wanted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raudo import (
    AsyncProcessor,
    BufferPool,
    Cache,
    ParallelExecutor,
    SmartCache,
    lru_cache,
)
from raudo.analysis import DocumentAnalyzer
from raudo.concurrency.local_queue import LocalQueue
from raudo.export import export
from raudo.integrations.objectstore import publish
from raudo.integrations.redis import RedisTier
from raudo.monitoring import Monitor, create_exporter, serve
from raudo.similarity import FlatIndex, IVFIndex, SimilarityCache, nearest

Call = Callable[[], object]
ROWS = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Cache(2).get_or_load(1, 5), "loader: wanted a callable, got 5"),
        (lambda: Cache(2).set_many(5), "mapping: wanted a mapping or pairs, got 5"),
        (lambda: Cache(2).update(5), "mapping: wanted a mapping or pairs, got 5"),
        (lambda: lru_cache(maxsize=3)("f"), "first argument must be callable, got 'f'"),
        (lambda: SmartCache(allow=int), "allow must be a collection of classes, got"),
        (lambda: BufferPool().borrow((1.5, 2)).__enter__(), r"shape is \(1.5, 2\)"),
        (lambda: BufferPool().borrow(2, "nope").__enter__(), "dtype is 'nope'"),
        (lambda: SimilarityCache(5), "index is 5, one with search"),
        (lambda: SimilarityCache(FlatIndex(4), "x"), "maxsize is 'x', a whole number"),
        (lambda: FlatIndex(4).search_within(ROWS, "x"), "radius is 'x', a number"),
        (lambda: FlatIndex(1.5), "dim is 1.5, a whole number"),
        (lambda: IVFIndex(4, nlist="x"), "nlist is 'x', a whole number"),
        (lambda: IVFIndex(4, recall="x"), "recall is 'x', a number"),
        (lambda: IVFIndex(4).search(ROWS, 2, nprobe=1.5), "nprobe is 1.5, a whole number"),
        (lambda: FlatIndex(4).search(ROWS, 2, nprobe="x"), "nprobe is 'x', a whole number"),
    ],
)
def test_of_what_is_synchronous(call: Call, named: str) -> None:
    with pytest.raises(TypeError, match=named):
        call()


def test_counts_that_no_machine_can_hold() -> None:
    with pytest.raises(ValueError, match="k is 1180591620717411303424, at most"):
        nearest(ROWS, ROWS, 2**70)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda cache: cache.get_many(5), "keys must be an iterable of keys, got 5"),
        (lambda cache: cache.set_many([(1, 2)]), r"mapping must be a mapping, got \[\(1, 2\)\]"),
        (lambda cache: cache.set_many({1: 2}, tags=5), "tags must be strings, got 5"),
        (lambda cache: cache.set(1, 2, tags=5), "tags must be a collection of strings, got 5"),
        (lambda cache: cache.get_or_load(1, 5), "loader must be callable, got 5"),
        (lambda cache: cache.memoize(key=5), "key must be callable or None, got 5"),
        (lambda cache: cache.memoize(tags=5), "tags must be a collection of strings, got 5"),
    ],
)
def test_of_a_smart_cache(call: Callable[[SmartCache], Any], named: str) -> None:
    async def main() -> None:
        async with SmartCache() as cache:
            with pytest.raises(TypeError, match=named):
                await call(cache)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (
            lambda processor: processor.process_batch([(len, ("a",))], on_progress=5),
            "on_progress must be callable, not int",
        ),
        (lambda processor: processor.consume(5, print), "source must be a MessageSource, not int"),
        (
            lambda processor: processor.process(asyncio.sleep, 0, kind="process"),
            "kind 'process' needs a plain function",
        ),
    ],
)
def test_of_a_processor(call: Callable[[AsyncProcessor], Any], named: str) -> None:
    async def main() -> None:
        async with AsyncProcessor() as processor:
            with pytest.raises(TypeError, match=named):
                await call(processor)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: serve(Monitor(), port=70_000), ValueError, "port is 70000"),
        (lambda: serve(Monitor(), port=True), TypeError, "port is True"),
        (lambda: serve(Monitor(), port="x"), TypeError, "port is 'x'"),
        (lambda: serve(Monitor(), host=5), TypeError, "host is 5"),
        (lambda: serve(5), TypeError, "monitor is 5"),
        (lambda: Monitor(rules=5), TypeError, "rules is 5"),
        (lambda: Monitor(exporters="statsd"), TypeError, "exporters is 'statsd'"),
        (lambda: Monitor(max_series="x"), TypeError, "max_series is 'x'"),
        (lambda: create_exporter("statsd", port=-1), ValueError, "port is -1"),
        (lambda: create_exporter("statsd", host=5), TypeError, "host is 5"),
        (lambda: RedisTier(5), TypeError, "url is 5"),
        (lambda: RedisTier(nonsense=1), TypeError, "options: .*'nonsense'"),
        (lambda: LocalQueue().send_nowait(1, key=[]), TypeError, r"key must be hashable, got \[\]"),
        (lambda: export([], None), TypeError, "path is NoneType"),
        (lambda: DocumentAnalyzer().analyze(None), TypeError, "documents is NoneType"),
        (
            lambda: DocumentAnalyzer(embedder=lambda texts: [["x"]]).analyze(["a"]),
            ValueError,
            "embedder returned no matrix of numbers",
        ),
        (lambda: publish("x", ""), ValueError, "url is empty"),
        (lambda: publish("x", 5), TypeError, "url is 5"),
        (lambda: publish(5, "x"), TypeError, "paths is 5"),
        (lambda: publish("x", "y", manifest="../z"), ValueError, "manifest is '../z'"),
        (lambda: publish("x", "y", manifest=""), ValueError, "manifest is ''"),
        (lambda: publish("x", "y", max_age="1"), TypeError, "max_age is '1'"),
        (lambda: publish("x", "y", types=5), TypeError, "types is 5"),
        (lambda: publish("x", "y", purge=5), TypeError, "purge is 5"),
    ],
)
def test_of_what_watches_and_what_is_far(call: Call, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        call()


def test_of_a_map() -> None:
    with ParallelExecutor(kind="inline") as executor:
        with pytest.raises(TypeError, match="fn must be callable, not int"):
            executor.map(5, [1])
        with pytest.raises(TypeError, match="timeout must be a number, not str"):
            executor.map(len, ["a"], timeout="x")
        with pytest.raises(ValueError, match="timeout must be seconds or None, not nan"):
            executor.map(len, ["a"], timeout=math.nan)
        assert list(executor.map(len, ["a"], timeout=math.inf)) == [1]
