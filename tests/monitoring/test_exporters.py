"""Each exporter passes the contract, and is read by the tools that it writes for."""

from __future__ import annotations

import io
import json
import math
import socket
import sys
from collections import Counter

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from raudo.errors import MissingExtra
from raudo.monitoring import Monitor, create_exporter
from raudo.monitoring.exporters.jsonlines import JsonLinesExporter
from raudo.monitoring.exporters.opentelemetry import OpenTelemetryExporter
from raudo.monitoring.exporters.prometheus import CONTENT_TYPE, PrometheusExporter, exposition
from raudo.monitoring.exporters.statsd import StatsdExporter
from raudo.testing import ExporterContract, FakeClock
from raudo.types import Sample

pytestmark = pytest.mark.parallel_threads(1)  # fixtures hold one server, one registry

HARD = 'quote " backslash \\ newline \n end'


def parse(text):
    """Return {(name, labels): value} as the official client's parser reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def things(value, **labels):
    return Sample("raudo_things_total", "counter", value, tuple(labels.items()), "Things made.")


def level(value, **labels):
    return Sample("raudo_level", "gauge", value, tuple(labels.items()), "How high.")


# --- jsonlines --------------------------------------------------------------------------------


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestJsonLinesFile(ExporterContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path):
        self.path = tmp_path / "metrics.jsonl"

    def make(self):
        return JsonLinesExporter(self.path)

    def delivered(self, exporter):
        return {line["name"]: line["value"] for line in lines_of(self.path)}


class TestJsonLinesStream(ExporterContract):
    def make(self):
        self.stream = io.StringIO()
        return JsonLinesExporter(self.stream)

    def delivered(self, exporter):
        lines = map(json.loads, self.stream.getvalue().splitlines())
        return {line["name"]: line["value"] for line in lines}

    def test_stream_is_left_open(self):
        self.make().close()
        assert not self.stream.closed


def test_jsonlines_records_are_complete(tmp_path):
    clock = FakeClock()
    path = tmp_path / "m.jsonl"
    exporter = JsonLinesExporter(path, clock=clock)
    exporter.export([things(3, of=HARD), level(math.nan), level(-math.inf)])
    clock.advance(2.5)
    exporter.export([level(1.5)])
    first, second, third, last = lines_of(path)
    assert first == {
        "time": 1_700_000_000.0,
        "name": "raudo_things_total",
        "kind": "counter",
        "value": 3,
        "labels": {"of": HARD},
    }
    assert second["value"] is third["value"] is None
    assert (last["time"], last["value"]) == (1_700_000_002.5, 1.5)


def test_jsonlines_appends_to_what_is_there(tmp_path):
    path = tmp_path / "m.jsonl"
    for _ in range(2):
        exporter = JsonLinesExporter(path)
        exporter.export([level(1)])
        exporter.close()
    assert len(lines_of(path)) == 2


@pytest.mark.parametrize("backups", [0, 1, 2])
def test_jsonlines_files_rotate(tmp_path, backups):
    path = tmp_path / "m.jsonl"
    exporter = JsonLinesExporter(path, max_bytes=300, backups=backups)
    for value in range(20):
        exporter.export([level(value)])
    files = sorted(each.name for each in tmp_path.iterdir())
    assert files == ["m.jsonl", "m.jsonl.1", "m.jsonl.2"][: backups + 1]
    assert all(each.stat().st_size <= 300 for each in tmp_path.iterdir())
    newest_first = [path, *(tmp_path / f"m.jsonl.{n}" for n in range(1, backups + 1))]
    kept = [line["value"] for each in reversed(newest_first) for line in lines_of(each)]
    assert kept == list(range(20))[-len(kept) :]


def test_jsonlines_follows_a_file_that_was_moved_away(tmp_path):
    path = tmp_path / "m.jsonl"
    exporter = JsonLinesExporter(path, max_bytes=10_000)
    exporter.export([level(1)])
    path.rename(tmp_path / "moved")
    exporter.export([level(2)])
    assert [line["value"] for line in lines_of(path)] == [2]


def test_jsonlines_tells_of_a_bad_target_at_once(tmp_path):
    with pytest.raises(OSError):
        JsonLinesExporter(tmp_path / "absent" / "m.jsonl")
    with pytest.raises(TypeError, match="target is 3"):
        JsonLinesExporter(3)
    with pytest.raises(ValueError, match="max_bytes is 0"):
        JsonLinesExporter(tmp_path / "m", max_bytes=0)
    with pytest.raises(ValueError, match="backups is -1"):
        JsonLinesExporter(tmp_path / "m", backups=-1)


# --- statsd -----------------------------------------------------------------------------------


@pytest.fixture
def server():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        yield server


def receive(server):
    """Return all datagrams that have come; loopback delivers before `sendto` returns."""
    packets = []
    server.setblocking(False)
    while True:
        try:
            packets.append(server.recv(65536).decode())
        except BlockingIOError:
            return packets


class TestStatsd(ExporterContract):
    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    def make(self):
        return StatsdExporter(port=self.server.getsockname()[1])

    def delivered(self, exporter):
        counts, gauges = Counter(), {}
        for packet in receive(self.server):
            for line in packet.split("\n"):
                name, _, rest = line.partition(":")
                value, kind = rest.split("|")[:2]
                if kind == "c":
                    counts[name] += float(value)
                else:
                    gauges[name] = float(value)
        return {**counts, **gauges}


def test_statsd_lines_and_tags(server):
    exporter = StatsdExporter(
        port=server.getsockname()[1], prefix="shop.", tags={"env": "a|b,c#d e"}
    )
    exporter.export([things(3, of=HARD), level(True), level(math.nan), level(math.inf)])
    exporter.close()
    assert receive(server) == [
        'shop.raudo_things_total:3|c|#env:a_b_c_d_e,of:quote_"_backslash_\\_newline___end\n'
        "shop.raudo_level:1|g|#env:a_b_c_d_e"
    ]


def test_statsd_counters_are_sent_as_increases(server):
    exporter = StatsdExporter(port=server.getsockname()[1])
    for value in (5, 5, 8, 2):  # at last the component was replaced
        exporter.export([things(value, of="a")])
    exporter.close()
    assert receive(server) == [f"raudo_things_total:{n}|c|#of:a" for n in (5, 3, 2)]


def test_statsd_packets_fit_the_network(server):
    exporter = StatsdExporter(port=server.getsockname()[1])
    exporter.export([level(i, number=str(i)) for i in range(500)])
    exporter.close()
    packets = receive(server)
    assert len(packets) > 1
    assert max(map(len, packets)) <= 1432
    assert sum(packet.count("\n") + 1 for packet in packets) == 500


def test_statsd_never_blocks_and_counts_what_is_dropped(server):
    class Full:
        def sendto(self, packet, address):
            raise BlockingIOError

        def close(self):
            pass

    exporter = StatsdExporter(port=server.getsockname()[1])
    assert exporter._socket.getblocking() is False
    exporter._socket.close()
    exporter._socket = Full()
    exporter.export([level(1)])
    assert exporter.n_dropped == 1
    exporter.close()


def test_statsd_with_nobody_there_does_not_raise(server):
    port = server.getsockname()[1]
    server.close()
    exporter = StatsdExporter(port=port)
    for _ in range(3):
        exporter.export([level(1)])
    exporter.close()


# --- prometheus -------------------------------------------------------------------------------


class TestPrometheus(ExporterContract):
    def make(self):
        self.registry = CollectorRegistry(auto_describe=True)
        return PrometheusExporter(self.registry)

    def delivered(self, exporter):
        found = parse(generate_latest(self.registry).decode())
        return {name: value for (name, labels), value in found.items() if not labels}


@pytest.mark.parametrize("as_text", [True, False])
def test_prometheus_text_is_read_by_the_official_parser(as_text):
    samples = [
        things(3, of=HARD),
        things(4, of="é"),
        level(math.nan, a="1"),
        level(math.inf, a="2", b="x"),
        level(-math.inf),
        Sample("odd name-1", "gauge", 2.5, (("bad-label", "v"),)),
        Sample("9lives", "counter", 9),
    ]
    if as_text:
        text = exposition(samples)
    else:
        registry = CollectorRegistry()
        exporter = PrometheusExporter(registry)
        exporter.export(samples)
        text = generate_latest(registry).decode()
    found = parse(text)
    assert math.isnan(found.pop(("raudo_level", (("a", "1"),))))
    assert found == {
        ("raudo_things_total", (("of", HARD),)): 3,
        ("raudo_things_total", (("of", "é"),)): 4,
        ("raudo_level", (("a", "2"), ("b", "x"))): math.inf,
        ("raudo_level", ()): -math.inf,
        ("odd_name_1", (("bad_label", "v"),)): 2.5,
        ("_9lives_total", ()): 9,
    }
    assert "# HELP raudo_level How high." in text
    assert "# TYPE raudo_things_total counter" in text
    assert "version=0.0.4" in CONTENT_TYPE


def test_prometheus_text_of_nothing():
    assert exposition([]) == ""


def test_prometheus_name_of_two_kinds_keeps_the_first():
    found = parse(exposition([Sample("x_total", "counter", 1), Sample("x_total", "gauge", 2)]))
    assert found == {("x_total", ()): 1}


def test_prometheus_scrape_pulls_from_its_source():
    class Counting:
        n = 0

        def samples(self):
            self.n += 1
            return [things(self.n)]

    component, registry = Counting(), CollectorRegistry()
    monitor = Monitor(component, process=False)
    exporter = PrometheusExporter(registry, source=monitor.collect)
    for expected in (1, 2, 3):
        found = parse(generate_latest(registry).decode())
        assert found["raudo_things_total", ()] == expected
    exporter.close()
    assert generate_latest(registry) == b""


def test_prometheus_default_registry_is_left_clean():
    from prometheus_client import REGISTRY

    exporter = PrometheusExporter()
    exporter.export([level(7)])
    assert REGISTRY.get_sample_value("raudo_level") == 7
    exporter.close()
    assert REGISTRY.get_sample_value("raudo_level") is None


def test_whole_monitor_is_valid_prometheus_text():
    samples = Monitor(exporters=[]).collect()
    found = parse(exposition(samples))
    assert found["raudo_process_threads", ()] >= 1
    assert len(found) == len(samples)


# --- opentelemetry ----------------------------------------------------------------------------


def read_otel(reader):
    """Return {name: {labels: value}} and {name: metric} of the next collection."""
    data = reader.get_metrics_data()
    metrics = {
        metric.name: metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    points = {
        name: {
            tuple(sorted(point.attributes.items())): point.value for point in each.data.data_points
        }
        for name, each in metrics.items()
    }
    return points, metrics


@pytest.fixture
def otel():
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    yield reader, provider
    provider.shutdown()


class TestOpenTelemetry(ExporterContract):
    @pytest.fixture(autouse=True)
    def _otel(self, otel):
        self.reader, self.provider = otel

    def make(self):
        return OpenTelemetryExporter(self.provider)

    def delivered(self, exporter):
        points, metrics = read_otel(self.reader)
        return {
            f"{name}_total" if type(metrics[name].data).__name__ == "Sum" else name: each[()]
            for name, each in points.items()
            if () in each
        }


def test_otel_instruments_have_kind_unit_and_labels(otel):
    reader, provider = otel
    exporter = OpenTelemetryExporter(provider)
    exporter.export(
        [
            things(3, of="a"),
            things(4, of="b"),
            level(1.5),
            Sample("raudo_gc_pause_seconds_total", "counter", 0.5),
            Sample("raudo_memory_used_bytes", "gauge", 7),
        ]
    )
    points, metrics = read_otel(reader)
    assert points["raudo_things"] == {(("of", "a"),): 3, (("of", "b"),): 4}
    assert points["raudo_level"] == {(): 1.5}
    assert metrics["raudo_things"].data.is_monotonic
    assert metrics["raudo_things"].description == "Things made."
    assert metrics["raudo_gc_pause_seconds"].unit == "s"
    assert metrics["raudo_memory_used_bytes"].unit == "By"
    exporter.close()
    assert read_otel(reader)[0] == {}


def test_otel_series_that_is_gone_is_not_shown(otel):
    reader, provider = otel
    exporter = OpenTelemetryExporter(provider)
    exporter.export([level(1, of="a"), level(2, of="b")])
    exporter.export([level(3, of="b")])
    assert read_otel(reader)[0] == {"raudo_level": {(("of", "b"),): 3}}
    exporter.close()


# --- without the clients ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("prometheus", "prometheus_client", "prometheus"),
        ("opentelemetry", "opentelemetry", "otel"),
    ],
)
def test_missing_client_names_the_extra(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"raudo\[{extra}\]"):
        create_exporter(name)
