"""`raudo bench tiers`: microseconds of a set and a hit by level, beside other caches of its kind.

All stores take the same bytes under the same keys and give them back; within each round they run
in turn. What is below L1 in a `SmartCache` is also measured whole: single hits on JSON-like
records, with serialising, compression and the move up.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import json
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raudo.cache import SmartCache
from raudo.cache.codecs import BlobCodec
from raudo.cache.stats import TARGETS_S
from raudo.cache.tiers import CompressedTier, DiskTier, LmdbTier
from raudo.cli._bench_timing import quiet
from raudo.types import Blob

__all__ = [
    "STORES",
    "Opened",
    "Store",
    "installed",
    "measure",
    "packages",
    "record",
    "render",
    "run",
]

LEVELS = ("l1", "l2", "l3")


@dataclass(frozen=True, slots=True)
class Opened:
    """A store that is open: its calls, and how it wants its keys."""

    set: Callable[[Any, bytes], Any]
    get: Callable[[Any], Any]
    key_of: Callable[[int], Any] = str
    is_async: bool = False


@dataclass(frozen=True, slots=True)
class Store:
    """A cache that holds bytes; it is compared with those of its kind, "memory" or "disk"."""

    name: str
    kind: str
    package: str | None
    open: Callable[[Path], contextlib.AbstractContextManager[Opened]]

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("raudo")


def _key(n: int) -> bytes:
    return b"s%d" % n


def _with_blobs(tier: Any) -> Opened:
    def put(key: bytes, data: bytes) -> None:
        tier.put_nowait(key, Blob(data, "bytes", len(data)))

    return Opened(put, getattr(tier, "read_ready", tier.get_nowait), _key)


@contextlib.contextmanager
def _l1(folder: Path) -> Iterator[Opened]:
    with SmartCache(1 << 20, "lru", levels=(1, 0, 0)) as cache:
        yield Opened(cache.set, cache.get, is_async=True)


@contextlib.contextmanager
def _l2(folder: Path) -> Iterator[Opened]:
    yield _with_blobs(CompressedTier(1 << 20))


@contextlib.contextmanager
def _l3(folder: Path) -> Iterator[Opened]:
    tier = DiskTier(folder / "l3")
    try:
        yield _with_blobs(tier)
    finally:
        tier.close()


@contextlib.contextmanager
def _lmdb_tier(folder: Path) -> Iterator[Opened]:
    tier = LmdbTier(folder / "lmdb-tier")
    try:
        yield _with_blobs(tier)
    finally:
        tier.close()


@contextlib.contextmanager
def _lmdb(folder: Path) -> Iterator[Opened]:
    import lmdb

    with lmdb.open(str(folder / "lmdb"), map_size=1 << 30, sync=False, metasync=False) as database:

        def put(key: bytes, data: bytes) -> None:
            with database.begin(write=True) as transaction:
                transaction.put(key, data)

        def get(key: bytes) -> Any:
            with database.begin() as transaction:
                return transaction.get(key)

        yield Opened(put, get, _key)


@contextlib.contextmanager
def _diskcache(folder: Path) -> Iterator[Opened]:
    import diskcache

    with diskcache.Cache(str(folder / "diskcache"), eviction_policy="none") as cache:
        yield Opened(cache.set, cache.get)


@contextlib.contextmanager
def _joblib_memory(folder: Path) -> Iterator[Opened]:
    import joblib

    given: dict[str, bytes] = {}

    def made(key: str) -> bytes:
        return given[key]

    remember = joblib.Memory(folder / "joblib", verbose=0).cache(made)

    def put(key: str, data: bytes) -> None:
        given[key] = data
        remember(key)

    yield Opened(put, remember)


@contextlib.contextmanager
def _aiocache(folder: Path) -> Iterator[Opened]:
    import aiocache

    cache = aiocache.SimpleMemoryCache()
    yield Opened(cache.set, cache.get, is_async=True)


@contextlib.contextmanager
def _cashews(folder: Path) -> Iterator[Opened]:
    import cashews

    cache = cashews.Cache()
    cache.setup("mem://", size=1 << 20)
    yield Opened(cache.set, cache.get, is_async=True)


STORES: tuple[Store, ...] = (
    Store("raudo L1 (await)", "memory", None, _l1),
    Store("raudo L2", "memory", None, _l2),
    Store("aiocache (await)", "memory", "aiocache", _aiocache),
    Store("cashews (await)", "memory", "cashews", _cashews),
    Store("raudo L3", "disk", None, _l3),
    Store("raudo lmdb tier", "disk", "lmdb", _lmdb_tier),
    Store("lmdb", "disk", "lmdb", _lmdb),
    Store("diskcache", "disk", "diskcache", _diskcache),
    Store("joblib.Memory", "disk", "joblib", _joblib_memory),
)


def installed() -> list[Store]:
    """Return the stores whose packages are there."""
    return [
        store
        for store in STORES
        if store.package is None or importlib.util.find_spec(store.package) is not None
    ]


# --- stores of bytes --------------------------------------------------------------------------


def _time_all(
    call: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, is_async: bool = False
) -> float:
    """Return microseconds a call. Results are dropped at once, as keeping them takes new memory."""

    async def in_loop() -> float:
        started = time.perf_counter()
        for each in arguments:
            await call(*each)
        return time.perf_counter() - started

    if is_async:
        return asyncio.run(in_loop()) / len(arguments) * 1e6
    started = time.perf_counter()
    for each in arguments:
        call(*each)
    return (time.perf_counter() - started) / len(arguments) * 1e6


async def _awaited(opened: Opened, key: Any) -> Any:
    return await opened.get(key)


def _is_right(opened: Opened, keys: Sequence[Any], data: bytes) -> bool:
    for key in keys:
        found = asyncio.run(_awaited(opened, key)) if opened.is_async else opened.get(key)
        if (found.payload if isinstance(found, Blob) else found) != data:
            return False
    return True


def measure(store: Store, n: int, size: int) -> tuple[float, float, bool]:
    """Return microseconds of a set and of a hit, and whether a sample of answers was right."""
    data = random.Random(size).randbytes(size)
    with tempfile.TemporaryDirectory() as folder, store.open(Path(folder)) as opened:
        keys = [opened.key_of(k) for k in range(n)]
        with quiet():
            is_async = opened.is_async
            set_us = _time_all(opened.set, [(key, data) for key in keys], is_async=is_async)
            random.Random(1).shuffle(keys)
            get_us = _time_all(opened.get, [(key,) for key in keys], is_async=is_async)
        return set_us, get_us, _is_right(opened, keys[:20], data)


def _compare(n: int, size: int, rounds: int) -> dict[str, Any]:
    stores, order = installed(), random.Random(0)
    spent: dict[str, list[tuple[float, float]]] = {store.name: [] for store in stores}
    wrong: dict[str, str] = {}
    for i in range(rounds + 1):
        for store in order.sample(stores, len(stores)):
            set_us, get_us, is_right = measure(store, n, size)
            if not is_right:
                wrong[store.name] = "gave other bytes than were set"
            if i:  # the first round warms up
                spent[store.name].append((set_us, get_us))
    return {
        "title": f"{n:,} entries of {size:,} bytes, median of {rounds} rounds",
        "us": {
            name: {
                "set": round(statistics.median(each[0] for each in rounds_), 2),
                "get": round(statistics.median(each[1] for each in rounds_), 2),
            }
            for name, rounds_ in spent.items()
        },
        "wrong": wrong,
    }


# --- records through the levels ---------------------------------------------------------------


def record(n: int, size: int) -> dict[str, Any]:
    """Return a JSON-like record whose text has about `size` bytes, all values its own."""
    chance = random.Random(n)
    words = ["alpha", "beta", "gamma", "delta", "status", "active", "pending", "closed"]
    found: dict[str, Any] = {
        "id": n,
        "name": f"item {n}",
        "email": f"someone.{n}@example.org",
        "score": chance.random(),
        "created": f"2026-01-{n % 28 + 1:02d}T10:{n % 60:02d}:00Z",
        "tags": chance.sample(words, 3),
        "address": {"street": f"Long Street {n}", "city": chance.choice(words), "zip": n},
        "items": [],
        "text": "",
    }
    for k in range(max(0, (size - 400) // 150)):
        item = {"sku": f"{n}-{k}", "word": chance.choice(words), "n": chance.randrange(1000)}
        found["items"].append(item)
    missing = max(0, size - len(json.dumps(found)))
    found["text"] = " ".join(chance.choices(words, k=missing // 5 + 1))[:missing]
    return found


def _hits_by_level(n: int, size: int, folder: Path) -> dict[str, dict[str, float]]:
    """Return p50 and p99, in microseconds, of `await get` by the level that had the record."""
    spent: dict[str, list[float]] = {level: [] for level in LEVELS}

    async def work() -> None:
        async with SmartCache(n, "lru", path=folder / "levels") as cache:
            for k in range(n):
                await cache.set(k, record(k, size))
            counters = (
                cache._levels.counters
            )  # `get_stats` between two lookups would slow both down
            for k in random.Random(1).choices(range(n), k=5 * n):
                n_l2, n_l3 = counters.l2_hits, counters.l3_hits
                started = time.perf_counter()
                await cache.get(k)
                took_us = (time.perf_counter() - started) * 1e6
                level = (
                    "l2" if counters.l2_hits > n_l2 else "l3" if counters.l3_hits > n_l3 else "l1"
                )
                spent[level].append(took_us)

    asyncio.run(work())
    return {
        level: {"p50": round(cut[49], 2), "p99": round(cut[98], 2)}
        for level, each in spent.items()
        if len(each) > 1 and (cut := statistics.quantiles(each, n=100))
    }


def _read_l2(n: int, size: int) -> float:
    """Return microseconds to find a record in L2 and make it again."""
    tier, codec = CompressedTier(n), BlobCodec()
    for k in range(n):
        tier.put_nowait(_key(k), codec.encode(record(k, size)))

    def read(key: bytes) -> Any:
        blob = tier.get_nowait(key)
        return None if blob is None else codec.decode(blob, trusted=True)

    keys = [(_key(k),) for k in range(n)]
    return round(_time_all(read, keys), 2)


def _memory_ratio(n: int, size: int) -> float:
    """Return the memory of n records in L2 by that of the live objects."""
    gc.collect()
    tracemalloc.start()
    live = {k: record(k, size) for k in range(n)}
    live_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    tier, codec = CompressedTier(n), BlobCodec()
    for k, value in live.items():
        tier.put_nowait(_key(k), codec.encode(value))
    return round(tier.stats().bytes_used / live_bytes, 3)


def _reopening_s(n: int, folder: Path) -> float:
    """Return the seconds to open a folder of n entries of 100 bytes."""
    blob = Blob(bytes(100), "bytes", 100)
    tier = DiskTier(folder / "reopened", max_bytes=1 << 32)
    for k in range(n):
        tier.put_nowait(_key(k), blob)
    tier.close()
    started = time.perf_counter()
    tier = DiskTier(folder / "reopened", max_bytes=1 << 32)
    spent = time.perf_counter() - started
    tier.close()
    return round(spent, 3)


def packages() -> list[str]:
    """Return the packages whose versions belong to the figures."""
    return list(dict.fromkeys(store.package for store in STORES if store.package))


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything; `say` is told what is going on."""
    n, rounds, n_reopened = (50, 1, 1000) if quick else (2000, 5, 1_000_000)
    tables = []
    for size, count in ((1024, n), (100 * 1024, max(10, n // 10))):
        say(f"{count:,} entries of {size:,} bytes, {len(installed())} stores, {rounds} rounds")
        tables.append(_compare(count, size, rounds))
    say(f"records of 1 KB through the levels, and {n_reopened:,} entries reopened")
    with tempfile.TemporaryDirectory() as folder:
        levels = {
            "await_get_us": _hits_by_level(n, 1024, Path(folder)),
            "l2_read_us": _read_l2(n, 1024),
            "l2_memory_ratio": _memory_ratio(n, 1024),
            "reopened": n_reopened,
            "reopen_s": _reopening_s(n_reopened, Path(folder)),
        }
    return {"tables": tables, "levels": levels}


# --- as text ----------------------------------------------------------------------------------


def _ratios(us: dict[str, dict[str, float]], name: str, kind: str) -> str:
    """Return how many times faster ours is than this store, where it is another's."""
    ours = us["raudo L3" if kind == "disk" else "raudo L1 (await)"]
    cells = [f"{us[name][what] / ours[what]:8.1f}x" for what in ("set", "get") if ours[what]]
    return "".join(cells)


def render(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines; a ratio above 1 says that raudo's level is faster."""
    lines = []
    kinds = {store.name: store for store in STORES}
    for table in result["tables"]:
        lines += ["", table["title"], f"{'us':22}{'set':>10}{'get':>10}{'raudo faster by':>18}"]
        for name, each in table["us"].items():
            store = kinds[name]
            ratio = "" if store.is_ours else _ratios(table["us"], name, store.kind)
            lines.append(f"{name:22}{each['set']:10.2f}{each['get']:10.2f}{ratio}")
        lines += [f"wrong: {name} {what}" for name, what in table["wrong"].items()]
    levels = result["levels"]
    lines += ["", f"{'await get, 1 KB record':22}{'p50 us':>10}{'p99 us':>10}{'wanted':>12}"]
    for level, each in levels["await_get_us"].items():
        wanted = f"{1e3 * TARGETS_S[level]:g} ms"
        lines.append(f"{level:22}{each['p50']:10.2f}{each['p99']:10.2f}{wanted:>12}")
    lines += [
        "",
        f"L2: found and made again in {levels['l2_read_us']:.2f} us; "
        f"takes {levels['l2_memory_ratio']:.2f} of the live objects' memory",
        f"L3: {levels['reopened']:,} entries reopen in {levels['reopen_s']:.2f} s",
    ]
    return lines
