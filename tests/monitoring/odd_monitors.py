"""Monitors without the process for the tests of hostile components."""

from __future__ import annotations

from raudo.monitoring import Monitor
from raudo.types import Sample


class Source:
    def __init__(self, *samples, distributions=()):
        self.given = list(samples)
        self.distributions = distributions

    def samples(self):
        return self.given

    def histograms(self):
        return self.distributions


def gauge(value, name="level", **labels):
    return Sample(name, "gauge", value, tuple(labels.items()))


def count(value, name="n_total", **labels):
    return Sample(name, "counter", value, tuple(labels.items()))


def quiet(*components, **options):
    return Monitor(*components, **{"process": False, "rules": [], **options})


def metrics(monitor):
    return monitor.snapshot()["metrics"]


def cache_samples(hits, misses):
    return [
        count(hits, "raudo_cache_hits_total", cache="a"),
        count(misses, "raudo_cache_misses_total", cache="a"),
        gauge(hits / max(hits + misses, 1), "raudo_cache_hit_ratio", cache="a"),
    ]
