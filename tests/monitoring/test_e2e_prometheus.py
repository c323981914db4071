"""The real Prometheus and Alertmanager: scraped, judged, told by a webhook, and told of the end."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from subprocess import PIPE

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitoring.http_sink import HttpSink
from monitoring.load import Service
from monitoring.servers import (
    eventually,
    metrics_server,
    program,
    running_alertmanager,
    running_prometheus,
)
from raudo import Cache
from raudo.monitoring import Monitor, default_rules
from raudo.monitoring.exporters.prometheus import CONTENT_TYPE, PrometheusExporter, exposition
from raudo.monitoring.exporters.shared import SharedSamples
from raudo.monitoring.rules_file import prometheus_rules

pytestmark = [pytest.mark.parallel_threads(1), pytest.mark.slow]

FOUR = {"high memory", "low hit rate", "high error rate", "slow response"}
RULES = default_rules(window=4.0, for_=1.0)


def promtool(*arguments, text=None):
    """Return what promtool says; fail if it objects."""
    done = subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    with contextlib.ExitStack() as started:
        sink = started.enter_context(HttpSink())
        service = started.enter_context(Service(rules=RULES, interval=0.25))
        service.monitor.start()
        started.callback(service.monitor.close)
        registry = CollectorRegistry()
        PrometheusExporter(registry, source=service.monitor.collect)
        by_client = started.enter_context(
            metrics_server(lambda: generate_latest(registry).decode(), CONTENT_TYPE)
        )
        by_text = started.enter_context(
            metrics_server(lambda: exposition(service.monitor.collect()), CONTENT_TYPE)
        )
        manager = started.enter_context(running_alertmanager(folder / "manager", sink.url))
        server = started.enter_context(
            running_prometheus(
                folder / "server",
                [f"127.0.0.1:{by_client}", f"127.0.0.1:{by_text}"],
                prometheus_rules(RULES),
                manager,
            )
        )
        yield service, server, sink


def statuses(posted):
    """Return {name: status last told} of what Alertmanager posted."""
    return {
        alert["labels"]["alertname"]: alert["status"]
        for message in posted
        for alert in message["alerts"]
    }


def test_four_alerts_fire_through_alertmanager_and_resolve(stack):
    service, server, sink = stack
    assert sink.wait_for(lambda posted: statuses(posted) == dict.fromkeys(FOUR, "firing"), 60), (
        statuses(sink.posted),
        server.firing(),
    )
    # The monitor of the process itself comes to the same conclusion.
    assert {alert.rule for alert in service.monitor.active_alerts()} == FOUR
    assert {alert["labels"].get("cache") for alert in sink.posted[0]["alerts"]} <= {None, "users"}
    service.in_trouble = False
    assert sink.wait_for(lambda posted: statuses(posted) == dict.fromkeys(FOUR, "resolved"), 60), (
        statuses(sink.posted),
        server.firing(),
    )
    eventually(lambda: not service.monitor.active_alerts())


def test_every_series_is_scraped_with_its_value(stack):
    service, server, _ = stack
    eventually(lambda: len(server.query("up == 1")) == 2)

    def scraped(job_instance):
        found = server.query(f'{{__name__=~"raudo_.+",instance="{job_instance}"}}')
        return {
            (labels.pop("__name__"), tuple(sorted(labels.items())))
            for labels, _ in found
            if (labels.pop("instance"), labels.pop("job"))
        }

    wanted = {(each.name, tuple(sorted(each.labels))) for each in service.monitor.collect()}
    for labels, _ in server.query("up"):
        eventually(lambda labels=labels: wanted <= scraped(labels["instance"]))
    kinds = {name: each[0]["type"] for name, each in server.metadata().items()}
    assert kinds["raudo_cache_hits_total"] == "counter"
    assert kinds["raudo_cache_hit_ratio"] == "gauge"
    assert kinds["raudo_task_duration_seconds"] == "histogram"
    p99 = "histogram_quantile(0.99, rate(raudo_task_duration_seconds_bucket[10s]))"
    quantile = eventually(lambda: len(found := server.query(p99)) >= 4 and found)
    assert {labels["processor"] for labels, _ in quantile} == {"shaky", "slow"}
    assert all(0 <= value < 5 for _, value in quantile)
    assert eventually(
        lambda: server.query('sum(rate(raudo_cache_hits_total{cache="users"}[5s])) > 50')
    )


def test_promtool_has_nothing_against_the_metrics(stack):
    service, _, _ = stack
    text = exposition(service.monitor.collect())
    assert promtool("check", "metrics", text=text) == ""
    for line in text.splitlines():
        if line.startswith("# HELP raudo_"):
            assert re.search(r"HELP \S+ \S+ \S+", line), line
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert names == set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))


def test_promtool_has_nothing_against_the_rules(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(prometheus_rules(default_rules()))
    assert "4 rules found" in promtool("check", "rules", str(path))


def test_scrape_of_one_worker_tells_of_all(tmp_path):
    """As under gunicorn: several processes, and whichever is asked answers for the service."""
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(tmp_path / "shared")], stdin=PIPE, stdout=PIPE
    )
    assert worker.stdout.readline() == b"ready\n"
    cache = Cache(10)
    cache.get("absent")
    monitor = Monitor(cache)
    shared = SharedSamples(tmp_path / "shared")
    monitor.export_to(shared)
    monitor.check()
    with contextlib.ExitStack() as started:
        port = started.enter_context(
            metrics_server(lambda: exposition(shared.collect()), CONTENT_TYPE)
        )
        server = started.enter_context(running_prometheus(tmp_path, [f"127.0.0.1:{port}"]))

        def misses():
            return [value for _, value in server.query("raudo_cache_misses_total")]

        def processes():
            return {labels["pid"] for labels, _ in server.query("raudo_memory_used_bytes")}

        eventually(lambda: misses() == [4])
        assert processes() == {str(worker.pid), str(os.getpid())}
        worker.communicate(b"end\n", timeout=10)
        eventually(lambda: processes() == {str(os.getpid())})
        assert misses() == [4]
    monitor.close()


_WORKER = """
import sys
from raudo import Cache
from raudo.monitoring import Monitor
from raudo.monitoring.exporters.shared import SharedSamples
cache = Cache(10)
for key in range(3):
    cache.get(key)
with Monitor(cache, interval=0.1, exporters=[SharedSamples(sys.argv[1])]) as monitor:
    monitor.check()
    print("ready", flush=True)
    sys.stdin.readline()
"""
