"""Keeps the state of each rule for each series: which alerts are on, and whom that was told."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from raudo._clock import Clock
from raudo.monitoring.rules import AlertRule
from raudo.monitoring.series import Key, Labels, key_of
from raudo.types import Sample

__all__ = ["Alert", "Alerts"]

_MOST_REMEMBERED = 200

Increase = Callable[[Key, float, float], float]
"""Of a series that has this value: how much it grew in the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that a series breaks, or (`active` false) has ceased to break.

    `value` and `bound` are those of the latest look; `since_ns` is when it began and `ended_ns`
    when it ended (0 until then), in wall-clock nanoseconds since 1970.
    """

    rule: str
    metric: str
    labels: Labels
    value: float
    bound: float
    since_ns: int
    active: bool = True
    silenced: bool = False
    severity: str = "warning"
    summary: str = ""
    ended_ns: int = 0

    def __str__(self) -> str:
        labels = ", ".join(f"{key}={value}" for key, value in self.labels)
        state = "is on" if self.active else "is over"
        return (
            f"{self.rule} {state}: {self.metric}{{{labels}}} = {self.value:g}, bound {self.bound:g}"
        )


class Alerts:
    """Judges samples by rules. Not thread-safe: the monitor takes care."""

    def __init__(self, rules: Iterable[AlertRule], clock: Clock) -> None:
        self._clock = clock
        self._broken_since: dict[tuple[str, Labels], float] = {}  # monotonic seconds
        self._active: dict[tuple[str, Labels], Alert] = {}
        self._told: set[tuple[str, Labels]] = set()  # active ones whose beginning was told
        self._silences: list[tuple[str, frozenset[tuple[str, str]], float]] = []
        self._history: deque[Alert] = deque(maxlen=_MOST_REMEMBERED)
        self.rules: tuple[AlertRule, ...] = ()
        self.set_rules(rules)

    def set_rules(self, rules: Iterable[AlertRule]) -> None:
        """Judge by these from now on; what is known of a rule that stays the same is kept.

        Alerts of a rule that is no more end at the next judgement; for one of the same name that is
        another now, time begins anew.
        """
        if not isinstance(rules, Iterable):
            raise TypeError(f"rules is {rules!r}, wanted AlertRule objects")
        new = tuple(rules)
        for rule in new:
            if not isinstance(rule, AlertRule):
                raise TypeError(f"rules holds {rule!r}, wanted AlertRule objects only")
        names = [rule.name for rule in new]
        if len(set(names)) < len(names):
            raise ValueError(f"rules are named {names}, wanted each name once")
        changed = {rule.name for rule in self.rules} - {
            rule.name for rule in self.rules if rule in new
        }
        for key in [key for key in self._broken_since if key[0] in changed]:
            del self._broken_since[key]
        self.rules = new

    # --- looking ------------------------------------------------------------------------------

    def active(self) -> list[Alert]:
        """Return the alerts that are on, the oldest first."""
        found = [
            replace(alert, silenced=self._is_silenced(key)) for key, alert in self._active.items()
        ]
        return sorted(found, key=lambda alert: alert.since_ns)

    def history(self) -> list[Alert]:
        """Return the last ones that began or ended, the newest first."""
        return list(reversed(self._history))

    # --- silence ------------------------------------------------------------------------------

    def silence(self, rule: str, seconds: float, labels: Mapping[str, str]) -> None:
        until = self._clock.monotonic() + seconds
        self._silences.append((rule, frozenset(labels.items()), until))

    def unsilence(self, rule: str) -> None:
        self._silences = [each for each in self._silences if each[0] != rule]

    def _is_silenced(self, key: tuple[str, Labels]) -> bool:
        now = self._clock.monotonic()
        self._silences = [each for each in self._silences if each[2] > now]
        return any(
            rule in (key[0], "*") and labels.issubset(key[1]) for rule, labels, _ in self._silences
        )

    # --- judging ------------------------------------------------------------------------------

    def judge(
        self,
        samples: Sequence[Sample],
        increase: Increase = lambda key, value, seconds: value,
        *,
        complete: bool,
    ) -> list[Alert]:
        """Return the alerts to be told of: those that began, and the ends of those told before.

        The beginning of a silenced one is told when the silence is over, if it still is on.

        A series that is gone ends its alert, unless the samples are not `complete` because a
        component failed: then its alert stays as it was.
        """
        by_name: defaultdict[str, dict[Labels, Sample]] = defaultdict(dict)
        for sample in samples:
            by_name[sample.name][sample.labels] = sample
        notices: list[Alert] = []
        seen: set[tuple[str, Labels]] = set()
        for rule in self.rules:
            for labels, value in _judged(rule, by_name, increase):
                key = (rule.name, labels)
                seen.add(key)
                bound = None if value is None else rule.bound_broken_by(value, self._bound_of(key))
                if value is not None and bound is not None:
                    self._broken(rule, labels, value, bound)
                else:
                    notices += self._kept(key, math.nan if value is None else value)
        names = {rule.name for rule in self.rules}
        for key in (self._broken_since.keys() | self._active.keys()) - seen:
            if complete or key[0] not in names:
                notices += self._kept(key, math.nan)
        for key, alert in self._active.items():
            if key not in self._told and not self._is_silenced(key):
                self._told.add(key)
                notices.append(alert)
        return notices

    def _bound_of(self, key: tuple[str, Labels]) -> float | None:
        alert = self._active.get(key)
        return None if alert is None else alert.bound

    def _broken(self, rule: AlertRule, labels: Labels, value: float, bound: float) -> None:
        key = (rule.name, labels)
        known = self._active.get(key)
        if known is not None:
            self._active[key] = replace(known, value=value, bound=bound)
            return
        now = self._clock.monotonic()
        if now - self._broken_since.setdefault(key, now) < rule.for_:
            return
        alert = Alert(
            rule.name,
            rule.metric,
            labels,
            value,
            bound,
            self._clock.time_ns(),
            severity=rule.severity,
            summary=rule.summary,
        )
        self._active[key] = alert
        self._history.append(alert)

    def _kept(self, key: tuple[str, Labels], value: float) -> list[Alert]:
        self._broken_since.pop(key, None)
        alert = self._active.pop(key, None)
        if alert is None:
            return []
        ended = replace(alert, value=value, active=False, ended_ns=self._clock.time_ns())
        self._history.append(ended)
        if key not in self._told:
            return []
        self._told.discard(key)
        return [ended]


def _judged(
    rule: AlertRule, by_name: Mapping[str, Mapping[Labels, Sample]], increase: Increase
) -> Iterator[tuple[Labels, float | None]]:
    """Yield the series that a rule is about with the value to judge; None: too little traffic."""
    counted = set()
    for sample in by_name.get(rule.part[0], {}).values() if rule.part else ():
        part = _sum(rule.part, sample.labels, rule.window, by_name, increase)
        whole = _sum(rule.of, sample.labels, rule.window, by_name, increase)
        if part.is_whole and whole.is_whole:
            counted.add(sample.labels)
            has_enough = whole.value > 0 and whole.value >= rule.minimum
            yield sample.labels, part.value / whole.value if has_enough else None
    for sample in by_name.get(rule.metric, {}).values():
        if sample.labels in counted:
            continue
        whole = _sum(rule.of, sample.labels, rule.window, by_name, increase)
        value = sample.value
        if sample.kind != "gauge" and rule.window:
            value = increase(key_of(sample), value, rule.window) / rule.window
        has_enough = not whole.is_known or whole.value >= rule.minimum
        yield sample.labels, value if has_enough else None


class _Sum(NamedTuple):
    value: float
    is_known: bool
    """Whether there is one of the counters at least."""
    is_whole: bool
    """Whether there are all."""


def _sum(
    names: Iterable[str],
    labels: Labels,
    window: float,
    by_name: Mapping[str, Mapping[Labels, Sample]],
    increase: Increase,
) -> _Sum:
    """Add up counters: of each the series with these labels, else those that split it up further.

    Their increase in the window, if there is one.
    """
    total, known, is_whole = 0.0, False, True
    wanted = set(labels)
    for name in names:
        family = by_name.get(name, {})
        if labels in family:
            found = [family[labels]]
        else:
            found = [each for each in family.values() if wanted.issubset(each.labels)]
        known, is_whole = known or bool(found), is_whole and bool(found)
        for each in found:
            total += increase(key_of(each), each.value, window) if window else each.value
    return _Sum(total, known, is_whole)
