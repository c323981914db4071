"""Reads all components of a monitor, each series once, whatever any of them does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

from raudo.monitoring.components import Component
from raudo.monitoring.loops import LoopLag
from raudo.monitoring.process import ProcessSampler
from raudo.monitoring.series import Key
from raudo.monitoring.watchdog import Watchdog
from raudo.types import Distribution, Sample

__all__ = ["Collected", "Collector"]


class Collected(NamedTuple):
    """What all components said."""

    samples: tuple[Sample, ...]
    distributions: list[Distribution]
    is_complete: bool
    """Whether every component gave its own."""


class Collector:
    """Holds components weakly; reads them by a watchdog. Thread-safe."""

    def __init__(self, process: bool, timeout: float) -> None:
        self._lock = threading.Lock()
        self._watchdog = Watchdog(timeout, "raudo-monitor-reader")
        self._components: list[Component] = []
        self._lags: list[LoopLag] = []
        self._sampler = ProcessSampler() if process else None
        self._process = None if self._sampler is None else Component(self._sampler, 0)
        self._n_watched = 0
        self._n_past_errors = 0  # of components that are gone

    def watch(self, target: object) -> None:
        if isinstance(target, asyncio.AbstractEventLoop):
            target = self._lag_of(target)
        with self._lock:
            if all(each.get() is not target for each in self._components):
                self._components.append(Component(target, self._n_watched + 1))
                self._n_watched += 1

    def unwatch(self, target: object) -> None:
        if isinstance(target, asyncio.AbstractEventLoop):
            with self._lock:
                self._lags = [lag for lag in self._lags if not lag.is_of(target)]
            return
        with self._lock:
            self._components = [each for each in self._components if each.get() is not target]

    def _lag_of(self, loop: asyncio.AbstractEventLoop) -> LoopLag:
        with self._lock:
            self._lags = [lag for lag in self._lags if lag.is_open]
            found = next((lag for lag in self._lags if lag.is_of(loop)), None)
            if found is None:
                found = LoopLag(loop, str(self._n_watched + 1))
                self._lags.append(found)
            return found

    def targets(self) -> list[Any]:
        """Return the watched objects that are alive."""
        with self._lock:
            found = [each.get() for each in self._components]
        return [each for each in found if each is not None]

    def __len__(self) -> int:
        return len(self._components)

    def collect(self, own: Iterable[Sample] = ()) -> Collected:
        """Read every component now; what comes first of a series wins, `own` comes last.

        Components that give the same series are told apart by a label `instance`.
        """
        with self._lock:
            # What is gone is forgotten here, its count of errors kept: a counter never goes back.
            gone = [each for each in self._components if each.get() is None]
            self._n_past_errors += sum(each.n_errors for each in gone)
            self._components = [each for each in self._components if each not in gone]
            components = list(self._components)
            self._lags = [lag for lag in self._lags if lag.is_open]
        all_read = components if self._process is None else [*components, self._process]
        self._watchdog.run(all_read)
        series: dict[Key, Sample] = {}
        distributions: dict[Key, Distribution] = {}
        for component in components:
            instance = ("instance", str(component.number))
            samples, found = component.reading
            for sample in samples:
                if (sample.name, sample.labels) in series:
                    sample = sample._replace(labels=(*sample.labels, instance))
                series.setdefault((sample.name, sample.labels), sample)
            for each in found:
                if (each.name, each.labels) in distributions:
                    each = each._replace(labels=(*each.labels, instance))
                distributions.setdefault((each.name, each.labels), each)
        if self._process is not None:
            for sample in self._process.reading.samples:
                series.setdefault((sample.name, sample.labels), sample)
            for each in self._process.reading.distributions:
                distributions.setdefault((each.name, each.labels), each)
        for sample in (*self._own_samples(all_read, len(components)), *own):
            series.setdefault((sample.name, sample.labels), sample)
        is_complete = not any(each.is_failing for each in components)
        return Collected(tuple(series.values()), list(distributions.values()), is_complete)

    def _own_samples(self, read: list[Component], n_components: int) -> list[Sample]:
        errors = self._n_past_errors + sum(each.n_errors for each in read)
        return [
            Sample("raudo_monitor_components", "gauge", n_components, help="Objects watched."),
            Sample(
                "raudo_monitor_component_errors_total",
                "counter",
                errors,
                help="Times that a component could not be read.",
            ),
        ]

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._watchdog.after_fork()
        self._lags.clear()  # the loops run in the parent
