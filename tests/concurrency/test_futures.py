"""`ThreadFuture` does what the standard future does, also in the hands of the standard library."""

from __future__ import annotations

import asyncio
import concurrent.futures as standard
import threading
from collections.abc import Callable
from typing import Any

import pytest

from raudo.concurrency._workers.threads import ThreadFuture, ThreadWorkers

pytestmark = pytest.mark.timeout(60)

Make = Callable[[], standard.Future[Any]]


@pytest.fixture(params=[ThreadFuture, standard.Future])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def test_is_a_future() -> None:
    assert isinstance(ThreadFuture(), standard.Future)
    assert "pending" in repr(ThreadFuture())


def test_steps_of_a_result(make: Make) -> None:
    future = make()
    assert not future.done()
    assert not future.running()
    assert future.set_running_or_notify_cancel()
    assert future.running()
    assert not future.cancel()
    called: list[Any] = []
    future.add_done_callback(called.append)
    future.set_result((1, 2))
    assert future.done()
    assert not future.cancelled()
    assert not future.cancel()
    assert future.result() == (1, 2)
    assert future.exception() is None
    future.add_done_callback(called.append)
    assert called == [future, future]
    with pytest.raises(standard.InvalidStateError, match="FINISHED"):
        future.set_result(3)
    with pytest.raises(standard.InvalidStateError, match="FINISHED"):
        future.set_exception(ValueError())
    assert future.result() == (1, 2)


def test_steps_of_an_error(make: Make) -> None:
    future = make()
    future.set_running_or_notify_cancel()
    error = ValueError("x")
    future.set_exception(error)
    assert future.exception() is error
    with pytest.raises(ValueError, match="x"):
        future.result()


def test_steps_of_a_cancellation(make: Make) -> None:
    future, called = make(), []
    future.add_done_callback(called.append)
    assert future.cancel()
    assert future.cancel()
    assert called == [future]
    assert future.cancelled()
    assert future.done()
    with pytest.raises(standard.CancelledError):
        future.result()
    with pytest.raises(standard.CancelledError):
        future.exception()
    assert not future.set_running_or_notify_cancel()
    assert future.cancel()
    with pytest.raises(RuntimeError, match="unexpected state"):
        future.set_running_or_notify_cancel()
    with pytest.raises(standard.InvalidStateError):
        future.set_result(1)


def test_waiting_has_its_timeout(make: Make) -> None:
    future = make()
    with pytest.raises(standard.TimeoutError):
        future.result(timeout=0.001)
    with pytest.raises(standard.TimeoutError):
        future.exception(timeout=0.001)


@pytest.mark.parametrize("how", ["result", "error", "cancel"])
def test_those_who_wait_are_woken(make: Make, how: str) -> None:
    futures = [make() for _ in range(3)]
    woken: list[Any] = []

    def wait() -> None:
        woken.append(standard.wait(futures, timeout=30).not_done)

    waiters = [threading.Thread(target=wait)]
    for future in futures:
        waiters.append(
            threading.Thread(target=lambda each=future: woken.append(_outcome(each)))  # type: ignore[misc]
        )
    for waiter in waiters:
        waiter.start()
    for future in futures:
        if how == "cancel":
            future.cancel()
            future.set_running_or_notify_cancel()
            continue
        future.set_running_or_notify_cancel()
        if how == "result":
            future.set_result("result")
        else:
            future.set_exception(ValueError("error"))
    for waiter in waiters:
        waiter.join(30)
    assert sorted(map(str, woken)) == sorted([how] * 3 + ["set()"])


def _outcome(future: standard.Future[Any]) -> str:
    try:
        return str(future.result(timeout=30))
    except standard.CancelledError:
        return "cancel"
    except ValueError as error:
        return str(error)


def test_callback_that_raises_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    future, called = make(), []

    def bad(_: Any) -> None:
        raise ValueError("bad callback")

    future.add_done_callback(bad)
    future.add_done_callback(called.append)
    future.set_result(1)
    assert called == [future]
    assert "bad callback" in caplog.text


def test_standard_functions_take_them() -> None:
    with ThreadWorkers(4) as workers:
        futures = [workers.submit(abs, (-i,)) for i in range(200)]
        assert sorted(f.result() for f in standard.as_completed(futures)) == list(range(200))
        done, not_done = standard.wait([workers.submit(abs, (1,))], return_when="FIRST_COMPLETED")
        assert (len(done), len(not_done)) == (1, 0)

        async def main() -> list[Any]:
            return await asyncio.gather(
                *(asyncio.wrap_future(workers.submit(abs, (-i,))) for i in range(50))
            )

        assert asyncio.run(main()) == list(range(50))


def test_many_threads_submit_and_wait() -> None:
    """Every result arrives while threads come and go, whoever races with whom."""
    with ThreadWorkers(8, idle_timeout=0.0005) as workers:
        failures: list[Any] = []

        def client(k: int) -> None:
            for i in range(300):
                future = workers.submit(divmod, (i, 7))
                if i % 3 == 0:
                    future.cancel()
                try:
                    if future.result(timeout=30) != divmod(i, 7):
                        failures.append((k, i))
                except standard.CancelledError:
                    if i % 3:
                        failures.append((k, i))
                if i % 50 == 0:
                    workers.resize(1 + i // 50)

        clients = [threading.Thread(target=client, args=(k,)) for k in range(6)]
        for each in clients:
            each.start()
        for each in clients:
            each.join(50)
        assert not failures
        assert workers.queue_size == 0
