"""Makes samples of whatever a component offers.

Rooms offer `samples()`. Older or foreign objects offer a dict or named tuple of statistics
(`get_stats()`, `stats()`, `cache_info()`): those whose keys are known get the names that the rooms
use, so that the same rules and dashboards fit; the rest are named after the class and the key.
"""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, NamedTuple

from raudo._core.histogram import Histogram
from raudo.types import Distribution, Sample

__all__ = ["Component", "Reading"]

_log = logging.getLogger("raudo.monitoring")

_Kind = Literal["counter", "gauge"]


class _Shape(NamedTuple):
    """Statistics that are known by some of their keys."""

    needed: frozenset[str]
    label: str
    metrics: dict[str, tuple[str, _Kind]]


_CACHE = _Shape(
    frozenset({"hits", "misses"}),
    "cache",
    {
        "hits": ("raudo_cache_hits_total", "counter"),
        "misses": ("raudo_cache_misses_total", "counter"),
        "hit_rate": ("raudo_cache_hit_ratio", "gauge"),
        "evictions": ("raudo_cache_evictions_total", "counter"),
        "expirations": ("raudo_cache_expirations_total", "counter"),
        "inserts": ("raudo_cache_inserts_total", "counter"),
        "updates": ("raudo_cache_updates_total", "counter"),
        "removals": ("raudo_cache_removals_total", "counter"),
        "refused": ("raudo_cache_refused_total", "counter"),
        "size": ("raudo_cache_entries", "gauge"),
        "currsize": ("raudo_cache_entries", "gauge"),
        "maxsize": ("raudo_cache_max_entries", "gauge"),
        "weight": ("raudo_cache_weight", "gauge"),
    },
)
_TASKS = _Shape(
    frozenset({"processed_tasks", "failed_tasks"}),
    "processor",
    {
        "processed_tasks": ("raudo_tasks_processed_total", "counter"),
        "failed_tasks": ("raudo_tasks_failed_total", "counter"),
        "avg_processing_time": ("raudo_task_mean_seconds", "gauge"),
        "queue_size": ("raudo_task_queue_size", "gauge"),
    },
)
_POOL = _Shape(
    frozenset({"created", "reused", "in_use"}),
    "pool",
    {
        "created": ("raudo_pool_created_total", "counter"),
        "reused": ("raudo_pool_reused_total", "counter"),
        "discarded": ("raudo_pool_discarded_total", "counter"),
        "lost": ("raudo_pool_lost_total", "counter"),
        "in_use": ("raudo_pool_in_use", "gauge"),
        "idle": ("raudo_pool_idle", "gauge"),
        "held_bytes": ("raudo_pool_idle_bytes", "gauge"),
        "hit_rate": ("raudo_pool_hit_ratio", "gauge"),
    },
)
_SHAPES = (_CACHE, _TASKS, _POOL)
_READERS = ("get_stats", "stats", "cache_info")


class Reading(NamedTuple):
    """What a component said."""

    samples: list[Sample]
    distributions: list[Distribution]


_NOTHING = Reading([], [])


