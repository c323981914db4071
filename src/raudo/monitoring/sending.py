"""Hands samples to exporters, one of which may raise or hang."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from raudo.monitoring.watchdog import Watchdog
from raudo.types import Exporter, Sample

__all__ = ["Sender"]

_log = logging.getLogger("raudo.monitoring")


class Sender:
    """Exporters, and how often each failed. Thread-safe."""

    def __init__(self, timeout: float) -> None:
        self._lock = threading.Lock()
        self._watchdog = Watchdog(timeout, "raudo-monitor-sender")
        self._exports: list[_Export] = []

    def add(self, exporter: Exporter) -> None:
        with self._lock:
            self._exports.append(_Export(exporter))

    def __len__(self) -> int:
        return len(self._exports)

    def send(self, samples: tuple[Sample, ...]) -> None:
        """Export to each that does not hang."""
        with self._lock:
            exports = list(self._exports)
        for each in exports:
            each.samples = samples
        self._watchdog.run(exports)
        for each in exports:
            each.samples = ()  # one that hangs has its own reference

    def samples(self) -> Iterator[Sample]:
        """Yield how often each failed."""
        for number, export in enumerate(self._exports):
            yield Sample(
                "raudo_monitor_exporter_errors_total",
                "counter",
                export.n_errors,
                (("exporter", export.name), ("number", str(number))),
                "Times that samples could not be exported.",
            )

    def close(self) -> None:
        """Close all of them, and forget them."""
        with self._lock:
            exports, self._exports = self._exports, []
        for export in exports:
            export.close()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._watchdog.after_fork()


class _Export:
    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self.name = str(getattr(exporter, "name", type(exporter).__name__))
        self.samples: tuple[Sample, ...] = ()
        self.n_errors = 0
        self.is_stuck = False
        self._is_failing = False

    def call(self) -> None:
        try:
            self.exporter.export(self.samples)
        except Exception as error:
            self._fail(f"failed: {error!r}")
        else:
            self._is_failing = False
        self.is_stuck = False

    def hang(self) -> None:
        self.is_stuck = True
        self._fail("hangs; it gets no samples until it comes back")

    def _fail(self, what: str) -> None:
        self.n_errors += 1
        if not self._is_failing:
            _log.warning("the exporter %s %s", self.name, what)
        self._is_failing = True

    def close(self) -> None:
        if self.is_stuck:
            _log.warning("the exporter %s hangs and is not closed", self.name)
            return
        try:
            self.exporter.close()
        except Exception:
            _log.exception("the exporter %s could not be closed", self.name)
