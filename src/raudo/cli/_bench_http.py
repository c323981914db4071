"""An HTTP service on the loopback: fan-out of requests, and threads that find a knee by themselves.

The service is a process of its own, as small as one can be, so that the clients are what is timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from raudo.cli._bench_coroutines import LIMIT, gathered, timed
from raudo.cli._bench_rows import Row, is_installed, race
from raudo.concurrency import AsyncProcessor

__all__ = ["rows"]

_KNEE = 8
_FIXED = (4, _KNEE, 16, 32)

# Answers at once, and as little as can be done for it, so that it is not what is measured.
_QUICK = """
import select, socket

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
server = socket.create_server(("127.0.0.1", 0), backlog=64)
print(server.getsockname()[1], flush=True)
clients = {}
poll = select.poll()
poll.register(server, select.POLLIN)
while True:
    for fd, _ in poll.poll():
        if fd == server.fileno():
            client, _ = server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            clients[client.fileno()] = client
            poll.register(client, select.POLLIN)
        elif clients[fd].recv(4096):
            clients[fd].send(ANSWER)
        else:
            poll.unregister(fd)
            clients.pop(fd).close()
"""

# Takes 4 ms, and longer the more requests beyond the knee are there, so that the more of them come
# the less gets done.
_WITH_KNEE = f"""
import asyncio

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
n_here = 0

class Service(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        asyncio.ensure_future(self.answer())

    async def answer(self):
        global n_here
        n_here += 1
        try:
            await asyncio.sleep(0.004 * max(1.0, n_here / {_KNEE}) ** 1.6)
        finally:
            n_here -= 1
        self.transport.write(ANSWER)

async def main():
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def _served(program: str) -> Iterator[int]:
    """Run a service; give its port."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


class _Connection(asyncio.Protocol):
    """A kept-alive connection that asks one thing at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    def get(self) -> asyncio.Future[bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return self._answer


async def _connected(port: int) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Connection, "127.0.0.1", port) for _ in range(LIMIT)]
    return [connection for _, connection in made]


async def _closed(connections: list[_Connection]) -> None:
    for connection in connections:
        connection.transport.close()
    await asyncio.sleep(0)


def _fan_out(port: int, n: int, rounds: int) -> Row:
    with asyncio.Runner() as runner:
        free = runner.run(_connected(port))
        every = list(free)

        async def fetch(_: int) -> bytes:
            connection = free.pop()
            try:
                return await connection.get()
            finally:
                free.append(connection)

        processor = AsyncProcessor()
        ways: dict[str, Callable[[], Awaitable[Any]]] = {
            "raudo": lambda: processor.process_batch(((fetch, (x,)) for x in range(n)), LIMIT),
            "gather + Semaphore": lambda: gathered(fetch, n),
        }
        if is_installed("aiometer"):
            import aiometer

            ways["aiometer"] = lambda: aiometer.run_on_each(fetch, range(n), max_at_once=LIMIT)
        figures = race({name: timed(runner, way, n) for name, way in ways.items()}, rounds)
        runner.run(_closed(every))
    return Row(
        "HTTP on the loopback, 16 connections",
        "GET",
        "us",
        {name: ns / 1000 for name, ns in figures.items()},
        times_better=1.4,
        rivals=("gather + Semaphore",),
    )


class _Requests:
    """A function that makes a request, each thread on a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port, self._local = port, threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    def __call__(self, _: int) -> None:
        local = self._local
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._connections.append(local.connection)
        local.connection.request("GET", "/")
        local.connection.getresponse().read()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def _knee(port: int, seconds: float) -> Row:
    """Give each number of threads, and the search for it, the same time; count the answers."""

    async def rate(processor: AsyncProcessor) -> float:
        fetch = _Requests(port)
        ends = time.monotonic() + seconds

        def tasks() -> Iterator[Any]:
            x = 0
            while time.monotonic() < ends:
                yield fetch, (x,)
                x += 1

        async with processor:
            begun = time.monotonic()
            done = await processor.process_batch(tasks(), 64, kind="thread")
            seconds_taken = time.monotonic() - begun
        fetch.close()
        return len(done) / seconds_taken

    values = {"raudo": asyncio.run(rate(AsyncProcessor(32)))}
    for n in _FIXED:
        values[f"{n} threads"] = asyncio.run(rate(AsyncProcessor(n, auto_scale=False)))
    return Row(
        f"HTTP on the loopback, a service whose knee is at {_KNEE}",
        "threads that scale, from 32",
        "requests/s",
        values,
        times_better=0.9,
        is_less_better=False,
        note="the search for the number of threads is part of raudo's figure",
    )


def rows(quick: bool) -> list[Row]:
    """Measure requests to a service in another process."""
    n, rounds, seconds = (64, 1, 0.1) if quick else (10_000, 7, 4.0)
    with _served(_QUICK) as port:
        found = [_fan_out(port, n, rounds)]
    with _served(_WITH_KNEE) as port:
        return [*found, _knee(port, seconds)]
