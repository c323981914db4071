"""The contract of engines; each one in the registry runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from concurrency import tasks
from concurrency.leaks import nothing_left_behind
from raudo.concurrency.backends import _BACKENDS, Backend, Settings, open_backend
from raudo.errors import Closed, TaskTimeout

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)

kinds = pytest.mark.parametrize("kind", ["thread", "process"])


@pytest.fixture(params=sorted(_BACKENDS))
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    opened = open_backend(request.param, Settings(2, 1))
    yield opened
    opened.close(cancel=True)


@kinds
def test_runs_observes_and_fails(backend: Backend, kind: Any) -> None:
    seen: list[tuple[Any, ...]] = []
    future = backend.submit(kind, tasks.square, (3,), {}, observe=lambda *what: seen.append(what))
    assert future.result() == 9
    ((value, wall_s, cpu_s, *_),) = seen
    assert value == 9
    assert wall_s >= 0
    assert cpu_s >= 0
    assert isinstance(backend.submit(kind, tasks.fail, ("x",), {}).exception(), KeyError)
    assert backend.is_warm(kind)


@kinds
def test_uses_the_future_it_is_given(backend: Backend, kind: Any) -> None:
    future: Future[Any] = Future()
    assert backend.submit(kind, int, ("ff",), {"base": 16}, future=future) is future
    assert future.result() == 255


def test_stops_a_process_task(backend: Backend) -> None:
    with pytest.raises(TaskTimeout):
        backend.submit("process", tasks.spin, (), {}, timeout=0.05).result()
    future = backend.submit("process", tasks.sleep_long, (), {})
    while not future.running():
        time.sleep(0.001)
    assert backend.stop(future)
    with pytest.raises(Exception, match="cancelled"):
        future.result()


@kinds
def test_says_how_many_at_once(backend: Backend, kind: Any) -> None:
    assert backend.slots(kind) == (2 if kind == "thread" else 1)
    stats = backend.stats()
    assert set(stats) == {"threads", "processes"}
    for each in stats.values():
        assert set(each) >= {"workers", "busy", "queue_size", "limit", "max"}


@kinds
def test_refuses_after_close(backend: Backend, kind: Any) -> None:
    backend.submit(kind, tasks.square, (3,), {}).result()
    backend.close()
    with pytest.raises(Closed):
        backend.submit(kind, tasks.square, (3,), {})


def test_an_unknown_engine_is_refused_with_a_list() -> None:
    with pytest.raises(ValueError, match="'local'"):
        open_backend("cloud", Settings(1, 1))
