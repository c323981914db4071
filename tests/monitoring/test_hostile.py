"""What a monitor makes of components that hang, forks, reloads, clocks and labels that are odd."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import threading
import time
import weakref

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.odd_monitors import Source, cache_samples, count, gauge, metrics, quiet
from raudo import AsyncProcessor, Cache, SmartCache
from raudo._core.histogram import Histogram
from raudo.monitoring import AlertRule, Monitor
from raudo.monitoring.exporters.prometheus import exposition
from raudo.testing import FakeClock
from raudo.types import Distribution

pytestmark = pytest.mark.parallel_threads(1)


# --- what hangs -------------------------------------------------------------------------------


class Hanging:
    def __init__(self):
        self.released, self.entered, self.n = threading.Event(), threading.Event(), 0

    def samples(self):
        self.n += 1
        self.entered.set()
        self.released.wait()
        return [gauge(7, "late")]


def test_component_that_hangs_costs_its_timeout_once(caplog):
    hanging, good = Hanging(), Source(gauge(1))
    monitor = quiet(hanging, good, read_timeout=0.1)
    began = time.monotonic()
    assert metrics(monitor)["level"] == 1
    assert time.monotonic() - began >= 0.1
    began = time.monotonic()
    for _ in range(20):
        assert metrics(monitor)["level"] == 1
    assert time.monotonic() - began < 2.0  # not 20 timeouts, on a busy machine either
    assert hanging.n == 1
    found = metrics(monitor)
    assert found["raudo_monitor_component_errors_total"] == 1
    assert "a Hanging hangs" in caplog.text
    hanging.released.set()
    deadline = time.monotonic() + 5
    while "late" not in metrics(monitor):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_exporter_that_hangs_holds_up_no_check_after_its_first(monkeypatch):
    monkeypatch.setattr("raudo.monitoring.monitor._EXPORT_TIMEOUT_S", 0.1)
    released = threading.Event()

    class Exporter:
        name = "hanging"

        def export(self, samples):
            released.wait()

        def close(self):
            pass

    seen = []

    class Good(Exporter):
        name = "good"

        def export(self, samples):
            seen.append(samples)

    monitor = quiet(exporters=[Exporter(), Good()])
    for _ in range(5):
        monitor.check()
    assert len(seen) == 5
    name = 'raudo_monitor_exporter_errors_total{exporter="hanging",number="0"}'
    assert metrics(monitor)[name] == 1
    released.set()


def test_many_who_look_at_once_find_one_component_stuck():
    hanging, good = Hanging(), Source(gauge(1))
    monitor = quiet(hanging, good, read_timeout=0.2)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(metrics(monitor)["level"])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [1] * 8
    assert hanging.n == 1
    hanging.released.set()


def test_threads_end_with_the_monitor():
    others = set(threading.enumerate())  # of monitors that other tests keep

    def mine():
        threads = set(threading.enumerate()) - others
        return [each for each in threads if each.name.startswith("raudo-monitor")]

    source = Source(gauge(1))
    monitor = quiet(source)
    monitor.check()
    assert mine()
    ref = weakref.ref(monitor)
    del monitor
    gc.collect()
    assert ref() is None
    deadline = time.monotonic() + 5
    while mine():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_component_that_asks_the_monitor_itself_does_not_lock_it():
    class Curious:
        def samples(self):
            monitor.active_alerts()
            monitor.series()
            return [gauge(3)]

    curious = Curious()
    monitor = quiet(curious)
    assert metrics(monitor)["level"] == 3
    assert metrics(monitor)["raudo_monitor_component_errors_total"] == 0


@pytest.mark.parametrize(
    "bad", [[None], [Distribution("d", None)], [Distribution(3, Histogram())], 5, "text"]
)
def test_wrong_histograms_are_a_failed_component(bad):
    monitor = quiet(Source(gauge(1), distributions=bad))
    source = Source(gauge(1), distributions=bad)
    monitor.watch(source)
    assert metrics(monitor)["raudo_monitor_component_errors_total"] == 1


# --- forks and reloads ------------------------------------------------------------------------


def test_forked_child_monitors_for_itself():
    cache = Cache(10)
    cache.get("absent")
    monitor = Monitor(cache, interval=0.01).start()
    monitor.check()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = b"?"
        try:
            is_running = monitor.is_running
            cache.get("absent")
            misses = metrics(monitor)["raudo_cache_misses_total"]
            monitor.start()
            monitor.stop()
            status = f"{is_running} {misses:g}".encode()
        finally:
            os.write(write, status)
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"False 2"
    os.close(read)
    os.waitpid(pid, 0)
    assert metrics(monitor)["raudo_cache_misses_total"] == 1
    monitor.close()


def test_rules_may_be_changed_while_alerts_are_on():
    clock, told = FakeClock(), []
    source = Source(gauge(9))
    kept, dropped = AlertRule("kept", "level", above=5), AlertRule("dropped", "level", above=6)
    monitor = quiet(source, rules=[kept, dropped], on_alert=told.append, clock=clock)
    monitor.check()
    since = monitor.active_alerts()[0].since_ns
    clock.advance(1)
    monitor.rules = [kept, AlertRule("new", "level", above=8, for_=5)]
    monitor.check()
    assert [(a.rule, a.active) for a in told[2:]] == [("dropped", False)]
    assert monitor.active_alerts()[0].since_ns == since
    clock.advance(5)
    assert [alert.rule for alert in monitor.check()] == ["kept", "new"]
    with pytest.raises(TypeError, match="AlertRule"):
        monitor.rules = ["kept"]
    assert [rule.name for rule in monitor.rules] == ["kept", "new"]


def test_two_monitors_count_alike_and_alert_apart():
    cache = Cache(10)
    one, two = Monitor(cache), Monitor(cache, rules=[])
    for _ in range(200):
        cache.get("absent")
    assert [alert.rule for alert in one.check()] == ["low hit rate"]
    assert two.check() == []
    name = "raudo_cache_misses_total"
    assert metrics(one)[name] == metrics(two)[name] == 200


# --- clocks -----------------------------------------------------------------------------------


class OddClock(FakeClock):
    offset_ns = 0

    def time_ns(self):
        return super().time_ns() + self.offset_ns


def test_wall_clock_that_is_set_back_moves_no_point_against_another():
    clock = OddClock()
    source = Source(count(0))
    monitor = quiet(source, clock=clock)
    for n in range(5):
        source.given = [count(10 * n)]
        monitor.check()
        clock.advance(1)
        clock.offset_ns -= 3 * 10**9
    times = monitor.series("n_total")["times"]
    assert [round(b - a, 6) for a, b in itertools.pairwise(times)] == [1, 1, 1, 1]
    assert monitor.rates("n_total")["values"]["n_total"] == [None, 10, 10, 10, 10]
    assert times[-1] == pytest.approx(clock.time_ns() / 1e9 - 1)


# --- durations, loops, key figures ------------------------------------------------------------


def test_quantiles_are_those_of_the_last_minute():
    clock, times = FakeClock(), Histogram()
    source = Source(distributions=[Distribution("d_seconds", times, (("of", "a"),), "Time.")])
    monitor = quiet(source, clock=clock)
    for second in range(180):
        for _ in range(10):
            times.record(1.0 if second < 90 else 0.01)
        monitor.check()
        clock.advance(1)
    figures = monitor.snapshot()["histograms"]['d_seconds{of="a"}']
    assert 600 <= figures["count"] <= 710
    assert figures["p99"] < 0.011
    assert figures["total"]["count"] == 1800
    assert figures["total"]["p95"] == pytest.approx(1.0, rel=0.07)
    assert metrics(monitor)['d_quantile_seconds{of="a",quantile="0.5"}'] < 0.011


async def test_components_of_every_room_tell_how_long_things_take():
    async with SmartCache(10, name="c") as cache, AsyncProcessor(name="p") as processor:
        monitor = Monitor(cache, processor, asyncio.get_running_loop())
        await processor.process_batch([(asyncio.sleep, (0,))] * 5)
        gc.collect()
        for _ in range(2):
            await asyncio.to_thread(monitor.check)
            await asyncio.sleep(0)
        found = monitor.snapshot()["histograms"]
        assert found['raudo_task_duration_seconds{processor="p"}']["count"] == 5
        assert found['raudo_gc_pause_duration_seconds{generation="2"}']["total"]["count"] >= 1
        assert found['raudo_loop_lag_duration_seconds{loop="3"}']["count"] >= 1


async def test_blocked_loop_is_seen_while_it_is_blocked():
    monitor = quiet(asyncio.get_running_loop())
    lags = []

    def look():
        for _ in range(4):
            lags.append(metrics(monitor)['raudo_loop_lag_seconds{loop="1"}'])
            time.sleep(0.02)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()  # blocks the loop
    assert lags == sorted(lags)
    assert lags[-1] >= 0.06


def test_loop_that_is_closed_is_forgotten():
    monitor = quiet()
    loop = asyncio.new_event_loop()
    monitor.watch(loop)
    metrics(monitor)
    loop.close()
    assert not any("loop" in name for name in metrics(monitor))


def test_key_figures_have_values_and_verdicts():
    clock = FakeClock()
    source = Source(
        count(400, "raudo_tasks_processed_total", processor="a"),
        count(200, "raudo_tasks_failed_total", processor="a"),
        count(50.0, "raudo_tasks_seconds_total", processor="a"),
        gauge(50.0, "raudo_memory_percent"),
        *cache_samples(90, 10),
    )
    monitor = quiet(source, clock=clock)
    monitor.check()
    source.given[0] = count(1000, "raudo_tasks_processed_total", processor="a")
    clock.advance(30)
    figures = {each["name"]: each for each in monitor.snapshot()["key_metrics"]}
    values = {name: (each["value"], each["ok"]) for name, each in figures.items()}
    assert values == {
        "latency": (0.05, True),
        "throughput": (pytest.approx(600 / 30), False),  # of what was seen to be done
        "memory": (50.0, True),
        "hit_rate": (0.9, True),
        "error_rate": (0.2, False),
    }
    empty = {each["name"]: each["value"] for each in quiet().snapshot()["key_metrics"]}
    assert set(empty.values()) == {None}


def test_subscribers_get_each_check_and_one_that_raises_is_logged(caplog):
    got = []
    monitor = quiet(Source(gauge(1)))

    def fail(snapshot):
        raise RuntimeError("broken")

    ends = [monitor.subscribe(fail), monitor.subscribe(got.append)]
    with caplog.at_level(logging.ERROR, "raudo.monitoring"):
        monitor.check()
    assert "a listener failed" in caplog.text
    assert got[0].keys() == monitor.snapshot().keys()
    for end in (*ends, *ends):
        end()
    monitor.check()
    assert len(got) == 1


def test_hot_keys_are_told_when_they_are_asked_for():
    cache = Cache(10)
    assert Monitor(cache).hot_keys() == []
    monitor = Monitor(cache, hot_keys=True)
    for n in range(2000):
        cache.get("often" if n % 4 else n)
    first = monitor.hot_keys(3)[0]
    assert (first["cache"], first["key"]) == ("", "'often'")
    assert 0.6 < first["share"] < 0.9


# --- labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['"', "\\", "\n", '\\"\n', "a,b=c", "}", "é", "\x00", "🙂", ""])
def test_label_comes_back_as_it_was(text):
    times = Histogram()
    times.record(0.5)
    source = Source(
        gauge(1, of=text), distributions=[Distribution("d_seconds", times, (("of", text),))]
    )
    monitor = quiet(source)
    families = text_string_to_metric_families(exposition(monitor.collect()))
    found = {(s.name, s.labels.get("of")) for family in families for s in family.samples}
    assert {("level", text), ("d_seconds_bucket", text), ("d_seconds_count", text)} <= found


def test_a_number_that_no_float_can_hold_is_its_components_own_matter():
    huge, good = Source(gauge(10**400)), Source(gauge(1))
    monitor = quiet(huge, good)
    assert metrics(monitor)["level"] == 1
    monitor.check()
    assert "level 1" in exposition(monitor.collect())
