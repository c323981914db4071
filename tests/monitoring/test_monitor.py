"""The monitor: components of every kind, faults in any of them, threads, and what listeners get."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import os
import threading
import weakref
from dataclasses import dataclass

import pytest

from concurrency.virtual_time import run_virtual
from raudo import (
    AsyncProcessor,
    BatchProcessor,
    ParallelExecutor,
    SmartCache,
    events,
)
from raudo.memory import BufferPool, MemoryOptimizer, ObjectPool
from raudo.monitoring import AlertRule, Monitor, create_exporter
from raudo.testing import FakeClock
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)  # they fork, and read what was logged


class Source:
    """A component that gives what it is told, or raises it."""

    def __init__(self, *samples):
        self.given = list(samples)

    def samples(self):
        for each in self.given:
            if isinstance(each, BaseException):
                raise each
            yield each


class Recorder:
    name = "recorder"

    def __init__(self):
        self.snapshots = []
        self.closed = 0
        self.error = None

    def export(self, samples):
        if self.error is not None:
            raise self.error
        self.snapshots.append(samples)

    def close(self):
        self.closed += 1


def level(value, **labels):
    return Sample("level", "gauge", value, tuple(labels.items()))


def values(monitor, prefix=""):
    metrics = monitor.snapshot()["metrics"]
    return {key: value for key, value in metrics.items() if key.startswith(prefix)}


LEVEL_RULE = AlertRule("high level", "level", above=5)


def quiet(*components, **options):
    return Monitor(*components, **{"process": False, "rules": [LEVEL_RULE], **options})


# --- components -------------------------------------------------------------------------------


def test_samples_of_all_components_are_collected():
    one, two = Source(level(1, of="one")), Source(level(2, of="two"))
    assert values(quiet(one, two), "level") == {'level{of="one"}': 1, 'level{of="two"}': 2}


def test_components_with_the_same_series_are_told_apart():
    one, two, three = Source(level(1)), Source(level(2)), Source(level(3))
    monitor = quiet(one, two, three)
    expected = {"level": 1, 'level{instance="2"}': 2, 'level{instance="3"}': 3}
    assert values(monitor, "level") == expected
    monitor.unwatch(two)
    del expected['level{instance="2"}']
    assert values(monitor, "level") == expected


def test_watching_keeps_nothing_alive():
    source = Source(level(9))
    monitor = quiet(source)
    assert len(monitor.check()) == 1
    ref = weakref.ref(source)
    del source
    assert ref() is None
    assert monitor.check() == []
    assert values(monitor, "raudo_monitor_components") == {"raudo_monitor_components": 0}


def test_component_without_weak_references_is_kept():
    class Slotted:
        __slots__ = ()

        def samples(self):
            return [level(1)]

    assert values(quiet(Slotted()), "level") == {"level": 1}


def test_watching_twice_is_once():
    source = Source(level(1))
    monitor = quiet(source, source)
    monitor.watch(source)
    assert values(monitor, "level") == {"level": 1}


def test_get_stats_of_a_cache_get_the_names_of_the_rooms():
    class OldCache:
        name = "users"

        def get_stats(self):
            return {
                "hits": 30,
                "misses": 10,
                "l1_size": 2,
                "levels": {"l1": {"bytes": 7}},
                "s": "x",
            }

    cache = OldCache()
    assert values(quiet(cache), "raudo_") | {"raudo_monitor_check_seconds": 0} == {
        'raudo_cache_hits_total{cache="users"}': 30,
        'raudo_cache_misses_total{cache="users"}': 10,
        'raudo_cache_hit_ratio{cache="users"}': 0.75,
        'raudo_old_cache_l1_size{cache="users"}': 2,
        'raudo_old_cache_levels_l1_bytes{cache="users"}': 7,
        "raudo_monitor_components": 1,
        "raudo_monitor_component_errors_total": 0,
        "raudo_monitor_check_seconds": 0,
    }


def test_get_stats_of_a_processor_feed_the_default_rules():
    class Processor:
        def get_stats(self):
            return {
                "processed_tasks": 5000,
                "failed_tasks": 300,
                "success_rate": 0.94,
                "avg_processing_time": 0.6,
                "queue_size": 10,
            }

    processor = Processor()
    monitor = Monitor(processor, process=False)
    assert values(monitor, "raudo_task") == {
        "raudo_tasks_processed_total": 5000,
        "raudo_tasks_failed_total": 300,
        "raudo_tasks_error_ratio": 0.06,
        "raudo_task_mean_seconds": 0.6,
        "raudo_task_queue_size": 10,
    }
    assert {alert.rule for alert in monitor.check()} == {"high error rate", "slow response"}


def test_low_hit_rate_is_raised_for_a_cache_that_was_asked_enough():
    @functools.lru_cache(maxsize=10)
    def cached(x):
        return x

    monitor = Monitor(cached, process=False)
    for i in range(99):
        cached(i)
    assert monitor.check() == []
    cached(1000)
    assert [alert.rule for alert in monitor.check()] == ["low hit rate"]
    for _ in range(500):
        cached(1000)
    assert monitor.check() == []


def test_dataclass_of_stats_is_read():
    @dataclass
    class Stats:
        depth: int = 4

    class Queue:
        def stats(self):
            return Stats()

    queue = Queue()
    assert values(quiet(queue), "raudo_queue") == {"raudo_queue_depth": 4}


def test_rooms_of_memory_are_watched():
    optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=1)
    optimizer.create_pool("lists", list)
    pool, buffers = ObjectPool(list, name="own"), BufferPool(name="buffers")
    monitor = Monitor(optimizer, pool, buffers)
    found = values(monitor)
    assert found['raudo_pool_idle{pool="lists"}'] == 0
    assert found['raudo_pool_created_total{pool="own"}'] == 0
    assert found['raudo_pool_idle_bytes{pool="buffers"}'] == 0
    # Both the optimizer and the process have it: the optimizer's counts, it knows the limit.
    assert found["raudo_memory_percent"] > 1000
    assert [alert.rule for alert in monitor.check()] == ["high memory"]


@pytest.mark.parametrize("component", [3, "x", object(), Source, MemoryOptimizer])
def test_what_cannot_be_watched_is_named(component):
    with pytest.raises(TypeError, match="a component is"):
        Monitor(component)


def test_process_is_sampled():
    found = values(Monitor())
    assert 0 < found["raudo_memory_percent"] < 100
    assert found["raudo_process_cpu_seconds_total"] > 0
    assert found["raudo_process_threads"] >= 1
    assert found["raudo_process_open_files"] >= 1
    before = found['raudo_gc_collections_total{generation="2"}']
    gc.collect()
    assert values(Monitor())['raudo_gc_collections_total{generation="2"}'] == before + 1


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [OSError("gone"), "not a sample", Sample("x", "gauge", "text"), Sample("x", "gauge", None)],
)
def test_failing_component_is_counted_and_the_others_go_on(fault, caplog):
    bad, good = Source(level(9, of="bad")), Source(level(9, of="good"))
    monitor = quiet(bad, good)
    assert len(monitor.check()) == 2
    bad.given.append(fault)
    with caplog.at_level(logging.WARNING, "raudo.monitoring"):
        for _ in range(3):
            assert len(monitor.check()) == 2  # what cannot be seen has not ended
    assert len(caplog.records) == 1
    assert "a Source cannot be read" in caplog.text
    assert values(monitor, "raudo_monitor_component_errors") == {
        "raudo_monitor_component_errors_total": 4
    }
    bad.given[:] = [level(1, of="bad")]
    assert [dict(alert.labels) for alert in monitor.check()] == [{"of": "good"}]
    del bad
    assert monitor.snapshot()["metrics"]["raudo_monitor_component_errors_total"] == 4


def test_statistics_that_are_no_dict_are_an_error():
    class Odd:
        def stats(self):
            return 7

    odd = Odd()
    monitor = quiet(odd)
    monitor.check()
    assert monitor.snapshot()["metrics"]["raudo_monitor_component_errors_total"] == 2


def test_failing_exporter_is_counted_and_the_others_go_on(caplog):
    bad, good = Recorder(), Recorder()
    bad.error = OSError("disk full")
    monitor = quiet(exporters=[bad, good])
    with caplog.at_level(logging.WARNING, "raudo.monitoring"):
        monitor.check()
        monitor.check()
    assert len(caplog.records) == 1
    assert len(good.snapshots) == 2
    errors = [s.value for s in monitor.collect() if s.name == "raudo_monitor_exporter_errors_total"]
    assert errors == [2, 0]
    bad.close = lambda: 1 / 0
    monitor.close()
    assert good.closed == 1


def test_failing_listener_is_logged(caplog):
    source = Source(level(9))

    def fail(alert):
        raise RuntimeError("broken")

    monitor = quiet(source, on_alert=fail)
    with caplog.at_level(logging.ERROR, "raudo.monitoring"):
        assert len(monitor.check()) == 1
    assert "on_alert failed" in caplog.text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"interval": 0}, ValueError, "interval is 0"),
        ({"interval": "1"}, TypeError, "interval is '1'"),
        ({"on_alert": 3}, TypeError, "on_alert is 3"),
        ({"exporters": [3]}, TypeError, "exporter is 3"),
        ({"exporters": ["nagios"]}, ValueError, "exporter is 'nagios', wanted one of: jsonlines"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Monitor(**options)
    with pytest.raises(TypeError, match="options are"):
        Monitor().export_to(Recorder(), host="x")


# --- listeners --------------------------------------------------------------------------------


def test_listeners_get_each_beginning_and_end():
    source, alerts, emitted = Source(level(9, of="a")), [], []
    unsubscribe = events.subscribe(events.AlertChanged, emitted.append)
    try:
        monitor = quiet(source, on_alert=alerts.append)
        monitor.check()
        monitor.check()
        source.given[:] = [level(1, of="a")]
        monitor.check()
    finally:
        unsubscribe()
    assert [(alert.rule, alert.value, alert.active) for alert in alerts] == [
        ("high level", 9, True),
        ("high level", 1, False),
    ]
    labels = (("of", "a"),)
    assert emitted == [
        events.AlertChanged("high level", "level", 9, True, labels),
        events.AlertChanged("high level", "level", 1, False, labels),
    ]


def test_listener_may_use_the_monitor_from_another_thread():
    source, seen = Source(level(9)), []

    def look(alert):
        thread = threading.Thread(target=lambda: seen.append(len(monitor.active_alerts())))
        thread.start()
        thread.join(10)
        monitor.check()

    monitor = quiet(source, on_alert=look)
    monitor.check()
    assert seen == [1]


def test_snapshot_is_plain_data():
    clock = FakeClock()
    source = Source(level(9, of='a "quoted" one'))
    monitor = quiet(source, clock=clock)
    monitor.check()
    clock.advance(5)
    snapshot = json.loads(json.dumps(monitor.snapshot()))
    assert snapshot["metrics"]['level{of="a \\"quoted\\" one"}'] == 9
    (alert,) = snapshot["alerts"]
    assert snapshot["time"] - alert["since"] == pytest.approx(5)
    assert (alert["rule"], alert["labels"]) == ("high level", {"of": 'a "quoted" one'})


# --- exporters and threads --------------------------------------------------------------------


def test_exporters_get_each_check_and_a_last_one():
    source, recorder = Source(level(1)), Recorder()
    monitor = quiet(source)
    assert monitor.export_to(recorder) is recorder
    monitor.check()
    source.given[:] = [level(2)]
    monitor.close()
    assert [next(s.value for s in each if s.name == "level") for each in recorder.snapshots] == [
        1,
        2,
    ]
    assert recorder.closed == 1
    monitor.close()
    assert recorder.closed == 1


def test_exporter_by_name(tmp_path):
    path = tmp_path / "metrics.jsonl"
    source = Source(level(1))
    monitor = quiet(source)
    monitor.export_to("jsonlines", target=path)
    monitor.close()
    assert any(json.loads(line)["name"] == "level" for line in path.read_text().splitlines())


def test_exporter_of_another_package(monkeypatch):
    from importlib.metadata import EntryPoint

    from raudo.monitoring import exporters

    entry = EntryPoint("recorder", f"{__name__}:Recorder", "raudo.exporters")
    monkeypatch.setattr(exporters, "entry_points", lambda group: [entry])
    assert create_exporter("recorder").name == "recorder"


def test_started_monitor_checks_by_itself():
    source, recorder = Source(level(9)), Recorder()
    began = threading.Event()
    with quiet(
        source, interval=0.005, on_alert=lambda alert: began.set(), exporters=[recorder]
    ) as monitor:
        assert monitor.is_running
        assert began.wait(10)
        assert "1 components" in repr(monitor)
    assert not monitor.is_running
    assert recorder.closed == 1


def test_dropped_monitor_ends_its_thread():
    monitor = Monitor(interval=3600).start()
    thread, ref = monitor._ticker._thread, weakref.ref(monitor)
    del monitor
    assert ref() is None
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_can_check_while_the_parent_held_the_locks():
    source = Source(level(9))
    monitor = quiet(source)
    with monitor._check_lock, monitor._lock:
        held = threading.Event()
        pid_box = []

        def fork():
            pid = os.fork()
            if pid == 0:
                os._exit(0 if len(monitor.check()) == 1 else 1)
            pid_box.append(pid)
            held.set()

        thread = threading.Thread(target=fork)
        thread.start()
        assert held.wait(10)
        thread.join()
    _, status = os.waitpid(pid_box[0], 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_may_check_and_watch_at_once():
    sources = [Source(level(i, of=str(i))) for i in range(20)]
    monitor = quiet(*sources)
    errors = []

    def work(source):
        try:
            for _ in range(20):
                monitor.unwatch(source)
                monitor.watch(source)
                monitor.check()
                monitor.snapshot()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(source,)) for source in sources[:6]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(monitor.check()) == 14


@pytest.mark.parametrize("labels", [(("k", 1),), (("k",),), {"k": "v"}, "kv"])
def test_labels_that_are_no_strings_fail_their_component_alone(labels):
    bad, good = Source(Sample("bad", "gauge", 1, labels)), Source(level(2))
    monitor = Monitor(bad, good, process=False)
    assert values(monitor)["level"] == 2
    assert values(monitor)["raudo_monitor_component_errors_total"] == 2
    assert "bad" not in values(monitor)


def test_default_rules_fit_what_the_rooms_count():
    async def fail():
        raise ValueError

    async def fail_all(items):
        raise ValueError

    async def be_slow():
        await slow.process_batch([(asyncio.sleep, (0.6,))] * 20)

    async def look():
        failing = AsyncProcessor(name="failing")
        await failing.process_batch([fail] * 20, return_exceptions=True)
        batch = BatchProcessor(handler=fail_all, name="batch")
        await asyncio.gather(*(batch.submit(i) for i in range(20)), return_exceptions=True)
        executor = ParallelExecutor(1, 1, kind="inline")
        for _ in range(20):
            executor.submit(int, "x")
        cache = SmartCache(max_size=10, name="cold")
        for key in range(100):
            cache.get_nowait(key)
        optimizer = MemoryOptimizer(auto_optimize=False, memory_limit=1)
        monitor = Monitor(slow, failing, batch, executor, cache, optimizer)
        found = {(alert.rule, *(value for _, value in alert.labels)) for alert in monitor.check()}
        await failing.stop()
        await batch.close()
        await cache.close()
        return found

    slow = AsyncProcessor(name="slow")
    run_virtual(be_slow())
    assert asyncio.run(look()) == {
        ("slow response", "slow"),
        ("high error rate", "failing"),
        ("high error rate", "batch"),
        ("high error rate", "executor"),
        ("low hit rate", "cold"),
        ("high memory",),
    }
