from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from concurrency import tasks
from concurrency.leaks import nothing_left_behind
from raudo import events
from raudo.concurrency._workers.pickling import Encoder
from raudo.concurrency._workers.processes import ProcessWorkers
from raudo.errors import Closed, InitializerFailed, RemoteError, TaskTimeout, WorkerDied

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)

Open = Callable[..., ProcessWorkers]


@pytest.fixture(params=["forkserver", "spawn", "fork"])
def start_method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_workers() -> Iterator[Open]:
    opened: list[ProcessWorkers] = []

    def open_(n: int = 1, **kwargs: Any) -> ProcessWorkers:
        opened.append(ProcessWorkers(n, **kwargs))
        return opened[-1]

    yield open_
    for each in opened:
        each.close(cancel=True)


def test_every_start_method_gets_through_the_table(open_workers: Open, start_method: str) -> None:
    workers = open_workers(1, start_method=start_method)
    assert workers.submit(tasks.square, (7,)).result() == 49
    with pytest.raises(WorkerDied, match="code 3"):
        workers.submit(tasks.exit_now, (3,)).result()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        workers.submit(tasks.kill_self).result()
    with pytest.raises(TaskTimeout):
        workers.submit(tasks.spin, timeout=0.05).result()
    assert isinstance(workers.submit(tasks.raise_odd).exception(), tasks.OddInit)
    array = np.arange(300_000.0)
    assert (workers.submit(np.negative, (array,)).result() == -array).all()
    assert workers.submit(tasks.square, (8,)).result() == 64


def test_a_segfault_fails_its_task_alone(open_workers: Open) -> None:
    workers = open_workers(2)
    others = [workers.submit(tasks.square, (i,)) for i in range(10)]
    crash = workers.submit(tasks.segfault)
    others += [workers.submit(tasks.square, (i,)) for i in range(10, 20)]
    with pytest.raises(WorkerDied, match="SIGSEGV while running segfault"):
        crash.result()
    assert [each.result() for each in others] == [i * i for i in range(20)]


def test_a_worker_killed_from_outside_is_replaced(open_workers: Open) -> None:
    workers = open_workers(1)
    replaced: list[events.WorkerReplaced] = []
    unsubscribe = events.subscribe(events.WorkerReplaced, replaced.append)
    pid = workers.submit(tasks.pid).result()
    killed = psutil.Process(pid)
    killed.kill()
    with contextlib.suppress(psutil.NoSuchProcess):  # gone between two looks
        while killed.is_running() and killed.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.001)
    assert workers.submit(tasks.pid).result() != pid
    unsubscribe()
    assert [each.pid for each in replaced] == [pid]


def test_a_task_that_its_worker_never_read_goes_to_another(open_workers: Open) -> None:
    workers = open_workers(1)
    pid = workers.submit(tasks.pid).result()
    os.kill(pid, signal.SIGSTOP)
    small = workers.submit(tasks.square, (3,))
    large = workers.submit(tasks.echo, (b"x" * 3_000_000,))
    time.sleep(0.05)  # for the keeper to send it; whether it has does not matter
    os.kill(pid, signal.SIGKILL)
    assert small.result() == 9
    assert len(large.result()) == 3_000_000


def test_a_task_that_closes_its_descriptors_is_a_dead_worker(open_workers: Open) -> None:
    with pytest.raises(WorkerDied):
        open_workers(1).submit(tasks.close_all_descriptors).result()


def test_a_stopped_worker_cannot_outlive_its_timeout(open_workers: Open) -> None:
    workers = open_workers(1)
    pid = workers.submit(tasks.pid).result()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TaskTimeout):
        workers.submit(tasks.echo, (b"x" * 5_000_000,), timeout=0.1).result()
    assert workers.submit(tasks.square, (2,)).result() == 4


def test_system_exit_in_a_task_arrives(open_workers: Open) -> None:
    error = open_workers(1).submit(tasks.exit_system, (2,)).exception()
    assert isinstance(error, SystemExit)
    assert error.code == 2


def test_the_remote_traceback_is_the_cause(open_workers: Open) -> None:
    error = open_workers(1).submit(tasks.raise_chained).exception()
    assert isinstance(error, tasks.OddInit)
    assert (error.code, error.reason) == (1, "outer")
    assert "in raise_chained" in str(error.__cause__)
    assert "KeyError: 'inner'" in str(error.__cause__)


def test_exceptions_that_cannot_travel_become_remote_errors(open_workers: Open) -> None:
    workers = open_workers(1)
    error = workers.submit(tasks.raise_unpicklable).exception()
    assert isinstance(error, RemoteError)
    assert "tasks.HoldsLock: held" in str(error)
    assert "in raise_unpicklable" in str(error.__cause__)
    assert isinstance(workers.submit(tasks.raise_wordless).exception(), tasks.BrokenStr)


