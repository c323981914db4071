"""Trace files: every format is read, and one that is not whole is refused by name and place."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from raudo import Cache
from raudo.cache.replay import belady_hits, lru_hit_rates, replay_hits, replay_sized_hits
from raudo.cache.traces import Trace, read_trace
from raudo.errors import BadTrace, MissingExtra, RaudoError

pytestmark = pytest.mark.parallel_threads(1)  # threads would share the test's folder

ORACLE = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])


def oracle(n: int = 4) -> bytes:
    rows = [(10 * i, 2**63 + i % 3, 100 + i % 3, -1) for i in range(n)]
    return np.array(rows, ORACLE).tobytes()


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def keys_of(trace: Trace) -> list[int]:
    return trace.keys.tolist()


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, k=[5, 6, 5], size=[1, 2, 1], t=[0.5, 1.0, 2.5])
    trace = read_trace(path)
    assert keys_of(trace) == [5, 6, 5]
    assert trace.sizes is not None
    assert trace.sizes.tolist() == [1, 2, 1]
    assert (trace.seconds, trace.n_unique) == (2.0, 2)
    np.savez_compressed(path, k=np.array(["x", "y", "x"]))
    assert keys_of(read_trace(path)) == [0, 1, 0]
    np.savez(path, k=np.array([2**64 - 1, 3], np.uint64))
    assert keys_of(read_trace(path)) == [-1, 3]


def test_oracle_general(tmp_path: Path) -> None:
    for name in ("a.oracleGeneral", "a.oracleGeneral.bin", "a.bin"):
        trace = read_trace(write(tmp_path / name, oracle()))
        assert len(set(keys_of(trace))) == 3
        assert keys_of(trace)[0] == keys_of(trace)[3]
        assert trace.sizes is not None
        assert trace.sizes.tolist() == [100, 101, 102, 100]
        assert trace.seconds == 30.0
    assert len(read_trace(write(tmp_path / "b", oracle()), format="oracleGeneral").keys) == 4


def test_what_libcachesim_writes(tmp_path: Path) -> None:
    libcachesim = pytest.importorskip("libcachesim")
    keys = [n * n % 97 + 1 for n in range(1000)]
    write(tmp_path / "a.csv", "".join(f"{10 * n},{key},{key + 5}\n" for n, key in enumerate(keys)))
    options = libcachesim.ReaderInitParam()
    options.time_field, options.obj_id_field, options.obj_size_field = 1, 2, 3
    options.delimiter, options.obj_id_is_num = ",", True
    reader = libcachesim.TraceReader(
        str(tmp_path / "a.csv"), libcachesim.TraceType.CSV_TRACE, options
    )
    libcachesim.Util.convert_to_oracleGeneral(reader._reader, str(tmp_path / "a.oracleGeneral"))
    trace = read_trace(tmp_path / "a.oracleGeneral")
    assert np.unique(trace.keys, return_inverse=True)[1].tolist() == (
        np.unique(keys, return_inverse=True)[1].tolist()
    )
    assert trace.sizes is not None
    assert trace.sizes.tolist() == [key + 5 for key in keys]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("key,size\na,10\nb,20\na,10\n", [0, 1, 0]),
        ("\ufeffTime, ID ,Size\n1,x,10\n\n3,y,20\n", [0, 1]),
        ("7\n8\n7\n", [0, 1, 0]),
        ('"a,b",1\n"c",2\n', [0, 1]),
    ],
)
def test_csv(tmp_path: Path, text: str, keys: list[int]) -> None:
    trace = read_trace(write(tmp_path / "a.csv", text))
    assert keys_of(trace) == keys
    if "ize" in text:
        assert trace.sizes is not None
        assert trace.sizes[:2].tolist() == [10, 20]
    assert trace.seconds == (2.0 if "Time" in text else None)
    tabs = read_trace(write(tmp_path / "a.tsv", text.replace(",", "\t")))
    assert len(tabs.keys) == len(keys)


def test_text(tmp_path: Path) -> None:
    assert keys_of(read_trace(write(tmp_path / "a.txt", "a b\n\nc\r\na b"))) == [0, 1, 0]
    assert keys_of(read_trace(write(tmp_path / "a", b"\xff\n\xfe\n\xff\n"))) == [0, 1, 0]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("gz", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
        ("zst", lambda data: zstandard.compress(data[:48]) + zstandard.compress(data[48:])),
    ],
)
def test_compressed_files(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(oracle(40))
    path = write(tmp_path / f"a.oracleGeneral.{suffix}", packed)
    assert len(read_trace(path).keys) == 40
    for cut in (3, len(packed) // 2):
        write(path, packed[:-cut])
        with pytest.raises(BadTrace, match=rf"a.oracleGeneral.{suffix}: cannot be decompressed"):
            read_trace(path)


def test_zst_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r"raudo\[zstd\]"):
        read_trace(write(tmp_path / "a.txt.zst", b"x"))


def test_a_limit_cuts_off(tmp_path: Path) -> None:
    cache = Cache[int, int](9, record=tmp_path / "recording")
    for n in range(5000):
        cache.get(n)
    assert cache.recorder is not None
    cache.recorder.close()
    np.savez(tmp_path / "a.npz", k=range(9), size=range(9))
    write(tmp_path / "a.bin", oracle(9))
    write(tmp_path / "a.csv", "1\n2\n3\n4\n")
    write(tmp_path / "a.txt", "1\n2\n3\n4\n")
    for path in tmp_path.iterdir():
        assert len(read_trace(path, limit=3).keys) == 3
    with pytest.raises(ValueError, match="limit: wanted a number >= 1 or None, got 0"):
        read_trace(tmp_path / "a.txt", limit=0)
    with pytest.raises(ValueError, match="format: wanted one of auto, recording, npz"):
        read_trace(tmp_path / "a.txt", format="xml")


# --- files that are not what they should be ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"", "a.txt: no request in 0 bytes"),
        ("a.csv", b"key,size\n", "a.csv: no request in 9 bytes"),
        ("a.txt", b"ab\0c", "a.txt: line 1: byte 2 is 0"),
        ("a.csv", b"size,key\n1,a\n2\n", "a.csv: line 3: 1 columns, wanted more than 1"),
        ("a.csv", b"key,size\na,1\nb,x\n", "a.csv: line 3: size is 'x', wanted a number"),
        ("a.csv", b"key,size\na,-1\n", "a.csv: line 2: size is '-1', wanted a number >= 0"),
        ("a.csv", b"key,time\na,\n", "a.csv: line 2: time is '', wanted a number"),
        ("a.bin", oracle(3)[:-1], "a.bin: 23 bytes after request 2 at byte 48: cut off"),
        ("a.npz", b"no archive", "a.npz: not a whole .npz: no zip archive"),
        ("a.npz", b"PK\x03\x04", "a.npz: not a whole .npz"),
        ("a.npz", b"", "a.npz: not a whole .npz"),
    ],
)
def test_files_that_are_not_whole_are_refused(
    tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    with pytest.raises(BadTrace) as caught:
        read_trace(write(tmp_path / name, data))
    assert says in str(caught.value)
    assert isinstance(caught.value, RaudoError)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": [1]}, "wanted an archive with an array 'k', it has ['x']"),
        ({"k": [1.5]}, "float64 of shape (1,), wanted one row of integers or strings"),
        ({"k": [[1]]}, "array 'k' is int64 of shape (1, 1)"),
        ({"k": [1, 2], "size": [1]}, "array 'size' is int64 of shape (1,), wanted 2 numbers"),
        ({"k": np.array([{}])}, "not a whole .npz of plain arrays"),
    ],
)
def test_archives_of_something_else_are_refused(
    tmp_path: Path, arrays: dict[str, Any], says: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadTrace) as caught:
        read_trace(tmp_path / "a.npz")
    assert says in str(caught.value)


def test_a_cut_archive_is_refused_at_every_length(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", k=np.arange(100))
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole), 7):
        with pytest.raises(BadTrace):
            read_trace(write(tmp_path / "b.npz", whole[:length]))


def test_a_changed_byte_in_a_recording_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a"
    cache = Cache[int, int](9, record=path)
    for n in range(10_000):
        cache.get(n)
    assert cache.recorder is not None
    cache.recorder.close()
    whole = path.read_bytes()
    for at, says in ((8 + 24 + 800, "does not check out"), (8, "begins with")):
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(BadTrace, match=f"block at byte 8: {says}"):
            read_trace(write(path, bytes(changed)))
    with pytest.raises(BadTrace, match="a recording with"):
        read_trace(write(path, "text\n"), format="recording")


# --- replay -----------------------------------------------------------------------------------


def test_belady_hits_what_can_be_hit() -> None:
    assert belady_hits([1, 2, 3, 1, 2, 3], 2) == 2
    assert belady_hits([1, 2, 1, 3, 1, 2], 1) == 2  # 2 and 3 bypass
    assert belady_hits([1, 1, 1], 5) == 2


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", oracle(9))
    write(tmp_path / "a.txt", "1\n2\n3\n")
    np.savez(tmp_path / "a.npz", k=[1, 2, 3])
    for name in ("a.bin", "a.txt", "a.npz"):
        assert not read_trace(tmp_path / name, limit=2).is_whole
        assert read_trace(tmp_path / name).is_whole
    assert read_trace(tmp_path / "a.txt", limit=3).is_whole


def test_progress_is_reported(tmp_path: Path) -> None:
    size = write(tmp_path / "a.bin.gz", gzip.compress(oracle(200_000))).stat().st_size
    seen: list[tuple[int, int]] = []
    read_trace(tmp_path / "a.bin.gz", report=lambda *at: seen.append(at))
    assert seen[-1] == (size, size)
    assert len(seen) > 1


def test_a_file_without_lines_is_not_kept_in_memory(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"x" * 3_000_000)
    with pytest.raises(BadTrace, match="line 1: longer than 1,048,576 bytes"):
        read_trace(tmp_path / "a.txt")


def test_lru_by_bytes_is_what_a_cache_bound_by_weight_hits() -> None:
    chance = np.random.default_rng(3)
    keys = (chance.pareto(0.6, 20_000) * 7).astype(np.int64) % 3000
    weights = keys * 7 % 50 + 1
    sizes = [500, 2000, 10_000, 80_000]
    for size, rate in zip(sizes, lru_hit_rates(keys, sizes, weights), strict=True):
        cache = Cache[int, int](None, strategy="lru", max_weight=size, weigher=lambda _, v: v)
        hits = replay_sized_hits(keys.tolist(), weights.tolist(), cache.get, cache.set)
        assert hits / len(keys) == pytest.approx(rate, abs=0.01)


def test_replays_agree_with_the_curve() -> None:
    chance = np.random.default_rng(3)
    keys = (chance.pareto(0.6, 20_000) * 7).astype(np.int64) % 3000
    sizes = [10, 50, 200, 3000]
    rates = lru_hit_rates(keys - 2**40, sizes)
    for size, rate in zip(sizes, rates, strict=True):
        cache = Cache[int, int](size, strategy="lru")
        hits = replay_hits(keys.tolist(), cache.get, cache.set)
        assert hits == cache.stats()["hits"] == round(rate * len(keys))
        assert hits <= belady_hits(keys.tolist(), size)
