"""A real OTLP collector, and a socket that listens for dogstatsd: what arrives there."""

from __future__ import annotations

import gzip
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from monitoring.servers import eventually, running_rotel
from raudo import AsyncProcessor, Cache, SmartCache, _trace
from raudo.monitoring import Monitor
from raudo.monitoring.exporters.opentelemetry import OpenTelemetryExporter
from raudo.monitoring.tracing import trace

pytestmark = [pytest.mark.parallel_threads(1), pytest.mark.slow]


async def double(x):
    return 2 * x


async def test_metrics_and_spans_arrive_at_a_collector(tmp_path):
    with running_rotel(tmp_path) as (port, log):
        url = f"http://127.0.0.1:{port}"
        metrics = MeterProvider(
            [
                PeriodicExportingMetricReader(
                    OTLPMetricExporter(f"{url}/v1/metrics", headers={"api-key": "secret"}),
                    export_interval_millis=60_000,
                )
            ]
        )
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
        end = trace(traces)
        try:
            async with SmartCache(10, name="users") as cache, AsyncProcessor(name="p") as processor:
                monitor = Monitor(cache, processor, exporters=[OpenTelemetryExporter(metrics)])
                assert await processor.process(double, 21) == 42
                assert await cache.get_or_load("k", double) == "kk"
                assert await cache.get("k") == "kk"
                monitor.check()
                assert metrics.force_flush()
                monitor.close()
        finally:
            end()
        assert traces.force_flush()
        text = eventually(lambda: _has_all(log.read_text()))
        metrics.shutdown()
        traces.shutdown()
    hits = text[text.index("raudo_cache_hits") :]
    assert re.search(r"users", hits[:2000])
    assert re.search(r"code.function.name.*double", text)


def test_recipe_sends_to_its_endpoints_with_the_key():
    """Run the New Relic recipe of the documentation as it is, but for the host."""
    page = Path(__file__).parents[2] / "docs" / "monitoring.md"
    (recipe,) = re.findall(r"^```py\n(.*?otlp\.nr-data.*?)^```", page.read_text(), re.M | re.S)
    arrived = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            arrived.append((self.path, self.headers["api-key"], self.rfile.read(size)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    cache, ends = Cache(10), []
    cache.get("absent")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        host = f'"http://127.0.0.1:{server.server_port}"'
        names = {
            "NEW_RELIC_LICENSE_KEY": "secret",
            "monitor": Monitor(cache),
            "trace": lambda provider: ends.append(trace(provider)),
        }
        exec(recipe.replace('"https://otlp.nr-data.net"', host), names)
        try:
            names["monitor"].check()
            with _trace.span("raudo.task", {}):
                pass
            assert names["metrics"].force_flush()
            assert names["traces"].force_flush()
        finally:
            ends[0]()
            names["monitor"].close()
            names["traces"].shutdown()
            names["metrics"].shutdown()
            server.shutdown()
            thread.join()
    assert {(path, key) for path, key, _ in arrived} == {
        ("/v1/metrics", "secret"),
        ("/v1/traces", "secret"),
    }
    sent = b"".join(
        data if data[:2] != b"\x1f\x8b" else gzip.decompress(data) for *_, data in arrived
    )
    assert b"raudo_cache_misses" in sent
    assert b"shop" in sent


def _has_all(text):
    wanted = ("raudo_cache_hits", "raudo_memory_used_bytes", "raudo_task_duration_seconds_sum")
    spans = ("raudo.task", "raudo.cache.load")
    return text if all(name in text for name in (*wanted, *spans)) else ""


async def test_dogstatsd_arrives_at_a_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        agent.settimeout(5)
        async with SmartCache(10, name="users") as cache:
            await cache.set("a", 1)
            for _ in range(3):
                await cache.get("a")
            monitor = Monitor(cache)
            monitor.export_to("statsd", port=agent.getsockname()[1], tags={"env": "test"})
            monitor.check()
            lines = set()
            while "raudo_monitor_check_seconds" not in str(lines):
                lines |= set(agent.recv(65536).decode().split("\n"))
            await cache.get("a")
            monitor.check()
            more = agent.recv(65536).decode().split("\n")
            monitor.close()
    assert "raudo_cache_hits_total:3.0|c|#env:test,cache:users" in lines
    assert "raudo_cache_hits_total:1.0|c|#env:test,cache:users" in more
    dialect = re.compile(
        r"[a-zA-Z_][\w.]*:-?[\d.e+-]+\|[cg](\|#[^|\s,]+:[^|\s,]*(,[^|\s,]+:[^|\s,]*)*)?"
    )
    assert [line for line in lines if not dialect.fullmatch(line)] == []
    assert not any("_bucket" in line for line in lines)
