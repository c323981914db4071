"""Servers that several files talk to, one of each for all of them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    pytest.importorskip("redis")
    from redis_servers import Server

    made = Server(tmp_path_factory.mktemp("redis"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory):
    from kafka_broker import Broker

    made = Broker(tmp_path_factory.mktemp("kafka"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    from object_store import ObjectStore

    made = ObjectStore(tmp_path_factory.mktemp("objects"))
    yield made
    made.stop()
