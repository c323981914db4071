"""The figures of an `AsyncProcessor`, as a dictionary for people and as samples for a monitor."""

from __future__ import annotations

from typing import Any, NamedTuple

from raudo._core.histogram import Histogram
from raudo.concurrency._ledger import Ledger
from raudo.concurrency._pools import Pools
from raudo.types import Distribution, Sample

__all__ = ["Figures", "as_dict", "as_samples", "ran_of", "shared_samples"]


class Figures(NamedTuple):
    """A snapshot: what was counted, and what there is now."""

    ledger: Ledger
    queued: int
    running: int
    open_circuits: int


def as_dict(figures: Figures, pools: Pools) -> dict[str, Any]:
    """Return what `get_stats` returns."""
    ledger = figures.ledger
    finished = ledger.finished
    return {
        "processed_tasks": finished,
        "failed_tasks": ledger.failed,
        "success_rate": ledger.succeeded / finished if finished else 1.0,
        "avg_processing_time": ledger.busy_s / finished if finished else 0.0,
        "queue_size": figures.queued,
        "submitted_tasks": ledger.submitted,
        "succeeded_tasks": ledger.succeeded,
        "running": figures.running,
        "retried": ledger.retried,
        "timed_out": ledger.timed_out,
        "cancelled": ledger.cancelled,
        "dropped": ledger.dropped,
        "abandoned_threads": ledger.abandoned,
        "open_circuits": figures.open_circuits,
        "by_kind": ledger.by_kind(),
        "workers": pools.counts(),
        "routes": pools.router.explain(),
    }


def shared_samples(
    n_processed: int, n_failed: int, total_s: float | None, label: tuple[str, str]
) -> list[Sample]:
    """Return what `raudo.monitoring.default_rules` judge: the same names whatever runs the tasks.

    `total_s` is how long the tasks took together; None where they are not timed.
    """
    labels = (label,)
    ratio = n_failed / n_processed if n_processed else 0.0
    found = [
        Sample("raudo_tasks_processed_total", "counter", n_processed, labels, "Tasks that ended"),
        Sample("raudo_tasks_failed_total", "counter", n_failed, labels, "Of them, those in error"),
        Sample("raudo_tasks_error_ratio", "gauge", ratio, labels, "Failed tasks of those ended"),
    ]
    if total_s is not None:
        mean_s = total_s / n_processed if n_processed else 0.0
        found += [
            Sample("raudo_task_mean_seconds", "gauge", mean_s, labels, "Mean time of a task"),
            Sample("raudo_tasks_seconds_total", "counter", total_s, labels, "Time of all tasks"),
        ]
    return found


def ran_of(histogram: Histogram, label: tuple[str, str]) -> Distribution:
    """Return how long tasks took, under the same name whatever runs them."""
    return Distribution("raudo_task_duration_seconds", histogram, (label,), "Time of a task")


def as_samples(figures: Figures, pools: Pools, name: str) -> list[Sample]:
    """Return what `samples` returns, labelled with the processor's name."""
    ledger = figures.ledger
    label = ("processor", name)
    workers = pools.counts()
    counters = {
        "submitted_total": (ledger.submitted, "Tasks taken"),
        "retries_total": (ledger.retried, "Attempts after a task's first"),
        "timeouts_total": (ledger.timed_out, "Attempts ended for their timeout"),
        "busy_seconds_total": (ledger.busy_s, "Seconds that attempts of ended tasks ran"),
    }
    gauges = {
        "queue_size": (figures.queued, "Tasks that wait in the queue"),
        "running": (figures.running, "Tasks in flight"),
        "open_circuits": (figures.open_circuits, "Functions that are not called for now"),
    }
    return [
        *shared_samples(ledger.finished, ledger.failed, ledger.busy_s, label),
        *(
            Sample(
                "raudo_processor_tasks_total",
                "counter",
                getattr(ledger, state),
                (label, ("state", state)),
                "Tasks by how they ended",
            )
            for state in ("succeeded", "failed", "cancelled", "dropped")
        ),
        *(
            Sample(f"raudo_processor_{what}", "counter", value, (label,), text)
            for what, (value, text) in counters.items()
        ),
        *(
            Sample(f"raudo_processor_{what}", "gauge", value, (label,), text)
            for what, (value, text) in gauges.items()
        ),
        *(
            Sample(
                "raudo_processor_workers",
                "gauge",
                workers[pool],
                (label, ("pool", pool)),
                "Workers alive",
            )
            for pool in ("threads", "processes")
        ),
    ]
