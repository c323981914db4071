"""The idle moments of a service: between its requests, and in its event loop."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from raudo import MemoryOptimizer
from raudo.memory.idle import IdleASGI, IdleWSGI, Requests, idle_moment

pytestmark = pytest.mark.parallel_threads(1)  # the collector's settings belong to the process


class Watched(MemoryOptimizer):
    """Notes the idle moments instead of using them, and always has work."""

    def __init__(self):
        super().__init__(auto_optimize=False)
        self.budgets = []
        self._collector.has_work = lambda: True

    def idle(self, budget=None):
        self.budgets.append(budget)


@pytest.fixture
def optimizer():
    return Watched()


# --- requests ---------------------------------------------------------------------------------


def test_end_of_a_request_is_an_idle_moment(optimizer):
    with optimizer.request():
        assert optimizer.budgets == []
    with optimizer.request(budget=0.5):
        pass
    assert optimizer.budgets == [0.003, 0.5]


def test_failed_request_ends_too(optimizer):
    with pytest.raises(KeyError), optimizer.request():
        raise KeyError
    assert optimizer.budgets == [0.003]


def test_no_moment_is_idle_while_another_request_is_under_way(optimizer):
    entered, leave = threading.Event(), threading.Event()

    def work():
        with optimizer.request():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(10)
    with optimizer.request():
        pass
    assert optimizer.budgets == []
    leave.set()
    thread.join()
    assert len(optimizer.budgets) == 1


def test_request_without_work_does_nothing(optimizer):
    optimizer._collector.has_work = lambda: False
    with optimizer.request():
        pass
    assert optimizer.budgets == []


def test_request_refuses_a_negative_budget(optimizer):
    with pytest.raises(ValueError, match="budget is -1"), optimizer.request(-1):
        pass


def test_forked_child_has_no_requests_under_way():
    requests = Requests()
    requests.begin()
    requests.after_fork()
    requests.begin()
    assert requests.end()
    assert requests.end()  # the one of the parent, in the thread that forked


def test_request_collects_what_has_gathered():
    with MemoryOptimizer() as optimizer:
        gc.collect(1)
        with optimizer.request():
            # One young collection and a half: the counts are far from those of an older one,
            # after which there would be no work left.
            data = [[] for _ in range(1_500)]
        assert gc.get_freeze_count() >= len(data)


# --- applications -----------------------------------------------------------------------------


class Body:
    is_closed = False

    def __iter__(self):
        return iter([b"a", b"b"])

    def close(self):
        self.is_closed = True


def test_wsgi_request_ends_when_its_body_is_closed(optimizer):
    body = Body()
    app = IdleWSGI(lambda environ, start_response: body, optimizer, budget=0.25)
    response = app({}, lambda *args: None)
    assert list(response) == [b"a", b"b"]
    assert optimizer.budgets == []
    response.close()
    assert body.is_closed
    assert optimizer.budgets == [0.25]


def test_wsgi_body_needs_no_close(optimizer):
    response = IdleWSGI(lambda environ, start_response: [b"a"], optimizer)({}, print)
    response.close()
    assert optimizer.budgets == [0.003]


def test_wsgi_request_that_fails_ends(optimizer):
    def app(environ, start_response):
        raise OSError

    with pytest.raises(OSError):
        IdleWSGI(app, optimizer)({}, print)
    assert optimizer.budgets == [0.003]


def test_asgi_requests_count_and_websockets_do_not(optimizer):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["type"], len(optimizer.budgets)))

    async def main():
        wrapped = IdleASGI(app, optimizer)
        for kind in ("lifespan", "websocket", "http", "http"):
            await wrapped({"type": kind}, None, None)

    asyncio.run(main())
    assert seen == [("lifespan", 0), ("websocket", 0), ("http", 0), ("http", 1)]
    assert len(optimizer.budgets) == 2


# --- event loops ------------------------------------------------------------------------------


def test_event_loop_that_is_quiet_is_idle(optimizer, monkeypatch):
    async def main():
        found = asyncio.Event()
        monkeypatch.setattr(optimizer, "idle", lambda budget: (budgets.append(budget), found.set()))
        task = asyncio.create_task(optimizer.idle_in_loop(every=0.001))
        await found.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    budgets = []
    asyncio.run(asyncio.wait_for(main(), 30))
    assert budgets[0] == 0.003


def test_event_loop_that_is_never_quiet_waits_for_five_seconds(monkeypatch):
    ticks = iter(range(1_000_000))
    monkeypatch.setattr("raudo.memory.idle.perf_counter", lambda: next(ticks))
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("raudo.memory.idle.asyncio.sleep", sleep)
    asyncio.run(idle_moment(0.5, lambda: True))
    assert sum(slept) == 5.0


@pytest.mark.parametrize(("every", "budget"), [(0, 1), (1, -1)])
def test_idle_in_loop_refuses_what_makes_no_sense(optimizer, every, budget):
    with pytest.raises(ValueError, match="wanted"):
        asyncio.run(optimizer.idle_in_loop(every, budget))