def test_unpicklable_arguments_fail_their_task(
    open_workers: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cloudpickle", None)
    workers = open_workers(1)
    with pytest.raises(TypeError, match="echo or its arguments cannot be pickled"):
        workers.submit(tasks.echo, (threading.Lock(),)).result()
    with pytest.raises(TypeError, match="cannot be pickled"):
        workers.submit(lambda: 1).result()
    assert workers.submit(tasks.square, (2,)).result() == 4


def test_unpicklable_and_unloadable_results_fail_their_task(open_workers: Open) -> None:
    workers = open_workers(1)
    pid = workers.submit(tasks.pid).result()
    with pytest.raises(TypeError, match="result, a lock, cannot be pickled"):
        workers.submit(tasks.make_lock).result()
    with pytest.raises(LookupError, match="refused"):
        workers.submit(tasks.LoadsNowhere).result()
    with pytest.raises(LookupError, match="refused"):
        workers.submit(tasks.echo, (tasks.LoadsNowhere(),)).result()
    assert workers.submit(tasks.pid).result() == pid


def test_functions_without_a_name_travel_both_ways(open_workers: Open) -> None:
    workers = open_workers(1)
    base = 3
    large = np.ones(100_000)
    assert workers.submit(lambda x: x + base, (4,)).result() == 7
    assert workers.submit(lambda x: float(x.sum()) + base, (large,)).result() == 100_003.0
    assert workers.submit(lambda xs: xs[1](2), ([large, lambda x: x + 1],)).result() == 3
    assert workers.submit(tasks.make_lambda).result()() == 1


def test_cancel_running_kills_and_cancels(open_workers: Open) -> None:
    workers = open_workers(1)
    running, queued = workers.submit(tasks.sleep_long), workers.submit(tasks.square, (3,))
    while not running.running():
        time.sleep(0.001)
    assert workers.cancel_running(running)
    with pytest.raises(CancelledError):
        running.result()
    assert queued.result() == 9
    assert not workers.cancel_running(queued)
    assert workers.cancel_running(workers.submit(tasks.sleep_long))


def test_close_with_cancel_ends_running_tasks(open_workers: Open) -> None:
    workers = open_workers(2)
    futures = [workers.submit(tasks.sleep_long) for _ in range(5)]
    while workers.n_busy < 2:
        time.sleep(0.001)
    workers.close(cancel=True)
    for each in futures:
        assert each.done()
        with pytest.raises(CancelledError):
            each.result(timeout=0)


def test_close_finishes_what_is_queued_and_refuses_more(open_workers: Open) -> None:
    workers = open_workers(2)
    futures = [workers.submit(tasks.square, (i,)) for i in range(20)]
    workers.close()
    assert [each.result(timeout=0) for each in futures] == [i * i for i in range(20)]
    with pytest.raises(Closed):
        workers.submit(tasks.square, (1,))
    assert workers.pids() == []


def test_dropped_workers_leave() -> None:
    workers = ProcessWorkers(1)
    future = workers.submit(tasks.square, (3,))
    del workers
    assert future.result() == 9  # the fixture sees to it that the process is gone


def test_initializer_runs_in_each_worker(open_workers: Open) -> None:
    workers = open_workers(1, initializer=tasks.initialize, initargs=("once",))
    assert workers.submit(tasks.initialized).result() == ["once"]


def test_a_failing_initializer_fails_all_tasks(open_workers: Open) -> None:
    workers = open_workers(1, initializer=tasks.initialize_badly)
    futures = [workers.submit(tasks.square, (1,))]
    with contextlib.suppress(InitializerFailed):  # the first may have failed already
        futures += [workers.submit(tasks.square, (i,)) for i in range(3)]
    for each in futures:
        error = each.exception()
        assert isinstance(error, InitializerFailed)
        assert isinstance(error.__cause__, LookupError)
    with pytest.raises(InitializerFailed):
        workers.submit(tasks.square, (1,))


def test_an_initializer_that_kills_its_process_does_not_loop(open_workers: Open) -> None:
    workers = open_workers(1, initializer=tasks.exit_now, initargs=(4,))
    with pytest.raises(WorkerDied, match="exited with code 4 while starting"):
        workers.submit(tasks.square, (1,)).result()
    with pytest.raises(WorkerDied):
        for _ in range(5):
            workers.submit(tasks.square, (1,)).exception()


def test_resize_shrinks_to_one_process(open_workers: Open) -> None:
    workers = open_workers(3)
    for each in [workers.submit(tasks.short_sleep, (i,)) for i in range(12)]:
        each.result()
    workers.resize(1)
    while len(workers.pids()) > 1:
        time.sleep(0.001)
    assert workers.submit(tasks.square, (3,)).result() == 9


@pytest.mark.parametrize("n_bytes", [0, 1, 16_383, 16_384, 65_536, 131_072, 1 << 20, 5_000_001])
def test_buffers_of_every_size_come_back_equal(open_workers: Open, n_bytes: int) -> None:
    workers = open_workers(1)
    array = (np.arange(n_bytes) % 251).astype(np.uint8)
    frozen = array.copy()
    frozen.setflags(write=False)
    for _ in range(2):
        sent = {"array": array, "frozen": frozen, "bytes": array.tobytes()}
        back = workers.submit(tasks.echo, (sent,)).result()
        assert (back["array"] == array).all()
        assert (back["frozen"] == frozen).all()
        assert back["bytes"] == sent["bytes"]
        assert back["array"].flags.writeable
        if n_bytes:
            assert not back["frozen"].flags.writeable


def test_what_a_worker_keeps_is_not_overwritten(open_workers: Open) -> None:
    workers = open_workers(1)
    total = 0.0
    for i in range(1, 9):  # more than a writer has slots
        total += i * 100_000
        array = np.full(100_000, float(i))
        assert workers.submit(tasks.keep_and_sum, (array,)).result() == total


def test_results_that_are_held_stay_intact(open_workers: Open) -> None:
    workers = open_workers(1)
    sent = [np.full(50_000, float(i)) for i in range(200)]  # more than there may be mappings
    held = [workers.submit(np.negative, (each,)).result() for each in sent]
    workers.close()
    for i, each in enumerate(held):
        assert (each == -float(i)).all()


def test_nested_workers_work(open_workers: Open) -> None:
    workers = open_workers(1)
    assert workers.submit(tasks.nested_map, (5,)).result() == [0, 1, 4, 9, 16]
    assert workers.submit(tasks.nested_processes, (5,)).result() == [0, 1, 4, 9, 16]


def test_one_fork_server_serves_all_pools(open_workers: Open) -> None:
    from raudo.concurrency._workers import launch

    first = open_workers(1)
    parent = psutil.Process(first.submit(tasks.pid).result()).ppid()
    first.close()
    assert launch.fork_server.pid == parent
    assert psutil.Process(open_workers(1).submit(tasks.pid).result()).ppid() == parent


def test_workers_of_a_warm_server_see_the_program_as_it_is_now(
    open_workers: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_workers(1).submit(tasks.pid).result()
    monkeypatch.setenv("RAUDO_TEST", "set later")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "made_later.py").write_text("value = 7")
    workers = open_workers(1)
    assert workers.submit(os.getenv, ("RAUDO_TEST",)).result() == "set later"
    assert workers.submit(os.getenv, ("HOME",)).result() is None
    assert workers.submit(os.getcwd).result() == str(tmp_path)
    assert workers.submit(tasks.value_of, ("made_later", "value")).result() == 7


def test_workers_print_to_where_the_program_prints_now(
    open_workers: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    open_workers(1).submit(print, ("to here",)).result()
    read, write = os.pipe()
    before = os.dup(1)
    os.dup2(write, 1)
    try:
        with ProcessWorkers(1) as workers:
            workers.submit(print, ("to there",)).result()
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read() == b"to there\n"  # it ends: nobody holds the pipe any more
    open_workers(1)._keepers.close()


def test_numerical_libraries_get_one_thread_in_workers(
    open_workers: Open, start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    workers = open_workers(1, start_method=start_method)
    assert workers.submit(os.getenv, ("OMP_NUM_THREADS",)).result() == "1"
    if start_method != "fork":  # a fork has the libraries as the program set them up
        assert workers.submit(tasks.blas_threads).result() == 0


def test_killing_the_fork_server_costs_no_more_than_the_running_tasks(open_workers: Open) -> None:
    from raudo.concurrency._workers import launch

    workers = open_workers(1)
    pid = workers.submit(tasks.pid).result()
    assert launch.fork_server.pid is not None
    os.kill(launch.fork_server.pid, signal.SIGKILL)
    while True:  # the kernel ends the worker with its parent
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.001)
    assert workers.submit(tasks.square, (5,)).result() == 25


def test_many_start_stop_cycles(start_method: str) -> None:
    for _ in range(20 if start_method == "fork" else 5):
        with ProcessWorkers(1, start_method=start_method) as workers:
            assert workers.submit(tasks.square, (3,)).result() == 9


def test_threads_submit_at_once(open_workers: Open) -> None:
    workers = open_workers(2)
    results: list[int] = []

    def use() -> None:
        for i in range(25):
            results.append(workers.submit(tasks.square, (i,)).result())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(results) == sorted([i * i for i in range(25)] * 4)


def test_unknown_start_method_is_named() -> None:
    with pytest.raises(ValueError, match="forkserver"):
        ProcessWorkers(1, start_method="thread")


def test_what_was_encoded_may_be_garbage_of_any_shape() -> None:
    encoder = Encoder()
    loop: list[Any] = [encoder, encoder.encode(list(range(1000)))]
    loop.append(loop)
    del encoder, loop
    gc.collect()  # what goes wrong there is a warning, and so an error


def test_views_of_an_earlier_message_do_not_hinder_the_next() -> None:
    encoder = Encoder()
    small = memoryview(encoder.encode(b"x").payload)[1:]
    large = list(range(100_000))
    assert pickle.loads(encoder.encode(large).payload) == large
    assert small.nbytes > 0
