"""Rules over metrics: what raises an alert, and the four that every service wants."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

__all__ = ["AlertRule", "default_rules"]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """What a metric must not do.

    A series is a metric with its labels (the hit ratio of one cache); each is judged by itself.

    Args:
        name: What people call it; unique in a `Monitor`.
        metric: The name of the samples that it judges.
        above: The alert begins when a value is greater than this.
        below: The alert begins when a value is less than this. With both, outside of the range.
        for_: Seconds that it must be so without a break before the alert begins.
        minimum: How much the counters of `of` must add up to before the rule judges at all. An
            alert whose traffic ceases ends.
        of: Counters that say how much there was to judge from: of each, the series with the labels
            of the judged one, or those that have these and more. Without any the rule judges at
            once.
        part: Counters too. Where a series has them and those of `of`, it is the share of `part` in
            `of` that is judged, and `metric` is only its name.
        window: Look at the last so many seconds of the counters (of their whole life until they
            have been watched for so long); with 0 always at their whole life. A `metric` that is a
            counter itself is judged by its increase per second then.
        clear: What the value must have come back to before the alert ends: 85 of a rule `above=90`
            keeps a value that hovers about 90 from raising it again and again. The bound itself
            when None.
        severity: Told with the alert: `"warning"`, `"critical"`, ...
        summary: Told with the alert, one sentence.

    >>> rule = AlertRule("slow", "raudo_task_mean_seconds", above=0.5, for_=10.0, clear=0.4)
    """

    name: str
    metric: str
    above: float | None = None
    below: float | None = None
    for_: float = 0.0
    _: KW_ONLY
    minimum: float = 0.0
    of: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    window: float = 0.0
    clear: float | None = None
    severity: str = "warning"
    summary: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "metric", "severity"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value:
                raise TypeError(f"{field} is {value!r}, wanted a str that is not empty")
        if self.above is None and self.below is None:
            raise ValueError(f"above and below are None in rule {self.name!r}, wanted one at least")
        for field in ("above", "below", "clear", "for_", "minimum", "window"):
            value = getattr(self, field)
            if value is None and field in ("above", "below", "clear"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{field} is {value!r}, wanted a number")
            if math.isnan(value) or (field in ("for_", "minimum", "window") and value < 0):
                raise ValueError(f"{field} is {value!r}, wanted a number >= 0")
        for field in ("of", "part"):
            names: object = getattr(self, field)
            if isinstance(names, str):
                raise TypeError(f"{field} is {names!r}, wanted a tuple of names")
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if self.part and not self.of:
            raise ValueError(f"part is {self.part!r} without of in rule {self.name!r}")
        if self.clear is not None and (
            (self.above is not None and self.clear > self.above)
            or (self.below is not None and self.clear < self.below)
        ):
            raise ValueError(
                f"clear is {self.clear!r} in rule {self.name!r}, wanted one that breaks no bound"
            )

    def bound_broken_by(self, value: float, bound: float | None = None) -> float | None:
        """Return the bound that the value breaks, or None. NaN breaks none.

        `bound` is the one that an alert which is on was raised by: the value must have come back to
        `clear` to break it no more.
        """
        if self.above is not None:
            limit = self.above if bound != self.above or self.clear is None else self.clear
            if value > limit:
                return self.above
        if self.below is not None:
            limit = self.below if bound != self.below or self.clear is None else self.clear
            if value < limit:
                return self.below
        return None


def default_rules(*, window: float = 60.0, for_: float = 0.0) -> tuple[AlertRule, ...]:
    """Return the four rules that every service wants.

    Memory over 90 %, cache hit rate under 70 %, error rate over 5 %, mean response over 500 ms;
    each ends with some distance from its bound. Rates are those of the last `window` seconds,
    judged from 100 lookups or 20 tasks in it on.
    """
    lookups = ("raudo_cache_hits_total", "raudo_cache_misses_total")
    tasks = ("raudo_tasks_processed_total",)
    return (
        AlertRule(
            "high memory",
            "raudo_memory_percent",
            above=90.0,
            for_=for_,
            clear=85.0,
            severity="critical",
            summary="The process uses more than 90 % of the memory that it may.",
        ),
        AlertRule(
            "low hit rate",
            "raudo_cache_hit_ratio",
            below=0.7,
            for_=for_,
            minimum=100,
            of=lookups,
            part=lookups[:1],
            window=window,
            clear=0.75,
            summary="The cache answers less than 70 % of the lookups.",
        ),
        AlertRule(
            "high error rate",
            "raudo_tasks_error_ratio",
            above=0.05,
            for_=for_,
            minimum=20,
            of=tasks,
            part=("raudo_tasks_failed_total",),
            window=window,
            clear=0.04,
            severity="critical",
            summary="More than 5 % of the tasks fail.",
        ),
        AlertRule(
            "slow response",
            "raudo_task_mean_seconds",
            above=0.5,
            for_=for_,
            minimum=20,
            of=tasks,
            part=("raudo_tasks_seconds_total",),
            window=window,
            clear=0.4,
            summary="Tasks take more than 500 ms on average.",
        ),
    )
