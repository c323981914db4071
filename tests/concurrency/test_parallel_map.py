from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from concurrency import tasks
from concurrency.leaks import nothing_left_behind
from raudo import parallel_imap, parallel_map
from raudo.concurrency._chunking import ChunkSizer
from raudo.concurrency._mapper import Mapper
from raudo.errors import TaskTimeout, WorkerDied

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)

KINDS = ["auto", "inline", "thread", "process"]
kinds = pytest.mark.parametrize("kind", KINDS)
pooled = pytest.mark.parametrize("kind", ["thread", "process"])


@kinds
@pytest.mark.parametrize("n", [0, 1, 2, 3, 100, 5000])
def test_equals_the_list_comprehension(kind: Any, n: int) -> None:
    assert parallel_map(tasks.square, range(n), 2, kind=kind) == [i * i for i in range(n)]


@kinds
@pytest.mark.parametrize("chunksize", [1, 7, 1000])
def test_any_chunksize_will_do(kind: Any, chunksize: int) -> None:
    mapped = parallel_map(tasks.square, range(50), 2, kind=kind, chunksize=chunksize)
    assert mapped == [i * i for i in range(50)]


def test_any_function_works() -> None:
    offset = 3

    def closure(x: int) -> int:
        return x + offset

    assert parallel_map(lambda x: x + 1, range(5), max_workers=16) == [1, 2, 3, 4, 5]
    assert parallel_map(closure, range(5), max_workers=16) == [3, 4, 5, 6, 7]
    assert parallel_map("a{}".format, range(2)) == ["a0", "a1"]
    seen: list[int] = []
    assert parallel_map(seen.append, range(100)) == [None] * 100
    assert sorted(seen) == list(range(100))


def test_lambdas_never_leave_this_process() -> None:
    import os

    def pids_of(fn: Any) -> set[int]:
        return {pid for _, pid in parallel_map(fn, [200_000] * 40)}

    assert pids_of(lambda n: (tasks.burn(n), os.getpid())) == {os.getpid()}


def test_an_interrupt_between_two_looks_is_shown_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: Mapper) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mapper, "_drop_overdue", interrupt)
    gate = threading.Event()
    with pytest.raises(KeyboardInterrupt) as caught:
        parallel_map(lambda _: gate.wait(), [1], kind="thread", timeout=0.01)
    gate.set()
    assert caught.value.__context__ is None


def test_short_items_are_sent_in_few_chunks() -> None:
    sizer, items, n_chunks = ChunkSizer(None, 100_000), iter(range(100_000)), 0
    while chunk := sizer.cut(items, "thread", 32, 1 << 60):
        n_chunks += 1
        sizer.observe(len(chunk), len(chunk) * 1e-7)
    assert n_chunks < 100


def test_waiting_functions_run_beside_each_other() -> None:
    barrier = threading.Barrier(8)
    assert sorted(parallel_map(lambda _: barrier.wait(), range(8), max_workers=8)) == list(range(8))


@kinds
def test_the_first_error_is_raised(kind: Any) -> None:
    with pytest.raises(ValueError, match="bad 13"):
        parallel_map(tasks.fail_on_13, range(200), 2, kind=kind)


@kinds
@pytest.mark.parametrize("chunksize", [1, 10])
def test_errors_are_returned_in_their_places(kind: Any, chunksize: int) -> None:
    mapped = parallel_map(
        tasks.fail_on_13, range(40), 2, kind=kind, on_error="return", chunksize=chunksize
    )
    assert isinstance(mapped[13], ValueError)
    assert mapped[:13] + mapped[14:] == [*range(13), *range(14, 40)]


@kinds
def test_errors_are_skipped(kind: Any) -> None:
    mapped = parallel_map(tasks.fail_on_13, range(40), 2, kind=kind, on_error="skip")
    assert mapped == [*range(13), *range(14, 40)]


def test_odd_exceptions_arrive_from_processes() -> None:
    (error,) = parallel_map(lambda_free_odd, [1], kind="process", on_error="return")
    assert isinstance(error, tasks.OddInit)
    assert "in raise_odd" in str(error.__cause__)


def lambda_free_odd(_: int) -> None:
    tasks.raise_odd()


@pytest.mark.parametrize("chunksize", [1, 10, "auto"])
def test_a_dead_worker_fails_one_item(chunksize: Any) -> None:
    mapped = parallel_map(
        tasks.exit_on_13, range(40), 2, kind="process", on_error="return", chunksize=chunksize
    )
    assert isinstance(mapped[13], WorkerDied)
    assert "code 9" in str(mapped[13])
    assert "exit_on_13" in str(mapped[13])
    assert mapped[:13] + mapped[14:] == [*range(13), *range(14, 40)]


