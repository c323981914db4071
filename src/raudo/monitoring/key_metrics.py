"""The five figures that say whether a service is well, beside the targets that they should keep.

Of the last minute, over all components that are watched together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raudo.monitoring.series import Key, key_of
from raudo.types import Sample

__all__ = ["KEY_METRICS", "KeyMetric", "judge_key_metrics"]


@dataclass(frozen=True, slots=True)
class KeyMetric:
    """A figure, and the side of the target on which it should be."""

    name: str
    title: str
    unit: Literal["s", "1/s", "%", "ratio"]
    target: float
    better: Literal["below", "above"]

    def meets(self, value: float) -> bool:
        return value < self.target if self.better == "below" else value > self.target


KEY_METRICS = (
    KeyMetric("latency", "Mean latency", "s", 0.1, "below"),
    KeyMetric("throughput", "Throughput", "1/s", 1000.0, "above"),
    KeyMetric("memory", "Memory", "%", 80.0, "below"),
    KeyMetric("hit_rate", "Cache hit rate", "ratio", 0.85, "above"),
    KeyMetric("error_rate", "Error rate", "ratio", 0.01, "below"),
)


def judge_key_metrics(
    samples: Sequence[Sample],
    increase: Callable[[Key, float], float],
    gained: Callable[[Key, float], float],
    seconds: float,
) -> list[dict[str, Any]]:
    """Return the figures as plain data; `value` and `ok` are None where there was no traffic.

    `increase` says how much a series that has a value grew in the last minute, all of it where it
    is new; `gained` how much of that in the `seconds` that it was followed. Throughput is tasks
    where a processor is watched, else lookups of caches.
    """
    grown: dict[str, float] = {}
    asked: dict[str, float] = {}
    memory = None
    for sample in samples:
        if sample.name in _COUNTERS:
            more = increase(key_of(sample), sample.value)
            grown[sample.name] = grown.get(sample.name, 0.0) + more
            if sample.name in _ASKED:
                more = gained(key_of(sample), sample.value)
                asked[sample.name] = asked.get(sample.name, 0.0) + more
        elif sample.name == "raudo_memory_percent":
            memory = sample.value if memory is None else max(memory, sample.value)
    hits, misses, processed, failed, spent = (grown.get(name, 0.0) for name in _COUNTERS)
    n_asked = asked.get("raudo_tasks_processed_total", sum(asked.values()))
    values = {
        "latency": spent / processed
        if processed and "raudo_tasks_seconds_total" in grown
        else None,
        "throughput": n_asked / seconds if n_asked and seconds else None,
        "memory": memory,
        "hit_rate": hits / (hits + misses) if hits + misses else None,
        "error_rate": failed / processed if processed else None,
    }
    found = []
    for metric in KEY_METRICS:
        value = values[metric.name]
        found.append(
            {
                "name": metric.name,
                "title": metric.title,
                "unit": metric.unit,
                "value": value,
                "target": metric.target,
                "better": metric.better,
                "ok": None if value is None else metric.meets(value),
            }
        )
    return found


_COUNTERS = (
    "raudo_cache_hits_total",
    "raudo_cache_misses_total",
    "raudo_tasks_processed_total",
    "raudo_tasks_failed_total",
    "raudo_tasks_seconds_total",
)
_ASKED = _COUNTERS[:3]
