"""Starts the real programs that monitoring talks to: on loopback, free ports, in a folder given.

A program that is not installed skips the test, or fails it where CI is set (as `make
monitoring-e2e` and the gate do). Each is ended by its own process id.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "Prometheus",
    "eventually",
    "free_port",
    "get",
    "get_json",
    "metrics_server",
    "program",
    "running",
    "running_alertmanager",
    "running_prometheus",
    "running_rotel",
]

SCRAPE = "1s"  # and its timeout, which a machine at full load needs


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def program(name: str) -> str:
    """Return where a program is; without it skip the test, or fail it under CI."""
    found = shutil.which(name)
    if name == "rotel-agent" and (rotel := importlib.util.find_spec("rotel")) is not None:
        found = str(Path(str(rotel.origin)).with_name(name))
        # Some of its builds want a libpython, which not every Python has.
        if subprocess.run([found, "--version"], capture_output=True).returncode == 127:
            found = None
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, or cannot be loaded")
        pytest.skip(f"{name} is not installed, or cannot be loaded")
    return found


def get(url: str, timeout: float = 5.0) -> str:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:  # which holds the connection
            raise OSError(f"{url}: {error}") from None


def get_json(url: str, **query: str) -> Any:
    whole = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    return json.loads(get(whole))


def eventually(claim: Callable[[], Any], timeout: float = 20.0, every: float = 0.05) -> Any:
    """Return what `claim` gives as soon as that is true."""
    deadline = time.monotonic() + timeout
    error: Exception | None = None
    found = None
    while time.monotonic() < deadline:
        try:
            if found := claim():
                return found
        except (OSError, ValueError, KeyError) as raised:
            error = raised
        time.sleep(every)
    raise AssertionError(f"not in {timeout} s: the last was {found!r}, {error!r}")


@contextlib.contextmanager
def running(
    argv: list[str], log: Path, is_ready: Callable[[], Any]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; its output goes to `log`, whose end is in the error if it does not start."""
    with open(log, "wb") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent)

    def is_up() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"{argv[0]} ended with {process.returncode}")
        return bool(is_ready())

    try:
        try:
            eventually(is_up)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text()[-3000:]}") from None
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Prometheus:
    """Asks a running server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the series of an expression now: labels, and the value."""
        answer = get_json(f"{self.url}/api/v1/query", query=expression)
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def metadata(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = get_json(f"{self.url}/api/v1/metadata")["data"]
        return found

    def firing(self) -> set[str]:
        alerts = get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


@contextlib.contextmanager
def running_prometheus(
    folder: Path, targets: list[str], rules: str = "", alertmanager: int | None = None
) -> Iterator[Prometheus]:
    """Run a server that scrapes `host:port` targets every second."""
    server, port = program("prometheus"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yml").write_text(rules)
    config: dict[str, Any] = {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE},
        "scrape_configs": [{"job_name": "raudo", "static_configs": [{"targets": targets}]}],
        "rule_files": ["rules.yml"] if rules else [],
    }
    if alertmanager is not None:
        managers = [{"targets": [f"127.0.0.1:{alertmanager}"]}]
        config["alerting"] = {"alertmanagers": [{"static_configs": managers}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML too
    argv = [
        server,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=1s",
    ]
    asked = Prometheus(port)
    with running(argv, folder / "prometheus.log", lambda: get(f"{asked.url}/-/ready")):
        yield asked


@contextlib.contextmanager
def running_alertmanager(folder: Path, webhook: str) -> Iterator[int]:
    """Run an Alertmanager that tells a webhook at once; give its port."""
    server, port = program("prometheus-alertmanager"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "route": {
            "receiver": "hook",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "500ms",
        },
        "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook}]}],
    }
    (folder / "alertmanager.yml").write_text(json.dumps(config))
    argv = [
        server,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    url = f"http://127.0.0.1:{port}/-/ready"
    with running(argv, folder / "alertmanager.log", lambda: get(url)):
        yield port


@contextlib.contextmanager
def running_rotel(folder: Path) -> Iterator[tuple[int, Path]]:
    """Run an OTLP collector that prints what it gets; give its HTTP port and the printed file."""
    agent, port = program("rotel-agent"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    argv = [
        agent,
        "start",
        "--otlp-http-endpoint",
        f"127.0.0.1:{port}",
        "--otlp-grpc-endpoint",
        f"127.0.0.1:{free_port()}",
        "--exporter",
        "blackhole",
        *("--debug-log", "metrics", "--debug-log", "traces"),
        *("--debug-log-verbosity", "detailed"),
    ]

    def is_open() -> bool:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True

    log = folder / "rotel.log"
    with running(argv, log, is_open):
        yield port, log


@contextlib.contextmanager
def metrics_server(text: Callable[[], str], content_type: str) -> Iterator[int]:
    """Serve what `text` gives at each request, for a scrape; give the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
