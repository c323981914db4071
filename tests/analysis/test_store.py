"""The store: what comes back is what went in, or nothing; whatever happens to the files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from raudo.analysis.segment import read_segment, write_segment
from raudo.analysis.store import FolderStore, ObjectStore, Rows, open_store
from raudo.errors import CorruptEntry


def keys_of(*numbers: int) -> np.ndarray:
    return np.array([(n * 0x9E3779B97F4A7C15 % 2**64, n) for n in numbers], np.uint64)


def rows_of(*numbers: int) -> Rows:
    offsets = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum([n % 4 for n in numbers], out=offsets[1:])
    words = np.array([n for n in numbers for _ in range(n % 4)], np.uint64)
    return Rows({"lengths": np.array(numbers, np.int64)}, {"words": words}, offsets)


def check(found: object, asked: list[int], expected: list[int]) -> None:
    positions = found.positions.tolist()  # type: ignore[attr-defined]
    assert [asked[at] for at in positions] == expected
    rows = found.rows  # type: ignore[attr-defined]
    for i, number in enumerate(expected):
        row = rows.row(i)
        assert row["lengths"] == number
        assert row["words"].tolist() == [number] * (number % 4)


@pytest.mark.parametrize("make", [lambda path: FolderStore(path), lambda path: ObjectStore({})])
def test_finds_what_was_added(make: object, tmp_path: Path) -> None:
    store = make(tmp_path / "cache")  # type: ignore[operator]
    check(store.find("words1", keys_of(1, 2)), [1, 2], [])
    store.add("words1", keys_of(5, 3, 8), rows_of(5, 3, 8), 3.0)
    store.add("words1", keys_of(7, 0), rows_of(7, 0), 1.0)
    asked = [3, 4, 7, 8, 9, 0, 3]
    found = store.find("words1", keys_of(*asked))
    check(found, asked, [3, 7, 8, 0, 3])
    assert found.seconds == pytest.approx(3 * 1.0 + 2 * 0.5)
    assert store.find("words2", keys_of(3)).rows is None


def test_survives_a_restart_and_merges_segments(tmp_path: Path) -> None:
    for n in range(30):
        FolderStore(tmp_path).add("words1", keys_of(n), rows_of(n), 0.1)
    assert len(list(tmp_path.iterdir())) <= 9
    asked = list(range(30))
    check(FolderStore(tmp_path).find("words1", keys_of(*asked)), asked, asked)


def test_stays_within_its_bound_and_drops_the_oldest(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, max_bytes=200_000)
    for n in range(6):
        vectors = Rows({"vectors": np.full((100, 128), n, np.float32)})
        store.add("vectors_x", keys_of(*range(n * 100, n * 100 + 100)), vectors, 0.0)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200_000
    assert store.find("vectors_x", keys_of(0)).rows is None
    newest = store.find("vectors_x", keys_of(599)).rows
    assert newest is not None
    assert (newest.fixed["vectors"] == 5).all()


@pytest.mark.parametrize("kept", [0, 1, 23, 24, 60, 130, 200, 250])
def test_a_truncated_file_is_a_miss(kept: int, tmp_path: Path) -> None:
    FolderStore(tmp_path).add("words1", keys_of(1, 2, 3), rows_of(1, 2, 3), 1.0)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:kept])
    store = FolderStore(tmp_path)
    assert store.find("words1", keys_of(1)).rows is None
    assert store.counts.corrupt == 1
    assert not path.exists()
    store.add("words1", keys_of(1), rows_of(1), 1.0)
    check(store.find("words1", keys_of(1)), [1], [1])


def test_no_flipped_byte_goes_unnoticed(tmp_path: Path) -> None:
    """Only the padding between arrays may change without a trace."""
    rows = rows_of(3, 7, 11)
    FolderStore(tmp_path).add("words1", keys_of(3, 7, 11), rows, 1.0)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    noticed = 0
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x10
        path.write_bytes(bad)
        store = FolderStore(tmp_path)
        found = store.find("words1", keys_of(3, 7, 11))
        if store.counts.corrupt:
            assert found.rows is None
            noticed += 1
        else:
            check(found, [3, 7, 11], [3, 7, 11])
    assert noticed > len(good) // 2


def test_what_is_not_a_segment_is_dropped(tmp_path: Path) -> None:
    write_segment(tmp_path / "words1-1-aa.seg", {"other": np.zeros(3)}, {})
    write_segment(tmp_path / "words1-2-bb.seg", {"keys": np.zeros(3, np.uint64)}, {})
    store = FolderStore(tmp_path)
    assert store.find("words1", keys_of(1)).rows is None
    assert store.counts.corrupt == 2


def test_unwritable_folder_is_counted_not_raised(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    store = FolderStore(blocked / "cache")
    store.add("words1", keys_of(1), rows_of(1), 1.0)
    assert store.counts.errors == 1
    assert store.find("words1", keys_of(1)).rows is None


def test_a_failed_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    store = FolderStore(tmp_path)
    store.add("words1", keys_of(1), rows_of(1), 1.0)
    assert store.counts.errors == 1
    assert list(tmp_path.iterdir()) == []


def test_old_parts_are_swept(tmp_path: Path) -> None:
    old, young = tmp_path / "a.part", tmp_path / "b.part"
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    FolderStore(tmp_path).add("words1", keys_of(1), rows_of(1), 1.0)
    assert not old.exists()
    assert young.exists()


def test_an_object_that_answers_nonsense_is_a_miss() -> None:
    target = {b"words1:" + keys_of(1)[0].tobytes(): "nonsense"}
    store = ObjectStore(target)
    assert store.find("words1", keys_of(1)).rows is None
    assert store.counts.corrupt == 1


def test_segment_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.seg"
    path.write_bytes(b"NOTASEGM" + bytes(100))
    with pytest.raises(CorruptEntry, match="not a segment of version"):
        read_segment(path)


def test_cache_of_a_wrong_type_is_refused() -> None:
    assert open_store(None) is None
    with pytest.raises(TypeError, match="cache is int, wanted a folder"):
        open_store(3)
