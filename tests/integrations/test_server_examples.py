"""The examples on Redis and Kafka run, as a user would run them."""

from __future__ import annotations

import asyncio
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_broker import FAST

pytestmark = pytest.mark.slow  # servers, which no interpreter changes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Order 13 is tried as often as it was sent.
SAYS = "Consumed(handled=49, duplicates=49, dead=2, given_back=0)"


def test_the_example_of_redis_runs(redis_server, capsys):
    asyncio.run(runpy.run_path(str(EXAMPLES / "queue_redis.py"))["main"](redis_server.url))
    out = capsys.readouterr().out
    assert SAYS in out
    assert "raudo_queue_lag" in out


def test_the_example_of_a_shared_level_runs(redis_server):
    command = [sys.executable, str(EXAMPLES / "shared_redis.py"), redis_server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "loaded for all by the first process: True" in done.stdout
    assert "the other process's write is seen" in done.stdout


def test_the_example_of_kafka_runs(kafka_broker, capsys):
    async def main():
        await kafka_broker.create_async("example-orders", "example-orders.dead")
        await runpy.run_path(str(EXAMPLES / "queue_kafka.py"))["main"](kafka_broker.url, **FAST)

    asyncio.run(main())
    assert SAYS in capsys.readouterr().out
