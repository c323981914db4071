"""One look at a monitor, laid out as the page and the terminal show it: rows and figures, bounded.

However many series there are, a frame holds some twenty rows a table: the components most in use.
Rates and ratios are those of the last ten seconds and of the last minute.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raudo.monitoring.dashboard.plots import make_point
from raudo.monitoring.dashboard.readings import (
    Labels,
    Lines,
    Readings,
    clipped,
    taken_apart,
    top,
    unit_of,
)
from raudo.monitoring.series import spelled

if TYPE_CHECKING:
    from raudo.monitoring.monitor import Monitor

__all__ = ["make_frame"]

_MOST_ROWS = 20
_MOST_HOT_KEYS = 10
_MOST_ALERTS = 50
_MOST_PAST_ALERTS = 20

_SHARES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}
_COUNTERS = (
    "raudo_cache_hits_total",
    "raudo_cache_misses_total",
    "raudo_cache_evictions_total",
    "raudo_tasks_processed_total",
    "raudo_tasks_failed_total",
    "raudo_tasks_seconds_total",
    "raudo_process_cpu_seconds_total",
    "raudo_gc_pause_duration_seconds_sum",
    "raudo_monitor_component_errors_total",
)


def make_frame(
    monitor: Monitor, snapshot: Mapping[str, Any] | None = None, *, title: str | None = None
) -> dict[str, Any]:
    """Return what is shown of the snapshot, or of one taken now.

    `title` is what the page is headed with: the host and process when None.
    """
    if snapshot is None:
        snapshot = monitor.snapshot()
    readings = Readings(snapshot["metrics"])
    recent = _Recent(Lines(**monitor.rates(*_COUNTERS, seconds=60.0, points=60)))
    started = readings.one("process_start_time_seconds")
    alerts = snapshot["alerts"]
    return {
        "time": snapshot["time"],
        "interval": monitor.interval,
        "title": title or f"{socket.gethostname()}, process {os.getpid()}",
        "uptime": None if started is None else snapshot["time"] - started,
        "trouble": _trouble(recent),
        "key_metrics": snapshot["key_metrics"],
        "alerts": [_alert(each) for each in alerts[:_MOST_ALERTS]],
        "alerts_left_out": max(0, len(alerts) - _MOST_ALERTS),
        "past_alerts": [
            {
                "rule": each.rule,
                "labels": _clipped(dict(each.labels)),
                "active": each.active,
                "since": each.since_ns / 1e9,
            }
            for each in monitor.alert_history()[:_MOST_PAST_ALERTS]
        ],
        "caches": _caches(readings, recent),
        "workers": _workers(readings, recent),
        "latencies": _latencies(snapshot["histograms"] or _spreads(readings)),
        "pools": _pools(readings),
        "hot_keys": _hot_keys(monitor),
        "process": _process(readings, recent),
        "point": make_point(monitor),
    }


class _Recent:
    """Increases per second, of the last ten seconds or the last minute."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def rate(self, labels: Labels, *metrics: str, points: int = 10) -> float | None:
        """Return what these metrics together gain a second; None where nothing is known."""
        found = [
            _mean(known)
            for metric in metrics
            if (known := _known(self._lines.of(metric).get(labels, ())[-points:]))
        ]
        return sum(found) if found else None

    def total(self, metric: str) -> float | None:
        """Return what all series of a metric gain a second."""
        found = [self.rate(labels, metric) for labels in self._lines.of(metric)]
        return sum(each or 0.0 for each in found) if found else None

    def ratio(self, labels: Labels, part: tuple[str, ...], whole: tuple[str, ...]) -> float | None:
        """Return what a part is of the whole, over the last minute; None without any of it."""
        all_ = self.rate(labels, *whole, points=60)
        some = self.rate(labels, *part, points=60)
        return some / all_ if all_ and some is not None else None


