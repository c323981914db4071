"""Reading another process's metrics: the text format, and what a far end can do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo.errors import EndpointUnavailable
from raudo.monitoring import Monitor, Remote
from raudo.monitoring.dashboard.server import Server
from raudo.monitoring.exporters.prometheus import exposition
from raudo.monitoring.remote import parse_exposition
from raudo.monitoring.series import parse_series, series_name
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)

labels = st.lists(
    st.tuples(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=20)),
    unique_by=lambda pair: pair[0],
    max_size=4,
).map(tuple)


@given(labels)
def test_what_is_spelled_is_read_back(labels):
    sample = Sample("raudo_x_total", "counter", 1.5, labels)
    assert parse_series(series_name(sample)) == (sample.name, labels)
    if not any("\r" in value for _, value in labels):
        (read,) = parse_exposition(exposition([sample]))
        assert read == sample


@pytest.mark.parametrize("text", ["", "{}", "a{", 'a{b="c}', "a{b=c}", 'a{="c"}', 'a{b="c" d="e"}'])
def test_what_is_no_series_is_told(text):
    with pytest.raises(ValueError, match="wanted"):
        parse_series(text)


def test_other_programs_formats_are_read():
    text = """
# HELP http_requests_total The total
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{ path = "C:\\\\DIR\\\\" , error="\\"x\\"\\n" , } 3
metric_without_timestamp_and_labels 12.47
nan_value NaN
inf_value{} +Inf
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} 3
took_seconds_count 4
this is no line
<html>
unfinished{a="b" 3
glued3
"""
    found = {series_name(sample): sample for sample in parse_exposition(text)}
    assert found['http_requests_total{method="post",code="200"}'].value == 1027
    assert found['http_requests_total{path="C:\\\\DIR\\\\",error="\\"x\\"\\n"}'].kind == "counter"
    assert found["metric_without_timestamp_and_labels"].kind == "gauge"
    assert math.isnan(found["nan_value"].value)
    assert found["inf_value"].value == math.inf
    assert len(found) == 7


async def far_end(scope, receive, send):
    status, headers, body = {
        "/metrics": (200, [], b"# TYPE a_total counter\na_total 3\n"),
        "/empty": (200, [], b""),
        "/page": (200, [], b"<!doctype html><p>a 1"),
        "/moved": (303, [(b"location", b"/metrics")], b""),
        "/secret": (401, [], b"a 1"),
    }[scope["path"]]
    sent = dict(scope["headers"]).get(b"authorization")
    if scope["path"] == "/secret" and sent == b"Bearer open sesame":
        status = 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def url():
    with Server(far_end) as server:
        yield server.url


def test_a_monitor_watches_another_process(url):
    remote = Remote(f"{url}metrics")
    snapshot = Monitor(remote, process=False).snapshot()
    assert snapshot["metrics"]["a_total"] == 3
    assert remote.error is None
    assert [sample.value for sample in Remote(f"{url}secret", token="open sesame").samples()] == [1]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("empty", "with no metrics"),
        ("page", "with no metrics"),
        ("moved", "303"),
        ("secret", "401 Unauthorized, a token is wanted"),
    ],
)
def test_what_is_wrong_with_the_far_end_is_told(url, path, message):
    remote = Remote(f"{url}{path}")
    with pytest.raises(EndpointUnavailable, match=message):
        remote.samples()
    assert message in remote.error


def test_nobody_there_is_told_and_comes_back():
    server = Server(far_end)
    remote = Remote(f"{server.url}metrics")
    server.close()
    for _ in range(2):
        with pytest.raises(EndpointUnavailable, match="nothing listens there"):
            remote.samples()
    with Server(far_end, port=server.port):
        assert len(list(remote.samples())) == 1
    assert remote.error is None


@pytest.mark.parametrize("path", ["silent", "dripping"])
def test_a_far_end_without_an_end_is_told(path):
    async def endless(scope, receive, send):
        with contextlib.suppress(OSError):
            if scope["path"] == "/silent":
                await receive()
                await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"a", "more_body": True})
                await asyncio.sleep(0.05)

    with Server(endless) as server:
        remote = Remote(f"{server.url}{path}", timeout=0.2)
        with pytest.raises(EndpointUnavailable, match="does not answer in time"):
            remote.samples()


def test_a_proxy_of_the_environment_is_not_asked_for_the_loopback(url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert len(list(Remote(f"{url}metrics").samples())) == 1


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://a/", "file:///etc/passwd", "http://"])
def test_only_web_addresses_are_taken(url):
    with pytest.raises(ValueError, match="url is"):
        Remote(url)


@contextlib.contextmanager
def raw_server(answer):
    """A far end below HTTP: `answer(connection)` sends what it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            thread.join(30)


def test_a_header_without_an_end_is_told_meanwhile():
    is_told = threading.Event()

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not is_told.wait(0.02):
            connection.sendall(b"a")

    with raw_server(drip) as url:
        remote = Remote(url, timeout=0.2)
        looking = threading.Thread(target=_look, args=(remote,))
        looking.start()
        try:
            deadline = time.monotonic() + 30
            while remote.error is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert looking.is_alive()
            assert remote.error == f"cannot read {url}: it does not answer in time"
        finally:
            is_told.set()
            looking.join(30)


def _look(remote):
    with contextlib.suppress(EndpointUnavailable):
        remote.samples()


def test_what_is_no_http_cannot_move_the_cursor():
    with raw_server(lambda connection: connection.sendall(b"\x1b[2Jhello\r\n\r\n")) as url:
        remote = Remote(url)
        with pytest.raises(EndpointUnavailable, match="no HTTP"):
            remote.samples()
    assert "\x1b" not in remote.error
