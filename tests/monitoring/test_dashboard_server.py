"""The server of the page, by bare sockets: what strangers send, slow and many ones, forks, ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import threading
import time

import pytest

from raudo.monitoring.dashboard.server import Server, is_loopback

pytestmark = pytest.mark.parallel_threads(1)


async def echo(scope, receive, send):
    body = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def connect(server):
    return socket.create_connection((server.host, server.port), timeout=10)


def ask(server, request):
    """Send bytes; return status and body."""
    with connect(server) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := client.recv(65_536):
                answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


@pytest.fixture(scope="module")
def server():
    with Server(echo, patience=0.3, most_connections=8) as server:
        yield server


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"HEAD / HTTP/1.0\r\nHost: a\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no name
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),  # two names
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),  # a space before the colon
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n continued\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),  # TLS
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 408),  # never ends
        (b"", 408),
    ],
)
def test_requests_are_answered_or_refused(server, request_, status):
    assert ask(server, request_)[0] == status


def test_paths_reach_the_app_as_they_were_sent(server):
    status, body = ask(server, b"GET /../%2e%2e/etc?q=%00 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body) == (200, b"GET /../%2e%2e/etc?q=%00")
    assert ask(server, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")[1] == b""


def test_more_connections_than_allowed_get_a_503_and_the_rest_is_served(server):
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connect(server))
        status = ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0]
        assert status in (503, 0)  # 0: the answer was lost in the reset of what was unread
    until(lambda: ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200)


def until(holds):
    for _ in range(200):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it does not come true")


def test_a_client_that_takes_nothing_is_dropped_and_others_do_not_wait():
    ended = threading.Event()

    async def endless(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while scope["path"] == "/endless":
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        finally:
            if scope["path"] == "/endless":
                ended.set()

    with Server(endless, patience=0.2) as server, connect(server) as stuck:
        stuck.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        began = time.monotonic()
        assert ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        assert time.monotonic() - began < 5
        assert ended.wait(10)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")
def test_viewers_that_come_and_go_leave_nothing():
    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    with Server(stream) as server:
        before = len(os.listdir("/proc/self/fd"))
        for n in range(300):
            with connect(server) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" if n % 3 else b"GET")
                if n % 3:
                    client.recv(10)
        until(lambda: not server._clients)
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_app_that_raises_takes_only_its_own_connection(caplog):
    async def broken(scope, receive, send):
        if scope["path"] == "/broken":
            raise RuntimeError("of the app")
        await echo(scope, receive, send)

    with Server(broken) as server:
        assert ask(server, b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 500
        assert ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
    assert "of the app" in caplog.text


def test_close_ends_streams_frees_the_port_and_may_be_repeated():
    left = threading.Event()

    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    closed = []
    server = Server(stream, on_close=lambda: closed.append(1))
    threads = threading.active_count()
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        server.close()
        server.close()
        assert left.is_set()
        assert b"" in (client.recv(100), client.recv(100))
    assert (closed, server.is_running, threading.active_count()) == ([1], False, threads - 1)
    assert repr(server).endswith("closed>")
    Server(echo, port=server.port).close()


def test_a_client_that_comes_as_the_server_closes_is_not_left_open():
    server, goes_on = Server(echo), threading.Event()
    server._loop.call_soon_threadsafe(goes_on.wait)
    with connect(server) as client:
        closing = threading.Thread(target=server.close)
        closing.start()
        until(lambda: server._thread is None and len(server._loop._ready) > 0)
        goes_on.set()  # the loop hears of the client and of the end in one turn
        closing.join()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""
    gc.collect()  # a socket that nobody closed warns, which is an error here


def test_a_server_without_descriptors_accepts_when_there_are_some_again():
    with Server(echo) as server:
        listener, failures = server._listener, [errno.EMFILE, errno.ECONNABORTED]

        class Listener:
            def accept(self):
                if failures:
                    raise OSError(failures.pop(), "injected")
                return listener.accept()

            def __getattr__(self, name):
                return getattr(listener, name)

        server._listener = Listener()
        assert ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        assert not failures


def test_a_port_in_use_is_told(server):
    with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1:{server.port}"):
        Server(echo, port=server.port)


def test_ipv6_has_a_url_with_brackets():
    try:
        server = Server(echo, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        assert server.url == f"http://[::1]:{server.port}/"
        assert ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_holds_neither_port_nor_clients():
    server = Server(echo)
    reader, writer = os.pipe()
    with connect(server) as idle:
        until(lambda: server._clients)
        child = os.fork()
        if child == 0:
            os.close(writer)
            ok = not server.is_running
            server.close()
            os.read(reader, 1)  # lives on until the parent has looked
            os._exit(0 if ok else 1)
        os.close(reader)
        assert ask(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        server.close()
        assert idle.recv(10) == b""  # the child has no copy that would keep it open
        with pytest.raises(ConnectionRefusedError):
            connect(server)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.1", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback_addresses_are_known(host, expected):
    assert is_loopback(host) is expected
