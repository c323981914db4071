"""The page's app: what it answers, mounted, alone or served."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import urllib.error
import urllib.request

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from monitoring.dashboard_apps import app_of, ask, watching
from raudo import Cache
from raudo.monitoring import DashboardApp, Monitor, serve

pytestmark = pytest.mark.parallel_threads(1)


TOKEN = "correct horse battery"


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