def _caches(readings: Readings, recent: _Recent) -> dict[str, Any]:
    hits, misses = "raudo_cache_hits_total", "raudo_cache_misses_total"
    levels = readings.parts("raudo_cache_entries", "level")
    most = readings.parts("raudo_cache_max_entries", "level")
    used = readings.parts("raudo_cache_bytes", "level")
    asked = dict.fromkeys(levels, 0.0)
    for metric in (hits, misses):
        for key, value in readings.of(metric).items():
            asked[key] = asked.get(key, 0.0) + value
    shown = top(asked, _MOST_ROWS)
    rows = []
    for key in shown.keys:
        ratio = recent.ratio(key, (hits,), (hits, misses))
        bounds = most.get(key, {})
        rows.append(
            {
                **_named(key, "cache"),
                "hit_ratio": _first(ratio, readings.of("raudo_cache_hit_ratio").get(key)),
                "lookups": recent.rate(key, hits, misses),
                "evictions": recent.rate(key, "raudo_cache_evictions_total"),
                "levels": [
                    {
                        "level": clipped(level or "all"),
                        "entries": entries,
                        "max_entries": bounds.get(level),
                        "bytes": used.get(key, {}).get(level),
                        **_times_of_hits(readings, key, level),
                    }
                    for level, entries in levels.get(key, {}).items()
                    if bounds.get(level) != 0  # it is off
                ],
            }
        )
    return {"rows": rows, "left_out": shown.left_out}


def _times_of_hits(readings: Readings, key: Labels, level: str) -> dict[str, float | None]:
    quantiles = readings.of("raudo_cache_level_latency_quantile_seconds")
    return {
        name: quantiles.get((*key, ("level", level), ("quantile", share)))
        for name, share in (("p50", "0.5"), ("p99", "0.99"))
    }


def _workers(readings: Readings, recent: _Recent) -> dict[str, Any]:
    tasks, failed = "raudo_tasks_processed_total", "raudo_tasks_failed_total"
    busy = ("raudo_tasks_seconds_total",)
    shown = top(readings.of(tasks), _MOST_ROWS)
    rows = []
    for key in shown.keys:
        # An executor's pools are told apart by `kind`, and it has no name of its own.
        is_executor = dict(key).get("processor") == "executor"
        pools = tuple(pair for pair in key if pair[0] != "processor") if is_executor else key
        label, room = ("kind", "executor") if is_executor else ("pool", "processor")
        limits = readings.parts(f"raudo_{room}_limit", label).get(pools, {})
        workers = readings.parts(f"raudo_{room}_workers", label).get(pools, {})
        rows.append(
            {
                **_named(key, "processor"),
                "tasks": recent.rate(key, tasks),
                "mean": _first(
                    recent.ratio(key, busy, (tasks,)),
                    readings.of("raudo_task_mean_seconds").get(key),
                ),
                "error_ratio": recent.ratio(key, (failed,), (tasks,)),
                "waiting": _first(
                    *(
                        _total(readings, metric, label, pools)
                        for metric in (
                            f"raudo_{room}_queue_size",
                            "raudo_batch_queue_size",
                            "raudo_task_queue_size",
                        )
                    )
                ),
                "running": _first(
                    _total(readings, "raudo_processor_running", label, pools),
                    _total(readings, "raudo_executor_busy", label, pools),
                ),
                "pools": [
                    {"name": clipped(name), "workers": value, "limit": limits.get(name)}
                    for name, value in workers.items()
                    if value or limits.get(name)
                ],
            }
        )
    return {"rows": rows, "left_out": shown.left_out}


