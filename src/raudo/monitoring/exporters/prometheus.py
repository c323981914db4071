"""Offers samples to Prometheus: as a collector for the official client, and as plain text.

Nothing is counted through the client (it costs microseconds an event): the rooms count in compiled
code, and a scrape reads the counts.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from raudo.errors import Closed, MissingExtra
from raudo.monitoring.series import series_name
from raudo.types import Sample

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import CollectorRegistry

__all__ = ["CONTENT_TYPE", "PrometheusExporter", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusExporter:
    """A collector that shows the latest samples in a `prometheus_client` registry.

    Args:
        registry: Where to register; the client's own `REGISTRY` when None.
        source: Called at each scrape for samples of that moment, such as `monitor.collect`. Without
            it a scrape shows what was exported last.

    Needs the `prometheus` extra; `exposition` needs nothing.
    """

    name = "prometheus"

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        source: Callable[[], Sequence[Sample]] | None = None,
    ) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingExtra("the prometheus exporter", "prometheus") from error
        self._source = source
        self._latest: Sequence[Sample] = ()
        self._registry: CollectorRegistry | None = (
            prometheus_client.REGISTRY if registry is None else registry
        )
        self._registry.register(self)

    def export(self, samples: Sequence[Sample]) -> None:
        """Show these at the next scrape."""
        if self._registry is None:
            raise Closed("the prometheus exporter is closed")
        self._latest = tuple(samples)

    def close(self) -> None:
        """Leave the registry."""
        if self._registry is not None:
            registry, self._registry = self._registry, None
            self._latest = ()
            registry.unregister(self)

    def describe(self) -> list[Metric]:
        """Claim no names: they are known only once there are samples."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; called by the client at a scrape."""
        from prometheus_client import Metric

        samples = self._latest if self._source is None else self._source()
        for name, family in _families(samples).items():
            kind = family[0].kind
            base = name.removesuffix("_total") if kind == "counter" else name
            metric = Metric(base, _help(family), _type(family))
            for sample in family:
                whole = name if kind != "histogram" else _valid_name(sample.name)
                metric.add_sample(whole, dict(_labels(sample)), float(sample.value))
            yield metric


def exposition(samples: Iterable[Sample]) -> str:
    """Return the samples in Prometheus's text format, version 0.0.4 (see `CONTENT_TYPE`)."""
    lines = []
    for name, family in _families(samples).items():
        if text := _help(family):
            lines.append(f"# HELP {name} {_one_line(text)}")
        lines.append(f"# TYPE {name} {_type(family)}")
        for sample in family:
            whole = name if sample.kind != "histogram" else _valid_name(sample.name)
            valid = sample._replace(name=whole, labels=tuple(_labels(sample)))
            lines.append(f"{series_name(valid)} {_number(sample.value)}")
    return "".join(f"{line}\n" for line in lines)


def _families(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Group by name, valid and of one kind: a name that comes as both keeps the first one's.

    The parts of a histogram are one family, under the name that they share.
    """
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        name = _valid_name(sample.name)
        if sample.kind == "histogram":
            name = re.sub("_(bucket|sum|count)$", "", name)
        if sample.kind == "counter" and not name.endswith("_total"):
            name += "_total"
        family = families.setdefault(name, [])
        if not family or family[0].kind == sample.kind:
            family.append(sample)
    return families


@functools.lru_cache(4096)
def _valid_name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_:]|^(?=\d)", "_", name)


def _type(family: list[Sample]) -> str:
    """Return the type to tell; quantiles are a summary's, though they are gauges to us."""
    is_summary = all(dict(sample.labels).keys() >= {"quantile"} for sample in family)
    return "summary" if is_summary else family[0].kind


def _help(family: list[Sample]) -> str:
    return next((sample.help for sample in family if sample.help), "")


def _labels(sample: Sample) -> Iterator[tuple[str, str]]:
    for key, value in sample.labels:
        yield re.sub(r"[^a-zA-Z0-9_]|^(?=\d)", "_", key), value


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))
