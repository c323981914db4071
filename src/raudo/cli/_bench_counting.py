"""What it costs to count one duration, beside the clients of Prometheus and OpenTelemetry, and to
read all counts of a service once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from raudo import AsyncProcessor, BatchProcessor, Cache, MemoryOptimizer, SmartCache
from raudo._core.histogram import Histogram
from raudo.cli._bench_rows import Row, is_installed, race
from raudo.monitoring import Monitor
from raudo.monitoring.exporters.prometheus import exposition

__all__ = ["rows"]


def _calls(call: Callable[[float], Any], n: int) -> Callable[[], float]:
    def once() -> float:
        seconds = [0.001 * i for i in range(n)]
        begun = time.perf_counter_ns()
        for each in seconds:
            call(each)
        return (time.perf_counter_ns() - begun) / n

    return once


def _peers() -> dict[str, Callable[[float], Any]]:
    found: dict[str, Callable[[float], Any]] = {}
    if is_installed("prometheus_client"):
        import prometheus_client

        registry = prometheus_client.CollectorRegistry()
        found["prometheus-client"] = prometheus_client.Histogram(
            "bench_seconds", "Durations.", registry=registry
        ).observe
    if is_installed("opentelemetry.sdk"):
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
        found["opentelemetry"] = meter.create_histogram("bench").record
    return found


def _once(call: Callable[[], Any], n: int) -> Callable[[], float]:
    def timed() -> float:
        begun = time.perf_counter_ns()
        for _ in range(n):
            call()
        return (time.perf_counter_ns() - begun) / n / 1e6

    return timed


def rows(quick: bool) -> list[Row]:
    """Measure a count in nanoseconds, and in milliseconds a check, a snapshot and a scrape."""
    n, n_peer, rounds = (200, 20, 1) if quick else (200_000, 5_000, 9)
    contenders = {"raudo": _calls(Histogram().record, n)}
    contenders |= {name: _calls(call, n_peer) for name, call in _peers().items()}
    counted = Row(
        "a duration counted", "one call", "ns", race(contenders, rounds), times_better=3.0
    )
    caches = [SmartCache(100, name=f"c{i}") for i in range(3)]
    others = [AsyncProcessor(name="a"), BatchProcessor(name="b", handler=list), Cache(10)]
    monitor = Monitor(*caches, *others, MemoryOptimizer(False))
    n_series = len(monitor.snapshot()["metrics"])
    found = []
    for case, call in (
        ("check", monitor.check),
        ("snapshot", monitor.snapshot),
        ("scrape", lambda: exposition(monitor.collect())),
    ):
        figures = race({"raudo": _once(call, 1 if quick else 20)}, rounds)
        note = f"7 components, {n_series} series"
        found.append(Row("all counts read", case, "ms", figures, at_most=10.0, note=note))
    for cache in caches:
        cache.close_nowait()
    return [counted, *found]
