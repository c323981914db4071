"""What `await` of a hit costs, beside an `async def` over a dict."""

from __future__ import annotations

import asyncio
import importlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from raudo.cli._bench_calls import keys_of
from raudo.cli._bench_peers import Peer
from raudo.cli._bench_timing import empty_loop, interleave, summaries

__all__ = ["measure"]

Fn = Callable[[Any], Awaitable[Any]]


async def _same(key: Any) -> Any:
    return key


async def _timed(fn: Fn, keys: Sequence[Any]) -> float:
    start = time.perf_counter_ns()
    for key in keys:
        await fn(key)
    return (time.perf_counter_ns() - start) / len(keys)


def _over_dict(n_keys: int) -> Fn:
    cache = {key: key for key in keys_of("int", range(n_keys))}

    async def get(key: Any) -> Any:
        return cache.get(key)

    return get


def _memo(name: str, capacity: int) -> Fn | None:
    """Return a coroutine function memoised by the library, None where it memoises none."""
    decorate: Any
    if name in ("raudo", "raudo lru"):
        strategy = "adaptive" if name == "raudo" else "lru"
        decorate = importlib.import_module("raudo").cached(maxsize=capacity, strategy=strategy)
    elif name in ("cachebox LRU", "cachebox FIFO"):
        cachebox = importlib.import_module("cachebox")
        kind = cachebox.LRUCache if name == "cachebox LRU" else cachebox.FIFOCache
        decorate = cachebox.cached(kind(capacity))
    elif name == "moka-py":
        decorate = importlib.import_module("moka_py").cached(maxsize=capacity)
    elif name == "theine":
        decorate = importlib.import_module("theine").Memoize(capacity, None)
    else:
        return None
    memoised: Fn = decorate(_same)
    return memoised


def measure(peers: Sequence[Peer], n_keys: int, calls: int, rounds: int) -> dict[str, Any]:
    """Return the figures of one table. Both columns compare with the `async def` over a dict."""
    from raudo import SmartCache

    numbers = [i % n_keys for i in range(calls)]
    order = random.Random(0)
    known: list[Any] = []

    def begin() -> None:
        order.shuffle(numbers)
        known[:] = keys_of("int", numbers)

    columns = ("await get hit", "await memo hit")
    passes: dict[str, dict[str, Callable[[], float]]] = {each: {} for each in columns}
    opened = []
    with asyncio.Runner() as runner:

        def add(name: str, column: str, fn: Fn) -> None:
            runner.run(_timed(fn, keys_of("int", range(n_keys))))  # stores what it memoises
            passes[column][name] = lambda: runner.run(_timed(fn, known))

        for peer in peers:
            if peer.name == "dict":
                for column in columns:
                    add(peer.name, column, _over_dict(n_keys))
                continue
            if peer.name in ("raudo", "raudo lru"):
                smart = SmartCache(
                    2 * n_keys,
                    "adaptive" if peer.name == "raudo" else "lru",
                    compression=False,
                    levels=(1.0, 0.0, 0.0),
                )
                opened.append(smart)
                for key in keys_of("int", range(n_keys)):
                    smart.set_nowait(key, key)
                add(peer.name, "await get hit", smart.get)
            memo = _memo(peer.name, 2 * n_keys)
            if memo is not None:
                add(peer.name, "await memo hit", memo)
        begin()
        loop_ns = empty_loop(known)
        found = interleave(passes, rounds, begin)
        for smart in opened:
            runner.run(smart.close())
    return {
        "title": f"awaited: {n_keys:,} int keys",
        "notes": ["dict: an async def over it; raudo: get of a SmartCache, hits in L1"],
        "columns": list(columns),
        "base": dict.fromkeys(columns, "dict"),
        "loop_ns": round(loop_ns, 2),
        "rounds": rounds,
        "calls_a_round": calls,
        "ns": summaries(found, [peer.name for peer in peers], loop_ns),
        "wrong": {},
    }
