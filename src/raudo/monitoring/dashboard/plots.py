"""What the plots show: lines by name, computed from the series that a monitor keeps.

A plot's lines for the last hour and the point that a check adds are computed by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raudo.monitoring.dashboard.readings import Labels, Lines, clipped, top

if TYPE_CHECKING:
    from raudo.monitoring.monitor import Monitor

__all__ = ["PLOTS", "Plot", "make_history", "make_point"]

_Values = list[float | None]

_MOST_LINES = 5  # caches or processors with a line of their own: those most in use
_HITS, _MISSES = "raudo_cache_hits_total", "raudo_cache_misses_total"
_TASKS = "raudo_tasks_processed_total"
_BUSY = "raudo_tasks_seconds_total"
_TIMES = "raudo_task_duration_quantile_seconds"
_QUEUES = (
    "raudo_processor_queue_size",
    "raudo_batch_queue_size",
    "raudo_executor_queue_size",
    "raudo_task_queue_size",
)
_RUNNING = ("raudo_processor_running", "raudo_executor_busy")
_WORKERS = ("raudo_processor_workers", "raudo_executor_workers")
_CPU = "raudo_process_cpu_seconds_total"
_PAUSES = "raudo_gc_pause_duration_seconds_sum"
_MEMORY = "raudo_memory_used_bytes"
_LAG = "raudo_loop_lag_seconds"
_METRICS = (
    *(_HITS, _MISSES, _TASKS, _BUSY, _TIMES, _CPU, _PAUSES, _MEMORY, _LAG),
    *(*_QUEUES, *_RUNNING, *_WORKERS),
)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot. `draw` yields (name, values) from the rates of counters and from gauges."""

    id: str
    title: str
    unit: str
    note: str
    draw: Callable[[Lines], Iterator[tuple[str, _Values]]]


def _hit_rates(lines: Lines) -> Iterator[tuple[str, _Values]]:
    for name, labels in _busiest(lines, "cache", _HITS, _MISSES):
        hits = lines.total(_HITS, key=labels)
        yield name, _ratio(hits, lines.total(_HITS, _MISSES, key=labels))


def _throughput(lines: Lines) -> Iterator[tuple[str, _Values]]:
    yield "lookups", lines.total(_HITS, _MISSES)
    yield "tasks", lines.total(_TASKS)


def _times(lines: Lines) -> Iterator[tuple[str, _Values]]:
    for name, labels in _busiest(lines, "processor", _TASKS):
        spread = [
            (f"{name} {title}", lines.total(_TIMES, key=(*labels, ("quantile", share))))
            for title, share in (("p50", "0.5"), ("p99", "0.99"))
        ]
        if any(value is not None for _, values in spread for value in values):
            yield from spread
        else:
            busy = lines.total(_BUSY, key=labels)
            yield f"{name} mean", _ratio(busy, lines.total(_TASKS, key=labels))
    yield "loop lag", lines.total(_LAG)


def _memory(lines: Lines) -> Iterator[tuple[str, _Values]]:
    yield "resident", lines.total(_MEMORY)


def _queue(lines: Lines) -> Iterator[tuple[str, _Values]]:
    yield "waiting", lines.total(*_QUEUES)
    yield "running", lines.total(*_RUNNING)
    yield "workers", lines.total(*_WORKERS)


def _process(lines: Lines) -> Iterator[tuple[str, _Values]]:
    yield "all threads", lines.total(_CPU)
    yield "collector pauses", lines.total(_PAUSES)


PLOTS = (
    Plot("hit_rate", "Hit rate", "ratio", "of each cache", _hit_rates),
    Plot("throughput", "Throughput", "1/s", "", _throughput),
    Plot("latency", "Time of a task", "s", "of the last minute", _times),
    Plot("memory", "Memory", "bytes", "", _memory),
    Plot("queue", "Queue and workers", "count", "", _queue),
    Plot("process", "CPU", "ratio", "of one core", _process),
)


def make_history(monitor: Monitor, seconds: float, points: int = 360) -> dict[str, Any]:
    """Return `times`, and each plot with its lines by name."""
    lines = Lines(**monitor.rates(*_METRICS, seconds=seconds, points=points))
    return {
        "times": list(lines.times),
        "plots": [
            {
                "id": plot.id,
                "title": plot.title,
                "unit": plot.unit,
                "note": plot.note,
                "lines": {
                    name: values
                    for name, values in plot.draw(lines)
                    if any(value is not None for value in values)
                },
            }
            for plot in PLOTS
        ],
    }


def make_point(monitor: Monitor) -> dict[str, dict[str, float | None]]:
    """Return the newest value of each line by plot."""
    history = make_history(monitor, max(5.0, 5 * monitor.interval))
    return {
        plot["id"]: {name: values[-1] for name, values in plot["lines"].items()}
        for plot in history["plots"]
    }


def _busiest(lines: Lines, label: str, *metrics: str) -> list[tuple[str, Labels]]:
    """Return name and labels of the components with the most counted, by name."""
    ranks: dict[Labels, float] = {}
    for metric in metrics:
        for labels, values in lines.of(metric).items():
            ranks[labels] = ranks.get(labels, 0.0) + sum(each or 0.0 for each in values)
    return [(_name(labels, label), labels) for labels in top(ranks, _MOST_LINES).keys]


def _name(labels: Labels, label: str) -> str:
    found = dict(labels)
    name = found.get(label, label)
    return clipped(f"{name} {found['instance']}" if "instance" in found else name)


def _ratio(part: Sequence[float | None], whole: Sequence[float | None]) -> _Values:
    return [
        None if not all_ or some is None else some / all_
        for some, all_ in zip(part, whole, strict=True)
    ]
