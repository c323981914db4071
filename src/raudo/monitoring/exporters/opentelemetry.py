"""Offers samples to OpenTelemetry as observable instruments, read when the SDK collects.

Works with whatever the application has set up: OTLP to a collector, New Relic or DataDog, or a
reader of its own. Counting an event through the API would cost some 15 us; a callback that reads
counts costs nothing in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from raudo._version import __version__
from raudo.errors import Closed, MissingExtra
from raudo.monitoring.series import is_bucket
from raudo.types import Sample

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["OpenTelemetryExporter"]

# From the suffix of a name to the unit, in the UCUM notation that OpenTelemetry uses.
_UNITS = {"_seconds": "s", "_seconds_sum": "s", "_bytes": "By", "_ratio": "1", "_percent": "%"}


class OpenTelemetryExporter:
    """Make an instrument of each metric, on its first export.

    Counters become observable counters without the suffix `_total` (a Prometheus behind the
    collector adds it again), gauges become observable gauges.

    Args:
        meter_provider: The application's global one when None.

    Needs the `otel` extra.
    """

    name = "opentelemetry"

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        try:
            from opentelemetry import metrics
        except ImportError as error:
            raise MissingExtra("the opentelemetry exporter", "otel") from error
        provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
        self._meter = provider.get_meter("raudo", __version__)
        self._observation = metrics.Observation
        self._instruments: set[str] = set()
        self._latest: dict[str, list[Sample]] = {}
        self._is_closed = False

    def export(self, samples: Sequence[Sample]) -> None:
        """Show these at the next collection."""
        if self._is_closed:
            raise Closed("the opentelemetry exporter is closed")
        latest: dict[str, list[Sample]] = {}
        for sample in samples:
            if is_bucket(sample):  # there is no observable histogram
                continue
            family = latest.setdefault(sample.name, [])
            if not family or family[0].kind == sample.kind:
                family.append(sample)
        self._latest = latest
        for name, family in latest.items():
            if name not in self._instruments:
                self._instruments.add(name)
                self._make_instrument(name, family[0])

    def close(self) -> None:
        """Show nothing any more; instruments cannot be taken out of the SDK."""
        self._is_closed = True
        self._latest = {}

    def _make_instrument(self, name: str, sample: Sample) -> None:
        public = name.removesuffix("_total") if sample.kind != "gauge" else name
        unit = next((unit for suffix, unit in _UNITS.items() if public.endswith(suffix)), "")
        make = (
            self._meter.create_observable_counter
            if sample.kind != "gauge"
            else self._meter.create_observable_gauge
        )
        make(public, callbacks=[self._reader(name)], unit=unit, description=sample.help)

    def _reader(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(options: CallbackOptions) -> Iterable[Observation]:
            return [
                self._observation(sample.value, dict(sample.labels))
                for sample in self._latest.get(name, ())
            ]

        return read
