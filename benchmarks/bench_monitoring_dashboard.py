"""What the live page costs: a check with a viewer and without, a frame, reading another process.

    python -m pytest benchmarks/bench_monitoring_dashboard.py --benchmark-only

Each of 30 series is a small service; of 10,000 a large one, of which a monitor keeps 1,000.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raudo.monitoring import Monitor
from raudo.monitoring.dashboard.feed import as_json
from raudo.monitoring.dashboard.frame import make_frame
from raudo.monitoring.exporters.prometheus import exposition
from raudo.monitoring.remote import parse_exposition
from raudo.types import Sample

_OF_A_CACHE = ("raudo_cache_hits_total", "raudo_cache_misses_total", "raudo_cache_entries")


class _Caches:
    def __init__(self, n_series: int) -> None:
        self.given = [
            Sample(name, "counter" if name.endswith("_total") else "gauge", float(n), labels)
            for n in range(n_series // len(_OF_A_CACHE))
            for labels in [(("cache", f"cache {n}"),)]
            for name in _OF_A_CACHE
        ]

    def samples(self) -> Iterator[Sample]:
        return iter(self.given)


@pytest.fixture(params=[30, 10_000])
def watched(request):
    caches = _Caches(request.param)
    monitor = Monitor(caches, process=False)
    monitor.kept_alive = caches
    for _ in range(3):
        monitor.check()
    return monitor


def bench_check_that_nobody_looks_at(benchmark, watched):
    benchmark(watched.check)


def bench_check_with_a_viewer(benchmark, watched):
    watched.subscribe(lambda snapshot: as_json(make_frame(watched, snapshot)))
    benchmark(watched.check)


def bench_frame(benchmark, watched):
    snapshot = watched.snapshot()
    benchmark(lambda: as_json(make_frame(watched, snapshot)))


def bench_reading_another_process(benchmark, watched):
    text = exposition(watched.collect())
    benchmark(lambda: list(parse_exposition(text)))
