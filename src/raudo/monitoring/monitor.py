"""The monitor: reads components at an interval, judges the rules, feeds the exporters."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._ticker import Ticker
from raudo.events import AlertChanged, emit
from raudo.monitoring.alerts import Alert, AlertRule, Alerts, default_rules
from raudo.monitoring.components import Component
from raudo.monitoring.exporters import create_exporter
from raudo.monitoring.process import ProcessSampler
from raudo.monitoring.series import series_name
from raudo.types import Exporter, Sample

__all__ = ["Monitor"]

_log = logging.getLogger("raudo.monitoring")


class Monitor:
    """Watches components: their samples, the alerts that these raise, and where they are sent.

    Args:
        components: Objects with `samples()` (every room's have it), or with `get_stats()`,
            `stats()` or `cache_info()`. They are held weakly: watching keeps nothing alive, so
            `Monitor(SmartCache())` watches nothing for long.
        interval: Seconds between two checks of a started monitor.
        rules: What raises alerts; `default_rules()` when None.
        on_alert: Called with an `Alert` when one begins and, `active` false, when it ends. An
            `events.AlertChanged` is emitted as well.
        exporters: Get the samples of each check; the monitor closes them with itself. Objects that
            follow `raudo.types.Exporter`, or names that `create_exporter` knows.
        process: Add samples of the process itself; a component's own win over them.
        clock: Where time comes from.

    A component or exporter that raises is logged when it begins to, counted, and asked again at the
    next check; the others go on. Two components that give the same series are told apart by a label
    `instance`. Thread-safe; the thread of `start` is a daemon and ends with the monitor.

    >>> monitor = Monitor(rules=[AlertRule("any memory", "raudo_memory_used_bytes", above=0)])
    >>> [alert.rule for alert in monitor.check()]
    ['any memory']
    """

    def __init__(
        self,
        *components: object,
        interval: float = 1.0,
        rules: Iterable[AlertRule] | None = None,
        on_alert: Callable[[Alert], object] | None = None,
        exporters: Iterable[Exporter | str] = (),
        process: bool = True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if isinstance(interval, bool) or not isinstance(interval, (int, float)):
            raise TypeError(f"interval is {interval!r}, wanted a number")
        if not interval > 0:
            raise ValueError(f"interval is {interval!r}, wanted a number > 0")
        if on_alert is not None and not callable(on_alert):
            raise TypeError(f"on_alert is {on_alert!r}, wanted None or a callable of one alert")
        self._clock = clock
        self._on_alert = on_alert
        self._alerts = Alerts(default_rules() if rules is None else rules, clock)
        self._sampler = ProcessSampler()
        self._process = Component(self._sampler, 0) if process else None
        self._check_lock = threading.RLock()  # one check at a time; taken before the other
        self._lock = threading.RLock()  # guards the state; never held while exporting
        self._components: list[Component] = []
        self._exporters: list[_Export] = []
        self._n_watched = 0
        self._check_seconds = 0.0
        self._n_past_errors = 0  # of components that are gone
        for component in components:
            self.watch(component)
        for exporter in exporters:
            self.export_to(exporter)
        self._ticker = Ticker(self._tick, interval, "raudo-monitor")

    # --- what is watched ----------------------------------------------------------------------

    def watch(self, component: object) -> None:
        """Watch one more component; again is once."""
        with self._lock:
            if all(each.get() is not component for each in self._components):
                self._components.append(Component(component, self._n_watched + 1))
                self._n_watched += 1

    def unwatch(self, component: object) -> None:
        """Watch it no longer; its alerts end at the next check."""
        with self._lock:
            self._components = [each for each in self._components if each.get() is not component]

    def export_to(self, exporter: Exporter | str, **options: Any) -> Exporter:
        """Send the samples of each check there too; return the exporter.

        A name makes one of that kind: `monitor.export_to("statsd", host="127.0.0.1")`.
        """
        if isinstance(exporter, str):
            exporter = create_exporter(exporter, **options)
        elif options:
            raise TypeError(f"options are {options!r}, wanted none with an exporter object")
        elif not callable(getattr(exporter, "export", None)):
            raise TypeError(f"exporter is {exporter!r}, wanted a name or an object with export()")
        with self._lock:
            self._exporters.append(_Export(exporter))
        return exporter

    # --- looking ------------------------------------------------------------------------------

    def collect(self) -> tuple[Sample, ...]:
        """Read every component now; each series appears once."""
        return self._collect()[0]

    def check(self) -> list[Alert]:
        """Read, judge and export once; return the alerts that are on.

        What a started monitor does at each interval; by hand it needs no thread.
        """
        began = perf_counter()
        with self._check_lock:
            samples, complete = self._collect()
            with self._lock:
                changes = self._alerts.judge(samples, complete=complete)
                active = self._alerts.active()
                exporters = list(self._exporters)
            for export in exporters:
                export.send(samples)
            self._check_seconds = perf_counter() - began
        # Outside the locks: listeners may call back, from other threads too.
        for alert in changes:
            emit(AlertChanged(alert.rule, alert.metric, alert.value, alert.active, alert.labels))
            if self._on_alert is not None:
                try:
                    self._on_alert(alert)
                except Exception:
                    _log.exception("on_alert failed for %s", alert)
        return active

    def active_alerts(self) -> list[Alert]:
        """Return the alerts that were on at the last check, the oldest first."""
        with self._lock:
            return self._alerts.active()

    def snapshot(self) -> dict[str, Any]:
        """Read everything now; return plain data for a page, a log or a test.

        `time` is seconds since 1970, `metrics` the values by series (spelled as Prometheus does:
        `raudo_cache_hits_total{cache="users"}`), `alerts` those on at the last check.
        """
        samples = self.collect()
        return {
            "time": self._clock.time_ns() / 1e9,
            "metrics": {series_name(sample): sample.value for sample in samples},
            "alerts": [
                {
                    "rule": alert.rule,
                    "metric": alert.metric,
                    "labels": dict(alert.labels),
                    "value": alert.value,
                    "bound": alert.bound,
                    "since": alert.since_ns / 1e9,
                }
                for alert in self.active_alerts()
            ],
        }

    def _collect(self) -> tuple[tuple[Sample, ...], bool]:
        """Return the samples, and whether every component gave its own."""
        series: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
        complete = True
        with self._lock:
            # What is gone is forgotten here, its count of errors kept: a counter never goes back.
            gone = [each for each in self._components if each.get() is None]
            self._n_past_errors += sum(each.n_errors for each in gone)
            self._components = [each for each in self._components if each not in gone]
            for component in self._components:
                samples = component.read()
                complete &= not component.is_failing
                for sample in samples:
                    if (sample.name, sample.labels) in series:
                        labels = (*sample.labels, ("instance", str(component.number)))
                        sample = sample._replace(labels=labels)
                    series.setdefault((sample.name, sample.labels), sample)
            for sample in (*self._read_process(), *self._own_samples()):
                series.setdefault((sample.name, sample.labels), sample)
        return tuple(series.values()), complete

    def _read_process(self) -> list[Sample]:
        return [] if self._process is None else self._process.read()

    def _own_samples(self) -> list[Sample]:
        read = self._components if self._process is None else [*self._components, self._process]
        errors = self._n_past_errors + sum(each.n_errors for each in read)
        return [
            Sample(
                "raudo_monitor_components", "gauge", len(self._components), help="Objects watched."
            ),
            Sample(
                "raudo_monitor_component_errors_total",
                "counter",
                errors,
                help="Times that a component could not be read.",
            ),
            Sample(
                "raudo_monitor_check_seconds",
                "gauge",
                self._check_seconds,
                help="What the last check took.",
            ),
            *(
                Sample(
                    "raudo_monitor_exporter_errors_total",
                    "counter",
                    export.n_errors,
                    (("exporter", export.name), ("number", str(number))),
                    "Times that samples could not be exported.",
                )
                for number, export in enumerate(self._exporters)
            ),
        ]

    # --- running ------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether a thread checks at the interval."""
        return self._ticker.is_running

    def start(self) -> Self:
        """Check at the interval, from a thread of its own; return itself."""
        self._ticker.start()
        return self

    def stop(self) -> None:
        """End the thread; `start` and `check` still work."""
        self._ticker.stop()

    def close(self) -> None:
        """Stop, export a last time so that the final counts arrive, and close the exporters."""
        self.stop()
        if self._exporters:
            self.check()
        with self._lock:
            exporters, self._exporters = self._exporters, []
        for export in exporters:
            export.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tick(self) -> None:
        self.check()

    def _after_fork_in_child(self) -> None:
        self._check_lock, self._lock = threading.RLock(), threading.RLock()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<Monitor {state}, {len(self._components)} components>"


class _Export:
    """An exporter, and how often it failed."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self.name = str(getattr(exporter, "name", type(exporter).__name__))
        self.n_errors = 0
        self._is_failing = False

    def send(self, samples: tuple[Sample, ...]) -> None:
        try:
            self.exporter.export(samples)
        except Exception as error:
            self.n_errors += 1
            if not self._is_failing:
                _log.warning("the exporter %s failed: %r", self.name, error)
            self._is_failing = True
        else:
            self._is_failing = False

    def close(self) -> None:
        try:
            self.exporter.close()
        except Exception:
            _log.exception("the exporter %s could not be closed", self.name)
