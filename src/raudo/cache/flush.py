"""Carrying down what a call leaves behind, and writing copies of memory to a lasting disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

from raudo.cache.cold import ColdLevels
from raudo.cache.entries import parts_of
from raudo.cache.levels import Levels
from raudo.cache.loading import MISSING

__all__ = ["flush", "flush_now", "settle", "settle_now"]

# An event loop is held up no longer than this by work that can be cut into slices.
_SLICE_S = 0.0005


async def settle(levels: Levels) -> None:
    """Carry down what is due for L2 and for the disk, and tell the listener what left."""
    transit = levels.down.transit
    if transit.is_due():
        await _carry_in_slices(levels, transit.is_half_done)
    if levels.cold is not None and levels.cold.outbox:
        await levels.cold.carrier.drain_async()
    if levels.shared is not None and levels.shared:
        await levels.shared.drain_async()
    levels.deliver()


def settle_now(levels: Levels) -> None:
    """Do the same without an event loop."""
    levels.down.carry_due()
    if levels.cold is not None and levels.cold.outbox:
        levels.cold.carrier.drain()
    if levels.shared is not None and levels.shared:
        levels.shared.drain()
    levels.deliver()


async def _carry_in_slices(levels: Levels, is_done: Callable[[], bool]) -> None:
    until = time.perf_counter() + _SLICE_S
    while not is_done():
        if levels.down.is_next_heavy():
            await asyncio.to_thread(levels.down.carry)
            until = time.perf_counter() + _SLICE_S
            continue
        levels.down.carry()
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + _SLICE_S


async def flush(levels: Levels) -> None:
    """Write what memory holds to a disk that survives a restart, and wait until it is there.

    Also drops what has expired.
    """
    levels.sweep()
    await _carry_in_slices(levels, lambda: not levels.down.transit)
    await settle(levels)
    if levels.cold is not None:  # first: a drop that waits would take the new copy along
        await levels.cold.carrier.drain_fully()
    until = time.perf_counter() + _SLICE_S
    for _ in _steps(levels):
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + _SLICE_S
    if levels.cold is not None:
        await levels.cold.carrier.drain_fully()
        await asyncio.to_thread(levels.cold.sync)
    levels.deliver()


def flush_now(levels: Levels) -> None:
    """Do the same without an event loop."""
    levels.sweep()
    levels.down.carry_all()
    settle_now(levels)
    if levels.cold is not None:
        levels.cold.carrier.drain_fully_now()
    for _ in _steps(levels):
        pass
    if levels.cold is not None:
        levels.cold.carrier.drain_fully_now()
        levels.cold.sync()
    levels.deliver()


def _steps(levels: Levels) -> Iterator[None]:
    """Write a copy of each entry in memory that has none yet, one at each step."""
    cold, l2 = levels.cold, levels.l2
    if cold is None or not cold.is_durable:
        return
    at_first = list(levels.l1)
    for data, blob in l2.items() if l2 is not None else ():
        with levels.lock:
            if l2 is not None and l2.peek(data) == blob and not cold.keeps(data):
                cold.keep(data, blob)
        yield
    # What was above when this began may be below by now, and what was below may be above.
    for key in dict.fromkeys([*at_first, *levels.l1]):
        with levels.lock:
            _keep_copy(levels, cold, key)
        yield


def _keep_copy(levels: Levels, cold: ColdLevels, key: Any) -> None:
    data = levels.encode(key)
    if data is None or cold.keeps(data):
        return
    entry = levels.l1.peek(key, MISSING)
    if entry is not MISSING:
        value, expires_ns, tags = parts_of(entry)
    elif (parcel := levels.down.transit.get(data)) is not None:
        value, expires_ns, tags = parcel.value, parcel.expires_ns, parcel.tags
    else:
        blob = levels.l2.peek(data) if levels.l2 is not None else None
        if blob is not None:
            cold.keep(data, blob)
        return
    if expires_ns and expires_ns <= levels.clock.time_ns():
        return
    if tags and not levels.tags.is_current(tags):
        return
    try:
        cold.keep(data, levels.codec.encode(value, expires_ns, tags))
    except Exception:
        levels.counters.unpicklable_values += 1
