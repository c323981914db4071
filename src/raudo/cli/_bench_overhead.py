"""What a cache hit costs more while a monitor watches, with everything that it can do switched on.

The same cache and keys with the monitor stopped and started, in turn; hot keys, which stay on once
they are, on another cache that holds the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from raudo import Cache, SmartCache
from raudo.cli._bench_rows import Row, race
from raudo.monitoring import Monitor

__all__ = ["rows"]

_SIZE = 1000
_TABLE = "a hit in L1"


def _gets(get: Callable[[int], Any], n: int) -> float:
    keys = list(range(_SIZE)) * (n // _SIZE)
    begun = time.perf_counter_ns()
    for key in keys:
        get(key)
    return (time.perf_counter_ns() - begun) / len(keys)


async def _awaits(get: Callable[[int], Any], n: int) -> float:
    keys = list(range(_SIZE)) * (n // _SIZE)
    begun = time.perf_counter_ns()
    for key in keys:
        await get(key)
    return (time.perf_counter_ns() - begun) / len(keys)


def _while_on(monitor: Monitor, once: Callable[[], float]) -> Callable[[], float]:
    def timed() -> float:
        monitor.start()
        try:
            return once()
        finally:
            monitor.stop()

    return timed


def _row(case: str, found: dict[str, float]) -> Row:
    """Show the hits, and as raudo's own figure how much longer a watched one takes."""
    extra = max(0.0, found["watched"] - found["not watched"])
    values = {"raudo": extra} | {f"raudo, {name}": value for name, value in found.items()}
    note = "raudo is what watching adds; the rest are whole hits, the loop included"
    return Row(_TABLE, case, "ns", values, at_most=2.0, note=note)


def rows(quick: bool) -> list[Row]:
    """Measure `Cache.get` and `await SmartCache.get`; nanoseconds a hit."""
    n, rounds = (2 * _SIZE, 1) if quick else (1_000_000, 15)
    cache, hot = (Cache[int, int](_SIZE) for _ in range(2))
    smart, smart_hot = (SmartCache(_SIZE, levels=(1, 0, 0)) for _ in range(2))
    for key in range(_SIZE):
        cache[key] = hot[key] = key
        smart.set_nowait(key, key)
        smart_hot.set_nowait(key, key)
    monitor = Monitor(cache, smart, interval=1.0)
    Monitor(hot, smart_hot, hot_keys=True)
    with asyncio.Runner() as runner:
        found = {
            "Cache.get": race(
                {
                    "not watched": lambda: _gets(cache.get, n),
                    "watched": _while_on(monitor, lambda: _gets(cache.get, n)),
                    "with hot keys": lambda: _gets(hot.get, n),
                },
                rounds,
            ),
            "await SmartCache.get": race(
                {
                    "not watched": lambda: runner.run(_awaits(smart.get, n)),
                    "watched": _while_on(monitor, lambda: runner.run(_awaits(smart.get, n))),
                    "with hot keys": lambda: runner.run(_awaits(smart_hot.get, n)),
                },
                rounds,
            ),
        }
    smart.close_nowait()
    smart_hot.close_nowait()
    return [_row(case, figures) for case, figures in found.items()]
