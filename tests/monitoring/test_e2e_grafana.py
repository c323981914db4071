"""The Grafana dashboard: shipped as built, and a real Prometheus answers each of its queries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from monitoring.load import Service
from monitoring.servers import eventually, program, running_prometheus
from raudo.monitoring import serve
from raudo.monitoring.grafana import dashboard_json

pytestmark = [pytest.mark.parallel_threads(1), pytest.mark.slow]

# What Grafana puts in the place of its variables.
_FILLED = {"$job": ".*", "$instance": ".*", "$__rate_interval": "3s"}


def panels():
    return [each for each in json.loads(dashboard_json())["panels"] if each["type"] != "row"]


def test_the_shipped_dashboard_is_the_one_that_is_built():
    build = pytest.importorskip(
        "raudo.monitoring.grafana.build", reason="grafana-foundation-sdk is not installed"
    )
    assert dashboard_json() == build.build_json()
    assert [each["title"] for each in panels()] == [each.title for each in build.PANELS]


def test_panels_have_ids_places_and_the_chosen_source():
    found = panels()
    assert len({each["id"] for each in found}) == len(found) > 20
    for each in found:
        place = each["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert each["datasource"]["uid"] == "${source}"
    names = [each["name"] for each in json.loads(dashboard_json())["templating"]["list"]]
    assert names == ["source", "job", "instance"]


def test_every_query_has_an_answer(tmp_path):
    with Service(interval=0.25) as service, serve(service.monitor) as page:
        with running_prometheus(tmp_path, [f"127.0.0.1:{page.port}"]) as server:
            unanswered = {
                f"{panel['title']}: {filled(target['expr'])}"
                for panel in panels()
                for target in panel["targets"]
            }

            def all_answered():
                unanswered.difference_update(
                    [each for each in unanswered if answers(server, each.partition(": ")[2])]
                )
                return not unanswered

            try:
                eventually(all_answered, 15, every=0.5)
            except AssertionError:
                pytest.fail(f"no series for {sorted(unanswered)}")
        service.monitor.close()


def filled(query):
    for name, value in _FILLED.items():
        query = query.replace(name, value)
    return query


def answers(server, query):
    """Whether there are series, and each has a number: a division by nothing gives NaN."""
    found = server.query(query)
    return bool(found) and any(value == value for _, value in found)


@pytest.mark.parametrize("config", ["prometheus", "alertmanager"])
def test_the_recipe_for_compose_is_what_the_programs_accept(config):
    folder = Path(__file__).resolve().parents[2] / "docs" / "compose"
    command = {
        "prometheus": ["promtool", "check", "config", "--syntax-only", "prometheus.yml"],
        "alertmanager": ["amtool", "check-config", "alertmanager.yml"],
    }[config]
    done = subprocess.run(
        [program(command[0]), *command[1:]], cwd=folder, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
