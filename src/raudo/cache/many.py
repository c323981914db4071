"""Many keys at once: what a level that processes share can do in one go instead of one by one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Any

from raudo.cache.levels import Levels
from raudo.cache.loading import MISSING
from raudo.cache.promote import RETRY, Read
from raudo.cache.reading import Reader

__all__ = ["get_many"]

_BATCH = 512


async def get_many(
    levels: Levels,
    reader: Reader,
    get: Callable[[Hashable, Any], Awaitable[Any]],
    keys: Iterable[Hashable],
) -> dict[Any, Any]:
    """Return those that are found."""
    levels.check()
    wanted, found = list(keys), {}
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        ready = await _fetched(levels, reader, batch)
        for key in batch:
            value = ready[key] if key in ready else await get(key, MISSING)
            if value is not MISSING:
                found[key] = value
    return found


async def _fetched(levels: Levels, reader: Reader, keys: list[Hashable]) -> dict[Hashable, Any]:
    """Return what came up from the shared level for those that are in no level above it."""
    shared, cold = levels.shared, levels.cold
    if shared is None or cold is None or cold.guards or len(keys) < 2:
        return {}
    reads: dict[Hashable, tuple[bytes, Read]] = {}
    values: dict[Hashable, Any] = {}
    started_ns = time.perf_counter_ns()
    try:
        for key in dict.fromkeys(keys):
            value = levels.up.find(key, levels.l1.get(key, MISSING))
            data = levels.encode(key) if value is MISSING else None
            if data is not None:
                reads[key] = data, levels.up.begin_read(data)
            else:
                values[key] = value
        blobs = await shared.fetch_many([data for data, _ in reads.values()])
        for key, (data, token) in reads.items():
            value = levels.up.finish_read(
                key, data, token, blobs.get(data), started_ns, counts=True
            )
            values[key] = await reader.read(key, data) if value is RETRY else value
        return values
    finally:
        for data, token in reads.values():
            levels.up.end_read(data, token)
