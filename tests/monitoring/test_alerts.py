"""Rules: when an alert begins, for which series, and when it ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo.monitoring import Alert, AlertRule, Monitor, default_rules
from raudo.monitoring.alerts import Alerts
from raudo.testing import FakeClock
from raudo.types import Sample


def gauge(name, value, **labels):
    return Sample(name, "gauge", value, tuple(labels.items()))


def judge(alerts, *samples, complete=True):
    return [
        (change.rule, dict(change.labels), change.active)
        for change in alerts.judge(samples, complete=complete)
    ]


@pytest.mark.parametrize(
    ("rule", "value", "broken"),
    [
        ({"above": 5}, 5, False),
        ({"above": 5}, 5.1, True),
        ({"below": 5}, 5, False),
        ({"below": 5}, 4.9, True),
        ({"above": 5, "below": 1}, 3, False),
        ({"above": 5, "below": 1}, 0, True),
        ({"above": 5, "below": 1}, 6, True),
        ({"above": 5, "below": 1}, math.nan, False),
        ({"above": 5}, math.inf, True),
        ({"below": 0}, -math.inf, True),
    ],
)
def test_bounds_are_exclusive(rule, value, broken):
    alerts = Alerts([AlertRule("r", "m", **rule)], FakeClock())
    assert bool(judge(alerts, gauge("m", value))) is broken


def test_alert_begins_and_ends_once():
    clock = FakeClock()
    alerts = Alerts([AlertRule("r", "m", above=1)], clock)
    assert judge(alerts, gauge("m", 2)) == [("r", {}, True)]
    began = clock.time_ns()
    clock.advance(1)
    assert judge(alerts, gauge("m", 3)) == []
    assert alerts.active() == [Alert("r", "m", (), 3, 1, began)]
    assert judge(alerts, gauge("m", 1)) == [("r", {}, False)]
    assert alerts.active() == []
    assert judge(alerts, gauge("m", 1)) == []


def test_each_series_is_judged_by_itself():
    alerts = Alerts([AlertRule("r", "m", above=1)], FakeClock())
    assert judge(alerts, gauge("m", 2, cache="a"), gauge("m", 0, cache="b")) == [
        ("r", {"cache": "a"}, True)
    ]
    assert judge(alerts, gauge("m", 0, cache="a"), gauge("m", 2, cache="b")) == [
        ("r", {"cache": "a"}, False),
        ("r", {"cache": "b"}, True),
    ]


def test_alert_waits_for_its_time_without_a_break():
    clock = FakeClock()
    alerts = Alerts([AlertRule("r", "m", above=1, for_=10)], clock)
    assert judge(alerts, gauge("m", 2)) == []
    clock.advance(9)
    assert judge(alerts, gauge("m", 2)) == []
    assert judge(alerts, gauge("m", 0)) == []  # a break
    assert judge(alerts, gauge("m", 2)) == []
    clock.advance(9.5)
    assert judge(alerts, gauge("m", 2)) == []
    clock.advance(0.5)
    assert judge(alerts, gauge("m", 2)) == [("r", {}, True)]


def test_series_that_is_gone_ends_its_alert():
    clock = FakeClock()
    alerts = Alerts([AlertRule("r", "m", above=1)], clock)
    judge(alerts, gauge("m", 2))
    assert judge(alerts) == [("r", {}, False)]
    waiting = Alerts([AlertRule("r", "m", above=1, for_=10)], clock)
    judge(waiting, gauge("m", 2))
    judge(waiting)
    clock.advance(10)
    assert judge(waiting, gauge("m", 2)) == []


def test_failed_component_does_not_end_an_alert():
    alerts = Alerts([AlertRule("r", "m", above=1)], FakeClock())
    judge(alerts, gauge("m", 2))
    assert judge(alerts, complete=False) == []
    assert len(alerts.active()) == 1
    assert judge(alerts, complete=True) == [("r", {}, False)]


def test_rule_waits_until_there_is_enough_to_judge_from():
    rule = AlertRule("r", "ratio", below=0.7, minimum=100, of=("hits", "misses"))
    alerts = Alerts([rule], FakeClock())

    def look(hits, misses):
        return judge(
            alerts,
            gauge("ratio", 0.1, cache="a"),
            gauge("hits", hits, cache="a", level="l1"),
            gauge("misses", misses, cache="a"),
            gauge("hits", 1000, cache="b"),
        )

    assert look(0, 0) == []
    assert look(50, 49) == []
    assert look(50, 50) == [("r", {"cache": "a"}, True)]
    assert judge(Alerts([rule], FakeClock()), gauge("ratio", 0.1)) == [("r", {}, True)]


def test_series_without_labels_is_not_judged_by_the_counts_of_others():
    rule = AlertRule("r", "ratio", below=0.7, minimum=100, of=("hits",))
    samples = gauge("ratio", 0.0), gauge("hits", 3), gauge("hits", 1000, cache="b")
    assert judge(Alerts([rule], FakeClock()), *samples) == []


@pytest.mark.parametrize(
    ("metric", "bound", "beyond", "name"),
    [
        ("raudo_memory_percent", 90.0, 90.1, "high memory"),
        ("raudo_cache_hit_ratio", 0.7, 0.69, "low hit rate"),
        ("raudo_tasks_error_ratio", 0.05, 0.051, "high error rate"),
        ("raudo_task_mean_seconds", 0.5, 0.501, "slow response"),
    ],
)
def test_default_rules_are_the_four_of_every_service(metric, bound, beyond, name):
    alerts = Alerts(default_rules(), FakeClock())
    counts = [
        Sample("raudo_cache_hits_total", "counter", 100),
        Sample("raudo_tasks_processed_total", "counter", 20),
    ]
    assert judge(alerts, gauge(metric, bound), *counts) == []
    assert judge(alerts, gauge(metric, beyond), *counts) == [(name, {}, True)]


def test_empty_service_raises_no_alert():
    samples = [
        gauge("raudo_memory_percent", 10),
        gauge("raudo_cache_hit_ratio", 0.0),
        Sample("raudo_cache_hits_total", "counter", 0),
        Sample("raudo_cache_misses_total", "counter", 3),
        gauge("raudo_tasks_error_ratio", 1.0),
        Sample("raudo_tasks_processed_total", "counter", 1),
        gauge("raudo_task_mean_seconds", 2.0),
    ]
    assert judge(Alerts(default_rules(), FakeClock()), *samples) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("", "m", 1), TypeError, "name is ''"),
        (("r", 3, 1), TypeError, "metric is 3"),
        (("r", "m"), ValueError, "above and below are None"),
        (("r", "m", "1"), TypeError, "above is '1'"),
        (("r", "m", math.nan), ValueError, "above is nan"),
        (("r", "m", 1, None, -1), ValueError, "for_ is -1"),
    ],
)
def test_bad_rules_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        AlertRule(*arguments)


def test_other_bad_arguments_are_named():
    with pytest.raises(TypeError, match="of is 'hits'"):
        AlertRule("r", "m", above=1, of="hits")
    with pytest.raises(ValueError, match="each name once"):
        Monitor(rules=[AlertRule("r", "m", above=1), AlertRule("r", "n", above=1)])
    with pytest.raises(TypeError, match="AlertRule objects only"):
        Monitor(rules=["r"])


def test_alert_reads_well():
    alert = Alert("high memory", "m", (("pod", "a"),), 95.5, 90, 0)
    assert str(alert) == "high memory is on: m{pod=a} = 95.5, bound 90"


steps = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 5)), max_size=40
)


@given(steps, st.integers(0, 8))
def test_alerts_agree_with_a_model(steps, for_):
    """An alert is on exactly while its series has been over the bound for the time asked."""
    clock = FakeClock()
    alerts = Alerts([AlertRule("r", "m", above=1, for_=for_)], clock)
    now, values, since, on = 0, {}, {}, set()
    for series, value, wait in steps:
        clock.advance(wait)
        now += wait
        values[series] = value
        changes = alerts.judge([gauge("m", v, of=k) for k, v in values.items()], complete=True)
        for key, each in values.items():
            if each > 1:
                since.setdefault(key, now)
            else:
                since.pop(key, None)
        expected = {key for key, began in since.items() if now - began >= for_}
        assert {dict(a.labels)["of"] for a in alerts.active()} == expected
        assert {(dict(c.labels)["of"], c.active) for c in changes} == {
            *((key, True) for key in expected - on),
            *((key, False) for key in on - expected),
        }
        on = expected
