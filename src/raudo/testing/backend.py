"""The contract suite for engines of executors and maps: inherit it and give it its subject.

    class TestMyEngine(BackendContract):
        backend = "my-engine"           # what `ParallelExecutor(backend=...)` takes

The engine's workers need raudo: what they are given to do is in `raudo.testing._backend_work`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from raudo.concurrency import ParallelExecutor, parallel_imap, parallel_map
from raudo.concurrency.backends import Backend, Settings, open_backend
from raudo.errors import Closed, InitializerFailed, TaskTimeout, WorkerDied
from raudo.testing import _backend_work as work

__all__ = ["BackendContract"]

Kind = Literal["auto", "thread", "process"]
_kinds = pytest.mark.parametrize("kind", ["thread", "process"])
_any_kind = pytest.mark.parametrize("kind", ["auto", "thread", "process"])


class BackendContract:
    """What `raudo.concurrency.backends.Backend` promises, alone and below executors and maps."""

    backend: object = "local"
    patience = 60.0
    """Seconds within which a task has to begin or to end."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Backend]:
        made = open_backend(self.backend, Settings(2, 2, most_at_once=2))
        try:
            yield made
        finally:
            made.close(cancel=True)

    # --- tasks ----------------------------------------------------------------------------------

    @_kinds
    def test_runs_observes_and_fails(self, kind: Any) -> None:
        seen: list[tuple[Any, ...]] = []
        with self.opened() as backend:
            future = backend.submit(
                kind, work.square, (3,), {}, observe=lambda *what: seen.append(what)
            )
            assert future.result(self.patience) == 9
            ((value, wall_s, cpu_s, *_),) = seen
            assert value == 9
            assert wall_s >= 0
            assert cpu_s >= 0
            failed = backend.submit(kind, work.fail_at, (3, 3), {})
            error = failed.exception(self.patience)
            assert isinstance(error, ValueError)
            assert str(error) == "bad 3"
            assert backend.is_warm(kind)

    @_kinds
    def test_uses_the_future_it_is_given(self, kind: Any) -> None:
        given: Future[Any] = Future()
        with self.opened() as backend:
            assert backend.submit(kind, int, ("ff",), {"base": 16}, future=given) is given
            assert given.result(self.patience) == 255

    def test_exceptions_and_results_always_come_back(self) -> None:
        with self.opened() as backend:
            odd = backend.submit("process", work.raise_odd, (), {}).exception(self.patience)
            assert isinstance(odd, work.OddError)
            assert (odd.code, odd.reason) == (7, "odd")
            assert "raise_odd" in str(odd.__cause__)  # where it was raised
            lock = backend.submit("process", threading.Lock, (), {}).exception(self.patience)
            assert isinstance(lock, TypeError)
            unsent = backend.submit("process", work.square, (threading.Lock(),), {})
            assert isinstance(unsent.exception(self.patience), TypeError)

    def test_stops_what_has_begun(self, tmp_path: Path) -> None:
        begun = tmp_path / "begun"
        with self.opened() as backend:
            with pytest.raises(TaskTimeout):
                backend.submit("process", work.spin, (), {}, timeout=0.2).result(self.patience)
            future = backend.submit("process", work.sleep_after, (str(begun), 2.0), {})
            self._wait_for(begun)
            assert backend.stop(future)
            with pytest.raises(concurrent.futures.CancelledError):
                future.result(self.patience)

    def _wait_for(self, path: Path) -> None:
        until = time.monotonic() + self.patience
        while not path.exists():
            assert time.monotonic() < until, "the task did not begin"
            time.sleep(0.005)

    @_kinds
    def test_says_how_many_at_once(self, kind: Any) -> None:
        with self.opened() as backend:
            assert 1 <= backend.slots(kind) <= 2
            assert backend.ahead(kind) >= backend.slots(kind)
            assert backend.chunk_s > 0
            stats = backend.stats()
            assert set(stats) == {"threads", "processes"}
            for each in stats.values():
                assert set(each) >= {"workers", "busy", "queue_size", "limit", "max"}

    @_kinds
    def test_refuses_after_close(self, kind: Any) -> None:
        with self.opened() as backend:
            backend.submit(kind, work.square, (3,), {}).result(self.patience)
            backend.close()
            backend.close()
            with pytest.raises(Closed):
                backend.submit(kind, work.square, (3,), {})

    def test_closing_finishes_what_was_submitted(self) -> None:
        with self.opened() as backend:
            futures = [backend.submit("process", work.square, (i,), {}) for i in range(5)]
            backend.close()
            assert [each.result(0) for each in futures] == [0, 1, 4, 9, 16]

    def test_what_many_tasks_have_in_common_is_shared(self) -> None:
        with self.opened() as backend:
            words = [f"word {i}" for i in range(20_000)]
            shared = backend.share(words)
            futures = [backend.submit("process", work.item, (shared, i), {}) for i in range(5)]
            assert [each.result(self.patience) for each in futures] == words[:5]
        with ParallelExecutor(2, 2, backend=self.backend) as executor:
            find = executor.share(partial(work.item, words))
            assert executor.submit(find, 3).result(self.patience) == "word 3"
            assert list(executor.map(find, range(9), kind="process")) == words[:9]
            assert list(executor.map(find, range(9), kind="thread")) == words[:9]

    # --- maps -----------------------------------------------------------------------------------

    @_any_kind
    def test_a_map_is_the_plain_loop(self, kind: Kind) -> None:
        assert self._map(work.square, range(300), kind=kind) == [i * i for i in range(300)]
        assert self._map(work.square, [], kind=kind) == []
        unordered = self._map(work.square, range(50), kind=kind, ordered=False)
        assert sorted(unordered) == sorted(i * i for i in range(50))

    def test_closures_run_and_what_does_not_pickle_stays(self) -> None:
        offset, locks = 3, [threading.Lock() for _ in range(3)]
        assert self._map(lambda x: x + offset, range(20)) == list(range(3, 23))
        assert self._map(lambda lock: lock.locked(), locks) == [False] * 3

    @_any_kind
    def test_errors_are_raised_returned_or_skipped(self, kind: Kind) -> None:
        fails = partial(work.fail_at, bad=13)
        with pytest.raises(ValueError, match="bad 13"):
            self._map(fails, range(20), kind=kind)
        got = self._map(fails, range(20), kind=kind, on_error="return")
        assert isinstance(got.pop(13), ValueError)
        assert got == [i for i in range(20) if i != 13]
        assert self._map(fails, range(20), kind=kind, on_error="skip") == got

    def test_retries(self, tmp_path: Path) -> None:
        flaky = partial(work.flaky, str(tmp_path / "calls"), 3)
        assert self._map(flaky, [5], kind="process", retries=5) == [5]

    def test_a_timed_out_item_is_stopped_alone(self) -> None:
        call = partial(work.spin_at, bad=2)
        got = self._map(call, range(4), kind="process", timeout=1.0, on_error="return")
        assert isinstance(got.pop(2), TaskTimeout)
        assert got == [0, 1, 3]

    def test_a_deadly_item_fails_alone(self) -> None:
        got = self._map(partial(work.exit_at, bad=2), range(4), kind="process", on_error="return")
        assert isinstance(got.pop(2), WorkerDied)
        assert got == [0, 1, 3]

    def test_endless_items_are_read_lazily(self) -> None:
        read = itertools.count()
        results: Any = parallel_imap(
            work.square, read, 2, kind="process", buffersize=20, backend=self.backend
        )
        with contextlib.closing(results):
            assert list(itertools.islice(results, 30)) == [i * i for i in range(30)]
        assert next(read) < 100

    def test_progress_is_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._map(work.square, range(10), kind="process", progress=True)
        assert "10" in capsys.readouterr().err

    def test_arrays_come_as_they_went(self) -> None:
        import numpy as np

        arrays = [np.arange(n, dtype=np.float64) for n in (0, 10, 50_000)]
        for given, got in zip(arrays, self._map(work.doubled, arrays, kind="process"), strict=True):
            np.testing.assert_array_equal(got, 2 * given)
            assert got.flags.writeable
        np.testing.assert_array_equal(arrays[2], np.arange(50_000))
        whole = np.ones(50_000)
        assert (
            self._map(partial(work.double_here, whole), range(6), chunksize=1, kind="process")
            == [100_000.0] * 6
        )
        whole.setflags(write=False)
        assert self._map(partial(work.sum_of, whole), range(6), kind="process") == [50_000.0] * 6

    def _map(self, fn: Any, items: Any, **how: Any) -> list[Any]:
        return parallel_map(fn, items, 2, backend=self.backend, **how)

    # --- executors ------------------------------------------------------------------------------

    @_any_kind
    def test_an_executor_is_one(self, kind: Kind) -> None:
        with ParallelExecutor(2, 2, kind=kind, backend=self.backend) as executor:
            futures = [executor.submit(pow, i, 2) for i in range(20)]
            done, _ = concurrent.futures.wait(futures, self.patience)
            assert {each.result() for each in done} == {i * i for i in range(20)}
            assert executor.submit(int, "ff", base=16).result() == 255
            assert list(executor.map(pow, [2, 3, 4], [5, 2, 1])) == [32, 9, 4]
            with pytest.raises(ValueError, match="bad 13"):
                list(executor.map(partial(work.fail_at, bad=13), range(20)))
            stats = executor.get_stats()
            ended = stats["done"] + stats["failed"] + stats["cancelled"] + stats["pending"]
            assert stats["submitted"] == ended == 44

    def test_shutdown_cancels_what_waits(self, tmp_path: Path) -> None:
        begun = tmp_path / "begun"
        executor = ParallelExecutor(1, 1, kind="process", backend=self.backend)
        executor.submit(work.sleep_after, str(begun), 0.2)
        self._wait_for(begun)
        futures = [executor.submit(work.sleep_after, str(begun), 0.2) for _ in range(30)]
        executor.shutdown(cancel_futures=True)
        assert all(each.done() for each in futures)
        assert sum(each.cancelled() for each in futures) >= 20
        with pytest.raises(Closed):
            executor.submit(work.square, 1)

    def test_a_map_gives_up_in_time(self) -> None:
        with ParallelExecutor(2, 2, kind="process", backend=self.backend) as executor:
            results = executor.map(time.sleep, [1.0, 1.0], timeout=0.05)
            with pytest.raises(TimeoutError):
                list(results)

    def test_initializers_run_and_may_fail(self) -> None:
        with ParallelExecutor(
            1, 1, kind="process", backend=self.backend, initializer=work.note, initargs=("hello",)
        ) as executor:
            assert executor.submit(work.noted).result(self.patience)[-1] == "hello"
        with ParallelExecutor(
            1, 1, kind="process", backend=self.backend, initializer=work.fail_at, initargs=(1, 1)
        ) as executor:
            error = executor.submit(work.square, 1).exception(self.patience)
            assert isinstance(error, InitializerFailed)
            with pytest.raises(InitializerFailed):
                executor.submit(work.square, 1)
