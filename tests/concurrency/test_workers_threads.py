from __future__ import annotations

import contextvars
import gc
import threading
from concurrent.futures import Future, wait

import pytest

from concurrency.leaks import nothing_left_behind
from raudo.concurrency._workers.threads import ThreadWorkers
from raudo.errors import Closed, InitializerFailed

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)


def test_runs_tasks_with_arguments() -> None:
    with ThreadWorkers(3) as workers:
        futures = [workers.submit(divmod, (i, 7)) for i in range(50)]
        assert [each.result() for each in futures] == [divmod(i, 7) for i in range(50)]
        assert workers.submit(dict, (), {"a": 1}).result() == {"a": 1}
        assert 1 <= workers.n_workers <= 3


def test_exceptions_arrive() -> None:
    with ThreadWorkers(1) as workers:
        assert isinstance(workers.submit(int, ("x",)).exception(), ValueError)
        assert workers.submit(int, ("3",)).result() == 3


def test_context_of_the_submitter_comes_along() -> None:
    word = contextvars.ContextVar("word", default="none")
    with ThreadWorkers(1) as workers:
        word.set("here")
        assert workers.submit(word.get).result() == "here"
        workers.submit(word.set, ("changed",)).result()
        assert word.get() == "here"


def test_no_more_threads_than_allowed_run() -> None:
    gate, running = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        running.release()
        gate.wait()

    with ThreadWorkers(2) as workers:
        futures = [workers.submit(hold) for _ in range(5)]
        running.acquire(), running.acquire()
        assert not running.acquire(timeout=0.05)
        assert (workers.n_workers, workers.n_busy, workers.queue_size) == (2, 2, 3)
        gate.set()
        wait(futures)


def test_resize_grows_for_what_is_queued_and_shrinks_when_idle() -> None:
    barrier = threading.Barrier(4)
    with ThreadWorkers(1) as workers:
        futures = [workers.submit(barrier.wait) for _ in range(4)]
        workers.resize(4)
        wait(futures)
        assert workers.n_workers == 4
        workers.resize(1)
        while workers.n_workers > 1:
            gc.collect()
        assert workers.submit(abs, (-1,)).result() == 1


def test_idle_threads_leave_after_their_timeout() -> None:
    with ThreadWorkers(2, idle_timeout=0.01) as workers:
        workers.submit(abs, (-1,)).result()
        while workers.n_workers:
            gc.collect()
        assert workers.submit(abs, (-2,)).result() == 2


def test_close_finishes_what_is_queued() -> None:
    workers = ThreadWorkers(1)
    futures = [workers.submit(abs, (-i,)) for i in range(20)]
    workers.close()
    assert [each.result(timeout=0) for each in futures] == list(range(20))
    with pytest.raises(Closed):
        workers.submit(abs, (1,))
    workers.close()


def test_close_with_cancel_drops_what_is_queued() -> None:
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait()

    workers = ThreadWorkers(1)
    held, queued = workers.submit(hold), workers.submit(abs, (1,))
    running.wait()
    workers.close(wait=False, cancel=True)
    assert queued.cancelled()
    gate.set()
    workers.close()
    assert held.result() is None


def test_dropped_workers_end_after_their_tasks() -> None:
    workers = ThreadWorkers(2)
    future = workers.submit(abs, (-1,))
    del workers
    assert future.result() == 1  # the fixture sees to it that the threads are gone


def test_a_failing_initializer_fails_all_tasks() -> None:
    with ThreadWorkers(1, initializer=int, initargs=("x",)) as workers:
        future = workers.submit(abs, (1,))
        error = future.exception()
        assert isinstance(error, InitializerFailed)
        assert isinstance(error.__cause__, ValueError)
        with pytest.raises(InitializerFailed):
            workers.submit(abs, (1,))


def test_a_task_may_submit_and_close() -> None:
    workers = ThreadWorkers(2)
    assert workers.submit(lambda: workers.submit(abs, (-3,)).result()).result() == 3
    workers.submit(workers.close).result()
    with pytest.raises(Closed):
        workers.submit(abs, (1,))


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (True, TypeError), ("2", TypeError)])
def test_bad_counts_are_named(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_workers"):
        ThreadWorkers(value)  # type: ignore[arg-type]


def test_results_are_not_kept_by_idle_threads() -> None:
    import weakref

    class Thing:
        pass

    with ThreadWorkers(1) as workers:
        thing = Thing()
        seen = weakref.ref(thing)
        future = workers.submit(id, (thing,))
        future.result()
        del thing, future
        while seen() is not None:
            gc.collect()


def test_close_waits_for_a_thread_that_is_just_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    is_starting, may_start = threading.Event(), threading.Event()
    start = threading.Thread.start

    def start_late(self: threading.Thread) -> None:
        if self.name.startswith("late"):
            is_starting.set()
            assert may_start.wait(30)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    workers = ThreadWorkers(1, name="late")
    futures: list[Future[int]] = []
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: failed.append(args.exc_value))
    submitting = threading.Thread(target=lambda: futures.append(workers.submit(abs, (-2,))))
    closing = threading.Thread(target=workers.close)
    submitting.start()
    assert is_starting.wait(30)
    closing.start()
    closing.join(0.05)  # it cannot be done: the task is queued
    may_start.set()
    for each in submitting, closing:
        each.join(30)
    assert failed == []
    assert futures[0].result() == 2
    assert workers.n_workers == 0
