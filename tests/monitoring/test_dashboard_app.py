"""The page's app: what it answers, mounted or alone; what a hostile service or viewer can do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import threading
import time
import urllib.error
import urllib.request

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from raudo import AsyncProcessor, Cache, MemoryOptimizer, ParallelExecutor, SmartCache
from raudo.monitoring import AlertRule, DashboardApp, Monitor, serve
from raudo.monitoring.dashboard.frame import make_frame
from raudo.monitoring.dashboard.plots import make_history
from raudo.testing import FakeClock
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)

TOKEN = "correct horse battery"


class Source:
    def __init__(self, *samples):
        self.given = samples

    def samples(self):
        return self.given


def watching(*components, **options):
    """Make a monitor that keeps what it watches alive."""
    monitor = Monitor(*components, **{"process": False, **options})
    monitor.kept = components
    return monitor


async def ask(app, path="/", *, method="GET", query=b"", root="", **headers):
    """Send one request through ASGI; return status, headers and body."""
    sent = []
    is_over = asyncio.Event()

    async def receive():
        await is_over.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root,
        "query_string": query,
        "headers": named,
    }
    await app(scope, receive, send)
    start, *rest = sent
    return start["status"], dict(start["headers"]), b"".join(each["body"] for each in rest)


def app_of(monitor, **options):
    return DashboardApp(monitor, **{"token": None, **options})


# --- what it answers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/plot.js", "text/javascript"),
        ("/format.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/metrics", "text/plain; version=0.0.4"),
        ("/snapshot", "application/json"),
        ("/history", "application/json"),
    ],
)
async def test_pages_come_with_their_type_and_the_headers_that_keep_them_safe(path, kind):
    status, headers, body = await ask(app_of(watching(Cache(9), process=True)), path)
    assert status == 200
    assert headers[b"content-type"].decode().startswith(kind)
    assert len(body) == int(headers[b"content-length"]) > 0
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert b"unsafe" not in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert not any(name.startswith(b"access-control") for name in headers)


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/static/app.js",
        "//etc/passwd",
        "/%2e%2e/app.py",
        "/app.js/",
        "/App.js",
        "/\0",
    ],
)
async def test_nothing_else_is_there(path):
    assert (await ask(app_of(Monitor()), path))[0] == 404


async def test_the_page_needs_no_other_host_and_no_inline_code():
    app = app_of(Monitor())
    for path in ("/", "/app.js", "/plot.js", "/format.js", "/style.css"):
        text = (await ask(app, path))[2].decode()
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https:" not in text
        assert "innerHTML" not in text
    page = (await ask(app))[2].decode()
    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r"\son[a-z]+=", page)
    assert page.count("<script") == page.count('<script type="module" src="app.js"></script>') == 1


async def test_other_methods_are_refused_and_head_has_no_stream():
    app = app_of(Monitor())
    assert (await ask(app, method="POST"))[0] == 405
    status, headers, body = await asyncio.wait_for(ask(app, "/events", method="HEAD"), 5)
    assert (status, headers[b"content-type"], body) == (200, b"text/event-stream", b"")


async def test_a_token_in_the_address_becomes_a_cookie():
    app = DashboardApp(Monitor(), token=TOKEN)
    assert (await ask(app, "/app.js"))[0] == 401
    assert (await ask(app, "/metrics"))[0] == 401
    status, headers, _ = await ask(app, query=b"token=correct+horse+battery", root="/mounted")
    assert (status, headers[b"location"]) == (303, b"./")
    cookie = headers[b"set-cookie"].decode()
    assert "Path=/mounted/" in cookie
    assert (await ask(app, "/snapshot", cookie=cookie.partition(";")[0]))[0] == 200
    assert (await ask(app, "/metrics", authorization=f"Bearer {TOKEN}"))[0] == 200


async def test_a_name_that_is_not_its_own_is_refused():
    app = app_of(Monitor(), hosts=["localhost"])
    assert (await ask(app, host="evil.example"))[0] == 421
    assert (await ask(app, host="localhost:99"))[0] == 200


@pytest.mark.parametrize(
    ("query", "expected"),
    [(b"", 300), (b"seconds=60", 60), (b"seconds=1e9", 3600), (b"seconds=-1", 1)]
    + [(query, 300) for query in (b"seconds=nan", b"seconds=x", b"seconds=", b"a=1&" * 99)],
)
async def test_history_keeps_within_what_there_is(query, expected, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "raudo.monitoring.dashboard.app.make_history",
        lambda monitor, seconds: asked.append(seconds) or {},
    )
    assert (await ask(app_of(Monitor()), "/history", query=query))[0] == 200
    assert asked == [expected]


async def test_it_is_mounted_in_an_application():
    monitor = watching(Cache(9))
    app = Starlette(routes=[Mount("/ops/live", DashboardApp(monitor, token=TOKEN))])
    query = b"token=correct+horse+battery"
    assert (await ask(app, "/ops/live/"))[0] == 401
    status, headers, _ = await ask(app, "/ops/live", query=query)
    assert (status, headers[b"location"].rpartition(b"?")[0][-10:]) == (307, b"/ops/live/")
    status, headers, _ = await ask(app, "/ops/live/", query=query)
    assert (status, headers[b"location"]) == (303, b"./")
    cookie = headers[b"set-cookie"].decode().partition(";")[0]
    assert b"<title>raudo</title>" in (await ask(app, "/ops/live/", cookie=cookie))[2]
    snapshot = json.loads((await ask(app, "/ops/live/snapshot", cookie=cookie))[2])
    assert snapshot["metrics"]["raudo_cache_max_entries"] == 9
    metrics = await ask(app, "/ops/live/metrics", authorization=f"Bearer {TOKEN}")
    assert b"raudo_cache_max_entries 9.0" in metrics[2]


async def test_without_its_last_slash_a_mount_leads_to_the_page():
    app = DashboardApp(Monitor(), token=None)
    status, headers, _ = await ask(app, "/ops", root="/ops")
    assert (status, headers[b"location"]) == (307, b"ops/")
    # A path that somebody chose leads nowhere else, and adds no header.
    status, headers, _ = await ask(app, "/a:b\r\nx: y", root="/a:b\r\nx: y")
    assert headers[b"location"] == b"a%3Ab%0D%0Ax%3A%20y/"


async def test_it_runs_alone_under_a_server():
    sent = []
    stages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(stages)}

    async def send(message):
        sent.append(message["type"])

    await app_of(Monitor())({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_closed():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    await app_of(Monitor())({"type": "websocket", "headers": []}, receive, send)
    assert sent == ["websocket.close"]


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


# --- serve --------------------------------------------------------------------------------------


def get(url, **headers):
    """Return status and text."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_serve_starts_a_monitor_and_stops_what_it_started():
    monitor = watching(Cache(3), interval=0.05)
    with serve(monitor) as server:
        assert monitor.is_running
        assert "raudo_cache_max_entries 3.0" in get(f"{server.url}metrics")[1]
        assert get(server.url, Host="evil.example")[0] == 421
    assert not monitor.is_running
    monitor.start()
    serve(monitor).close()
    assert monitor.is_running
    monitor.close()


def test_serve_wants_a_token_where_others_can_reach_it():
    with pytest.raises(ValueError, match="token is None"):
        serve(Monitor(), "0.0.0.0")
    with serve(Monitor(), "0.0.0.0", token=TOKEN) as server:
        assert get(server.url)[0] == 401
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "any.example"}
        assert get(f"{server.url}metrics", **headers)[0] == 200


def test_serve_that_cannot_listen_leaves_the_monitor_alone():
    monitor = Monitor()
    with serve(monitor) as server:
        other = Monitor()
        with pytest.raises(OSError, match="cannot listen"):
            serve(other, port=server.port)
        assert not other.is_running


def test_closing_under_viewers_ends_their_threads():
    with serve(Monitor(interval=0.05)) as server:
        stream = urllib.request.urlopen(f"{server.url}events", timeout=10)
        assert stream.readline() == b"retry: 1000\n"
    stream.close()
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"raudo-dashboard", "raudo-monitor"}
