"""Where samples are sent. One file an exporter, each behind `raudo.types.Exporter`.

A package may bring its own through the entry point group `raudo.exporters`: a name, and a class
whose objects follow the protocol. `raudo.testing.ExporterContract` proves that they do.
"""

from __future__ import annotations

import importlib
from typing import Any

from raudo._plugins import entry_points
from raudo.types import Exporter

__all__ = ["create_exporter"]

_BUILT_IN = {
    "jsonlines": "JsonLinesExporter",
    "opentelemetry": "OpenTelemetryExporter",
    "prometheus": "PrometheusExporter",
    "shared": "SharedSamples",
    "statsd": "StatsdExporter",
}


def create_exporter(name: str, **options: Any) -> Exporter:
    """Make an exporter of this name: `jsonlines`, `opentelemetry`, `prometheus`, `shared`,
    `statsd`, or one that an installed package brings.

    Raises:
        ValueError: There is none of this name.
        MissingExtra: Its client library is not installed.
    """
    if name in _BUILT_IN:
        module = importlib.import_module(f"raudo.monitoring.exporters.{name}")
        kind = getattr(module, _BUILT_IN[name])
    else:
        found = {each.name: each for each in entry_points(group="raudo.exporters")}
        if name not in found:
            known = ", ".join(sorted({*_BUILT_IN, *found}))
            raise ValueError(f"exporter is {name!r}, wanted one of: {known}")
        kind = found[name].load()
    exporter: Exporter = kind(**options)
    return exporter
