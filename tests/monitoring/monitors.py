"""Monitors and components for the tests."""

from __future__ import annotations

from raudo.monitoring import AlertRule, Monitor
from raudo.types import Sample


class Source:
    """A component that gives what it is told, or raises it."""

    def __init__(self, *samples):
        self.given = list(samples)

    def samples(self):
        for each in self.given:
            if isinstance(each, BaseException):
                raise each
            yield each


def level(value, **labels):
    return Sample("level", "gauge", value, tuple(labels.items()))


def values(monitor, prefix=""):
    metrics = monitor.snapshot()["metrics"]
    return {key: value for key, value in metrics.items() if key.startswith(prefix)}


LEVEL_RULE = AlertRule("high level", "level", above=5)


def quiet(*components, **options):
    return Monitor(*components, **{"process": False, "rules": [LEVEL_RULE], **options})
