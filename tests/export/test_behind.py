"""The file that another thread writes: order, back-pressure, errors, and dropping it."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from raudo.export import _behind
from raudo.export._behind import Behind
from raudo.export.compression import CompressedFile

MB = b"x" * (1 << 20)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as made:
        yield made


class Gate(io.BytesIO):
    """Lets a write pass when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened, self.begun = threading.Event(), threading.Event()

    def write(self, data: Any, /) -> int:
        self.begun.set()
        assert self.opened.wait(30)
        return super().write(data)


def test_bytes_arrive_in_order(pool: ThreadPoolExecutor) -> None:
    target = io.BytesIO()
    behind = Behind(target, pool)
    pieces = [bytes([i % 251]) * 50_000 for i in range(100)]
    for piece in pieces:
        behind.write(piece)
    behind.flush()
    assert target.getvalue() == b"".join(pieces)
    assert behind.tell() == 5_000_000


def test_the_writer_waits_when_too_much_is_under_way(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_behind, "INLINE_BYTES", 0)
    gate, written = Gate(), []
    behind = Behind(gate, pool)

    def fill() -> None:
        for _ in range(12):
            behind.write(MB)
            written.append(1)

    filling = pool.submit(fill)
    assert gate.begun.wait(30)
    while len(written) < 8:
        pass
    assert not filling.done()
    assert len(written) == 8  # 8 MiB wait, the one that is being written among them
    gate.opened.set()
    filling.result(30)
    behind.flush()
    assert len(gate.getvalue()) == 12 << 20


def test_an_error_is_raised_by_what_follows(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_behind, "INLINE_BYTES", 0)

    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(28, "full")

    behind = Behind(Full(), pool)
    behind.write(MB)
    with pytest.raises(OSError, match="full"):
        behind.flush()
    with pytest.raises(OSError, match="full"):
        behind.write(MB)
    behind.stop()


def test_stop_waits_for_the_write_under_way_and_drops_the_rest(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_behind, "INLINE_BYTES", 0)
    gate = Gate()
    behind = Behind(gate, pool)
    for _ in range(4):
        behind.write(MB)
    assert gate.begun.wait(30)
    stopping = pool.submit(behind.stop)
    gate.opened.set()
    stopping.result(30)
    n_bytes = len(gate.getvalue())
    assert n_bytes <= 4 << 20
    with pytest.raises(ValueError, match="dropped"):
        behind.write(MB)
    assert len(gate.getvalue()) == n_bytes


@pytest.mark.parametrize("n_bytes", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3_000_000])
def test_gzip_by_threads_is_that_of_one(pool: ThreadPoolExecutor, n_bytes: int) -> None:
    import gzip
    import random

    data = bytes(random.Random(n_bytes).choices(b"abcdefgh \n", k=n_bytes))
    made = []
    for each in (None, pool):
        target = io.BytesIO()
        file = CompressedFile(target, "gzip", each)
        for i in range(0, len(data), 100_000):
            file.write(data[i : i + 100_000])
        file.finish()
        made.append(target.getvalue())
    assert made[0] == made[1]
    assert gzip.decompress(made[0]) == data
