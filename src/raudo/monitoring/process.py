"""What a monitor says of the process itself, beside its components."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator
from time import perf_counter_ns, process_time

from raudo._core.histogram import Histogram
from raudo._process import (
    available_memory_bytes,
    open_file_count,
    resident_bytes,
    thread_count,
)
from raudo.types import Distribution, Sample

__all__ = ["GcPauses", "ProcessSampler", "watch_collector"]


class ProcessSampler:
    """Samples of memory, processor, threads, open files and garbage collector; ~0.1 ms a call."""

    def __init__(self) -> None:
        self._pauses = watch_collector(self)

    def samples(self) -> Iterator[Sample]:
        used, limit = resident_bytes(), available_memory_bytes()
        yield Sample("raudo_memory_used_bytes", "gauge", used, help="Resident memory.")
        yield Sample("raudo_memory_limit_bytes", "gauge", limit, help="What counts as 100 %.")
        yield Sample(
            "raudo_memory_percent",
            "gauge",
            100.0 * used / limit,
            help="Resident memory of the machine's, or of the cgroup's limit.",
        )
        yield Sample(
            "raudo_process_cpu_seconds_total",
            "counter",
            process_time(),
            help="Processor time spent.",
        )
        n_threads, n_files = thread_count(), open_file_count()
        yield Sample("raudo_process_threads", "gauge", n_threads, help="Threads of the system.")
        yield Sample("raudo_process_open_files", "gauge", n_files, help="Open file descriptors.")
        for generation, stats in enumerate(gc.get_stats()):
            labels = (("generation", str(generation)),)
            for key, text in _GC_COUNTS:
                yield Sample(f"raudo_gc_{key}_total", "counter", stats[key], labels, text)

    def histograms(self) -> Iterator[Distribution]:
        for generation, times in enumerate(self._pauses.times):
            yield Distribution(
                "raudo_gc_pause_duration_seconds",
                times,
                (("generation", str(generation)),),
                "Time of a run of the cyclic garbage collector.",
            )


class GcPauses:
    """Times the collector's runs, by generation; less than a microsecond each.

    Called by the collector, with the GIL held throughout a run; runs do not overlap.
    """

    def __init__(self) -> None:
        self.times = (Histogram(), Histogram(), Histogram())
        self._began_ns = 0

    @property
    def total(self) -> float:
        """Seconds spent in all runs."""
        return sum(times.total for times in self.times)

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = perf_counter_ns()
        elif self._began_ns:
            self.times[info["generation"]].record_ns(perf_counter_ns() - self._began_ns)
            self._began_ns = 0


def watch_collector(owner: object) -> GcPauses:
    """Time the collector's runs for as long as `owner` lives."""
    pauses = GcPauses()
    gc.callbacks.append(pauses)
    weakref.finalize(owner, _stop_timing, pauses).atexit = False
    return pauses


def _stop_timing(pauses: GcPauses) -> None:
    with contextlib.suppress(ValueError):  # somebody cleared the list
        gc.callbacks.remove(pauses)


_GC_COUNTS = (
    ("collections", "Runs of the cyclic garbage collector."),
    ("collected", "Objects that the collector freed."),
    ("uncollectable", "Objects that the collector could not free."),
)
