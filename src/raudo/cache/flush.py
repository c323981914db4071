"""Writing copies of what is in memory to a disk that survives a restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raudo.cache.cold import ColdLevels
from raudo.cache.entries import parts_of
from raudo.cache.loading import MISSING
from raudo.cache.promote import Levels

__all__ = ["flush_steps"]


def flush_steps(levels: Levels) -> Iterator[None]:
    """Write a copy of each entry in memory that has none yet, one at each step."""
    cold, l2 = levels.cold, levels.l2
    if cold is None or not cold.is_durable:
        return
    for data, blob in l2.items() if l2 is not None else ():
        with levels.lock:
            if l2 is not None and l2.peek(data) is blob and not cold.keeps(data):
                cold.keep(data, blob)
        yield
    for key in list(levels.l1):
        with levels.lock:
            _keep_copy(levels, cold, key)
        yield


def _keep_copy(levels: Levels, cold: ColdLevels, key: Any) -> None:
    entry = levels.l1.peek(key, MISSING)
    data = levels.encode(key)
    if entry is MISSING or data is None or cold.keeps(data):
        return
    value, expires_ns, tags = parts_of(entry)
    if expires_ns and expires_ns <= levels.clock.time_ns():
        return
    if tags and not levels.tags.is_current(tags):
        return
    try:
        cold.keep(data, levels.codec.encode(value, expires_ns, tags))
    except Exception:
        levels.counters.unpicklable_values += 1
