"""What the optimizer says of the process: the report for people, and the samples for a monitor."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from raudo._process import container_memory, machine_memory_bytes, unique_bytes
from raudo.memory.allocator import arena_use
from raudo.memory.census import count_types
from raudo.memory.gc import PauseMeter
from raudo.types import Sample

__all__ = ["Counted", "report_of", "samples_of"]

_MB = 1 << 20
_MOST_TYPES = 10


class Counted(Protocol):
    """A pool, as far as it is told of here."""

    def stats(self) -> Any: ...


def report_of(
    used: int,
    limit: int,
    pauses: PauseMeter,
    pools: Mapping[str, Counted],
    frozen_types: Mapping[type, int],
) -> dict[str, Any]:
    """Return the report: memory, objects, the collector, the pools."""
    frozen = gc.get_freeze_count()
    unique = unique_bytes()
    container = container_memory()
    return {
        "current_memory": {
            "used_mb": used / _MB,
            "percent": 100.0 * used / limit,
            "limit_mb": limit / _MB,
            "unique_mb": None if unique is None else unique / _MB,
            "machine_percent": 100.0 * used / machine_memory_bytes(),
            # Of all processes of the container together.
            "container_percent": None if container is None else 100.0 * container[0] / container[1],
        },
        "allocator": arena_use(),
        "python_objects": len(gc.get_objects()) + frozen,
        "object_types": dict(list(count_types(frozen=frozen_types).items())[:_MOST_TYPES]),
        "frozen_objects": frozen,
        "gc_collections": sum(each["collections"] for each in gc.get_stats()),
        "gc_pause_seconds": pauses.seconds,
        "gc_longest_pause_seconds": pauses.longest,
        "gc_threshold": gc.get_threshold(),
        "pools": {name: dict(pool.stats()) for name, pool in pools.items()},
    }


def samples_of(
    used: int, limit: int, pauses: PauseMeter, pools: Mapping[str, Counted], frozen: int
) -> Iterator[Sample]:
    """Yield the samples; cheap but for the pools' own counts.

    `frozen` is given, as the interpreter counts them one by one: some milliseconds a million.
    """
    yield Sample("raudo_memory_used_bytes", "gauge", used, help="Resident memory.")
    yield Sample("raudo_memory_limit_bytes", "gauge", limit, help="What counts as 100 %.")
    yield Sample(
        "raudo_memory_percent",
        "gauge",
        100.0 * used / limit,
        help="Resident memory of the limit.",
    )
    yield Sample(
        "raudo_python_allocated_blocks",
        "gauge",
        sys.getallocatedblocks(),
        help="Memory blocks that Python's own allocator has handed out.",
    )
    yield Sample(
        "raudo_gc_frozen_objects",
        "gauge",
        frozen,
        help="Hidden from the collector by the optimizer, at most.",
    )
    yield Sample(
        "raudo_gc_pause_seconds_total",
        "counter",
        pauses.seconds,
        help="Time spent in the cyclic garbage collector.",
    )
    for name, pool in pools.items():
        labels = (("pool", name),)
        for key, value in pool.stats().items():
            metric = _POOL_METRICS.get(key)
            if metric is not None:
                yield Sample(metric[0], metric[1], value, labels, metric[2])


_POOL_METRICS: dict[str, tuple[str, Any, str]] = {
    "created": ("raudo_pool_created_total", "counter", "Objects made."),
    "reused": ("raudo_pool_reused_total", "counter", "Acquires that needed no new object."),
    "discarded": ("raudo_pool_discarded_total", "counter", "Objects let go."),
    "lost": ("raudo_pool_lost_total", "counter", "Objects dropped instead of released."),
    "in_use": ("raudo_pool_in_use", "gauge", "Objects lent."),
    "idle": ("raudo_pool_idle", "gauge", "Objects waiting to be lent."),
    "held_bytes": ("raudo_pool_idle_bytes", "gauge", "Memory of the idle buffers."),
    "hit_rate": ("raudo_pool_hit_ratio", "gauge", "Share of the acquires served by reuse."),
}
