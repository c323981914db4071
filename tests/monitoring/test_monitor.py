"""The monitor: faults in components, threads, and what listeners and exporters get."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import weakref

import pytest

from concurrency.virtual_time import run_virtual
from monitoring.monitors import Source, level, quiet, values
from raudo import (
    AsyncProcessor,
    BatchProcessor,
    ParallelExecutor,
    SmartCache,
    events,
)
from raudo.memory import MemoryOptimizer
from raudo.monitoring import Monitor, create_exporter
from raudo.testing import FakeClock
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)  # they fork, and read what was logged


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
