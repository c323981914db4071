"""A real server that speaks S3's protocol, for tests: on loopback, in memory, ended at the end.

It is reached through a small proxy, so that a test can take it away in the middle of an upload.
Where it is not installed a test is skipped; in CI it fails.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from redis_servers import free_port

BUCKET = "bucket"


class ObjectStore:
    """moto's server, with one bucket."""

    def __init__(self, folder):
        if any(importlib.util.find_spec(each) is None for each in ("moto", "flask", "s3fs")):
            if os.environ.get("CI"):
                pytest.fail("moto, flask or s3fs is missing: the extra `test` has them")
            pytest.skip("moto, flask or s3fs is not installed")
        inner, self.port = free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(inner)]
        with open(folder / "out", "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
        _wait_for(inner)
        self.proxy = Proxy(self.port, inner)
        import fsspec

        self.system = fsspec.filesystem("s3", **self.options)
        self.system.retries = 4  # of connections that were cut off some are still in the pool
        self.system.mkdir(BUCKET)

    @property
    def options(self):
        """What fsspec needs; anew each time, as botocore changes it, and fsspec goes by it."""
        # Without further attempts below those of s3fs: what a test takes away does not come back.
        config = {"retries": {"max_attempts": 0}, "connect_timeout": 5}
        there = {"endpoint_url": self.endpoint, "config_kwargs": config}
        return {"key": "test", "secret": "test", **there}

    def url(self, name):
        return f"s3://{BUCKET}/{name}"

    def names(self, folder=""):
        """Return the names of all objects, from a folder on."""
        self.system.invalidate_cache()
        start = f"{BUCKET}/{folder}".rstrip("/")
        return sorted(each.removeprefix(f"{start}/") for each in self.system.find(start))

    def unfinished(self):
        """Return the uploads that have begun and neither ended nor been aborted."""
        listed = self.system.call_s3("list_multipart_uploads", Bucket=BUCKET)
        return [each["Key"] for each in listed.get("Uploads") or ()]

    def head(self, name):
        return self.system.call_s3("head_object", Bucket=BUCKET, Key=name)

    def stop(self):
        self.proxy.stop()
        self.process.kill()
        self.process.wait()


class Proxy:
    """Passes bytes on, by threads; `cut` ends all connections and refuses new ones."""

    def __init__(self, port, inner):
        self._port, self._inner = port, inner
        self._lock = threading.Lock()
        self.mend()

    def mend(self):
        self._sockets, self._threads = set(), []
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._start(self._accept)

    def cut(self):
        with self._lock:
            self._sockets.add(self._listener)
            for each in self._sockets:
                with suppress(OSError):  # not connected any more
                    each.shutdown(socket.SHUT_RDWR)
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        for each in self._sockets:
            each.close()
        self._listener = None

    def stop(self):
        if self._listener is not None:
            self.cut()

    def _start(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with suppress(OSError):  # cut off
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._inner))
                with self._lock:
                    if self._listener in self._sockets:
                        here.close()
                        there.close()
                        return
                    self._sockets |= {here, there}
                    self._start(self._pass, here, there)
                    self._start(self._pass, there, here)

    def _pass(self, source, target):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _wait_for(port):
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