@pytest.mark.parametrize("chunksize", [1, 10])
def test_an_unpicklable_item_or_result_fails_alone(
    chunksize: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cloudpickle", None)
    items = [1, 2, threading.Lock(), 4]
    mapped = parallel_map(
        tasks.echo, items, 2, kind="process", on_error="return", chunksize=chunksize
    )
    assert isinstance(mapped[2], TypeError)
    assert [mapped[0], mapped[1], mapped[3]] == [1, 2, 4]
    mapped = parallel_map(
        tasks.make_lock_on_3, range(6), 2, kind="process", on_error="return", chunksize=chunksize
    )
    assert isinstance(mapped[3], TypeError)
    assert mapped[:3] + mapped[4:] == [0, 1, 2, 4, 5]


@pooled
def test_an_item_over_its_time_fails_alone(kind: Any) -> None:
    gate = threading.Event()
    fn = tasks.sleep_long_on_13 if kind == "process" else hold_on_13(gate)
    mapped = parallel_map(fn, range(10, 20), 2, kind=kind, timeout=0.15, on_error="return")
    gate.set()
    assert isinstance(mapped[3], TaskTimeout)
    assert mapped[:3] + mapped[4:] == [10, 11, 12, 14, 15, 16, 17, 18, 19]


def hold_on_13(gate: threading.Event) -> Any:
    def hold(x: int) -> int:
        if x == 13:
            gate.wait()
        return x

    return hold


@kinds
def test_retries_repeat_what_raises(kind: Any, tmp_path: Any) -> None:
    flaky = tasks.FlakyFile(str(tmp_path / "calls"), 2)
    assert parallel_map(flaky, ["x"], kind=kind, retries=1) == ["x"]
    with pytest.raises(OSError, match="call 1"):
        parallel_map(tasks.FlakyFile(str(tmp_path / "again"), 3), ["x"], kind=kind)


def test_retries_repeat_what_kills_its_worker(tmp_path: Any) -> None:
    flaky = tasks.FlakyFile(str(tmp_path / "calls"), 2, deadly=True)
    assert parallel_map(flaky, ["x"], kind="process", retries=1) == ["x"]


@kinds
def test_endless_inputs_are_read_lazily(kind: Any) -> None:
    n_read = 0

    def endless() -> Iterator[int]:
        nonlocal n_read
        for i in itertools.count():
            n_read += 1
            yield i

    results = parallel_imap(tasks.square, endless(), 2, kind=kind, buffersize=20)
    assert list(itertools.islice(results, 30)) == [i * i for i in range(30)]
    results.close()  # type: ignore[attr-defined]
    assert n_read <= 30 + 20


@pooled
def test_a_dropped_iterator_ends_its_workers(kind: Any) -> None:
    results = parallel_imap(tasks.short_sleep, itertools.count(), 2, kind=kind)
    assert next(results) == 0
    del results
    gc.collect()


@pooled
def test_unordered_results_are_complete(kind: Any) -> None:
    mapped = parallel_map(tasks.square, range(200), 2, kind=kind, ordered=False)
    assert sorted(mapped) == [i * i for i in range(200)]


def test_unordered_results_overtake_a_slow_one() -> None:
    gate = threading.Event()
    results = parallel_imap(hold_on_13(gate), [13, 1, 2, 3], 2, kind="thread", ordered=False)
    assert {next(results) for _ in range(3)} == {1, 2, 3}
    gate.set()
    assert list(results) == [13]


def test_an_error_in_the_input_is_raised() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    for kind in KINDS:
        with pytest.raises(LookupError, match="no more"):
            parallel_map(tasks.square, broken(), 2, kind=kind)  # type: ignore[arg-type]


def test_nested_maps_work() -> None:
    expected = [[i * i for i in range(n)] for n in range(6)]
    assert parallel_map(tasks.nested_map, range(6), 2, kind="thread") == expected
    assert parallel_map(tasks.nested_map, range(6), 2, kind="process") == expected


def test_arrays_go_to_processes_and_back() -> None:
    arrays = [np.full(100_000, float(i)) for i in range(12)]
    mapped = parallel_map(np.negative, arrays, 2, kind="process")
    assert all((got == -sent).all() for got, sent in zip(mapped, arrays, strict=True))


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    parallel_map(tasks.square, range(50), progress=True)
    assert "square: 50/50" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"max_workers": 0}, ValueError, "max_workers"),
        ({"kind": "gpu"}, ValueError, "kind"),
        ({"chunksize": "big"}, TypeError, "chunksize"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": "1"}, TypeError, "timeout"),
        ({"retries": -1}, ValueError, "retries"),
        ({"on_error": "ignore"}, ValueError, "on_error"),
        ({"buffersize": 0}, ValueError, "buffersize"),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        parallel_map(tasks.square, [1], **arguments)
    with pytest.raises(error, match=name):
        parallel_imap(tasks.square, [1], **arguments)  # at once, not at the first `next`
    with pytest.raises(TypeError, match="fn"):
        parallel_map(3, [1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="items"):
        parallel_map(tasks.square, 3)  # type: ignore[arg-type]


def numbers_then_error(n: int) -> Iterator[int]:
    yield from range(n)
    raise OSError("the input broke")


@kinds
def test_results_of_what_came_before_a_broken_input_are_handed_on(kind: Any) -> None:
    results = parallel_imap(tasks.square, numbers_then_error(20), 2, kind=kind)
    got = []
    with pytest.raises(OSError, match="the input broke"):
        for each in results:
            got.append(each)  # noqa: PERF402 (what came before the error counts)
    assert got == [i * i for i in range(20)]


@kinds
def test_a_broken_input_ends_a_map(kind: Any) -> None:
    with pytest.raises(OSError, match="the input broke"):
        parallel_map(tasks.short_sleep, numbers_then_error(20), 2, kind=kind)


def test_chunks_for_processes_are_bounded_in_bytes() -> None:
    def cut_all(items: Iterator[Any]) -> list[int]:
        sizer, sizes = ChunkSizer(None, None), []
        while chunk := sizer.cut(items, "process", 2, 1 << 60):
            sizes.append(len(chunk))
            sizer.observe(len(chunk), len(chunk) * 1e-7)
        return sizes

    assert set(cut_all(iter([np.zeros(200_000)] * 10))) == {1}  # 1.6 MB each
    assert max(cut_all(iter([b"x" * 10_000] * 2_000))) <= 106
    assert max(cut_all(iter(range(50_000)))) == 10_000
    mixed = [*range(3_000), *[np.zeros(1_000_000)] * 100]
    assert cut_all(iter(mixed))[-60:] == [1] * 60
