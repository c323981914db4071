"""`raudo serve`: a demo, another process's page, what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from raudo import Cache
from raudo.cli import main
from raudo.monitoring import Monitor, serve

pytestmark = pytest.mark.parallel_threads(1)


@contextlib.contextmanager
def started(*arguments, **environment):
    """Run `raudo serve`; give the process and the page's address."""
    command = [sys.executable, "-m", "raudo", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            line = process.stdout.readline()
            yield process, re.search(r"http://\S+$", line.strip())[0]
        finally:
            process.kill()


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}"


def test_alone_it_shows_a_demo_and_ends_quietly():
    with started("--interval", "0.2") as (process, url):
        assert "<title>raudo</title>" in get(url)
        metrics = json.loads(get(f"{url}snapshot"))["metrics"]
        assert 'raudo_cache_entries{cache="pages",level="l1"}' in metrics
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_it_shows_another_process_by_its_metrics():
    cache = Cache(7)
    target = serve(Monitor(cache, interval=0.1))
    arguments = ("--url", f"{target.url}metrics", "--interval", "0.1")
    with target, started(*arguments) as (process, url):
        assert json.loads(get(f"{url}snapshot"))["metrics"]["raudo_cache_max_entries"] == 7
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_where_others_can_reach_it_a_token_is_wanted(tmp_path):
    with started("--host", "0.0.0.0") as (_, url):
        address, _, token = url.partition("?token=")
        assert len(token) > 20
        assert get(address) == "status 401"
        assert "raudo_" in get(f"{address}metrics", Authorization=f"Bearer {token}")
    with started("--host", "0.0.0.0", RAUDO_TOKEN="correct horse battery") as (_, url):
        assert "token" not in url
        assert "raudo_" in get(f"{url}metrics", Authorization="Bearer correct horse battery")


def test_rules_and_dashboard_are_printed(capsys):
    assert main(["serve", "--print-rules"]) == 0
    assert capsys.readouterr().out.count("- alert:") == 4
    assert main(["serve", "--print-grafana"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "raudo"


def test_a_port_in_use_is_told(capsys):
    with serve(Monitor()) as server:
        assert main(["serve", "--port", str(server.port), "--url", f"{server.url}metrics"]) == 1
        assert "cannot listen at 127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "wanted a port from 0 to 65535"),
        (["--url", "nowhere"], "url is 'nowhere'"),
        (["--interval", "0"], "wanted seconds"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    try:
        code = main(["serve", *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_token_that_is_too_short_is_told(tmp_path, capsys):
    (tmp_path / "token").write_text("short\n")
    assert main(["serve", "--port", "0", "--token-file", str(tmp_path / "token")]) == 2
    assert "16 or more" in capsys.readouterr().err
