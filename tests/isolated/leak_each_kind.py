"""Many operations of each kind leave objects, blocks, references and the C heap as they were.

RAUDO_LEAK_OPERATIONS says how many of each: `make harden` a million, CI some hundreds. What one
operation in a thousand leaks shows with many; what each one leaks shows with few.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from raudo import BufferPool, Cache, ObjectPool, SmartCache, cached, events, lru_cache
from raudo._core import text
from raudo._core.curve import Curve
from raudo._core.encode import Encoder
from raudo._core.histogram import Histogram
from raudo._core.hot import HotKeys
from raudo._core.plain import load_plain
from raudo._core.sizes import estimate_bytes
from raudo.compat import cachetools as compat
from raudo.concurrency import retry
from raudo.memory import compaction, deep_size
from raudo.similarity import nearest, pairwise_distances
from raudo.similarity.index.flat import FlatIndex

N = int(os.environ.get("RAUDO_LEAK_OPERATIONS", "600"))
N_SLOW = max(N // 10, 300)  # of those that take tens of microseconds
NOISE = 260  # blocks that the interpreter's free lists may hold more or less of
HEAP_NOISE = 400_000  # bytes that malloc may hold more or less of
N_TRIALS = 3

Operation = Callable[[int], object]
KEYS = [f"key {i}" for i in range(64)]
VALUE = ["value"]
ROWS = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
BITS = np.packbits(ROWS > 0, axis=1)
DOCUMENTS = ["A few words of text, some twice: words.", "Ärger über Öl", "日本 and more"]
ENCODER = Encoder(str, dict, str)
PICKLED = b"\x80\x05]\x94(K\x01\x8c\x03two\x94G@\x08\x00\x00\x00\x00\x00\x00}\x94K\x04K\x05se."


class _Heap(ctypes.Structure):
    _fields_ = (*((f"f{i}", ctypes.c_size_t) for i in range(4)), ("mapped", ctypes.c_size_t),
                *((f"g{i}", ctypes.c_size_t) for i in range(2)), ("used", ctypes.c_size_t),
                *((f"h{i}", ctypes.c_size_t) for i in range(2)))  # fmt: skip


def heap_bytes() -> int:
    """Return what malloc has given out; 0 where this C library does not tell."""
    try:
        tell = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return 0
    tell.restype = _Heap
    told = tell()
    return int(told.used + told.mapped)


def caches() -> Iterator[tuple[str, Operation]]:
    for strategy in ("adaptive", "fifo", "lfu", "lru", "ml", "s3fifo", "sieve", "tinylfu", "ttl"):
        cache: Cache[Any, Any] = Cache(40, strategy=strategy)
        yield f"{strategy}: set, evict", lambda i, c=cache: c.set(KEYS[i % 64], VALUE)
        yield f"{strategy}: get", lambda i, c=cache: c.get(KEYS[i % 64], VALUE)
        yield f"{strategy}: pop", lambda i, c=cache: (c.set(i, VALUE), c.pop(i, None))
    weighed: Cache[Any, Any] = Cache(40, max_weight=90, weigher=lambda key, value: 3, ttl=9.0)
    yield (
        "weights and ttl",
        lambda i: (weighed.set(KEYS[i % 64], VALUE), weighed.touch(KEYS[0], 5.0)),
    )
    loading: Cache[Any, Any] = Cache(40)
    yield "get_or_load", lambda i: loading.get_or_load((KEYS[i % 64], i % 3), lambda key: VALUE)
    yield "many", lambda i: (loading.set_many({i: VALUE}), loading.get_many([i, KEYS[0]]))
    heard: Cache[Any, Any] = Cache(4, on_evict=lambda key, value, reason: None)
    yield "listener", lambda i: heard.set(i, VALUE)
    folded: compat.LRUCache[Any, Any] = compat.LRUCache(40)
    yield "compat", lambda i: folded.__setitem__(i % 64, VALUE)
    yield "curve", Curve([10, 20]).look_up
    hot = HotKeys()
    yield "hot keys", lambda i: (hot.look_up(KEYS[i % 64]), hot.top(3))


def memos() -> Iterator[tuple[str, Operation]]:
    @lru_cache(maxsize=40)
    def of_one(x: Any) -> Any:
        return VALUE

    @lru_cache(maxsize=40, typed=True)
    def of_more(x: Any, *, y: Any = None) -> Any:
        return VALUE

    def refuse(x: Any) -> Any:
        raise ValueError(x)

    refusing = lru_cache(maxsize=4)(refuse)

    def failing(i: int) -> None:
        with contextlib.suppress(ValueError):
            refusing(i)

    yield "lru_cache", lambda i: of_one(i % 64)
    yield "lru_cache, typed", lambda i: of_more(i % 64, y=KEYS[i % 5])
    yield "lru_cache, raises", failing


def pools() -> Iterator[tuple[str, Operation]]:
    objects: ObjectPool[list[Any]] = ObjectPool(list, max_size=4, reset=list.clear)
    buffers = BufferPool(max_bytes=1 << 20)

    def lend(i: int) -> None:
        with objects.borrow() as held:
            held.append(VALUE)

    def lend_buffer(i: int) -> None:
        with buffers.borrow((i % 50 + 1, 7), np.float32) as array:
            array[0] = i

    yield "object pool", lambda i: objects.release(objects.acquire())
    yield "object pool, borrow", lend
    yield "buffer pool", lend_buffer
    yield "deep_size", lambda i: deep_size([VALUE, {"a": i}])
    yield "compaction", lambda i: compaction([{"a": i, "b": VALUE}, {"a": 1, "b": VALUE}])
    yield "estimate_bytes", lambda i: estimate_bytes([VALUE, {"a": i}])


def kernels() -> Iterator[tuple[str, Operation]]:
    index = FlatIndex(16)
    index.add(ROWS)
    row = {"a": 1, "b": [1.5, None, True], "c": 'say "ü"'}
    told = Histogram()
    yield "distances", lambda i: pairwise_distances(ROWS[:3], ROWS, metric="cosine")
    yield "distances of bits", lambda i: pairwise_distances(BITS[:3], BITS, metric="hamming")
    yield "nearest", lambda i: nearest(ROWS[:2], ROWS, k=3)
    yield "index", lambda i: index.search(ROWS[:1], 3)
    yield "index, update", lambda i: (index.remove([i % 50]), index.add(ROWS[:1], ids=[i % 50]))
    yield "words", lambda i: text.tokenise(DOCUMENTS)
    yield "sets of words", lambda i: text.word_sets(DOCUMENTS, shingle=2)
    yield "hash of bytes", lambda i: text.hash_bytes(PICKLED, i)
    yield "plain pickles", lambda i: load_plain(PICKLED)
    yield "json", lambda i: ENCODER.json(row)
    yield "csv", lambda i: ENCODER.csv_line((i, 0.1 * i, KEYS[i % 64], None))
    yield "histogram", lambda i: (told.record_ns(i), told.quantile(0.5), told.copy())
    yield "event", lambda i: events.emit(VALUE)


def smart_caches() -> Iterator[tuple[str, Operation]]:
    cache: SmartCache[Any, Any] = SmartCache(max_size=24, levels=(0.5, 0.5, 0.0))
    once = retry(lambda x: x, retries=2)
    # Without a disk: of its log a list of records grows until the next file begins.
    yield "SmartCache", lambda i: (cache.set(KEYS[i % 64], VALUE), cache.get(KEYS[i % 7]))
    yield "retry", once


def awaited() -> Iterator[tuple[str, Operation]]:
    @cached(maxsize=40)
    async def of_one(x: Any) -> Any:
        return VALUE

    loop = asyncio.new_event_loop()
    yield "cached, awaited", lambda i: loop.run_until_complete(of_one(i % 64))
    cache: SmartCache[Any, Any] = SmartCache(max_size=24, levels=(0.5, 0.5, 0.0))
    loads = cache.get_or_load
    yield "SmartCache, loads", lambda i: loop.run_until_complete(loads(i % 40, lambda key: VALUE))
    loop.close()


def references() -> list[int]:
    return [sys.getrefcount(each) for each in (VALUE, KEYS[0], KEYS[1], PICKLED, ROWS, BITS, list)]


def assert_flat(name: str, operation: Operation, n: int) -> None:
    told = ""
    for i in range(200):
        operation(i)
    for _ in range(N_TRIALS):
        gc.collect()
        before = len(gc.get_objects()), sys.getallocatedblocks(), heap_bytes()
        counts = references()
        for i in range(n):
            operation(i)
        gc.collect()
        after = len(gc.get_objects()), sys.getallocatedblocks(), heap_bytes()
        objects, blocks, heap = (b - a for a, b in zip(before, after, strict=True))
        held = max(b - a for a, b in zip(counts, references(), strict=True))
        if objects < 20 and blocks < NOISE and heap < HEAP_NOISE and held < 100:
            return
        told = f"{objects} objects, {blocks} blocks, {heap} bytes, {held} references"
    raise AssertionError(f"{name}: {told} more after {n} operations, {N_TRIALS} times in a row")


def main() -> None:
    """Check the groups of kinds that the command line names, or all."""
    for group in (caches, memos, pools, kernels, smart_caches, awaited):
        is_slow = group in (kernels, smart_caches, awaited)
        if group.__name__ in (sys.argv[1:] or [group.__name__]):
            for name, operation in group():
                assert_flat(name, operation, N_SLOW if is_slow else N)


main()
