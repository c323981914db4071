"""Windows and histories: what is judged, for how long, and in bounded memory."""

from __future__ import annotations

import pytest

from monitoring.odd_monitors import Source, cache_samples, count, gauge, metrics, quiet
from raudo.monitoring import AlertRule, default_rules
from raudo.testing import FakeClock

pytestmark = pytest.mark.parallel_threads(1)


def test_default_rules_judge_the_last_minute_and_not_the_whole_life():
    clock, source = FakeClock(), Source()
    monitor = quiet(source, rules=default_rules(), clock=clock)
    hits, misses = 1_000_000, 0
    active = []
    for second in range(200):
        if second < 60:
            hits += 20
        elif second < 120:
            misses += 20
        else:
            hits += 20
        source.given = cache_samples(hits, misses)
        active.append([alert.rule for alert in monitor.check()] == ["low hit rate"])
        clock.advance(1)
    began, ended = active.index(True), len(active) - active[::-1].index(True)
    assert 60 + 0.3 * 60 - 2 <= began <= 60 + 0.3 * 60 + 2
    assert 120 + 0.75 * 60 - 2 <= ended <= 120 + 0.75 * 60 + 2


def test_alert_without_traffic_ends_and_few_requests_raise_none():
    clock, source = FakeClock(), Source()
    monitor = quiet(source, rules=default_rules(), clock=clock)
    source.given = cache_samples(0, 99)
    assert monitor.check() == []
    source.given = cache_samples(0, 500)
    assert len(monitor.check()) == 1
    for _ in range(61):
        clock.advance(1)
        active = monitor.check()
    assert active == []


def test_counter_that_begins_again_is_judged_from_there():
    clock, source = FakeClock(), Source()
    monitor = quiet(source, rules=default_rules(), clock=clock)
    for n in range(100):
        source.given = cache_samples(1000 * n, 0)
        monitor.check()
        clock.advance(1)
    source.given = cache_samples(0, 500)  # the component was replaced
    assert [alert.rule for alert in monitor.check()] == ["low hit rate"]


def test_value_that_hovers_about_its_bound_raises_one_alert():
    told, source = [], Source()
    rule = AlertRule("r", "level", above=90, clear=85)
    monitor = quiet(source, rules=[rule], on_alert=told.append)
    for value in (89, 91, 89, 91, 86, 91, 85, 90, 91):
        source.given = [gauge(value)]
        monitor.check()
    assert [alert.active for alert in told] == [True, False, True]


def test_value_below_its_bound_has_to_come_back_as_far():
    told, source = [], Source()
    rule = AlertRule("r", "level", below=10, above=100, clear=20)
    monitor = quiet(source, rules=[rule], on_alert=told.append)
    for value in (9, 15, 19, 20, 15, 101, 99, 21, 20):
        source.given = [gauge(value)]
        monitor.check()
    assert [(alert.value, alert.active) for alert in told] == [
        (9, True),
        (20, False),
        (101, True),
        (20, False),
    ]


def test_silence_keeps_notices_back_and_shows_the_alert():
    clock, told, source = FakeClock(), [], Source(gauge(9, of="a"), gauge(9, of="b"))
    rule = AlertRule("r", "level", above=5)
    monitor = quiet(source, rules=[rule], on_alert=told.append, clock=clock)
    monitor.silence("r", 10, of="a")
    monitor.check()
    assert [dict(alert.labels)["of"] for alert in told] == ["b"]
    shown = monitor.snapshot()["alerts"]
    assert {alert["labels"]["of"]: alert["silenced"] for alert in shown} == {"a": True, "b": False}
    clock.advance(10)
    monitor.check()
    assert [dict(alert.labels)["of"] for alert in told] == ["b", "a"]
    monitor.silence("*", 10)
    source.given = []
    monitor.check()  # the ends of what was told are told
    assert [alert.active for alert in told] == [True, True, False, False]
    source.given = [gauge(9)]
    monitor.check()
    source.given = []
    monitor.check()  # began and ended in silence
    assert len(told) == 4
    assert [alert.active for alert in monitor.alert_history()[:2]] == [False, True]
    monitor.silence("*", 10)
    monitor.unsilence("*")
    source.given = [gauge(9)]
    monitor.check()
    assert len(told) == 5


def test_an_hour_is_kept_in_bounded_memory():
    clock, source = FakeClock(), Source()
    monitor = quiet(source, clock=clock, max_series=100)
    for n in range(4000):
        source.given = [count(3 * n, of=str(of)) for of in range(3)]
        monitor.check()
        clock.advance(1)
    found = monitor.series("n_total", points=10_000)
    times = found["times"]
    assert 3590 <= times[-1] - times[0] <= 3600
    assert times == sorted(times)
    assert len(found["values"]) == 3
    assert len(times) <= 660
    thin = monitor.rates('n_total{of="1"}', points=50)
    assert 25 <= len(thin["times"]) <= 50
    assert thin["times"][-1] == times[-1]
    values = thin["values"]['n_total{of="1"}']
    assert values[0] is None
    assert values[1:] == pytest.approx([3] * (len(values) - 1))
    minute = monitor.series("n_total", seconds=60)["times"]
    assert len(minute) == 60


def test_more_series_than_there_is_room_for_are_left_out_and_come_in_after_an_hour():
    clock, source = FakeClock(), Source()
    monitor = quiet(source, clock=clock, max_series=20)
    source.given = [gauge(1, of=str(n)) for n in range(50)]
    monitor.check()
    assert len(monitor.series("level")["values"]) <= 20
    assert metrics(monitor)['level{of="49"}'] == 1
    clock.advance(3700)
    source.given = [gauge(2, of="new")]
    monitor.check()
    assert monitor.series('level{of="new"}')["values"]['level{of="new"}'][-1] == 2


def test_values_that_are_no_numbers_are_none_in_a_history():
    clock, source = FakeClock(), Source()
    monitor = quiet(source, clock=clock)
    for value in (1, float("nan"), float("inf"), 2):
        source.given = [gauge(value)]
        monitor.check()
        clock.advance(1)
    assert monitor.series("level")["values"]["level"] == [1, None, None, 2]
    assert monitor.series("level")["values"] == monitor.rates("level")["values"]
