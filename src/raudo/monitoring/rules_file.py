"""Writes rules as Prometheus reads them: alerts that do not depend on the process judged."""

from __future__ import annotations

import json
from collections.abc import Iterable

from raudo.monitoring.rules import AlertRule

__all__ = ["prometheus_rules"]


def prometheus_rules(rules: Iterable[AlertRule], *, group: str = "raudo") -> str:
    """Return a rules file (YAML) for Prometheus: one alert a rule, by the same names and bounds.

    `promtool check rules` accepts it. What differs from a monitor: a window is Prometheus's own
    `increase`, which tells nothing before there are two scrapes in it, so it should be four times
    the scrape interval at least; and counters of `of` that are split up by further labels are not
    added up.
    """
    lines = ["groups:", f"  - name: {json.dumps(group)}", "    rules:"]
    for rule in rules:
        lines += [
            f"      - alert: {json.dumps(rule.name)}",
            f"        expr: {json.dumps(_expression(rule))}",
            f"        for: {_duration(rule.for_)}",
            "        labels:",
            f"          severity: {json.dumps(rule.severity)}",
            "        annotations:",
            f"          summary: {json.dumps(rule.summary or rule.name)}",
            '          value: "{{ $value }}"',
        ]
    return "".join(f"{line}\n" for line in lines)


def _expression(rule: AlertRule) -> str:
    value = _value(rule)
    enough = f" and {_sum(rule.of, rule.window)} >= {rule.minimum:.15g}" if rule.of else ""
    bounds = []
    for sign, bound in ((">", rule.above), ("<", rule.below)):
        if bound is None:
            continue
        bounds.append(f"{value} {sign} {bound:.15g}{enough}")
        if rule.clear is not None:
            firing = f'ALERTS{{alertname={json.dumps(rule.name)},alertstate="firing"}}'
            on = f" and ignoring(alertname, alertstate, severity) {firing}"
            bounds.append(f"{value} {sign} {rule.clear:.15g}{enough}{on}")
    return " or ".join(f"({each})" for each in bounds) if len(bounds) > 1 else bounds[0]


def _value(rule: AlertRule) -> str:
    if rule.part:
        return f"{_sum(rule.part, rule.window)} / {_sum(rule.of, rule.window)}"
    if rule.window and rule.metric.endswith(("_total", "_sum", "_count")):
        return f"rate({rule.metric}[{_duration(rule.window)}])"
    return rule.metric


def _sum(names: tuple[str, ...], window: float) -> str:
    grown = [f"increase({name}[{_duration(window)}])" if window else name for name in names]
    return grown[0] if len(grown) == 1 else f"({' + '.join(grown)})"


def _duration(seconds: float) -> str:
    if not seconds:
        return "0s"
    ms = max(round(seconds * 1000), 1)
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"