class Component:
    """A watched object, held weakly where its type allows."""

    def __init__(self, target: object, number: int) -> None:
        if isinstance(target, type) or not any(
            callable(getattr(target, name, None)) for name in ("samples", *_READERS)
        ):
            raise TypeError(
                f"a component is {target!r}, wanted an object with samples(), get_stats(), "
                "stats() or cache_info(), or an event loop"
            )
        self.number = number
        self.kind = type(target).__name__
        self.reading = _NOTHING
        self.is_failing = False
        self.is_stuck = False
        self.n_errors = 0
        self.get: Callable[[], Any]
        try:
            self.get = weakref.ref(target)
        except TypeError:
            self.get = lambda: target

    def call(self) -> None:
        """Read it: `reading` is what it says; nothing when it is gone or fails."""
        try:
            reading = self._read()
        except Exception as error:
            self._fail(f"cannot be read: {error!r}")
        else:
            self.is_failing = False
            self.reading = reading
        self.is_stuck = False

    def hang(self) -> None:
        """Note that reading it does not come back; it is not read again until it does."""
        self.is_stuck = True
        self._fail("hangs while it is read")

    def _fail(self, what: str) -> None:
        """Count a failure; the first is logged."""
        self.reading = _NOTHING
        self.n_errors += 1
        if not self.is_failing:
            _log.warning("a %s %s", self.kind, what)
        self.is_failing = True

    def _read(self) -> Reading:
        target = self.get()
        if target is None:
            return _NOTHING
        if not callable(getattr(target, "samples", None)):
            reader = next(name for name in _READERS if callable(getattr(target, name, None)))
            return Reading(list(_adapted(target, getattr(target, reader)())), [])
        samples = list(_checked(target.samples()))
        histograms = getattr(target, "histograms", None)
        return Reading(samples, [] if histograms is None else list(_copied(histograms())))


def _copied(found: Iterable[Distribution]) -> Iterator[Distribution]:
    for each in found:
        if not isinstance(each, Distribution) or not isinstance(each.histogram, Histogram):
            raise TypeError(f"histograms() gave {each!r}, wanted Distribution objects only")
        if not isinstance(each.name, str) or not _are_labels(each.labels):
            raise TypeError(f"histograms() gave {each!r}, wanted a name and labels of str")
        yield each._replace(histogram=each.histogram.copy())


def _checked(samples: Iterable[Sample]) -> Iterator[Sample]:
    for sample in samples:
        if not isinstance(sample, Sample):
            raise TypeError(f"samples() gave {sample!r}, wanted Sample objects only")
        if not _is_number(sample.value):
            raise TypeError(f"{sample.name} has the value {sample.value!r}, wanted a number")
        if not isinstance(sample.name, str) or not _are_labels(sample.labels):
            raise TypeError(f"samples() gave {sample!r}, wanted a name and labels of str")
        yield sample


def _is_number(value: object) -> bool:
    """Say whether it is a number that a float can hold: page, rules and exporters take those."""
    if not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _are_labels(labels: object) -> bool:
    return isinstance(labels, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(each, str) for each in pair)
        for pair in labels
    )


def _adapted(target: object, stats: Any) -> Iterator[Sample]:
    if is_dataclass(stats) and not isinstance(stats, type):
        stats = asdict(stats)
    elif hasattr(stats, "_asdict"):
        stats = stats._asdict()
    if not isinstance(stats, Mapping):
        raise TypeError(f"the statistics of a {type(target).__name__} are {stats!r}, wanted a dict")
    shape = next((each for each in _SHAPES if each.needed <= stats.keys()), None)
    known: dict[str, tuple[str, _Kind]] = {} if shape is None else shape.metrics
    name = getattr(target, "name", None)
    labels: tuple[tuple[str, str], ...] = ()
    if isinstance(name, str):
        labels = ((shape.label if shape is not None else "name", name),)
    if shape is _CACHE and "hit_rate" not in stats:
        asked = stats["hits"] + stats["misses"]
        yield Sample("raudo_cache_hit_ratio", "gauge", stats["hits"] / max(asked, 1), labels)
    if shape is _TASKS:
        ratio = stats["failed_tasks"] / max(stats["processed_tasks"], 1)
        yield Sample("raudo_tasks_error_ratio", "gauge", ratio, labels)
    prefix = f"raudo_{_snake(type(target).__name__)}"
    for key, value in _flat(stats):
        metric, kind = known.get(key, (f"{prefix}_{_snake(key)}", "gauge"))
        yield Sample(metric, kind, value, labels)


def _flat(stats: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers, nested ones under the joined keys; what is no number is left out."""
    for key, value in stats.items():
        path = f"{above}_{key}" if above else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, path)
        elif _is_number(value):
            yield path, value


def _snake(name: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", parted).strip("_").lower()
