"""Large messages through shared memory: what is held stays, what is dropped comes back, and what
the system refuses goes another way."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from concurrency import tasks
from concurrency.leaks import nothing_left_behind
from raudo._core.pages import ABANDONED, FREE, TAKEN, Lease, Pages, count_mapped
from raudo.concurrency._workers import slots
from raudo.concurrency._workers.processes import ProcessWorkers
from raudo.concurrency._workers.slots import SlotReader, SlotWriter

__all__ = ["nothing_left_behind"]
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def ends() -> Iterator[tuple[SlotWriter, SlotReader]]:
    writer, reader = SlotWriter(), SlotReader()
    yield writer, reader
    writer.close()
    reader.close()


def pass_on(ends: tuple[SlotWriter, SlotReader], *contents: bytes) -> tuple[int, list[memoryview]]:
    writer, reader = ends
    placed = writer.place([memoryview(each) for each in contents])
    assert placed is not None
    fd = os.dup(placed.fd) if placed.fd >= 0 else -1
    writer.sent()
    return placed.slot_id, reader.views(placed.slot_id, fd, [len(each) for each in contents])


def test_a_slot_is_written_again_once_all_its_views_are_dropped(ends: Any) -> None:
    first, (one, two) = pass_on(ends, b"a" * 100, b"b" * 5000)
    second, held = pass_on(ends, b"c" * 100)
    assert second != first
    assert (bytes(one), bytes(two)) == (b"a" * 100, b"b" * 5000)
    del one
    assert pass_on(ends, b"d")[0] not in (first, second)
    del two
    assert pass_on(ends, b"e" * 9000)[0] == first  # it grows
    assert bytes(held[0]) == b"c" * 100


def test_parts_of_every_size_arrive_in_slots_of_every_size(ends: Any) -> None:
    sizes = [0, 1, 63, 64, 65, 4031, 4032, 4033, 65_535, 65_536, 300_000]
    for size in [*sizes, *reversed(sizes)]:
        contents = [bytes([size % 251]) * size, b"x", bytes(size // 2)]
        _, views = pass_on(ends, *contents)
        assert [bytes(each) for each in views] == contents


def test_what_is_held_beyond_the_writers_slots_gets_slots_of_its_own(ends: Any) -> None:
    held = [pass_on(ends, bytes([i % 256]) * 1000) for i in range(200)]
    assert {slot_id for slot_id, _ in held} == set(range(65))
    for i, (_, views) in enumerate(held):
        assert bytes(views[0]) == bytes([i % 256]) * 1000
    before = count_mapped()
    held.clear()
    assert before - count_mapped() >= 130  # the writer's and the reader's own stay mapped


def test_a_message_that_cannot_be_mapped_is_copied(
    ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_MAX_MAPPED", 0)
    for _ in range(3):  # and its slot is free at once
        assert pass_on(ends, b"abc", b"d" * 5000)[0] == 1
    assert bytes(pass_on(ends, b"abc", b"d" * 5000)[1][1]) == b"d" * 5000


@pytest.mark.parametrize("failing", ["memfd_create", "pwrite", "ftruncate"])
def test_without_memory_the_writer_declines_and_recovers(
    ends: Any, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(errno.ENOSPC, "no space")

    pass_on(ends, b"a" * 100)
    with monkeypatch.context() as patched:
        patched.setattr(os, failing, refuse)
        if failing == "memfd_create":
            held = pass_on(ends, b"b")
            assert ends[0].place([memoryview(b"c")]) is None
            del held
        else:
            assert ends[0].place([memoryview(bytes(100_000))]) is None
    assert bytes(pass_on(ends, b"again" * 100)[1][0]) == b"again" * 100


def test_a_lease_in_a_fork_gives_nothing_back() -> None:
    fd = os.memfd_create("test")
    os.ftruncate(fd, 4096)
    pages = Pages(fd, 4096)
    os.close(fd)
    pages.state = TAKEN
    lease: Lease | None = Lease(pages)
    pid = os.fork()
    if pid == 0:
        lease = None
        os._exit(pages.state)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == TAKEN
    assert lease is not None
    lease = None
    assert pages.state == ABANDONED  # as the fork might still have looked at it
    lease = Lease(pages)
    del lease
    assert pages.state == FREE


def test_writing_outside_of_pages_is_refused() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        pages = Pages(file.fileno(), 4096)
        with pytest.raises(ValueError, match="not within 4096 bytes"):
            pages.write(4090, b"1234567")
        with pytest.raises(ValueError, match="n_bytes"):
            Pages(file.fileno(), 0)
    with pytest.raises(OSError, match="cannot map"):
        Pages(-1, 4096)


# --- with workers -----------------------------------------------------------------------------


def test_without_memfd_temporary_files_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    before = set(os.listdir(tempfile.gettempdir()))
    with ProcessWorkers(1) as workers:
        for i in range(3):
            array = np.full(100_000, float(i))
            assert (workers.submit(np.negative, (array,)).result() == -array).all()
        left = set(os.listdir(tempfile.gettempdir())) - before
        assert not [each for each in left if each.startswith("raudo-")]


def test_results_larger_than_any_slot_arrive() -> None:
    with ProcessWorkers(1) as workers:
        small = workers.submit(tasks.echo, (b"x" * 200_000,)).result()
        large = workers.submit(np.ones, (20_000_000,)).result()  # 160 MB
        assert len(small) == 200_000
        assert large.sum() == 20_000_000


def test_hundreds_of_results_are_held_without_a_descriptor_each() -> None:
    with ProcessWorkers(1) as workers:
        workers.submit(np.ones, (30_000,)).result()
        before = len(os.listdir("/proc/self/fd"))
        held = [workers.submit(np.full, (30_000, float(i))).result() for i in range(400)]
        assert len(os.listdir("/proc/self/fd")) - before <= 64
        assert all(each[-1] == i for i, each in enumerate(held))


def test_a_result_may_be_written_to_and_outlives_its_worker() -> None:
    with ProcessWorkers(1) as workers:
        first = workers.submit(np.zeros, (30_000,)).result()
        first += 1
        second = workers.submit(np.zeros, (30_000,)).result()
    assert first.sum() == 30_000
    assert second.sum() == 0


@pytest.mark.parametrize("spare", [0, 1])
def test_without_descriptors_large_tasks_still_come_and_go(spare: int) -> None:
    """The program is at its limit: slots cannot be made, and those of results not received."""
    array = np.ones(100_000)
    with ProcessWorkers(1) as workers:
        assert workers.submit(tasks.square, (2,)).result() == 4
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + spare, hard))
        try:
            assert workers.submit(np.sum, (array,)).result() == 100_000
            error = workers.submit(np.negative, (array,)).exception()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if spare == 0:
            assert isinstance(error, OSError)
            assert error.errno == errno.EMFILE
        assert workers.submit(np.negative, (array,)).result()[0] == -1
        assert workers.submit(tasks.square, (3,)).result() == 9
