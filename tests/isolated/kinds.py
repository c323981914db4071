"""Operations of the compiled rooms, one at a time: what `leak_each_kind.py` repeats."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from raudo import BufferPool, Cache, ObjectPool, events, lru_cache
from raudo._core import text
from raudo._core.curve import Curve
from raudo._core.encode import Encoder
from raudo._core.histogram import Histogram
from raudo._core.hot import HotKeys
from raudo._core.plain import load_plain
from raudo._core.sizes import estimate_bytes
from raudo.compat import cachetools as compat
from raudo.memory import compaction, deep_size
from raudo.similarity import FlatIndex, IVFIndex, SimilarityCache, nearest, pairwise_distances


class Kind(NamedTuple):
    name: str
    operation: Callable[[int], object]
    many: int = 1  # operations in one call
    spare_blocks: int = 0  # that it may hold more or less of, as of a log's file that is half full


KEYS = [f"key {i}" for i in range(64)]
VALUE = ["value"]
ROWS = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
BITS = np.packbits(ROWS > 0, axis=1)
DOCUMENTS = ["A few words of text, some twice: words.", "Ärger über Öl", "日本 and more"]
ENCODER = Encoder(str, dict, str)
PICKLED = b"\x80\x05]\x94(K\x01\x8c\x03two\x94G@\x08\x00\x00\x00\x00\x00\x00}\x94K\x04K\x05se."
WATCHED = (VALUE, KEYS[0], KEYS[1], PICKLED, ROWS, BITS, DOCUMENTS, list)


def caches() -> Iterator[Kind]:
    for strategy in ("adaptive", "fifo", "lfu", "lru", "ml", "s3fifo", "sieve", "tinylfu", "ttl"):
        cache: Cache[Any, Any] = Cache(40, strategy=strategy)
        yield Kind(f"{strategy}: set, evict", lambda i, c=cache: c.set(KEYS[i % 64], VALUE))
        yield Kind(f"{strategy}: get", lambda i, c=cache: c.get(KEYS[i % 64], VALUE))
        yield Kind(f"{strategy}: pop", lambda i, c=cache: (c.set(i, VALUE), c.pop(i, None)))
    weighed: Cache[Any, Any] = Cache(40, max_weight=90, weigher=lambda key, value: 3, ttl=9.0)
    yield Kind(
        "weights and ttl",
        lambda i: (weighed.set(KEYS[i % 64], VALUE), weighed.touch(KEYS[0], 5.0)),
    )
    loading: Cache[Any, Any] = Cache(40)
    yield Kind(
        "get_or_load", lambda i: loading.get_or_load((KEYS[i % 64], i % 3), lambda key: VALUE)
    )
    yield Kind("many", lambda i: (loading.set_many({i: VALUE}), loading.get_many([i, KEYS[0]])))
    heard: Cache[Any, Any] = Cache(4, on_evict=lambda key, value, reason: None)
    yield Kind("listener", lambda i: heard.set(i, VALUE))
    folded: compat.LRUCache[Any, Any] = compat.LRUCache(40)
    yield Kind("compat", lambda i: folded.__setitem__(i % 64, VALUE))
    yield Kind("curve", Curve([10, 20]).look_up)
    hot = HotKeys()
    yield Kind("hot keys", lambda i: (hot.look_up(KEYS[i % 64]), hot.top(3)))


def memos() -> Iterator[Kind]:
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

    yield Kind("lru_cache", lambda i: of_one(i % 64))
    yield Kind("lru_cache, typed", lambda i: of_more(i % 64, y=KEYS[i % 5]))
    yield Kind("lru_cache, raises", failing)


def pools() -> Iterator[Kind]:
    objects: ObjectPool[list[Any]] = ObjectPool(list, max_size=4, reset=list.clear)
    buffers = BufferPool(max_bytes=1 << 20)

    def lend(i: int) -> None:
        with objects.borrow() as held:
            held.append(VALUE)

    def lend_buffer(i: int) -> None:
        with buffers.borrow((i % 50 + 1, 7), np.float32) as array:
            array[0] = i

    yield Kind("object pool", lambda i: objects.release(objects.acquire()))
    yield Kind("object pool, borrow", lend)
    yield Kind("buffer pool", lend_buffer)
    yield Kind("deep_size", lambda i: deep_size([VALUE, {"a": i}]))
    yield Kind("compaction", lambda i: compaction([{"a": i, "b": VALUE}, {"a": 1, "b": VALUE}]))
    yield Kind("estimate_bytes", lambda i: estimate_bytes([VALUE, {"a": i}]))


def kernels() -> Iterator[Kind]:
    index = FlatIndex(16)
    index.add(ROWS)
    lists = IVFIndex(16)
    lists.add(ROWS)
    remembered = SimilarityCache(index, maxsize=20)
    row = {"a": 1, "b": [1.5, None, True], "c": 'say "ü"'}
    told = Histogram()
    yield Kind("distances", lambda i: pairwise_distances(ROWS[:3], ROWS, metric="cosine"))
    yield Kind("distances of bits", lambda i: pairwise_distances(BITS[:3], BITS, metric="hamming"))
    yield Kind("nearest", lambda i: nearest(ROWS[:2], ROWS, k=3))
    yield Kind("index", lambda i: index.search(ROWS[:1], 3))
    yield Kind(
        "index, update", lambda i: (index.remove([i % 50]), index.add(ROWS[:1], ids=[i % 50]))
    )
    yield Kind("index of lists", lambda i: lists.search(ROWS[:1], 3))
    yield Kind("SimilarityCache", lambda i: remembered.search(ROWS[i % 40 : i % 40 + 1], 3))
    yield Kind("words", lambda i: text.tokenise(DOCUMENTS))
    yield Kind("sets of words", lambda i: text.word_sets(DOCUMENTS, shingle=2))
    yield Kind("hash of bytes", lambda i: text.hash_bytes(PICKLED, i))
    yield Kind("plain pickles", lambda i: load_plain(PICKLED))
    yield Kind("json", lambda i: ENCODER.json(row))
    yield Kind("csv", lambda i: ENCODER.csv_line((i, 0.1 * i, KEYS[i % 64], None)))
    yield Kind("histogram", lambda i: (told.record_ns(i), told.quantile(0.5), told.copy()))
    yield Kind("event", lambda i: events.emit(VALUE))
