"""The page's stream of frames: who gets them, and what hostile services put into them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time

import pytest

from monitoring.dashboard_apps import app_of, ask, watching
from raudo import AsyncProcessor, Cache, MemoryOptimizer, ParallelExecutor, SmartCache
from raudo.monitoring import AlertRule, Monitor
from raudo.monitoring.dashboard.frame import make_frame
from raudo.monitoring.dashboard.plots import make_history
from raudo.testing import FakeClock
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)


class Source:
    def __init__(self, *samples):
        self.given = samples

    def samples(self):
        return self.given


# --- the stream ---------------------------------------------------------------------------------


class Viewer:
    """One open stream: its frames as they come; `leave` closes it."""

    def __init__(self, app):
        self.events = asyncio.Queue()
        self.status = None
        self._left = asyncio.Event()
        self.task = asyncio.create_task(app(self._scope(), self._receive, self._send))

    def _scope(self):
        return {"type": "http", "method": "GET", "path": "/events", "headers": []}

    async def _receive(self):
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            for part in message["body"].split(b"\n\n"):
                if b"data: " in part:
                    kind, _, data = part.partition(b"\ndata: ")
                    self.events.put_nowait((kind.decode(), json.loads(data)))

    async def next(self):
        return await asyncio.wait_for(self.events.get(), 10)

    async def leave(self):
        self._left.set()
        await asyncio.wait_for(self.task, 10)


async def test_each_check_reaches_every_viewer_and_nothing_is_made_without_one(monkeypatch):
    made = []
    real = make_frame
    monkeypatch.setattr(
        "raudo.monitoring.dashboard.feed.make_frame",
        lambda *args, **options: made.append(1) or real(*args, **options),
    )
    cache = SmartCache(max_size=10, name="users")
    monitor = Monitor(cache, process=False)
    app = app_of(monitor)
    monitor.check()
    assert made == []
    viewers = [Viewer(app), Viewer(app)]
    for viewer in viewers:
        kind, _ = await viewer.next()
        assert kind == "event: frame" or kind.endswith("event: frame")
    made.clear()
    await cache.set("a", 1)
    await asyncio.to_thread(monitor.check)
    frames = [await viewer.next() for viewer in viewers]
    assert made == [1]  # once for both
    for _, frame in frames:
        assert frame["caches"]["rows"][0]["levels"][0]["entries"] == 1
    for viewer in viewers:
        await viewer.leave()
    made.clear()
    monitor.check()
    assert made == []
    await cache.close()


async def test_a_slow_viewer_misses_frames_and_holds_nobody_up():
    monitor = Monitor(process=False)
    app = app_of(monitor)
    let_go = asyncio.Event()
    seen = asyncio.Queue()

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        if b"event: frame" in message.get("body", b""):
            seen.put_nowait(message["body"])
            await let_go.wait()

    slow = asyncio.create_task(
        app({"type": "http", "method": "GET", "path": "/events", "headers": []}, receive, send)
    )
    await asyncio.wait_for(seen.get(), 10)
    began = time.monotonic()
    for _ in range(50):
        monitor.check()
    assert time.monotonic() - began < 5
    let_go.set()
    await asyncio.wait_for(seen.get(), 10)
    await asyncio.sleep(0.02)
    assert seen.empty()  # of the fifty it got the newest
    slow.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await slow


async def test_viewers_beyond_the_limit_are_told_to_come_again():
    app = app_of(Monitor(process=False), most_viewers=2)
    viewers = [Viewer(app), Viewer(app)]
    for viewer in viewers:
        await viewer.next()
    status, headers, _ = await ask(app, "/events")
    assert (status, b"retry-after" in headers) == (503, True)
    await viewers[0].leave()
    again = Viewer(app)
    await again.next()
    assert again.status == 200
    for viewer in (viewers[1], again):
        await viewer.leave()


async def test_an_alert_comes_and_goes_in_the_frames():
    source = Source(Sample("level_ratio", "gauge", 2.0, (("of", "<b>"),)))
    rule = AlertRule("too high", "level_ratio", above=1)
    monitor = Monitor(source, rules=[rule], process=False)
    viewer = Viewer(app_of(monitor))
    await viewer.next()
    monitor.check()
    (alert,) = (await viewer.next())[1]["alerts"]
    assert (alert["rule"], alert["value"], alert["unit"]) == ("too high", 2.0, "ratio")
    source.given = (Sample("level_ratio", "gauge", 0.5, (("of", "<b>"),)),)
    monitor.check()
    frame = (await viewer.next())[1]
    assert frame["alerts"] == []
    assert [each["active"] for each in frame["past_alerts"]] == [False, True]
    await viewer.leave()


# --- hostile services ---------------------------------------------------------------------------


async def test_a_monitor_that_raises_is_told_and_the_stream_goes_on(monkeypatch):
    monitor = Monitor(process=False)
    monkeypatch.setattr(monitor, "snapshot", lambda: 1 / 0)
    monkeypatch.setattr(monitor, "collect", lambda: 1 / 0)
    app = app_of(monitor)
    for path in ("/snapshot", "/metrics"):
        status, _, body = await ask(app, path)
        assert status == 500
        assert b"ZeroDivision" not in body
    viewer = Viewer(app)
    kind, data = await viewer.next()
    assert kind.endswith("event: trouble")
    assert "ZeroDivisionError" in data["error"]
    await viewer.leave()


async def test_numbers_that_json_has_not_become_null():
    monitor = watching(
        Source(Sample("raudo_memory_used_bytes", "gauge", math.nan)),
        Source(Sample("raudo_cache_entries", "gauge", math.inf, (("cache", "a"),))),
    )
    monitor.check()
    monitor.check()
    app = app_of(monitor)
    for path in ("/snapshot", "/history"):
        body = (await ask(app, path))[2]
        json.loads(body, parse_constant=lambda text: pytest.fail(text))
    assert (await ask(app, "/metrics"))[0] == 200
    viewer = Viewer(app)
    _, frame = await viewer.next()
    assert frame["caches"]["rows"][0]["levels"][0]["entries"] is None
    await viewer.leave()


async def test_ten_thousand_series_make_a_frame_of_bounded_size():
    ten = [(f"raudo_cache_{what}_total", "counter") for what in ("hits", "misses")]
    samples = [
        Sample(name, kind, float(n), (("cache", f"c{n}" + "x" * 500),))
        for n in range(3000)
        for name, kind in (*ten, ("raudo_cache_hit_ratio", "gauge"))
    ]
    samples += [
        Sample("raudo_tasks_processed_total", "counter", n, (("processor", str(n)),))
        for n in range(1000)
    ]
    monitor = watching(Source(*samples))
    monitor.check()
    monitor.check()
    began = time.process_time()
    frame = make_frame(monitor)
    assert time.process_time() - began < 2  # some 60 ms
    assert len(json.dumps(frame)) < 60_000
    assert (len(frame["caches"]["rows"]), frame["caches"]["left_out"]) == (20, 2980)
    assert len(make_history(monitor, 60)["plots"][0]["lines"]) <= 5


def test_labels_that_cannot_be_read_back_are_left_out():
    hits = "raudo_cache_hits_total"
    odd = [(("a b", "x"),), (('"', "x"),), (("", "x"),), (("=,", "x"),)]
    samples = [Sample(hits, "counter", 1, labels) for labels in [*odd, (("cache", "good"),)]]
    monitor = watching(Source(*samples))
    monitor.check()
    monitor.check()
    assert [row["name"] for row in make_frame(monitor)["caches"]["rows"]] == ["good"]


async def test_labels_that_are_no_text_reach_prometheus_as_question_marks():
    monitor = watching(Source(Sample("odd", "gauge", 1, (("of", "\ud800"),))))
    status, _, body = await ask(app_of(monitor), "/metrics")
    assert (status, b'odd{of="?"} 1.0' in body) == (200, True)
    assert (await ask(app_of(monitor), "/snapshot"))[0] == 200


# --- frames -------------------------------------------------------------------------------------


async def test_a_frame_shows_what_the_components_count():
    cache = SmartCache(max_size=10, levels=(0.5, 0.5, 0.0), name="users")
    flat = Cache(7)
    optimizer = MemoryOptimizer(auto_optimize=False)
    optimizer.create_pool("rows", list)
    executor = ParallelExecutor(2, 1)
    async with cache, AsyncProcessor(name="render") as processor:
        await cache.set("a", 1)
        for key in "aab":
            await cache.get(key)
        await processor.process(asyncio.sleep, 0)
        executor.submit(int).result()
        frame = make_frame(Monitor(cache, flat, processor, optimizer, executor))
    executor.shutdown()
    rows = {row["name"]: row for row in frame["caches"]["rows"]}
    assert rows["users"]["hit_ratio"] == pytest.approx(2 / 3)
    assert [(level["level"], level["max_entries"]) for level in rows["users"]["levels"]] == [
        ("l1", 5),
        ("l2", 5),
    ]
    assert [level["max_entries"] for level in rows["cache"]["levels"]] == [7]
    workers = {row["name"]: row for row in frame["workers"]["rows"]}
    assert workers["render"]["waiting"] == 0
    assert workers["executor"]["pools"][0]["limit"] == 2
    assert frame["pools"]["rows"][0]["name"] == "rows"
    assert {fact["name"] for fact in frame["process"]} >= {"memory", "threads", "check"}
    assert [metric["name"] for metric in frame["key_metrics"]] == [
        "latency",
        "throughput",
        "memory",
        "hit_rate",
        "error_rate",
    ]


def test_plots_are_rates_of_what_is_counted():
    clock = FakeClock()
    counts = Source()
    monitor = Monitor(counts, process=False, clock=clock)
    for n in range(5):
        labels = (("cache", "a"),)
        counts.given = (
            Sample("raudo_cache_hits_total", "counter", 30 * n, labels),
            Sample("raudo_cache_misses_total", "counter", 10 * n, labels),
        )
        monitor.check()
        clock.advance(1.0)
    history = make_history(monitor, 60)
    lines = {plot["id"]: plot["lines"] for plot in history["plots"]}
    assert lines["hit_rate"]["a"][1:] == pytest.approx([0.75] * 4)
    assert lines["throughput"]["lookups"][1:] == pytest.approx([40.0] * 4)
    frame = make_frame(monitor)
    assert frame["point"]["hit_rate"]["a"] == pytest.approx(0.75)
    assert frame["caches"]["rows"][0]["lookups"] == pytest.approx(40.0)


def test_throughput_is_not_what_was_counted_before_anyone_looked():
    clock = FakeClock()
    tasks = Source(Sample("raudo_tasks_processed_total", "counter", 1e9))
    monitor = watching(tasks, clock=clock)
    monitor.check()
    clock.advance(2.0)
    tasks.given = (Sample("raudo_tasks_processed_total", "counter", 1e9 + 100),)
    monitor.check()
    (throughput,) = [m for m in monitor.snapshot()["key_metrics"] if m["name"] == "throughput"]
    assert throughput["value"] == pytest.approx(50.0)