def _latencies(histograms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    in_use = [
        (key, each)
        for series, each in histograms.items()
        if each["p50"] and (key := taken_apart(series)) is not None
    ]
    in_use.sort(key=lambda item: -item[1]["total"]["count"])
    rows = []
    for (metric, labels), figures in in_use[:_MOST_ROWS]:
        about = " ".join(f"{key} {value}" if value.isdigit() else value for key, value in labels)
        title = metric.removeprefix("raudo_").removesuffix("_duration_seconds").replace("_", " ")
        row = {"name": clipped(f"{title}: {about}" if about else title), "instance": ""}
        rows.append(row | {key: figures[key] for key in ("count", "p50", "p95", "p99", "max")})
    rows.sort(key=lambda row: row["name"])
    return {"rows": rows, "left_out": len(in_use) - len(rows)}


def _spreads(readings: Readings) -> dict[str, dict[str, Any]]:
    """Return what quantiles that came as gauges tell of another process's histograms."""
    found: dict[str, dict[str, Any]] = {}
    for metric in readings.metrics:
        base = metric.removesuffix("_quantile_seconds")
        if base == metric or "duration" not in base:
            continue
        counts = readings.of(f"{base}_seconds_count")
        for labels, shares in readings.parts(metric, "quantile").items():
            found[spelled(f"{base}_seconds", labels)] = {
                **{name: shares.get(share) for name, share in _SHARES.items()},
                "count": None,
                "max": None,
                "total": {"count": counts.get(labels, 0.0)},
            }
    return found


def _pools(readings: Readings) -> dict[str, Any]:
    columns = {
        "in_use": "raudo_pool_in_use",
        "idle": "raudo_pool_idle",
        "hit_ratio": "raudo_pool_hit_ratio",
        "created": "raudo_pool_created_total",
        "lost": "raudo_pool_lost_total",
    }
    shown = top(readings.of(columns["created"]), _MOST_ROWS)
    rows = [
        {
            **_named(key, "pool"),
            **{column: readings.of(metric).get(key) for column, metric in columns.items()},
        }
        for key in shown.keys
    ]
    return {"rows": rows, "left_out": shown.left_out}


def _hot_keys(monitor: Monitor) -> dict[str, Any]:
    rows = [
        {
            "name": clipped(str(each["key"])),
            "instance": "",
            "cache": clipped(each["cache"]),
            "share": each["share"],
        }
        for each in monitor.hot_keys(_MOST_HOT_KEYS)
    ]
    return {"rows": rows, "left_out": 0}


def _process(readings: Readings, recent: _Recent) -> list[dict[str, Any]]:
    facts = [
        ("memory", "Resident memory", "bytes", readings.one("raudo_memory_used_bytes")),
        ("limit", "Memory limit", "bytes", readings.one("raudo_memory_limit_bytes")),
        (
            "cpu",
            "CPU, of one core",
            "ratio",
            recent.rate((), "raudo_process_cpu_seconds_total"),
        ),
        (
            "pauses",
            "Collector pauses",
            "ratio",
            recent.total("raudo_gc_pause_duration_seconds_sum"),
        ),
        (
            "lag",
            "Event loop lag",
            "s",
            max(readings.of("raudo_loop_lag_seconds").values(), default=None),
        ),
        ("threads", "Threads", "count", readings.one("raudo_process_threads")),
        ("files", "Open files", "count", readings.one("raudo_process_open_files")),
        ("components", "Components watched", "count", readings.one("raudo_monitor_components")),
        ("check", "A check takes", "s", readings.one("raudo_monitor_check_seconds")),
    ]
    return [
        {"name": name, "title": title, "unit": unit, "value": value}
        for name, title, unit, value in facts
        if value is not None
    ]


def _alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **alert,
        "rule": clipped(alert["rule"]),
        "labels": _clipped(alert["labels"]),
        "unit": unit_of(alert["metric"]),
    }


def _trouble(recent: _Recent) -> str:
    failing = recent.rate((), "raudo_monitor_component_errors_total", points=3)
    return "A component cannot be read: its log tells why." if failing else ""


def _named(labels: Labels, label: str) -> dict[str, str]:
    found = dict(labels)
    rest = " ".join(value for name, value in labels if name != label)
    return {"name": clipped(found.get(label, label)), "instance": clipped(rest)}


def _clipped(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: clipped(value) for name, value in labels.items()}


def _total(readings: Readings, metric: str, label: str, key: Labels) -> float | None:
    parts = readings.parts(metric, label).get(key)
    return sum(parts.values()) if parts else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
