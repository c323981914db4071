"""Rules over metrics, and the alerts that they raise: one for each series that breaks one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace

from raudo._clock import Clock
from raudo.types import Sample

__all__ = ["Alert", "AlertRule", "Alerts", "default_rules"]

_Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """What a metric must not do.

    A series is a metric with its labels (the hit ratio of one cache); each is judged by itself.

    Args:
        name: What people call it; unique in a `Monitor`.
        metric: The name of the samples that it judges.
        above: The alert is on while a value is greater than this.
        below: The alert is on while a value is less than this. With both, outside of the range.
        for_: Seconds that it must be so without a break before the alert begins.
        minimum: How much the metrics of `of` must add up to before the rule judges at all.
        of: Counters that say how much there was to judge from: of each, the series with the labels
            of the judged one, or those that have these and more. Without any the rule judges at
            once.

    >>> rule = AlertRule("slow", "raudo_task_mean_seconds", above=0.5, for_=10.0)
    """

    name: str
    metric: str
    above: float | None = None
    below: float | None = None
    for_: float = 0.0
    _: KW_ONLY
    minimum: float = 0.0
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "metric"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value:
                raise TypeError(f"{field} is {value!r}, wanted a str that is not empty")
        if self.above is None and self.below is None:
            raise ValueError(f"above and below are None in rule {self.name!r}, wanted one at least")
        for field in ("above", "below", "for_", "minimum"):
            value = getattr(self, field)
            if value is None and field in ("above", "below"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{field} is {value!r}, wanted a number")
            if math.isnan(value) or (field in ("for_", "minimum") and value < 0):
                raise ValueError(f"{field} is {value!r}, wanted a number >= 0")
        of: object = self.of
        if isinstance(of, str):
            raise TypeError(f"of is {of!r}, wanted a tuple of names")

    def bound_broken_by(self, value: float) -> float | None:
        """Return the bound that the value breaks, or None. NaN breaks none."""
        if self.above is not None and value > self.above:
            return self.above
        if self.below is not None and value < self.below:
            return self.below
        return None


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that a series breaks, or (`active` false) has ceased to break.

    `value` and `bound` are those of the latest look; `since_ns` is when it began, in wall-clock
    nanoseconds since 1970.
    """

    rule: str
    metric: str
    labels: _Labels
    value: float
    bound: float
    since_ns: int
    active: bool = True

    def __str__(self) -> str:
        labels = ", ".join(f"{key}={value}" for key, value in self.labels)
        state = "is on" if self.active else "is over"
        return (
            f"{self.rule} {state}: {self.metric}{{{labels}}} = {self.value:g}, bound {self.bound:g}"
        )


def default_rules() -> tuple[AlertRule, ...]:
    """Return the four rules that every service wants.

    Memory over 90 %, cache hit rate under 70 %, error rate over 5 %, mean response over 500 ms.
    Rates are judged from the hundredth request and the twentieth task on.
    """
    tasks = ("raudo_tasks_processed_total",)
    return (
        AlertRule("high memory", "raudo_memory_percent", above=90.0),
        AlertRule(
            "low hit rate",
            "raudo_cache_hit_ratio",
            below=0.7,
            minimum=100,
            of=("raudo_cache_hits_total", "raudo_cache_misses_total"),
        ),
        AlertRule("high error rate", "raudo_tasks_error_ratio", above=0.05, minimum=20, of=tasks),
        AlertRule("slow response", "raudo_task_mean_seconds", above=0.5, minimum=20, of=tasks),
    )


class Alerts:
    """Keeps the state of each rule for each series. Not thread-safe: the monitor takes care."""

    def __init__(self, rules: Iterable[AlertRule], clock: Clock) -> None:
        self._rules = tuple(rules)
        for rule in self._rules:
            if not isinstance(rule, AlertRule):
                raise TypeError(f"rules holds {rule!r}, wanted AlertRule objects only")
        names = [rule.name for rule in self._rules]
        if len(set(names)) < len(names):
            raise ValueError(f"rules are named {names}, wanted each name once")
        self._clock = clock
        self._broken_since: dict[tuple[str, _Labels], float] = {}  # monotonic seconds
        self._active: dict[tuple[str, _Labels], Alert] = {}

    def active(self) -> list[Alert]:
        """Return the alerts that are on, the oldest first."""
        return sorted(self._active.values(), key=lambda alert: alert.since_ns)

    def judge(self, samples: Sequence[Sample], *, complete: bool) -> list[Alert]:
        """Return the alerts that began or ended.

        A series that is gone ends its alert, unless the samples are not `complete` because a
        component failed: then its alert stays as it was.
        """
        by_name: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            by_name[sample.name].append(sample)
        changes: list[Alert] = []
        seen: set[tuple[str, _Labels]] = set()
        for rule in self._rules:
            for sample in by_name.get(rule.metric, ()):
                key = (rule.name, sample.labels)
                seen.add(key)
                bound = rule.bound_broken_by(sample.value)
                if bound is not None and _has_enough(rule, sample, by_name):
                    changes += self._broken(rule, sample, bound)
                else:
                    changes += self._kept(key, sample.value)
        if complete:
            for key in (self._broken_since.keys() | self._active.keys()) - seen:
                changes += self._kept(key, math.nan)
        return changes

    def _broken(self, rule: AlertRule, sample: Sample, bound: float) -> list[Alert]:
        key = (rule.name, sample.labels)
        now = self._clock.monotonic()
        if now - self._broken_since.setdefault(key, now) < rule.for_:
            return []
        known = self._active.get(key)
        if known is not None:
            self._active[key] = replace(known, value=sample.value, bound=bound)
            return []
        alert = Alert(
            rule.name, rule.metric, sample.labels, sample.value, bound, self._clock.time_ns()
        )
        self._active[key] = alert
        return [alert]

    def _kept(self, key: tuple[str, _Labels], value: float) -> list[Alert]:
        self._broken_since.pop(key, None)
        alert = self._active.pop(key, None)
        return [] if alert is None else [replace(alert, value=value, active=False)]


def _has_enough(rule: AlertRule, sample: Sample, by_name: dict[str, list[Sample]]) -> bool:
    if not rule.of:
        return True
    counts: list[float] = []
    for name in rule.of:
        family = by_name.get(name, [])
        # A series of exactly these labels is the one; else those that split it up further.
        same = [each.value for each in family if each.labels == sample.labels]
        labels = set(sample.labels)
        counts += same or [each.value for each in family if labels.issubset(each.labels)]
    return not counts or sum(counts) >= rule.minimum
