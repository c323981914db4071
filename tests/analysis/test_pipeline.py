"""Batches, reading ahead, and columns that outgrow memory."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raudo.analysis import DocumentAnalyzer, FileSource
from raudo.analysis.ahead import read_ahead
from raudo.analysis.documents import as_batches
from raudo.analysis.spool import Spool


def test_reads_one_ahead_and_no_more() -> None:
    made: list[int] = []
    wanted = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            wanted.release()
            yield i

    ahead = read_ahead(items())
    assert next(ahead) == 0
    for _ in range(3):  # 0 was taken, 1 waits, 2 is in the hands of the thread
        assert wanted.acquire(timeout=30)
    assert not wanted.acquire(timeout=0.05)
    assert made == [0, 1, 2]
    assert list(ahead) == list(range(1, 100))


def test_what_reading_raises_arrives_after_what_came_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_a_consumer_that_stops_ends_the_thread() -> None:
    before = threading.active_count()
    ahead = read_ahead(itertools.count())
    assert next(ahead) == 0
    ahead.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.name == "raudo-read-ahead":
            thread.join(30)
    assert threading.active_count() <= before


@pytest.mark.parametrize("limit", [None, 0, 1000, 1 << 30])
def test_columns_are_whole_on_disk_as_in_memory(limit: int | None) -> None:
    spool = Spool(limit)
    numbers, rows, none = (
        spool.column(np.int64),
        spool.column(np.float32),
        spool.column(np.uint32),
    )
    for i in range(50):
        numbers.append(np.arange(i))
        rows.append(np.full((i, 3), i, np.float32))
    assert spool.is_on_disk == (limit is not None and limit < 1 << 30)
    assert numbers.finish().tolist() == [j for i in range(50) for j in range(i)]
    whole = rows.finish()
    assert whole.shape == (1225, 3)
    assert whole[:, 0].tolist() == [i for i in range(50) for _ in range(i)]
    assert none.finish().tolist() == []
    spool.close()
    assert whole[-1, 0] == 49, "what is finished stays"


def test_little_memory_does_not_show_in_the_results(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with open(path, "w") as file:
        for i in range(30_000):
            row = {"id": i, "text": f"document {i % 20_000} of many words {i % 77} {i % 1013}"}
            file.write(json.dumps(row) + "\n")
    small = DocumentAnalyzer(keep_texts=False, memory_bytes=1 << 20, n_jobs=1)
    a = small.analyze(FileSource([path]), k=0)
    b = DocumentAnalyzer(keep_texts=False, n_jobs=2).analyze(FileSource([path]), k=0)
    assert a.ids == b.ids
    assert a.groups == b.groups
    assert a.words.tolist() == b.words.tolist()


def test_batches_are_cut_by_characters_and_by_number() -> None:
    sizes = [len(b) for b in as_batches(["x" * 10] * 25, batch_chars=50, batch_documents=100)]
    assert sizes == [5] * 5
    sizes = [len(b) for b in as_batches(["x"] * 25, batch_chars=50, batch_documents=10)]
    assert sizes == [10, 10, 5]
